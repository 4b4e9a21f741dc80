"""What only a real GPU can show: streams, devices, graphs, sizes beyond 32 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import arraysig

from . import reference
from .backends import have_gpu, have_torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not have_gpu(), reason="no CUDA device that CuPy can use"),
]
with_torch = pytest.mark.skipif(not have_torch(cuda=True), reason="no Torch with CUDA")


def paths(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Paths and their signatures of degree 3."""
    path = np.cumsum(rng.normal(size=(16, 50, 3)), axis=1) / 7
    return path, reference.batched(reference.signature, path, ranks=(2,), degree=3)


def test_results_follow_the_current_stream_of_cupy(rng: np.random.Generator) -> None:
    import cupy

    path, expected = paths(rng)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        # The input is ready only after much other work on this stream.
        slow = cupy.asarray(np.zeros((4000, 4000), dtype="float32"))
        for _ in range(20):
            slow = slow @ slow
        x = cupy.asarray(path) + slow[0, 0]
        s = arraysig.sig(x, 3)
    stream.synchronize()
    np.testing.assert_allclose(cupy.asnumpy(s), expected, rtol=0, atol=1e-12)


@with_torch
def test_results_follow_the_current_stream_of_torch(rng: np.random.Generator) -> None:
    import torch

    path, expected = paths(rng)
    host = torch.from_numpy(path).pin_memory()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        slow = torch.zeros(4000, 4000, device="cuda")
        for _ in range(20):
            slow = slow @ slow
        x = (host.to("cuda", non_blocking=True) + slow[0, 0]).requires_grad_()
        s = arraysig.sig(x, 3)
        (gradient,) = torch.autograd.grad(s.square().sum(), x)
    stream.synchronize()
    np.testing.assert_allclose(s.detach().cpu().numpy(), expected, rtol=0, atol=1e-12)
    wanted = arraysig.sig_backprop(path, None, 2 * expected, 3)
    np.testing.assert_allclose(gradient.cpu().numpy(), wanted, rtol=0, atol=1e-10)


@with_torch
def test_graph_capture(rng: np.random.Generator) -> None:
    import torch

    path, _ = paths(rng)
    x = torch.from_numpy(path).cuda()

    def step() -> Any:
        s = arraysig.sig(x, 3)
        return s, arraysig.sig_backprop(x, None, s, 3)

    step()  # compiles and loads, which can not be captured
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outs = step()
    x.copy_(torch.from_numpy(path[::-1].copy()))
    graph.replay()
    for got, want in zip(outs, step(), strict=True):
        torch.testing.assert_close(got, want)


@with_torch
def test_nothing_synchronises(rng: np.random.Generator) -> None:
    import torch

    x = torch.from_numpy(paths(rng)[0]).cuda().requires_grad_()
    arraysig.sig(x, 3).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        arraysig.sig(x, 3).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_more_than_32_bits_of_elements() -> None:
    import cupy

    free, _ = cupy.cuda.runtime.memGetInfo()
    if free < 24 * 2**30:
        pytest.skip("needs 24 GiB of device memory")
    batch, length = 2**31 // 100 + 5, 50
    path = cupy.zeros((batch, length, 2), dtype="float32")
    path[-1, :, 0] = cupy.arange(length)
    s = arraysig.sig(path, 2)
    assert not s[:-1].any()
    np.testing.assert_array_equal(cupy.asnumpy(s[-1]), [49, 0, 49 * 49 / 2, 0, 0, 0])
    gradient = arraysig.sig_backprop(path, None, s, 2)
    assert not gradient[:-1].any()
    assert gradient[-1].any()


def test_every_device(rng: np.random.Generator) -> None:
    import cupy

    path, expected = paths(rng)
    for ordinal in range(cupy.cuda.runtime.getDeviceCount()):
        with cupy.cuda.Device(ordinal):
            x = cupy.asarray(path)
        s = arraysig.sig(x, 3)
        assert s.device.id == ordinal
        np.testing.assert_allclose(cupy.asnumpy(s), expected, rtol=0, atol=1e-12)
