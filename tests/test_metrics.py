"""Scores and distances of samples of paths: their definitions, shapes and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import arraysig

from .backends import Backend
from .test_kernels import walks

X = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
Y = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 2.0], [-1.0, 0.0]])
S = np.stack([X, 2 * X, X**2]) / 4
T = np.stack([Y, -Y]) / 4
OPTIONS: list[dict[str, Any]] = [
    {},
    {"time_aug": True, "end_time": 0.5},
    {"lead_lag": True, "static_kernel": arraysig.RBFKernel(0.7)},
]


def test_golden_values(xp: Backend) -> None:
    s, t = xp.array(S), xp.array(T)
    for got, expected in (
        (arraysig.sig_score(s, t, 1), [5.667009, 3.834852]),
        (arraysig.sig_score(s, t, 1, lam=0.5), [2.271907, 0.43975]),
        (arraysig.expected_sig_score(s, t, 1), [4.750931]),
        (arraysig.sig_mmd(s, t, 1), 5.631146),
        (arraysig.sig_mmd(s, s, 1), -4.016875),
    ):
        np.testing.assert_allclose(xp.numpy(got), expected, rtol=0, atol=1e-6, strict=False)
        assert got.shape == np.shape(expected)


def others(gram: np.ndarray) -> Any:
    """Mean off the diagonal."""
    return gram[~np.eye(len(gram), dtype=bool)].mean()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("order", [1, (0, 2)], ids=str)
def test_definitions(xp: Backend, options: Any, order: Any, rng: np.random.Generator) -> None:
    x, y = walks(rng, 4, 6, 2), walks(rng, 3, 5, 2)
    xx, xy, yy = [
        xp.numpy(arraysig.sig_kernel_gram(xp.array(a), xp.array(b), order, **options))
        for a, b in ((x, x), (x, y), (y, y))
    ]
    one, two = xp.array(x), xp.array(y)
    scores = 0.3 * others(xx) - 2 * xy.mean(0)
    for got, expected in (
        (arraysig.sig_score(one, two, order, lam=0.3, **options), scores),
        (arraysig.expected_sig_score(one, two, order, lam=0.3, **options), [scores.mean()]),
        (arraysig.sig_mmd(one, two, order, **options), others(xx) - 2 * xy.mean() + others(yy)),
    ):
        np.testing.assert_allclose(xp.numpy(got), expected, rtol=1e-12, atol=1e-14)


def test_shapes(xp: Backend, rng: np.random.Generator) -> None:
    x, y = walks(rng, 2, 3, 4, 2), walks(rng, 5, 1, 6, 2)
    sample, paths = xp.array(x), xp.array(y)
    flat = [xp.array(a.reshape(-1, *a.shape[-2:])) for a in (x, y)]
    for function in (arraysig.sig_score, arraysig.expected_sig_score, arraysig.sig_mmd):
        got, expected = function(sample, paths, 0), function(*flat, 0)
        assert type(got) is type(sample)
        np.testing.assert_array_equal(xp.numpy(got).reshape(-1), xp.numpy(expected).reshape(-1))
    scores = arraysig.sig_score(sample, paths, 0)
    assert scores.shape == (5, 1)
    single = arraysig.sig_score(sample, xp.array(y[2, 0]), 0)
    assert single.shape == (1,)
    assert float(single[0]) == pytest.approx(float(scores[2, 0]), rel=1e-13)
    assert arraysig.sig_score(sample, paths[:0], 0).shape == (0, 1)
    assert arraysig.expected_sig_score(sample, xp.array(y[2, 0]), 0).shape == (1,)
    assert arraysig.sig_mmd(sample, paths, 0).shape == ()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "int64"])
def test_types(xp: Backend, dtype: str) -> None:
    if dtype == "bfloat16" and xp.library != "torch":
        pytest.skip("a dtype of Torch only")
    halves = np.array([[[0, 0], [0, 1]], [[1, 0], [0, 0]], [[0, 1], [1, 1]]])
    sample, y = xp.array(halves, dtype=dtype), xp.array(halves[:2, ::-1].copy(), dtype=dtype)
    exact = xp.array(halves, dtype="float64"), xp.array(halves[:2, ::-1].copy(), dtype="float64")
    for function in (arraysig.sig_score, arraysig.expected_sig_score, arraysig.sig_mmd):
        got, expected = function(sample, y, 1), function(*exact, 1)
        default = "float32" if xp.library == "torch" else "float64"
        assert xp.dtype(got) == (default if dtype == "int64" else dtype)
        rtol = {"float16": 1e-3, "bfloat16": 1e-2}.get(dtype, 1e-5)
        np.testing.assert_allclose(xp.numpy(got), xp.numpy(expected), rtol=rtol)


def test_a_large_diagonal_is_left_out(xp: Backend) -> None:
    # In single precision nothing would remain of the others, had the diagonal been subtracted.
    long, short = np.array([[0.0, 0.0], [9.0, 0.0]]), np.array([[0.0, 0.0], [0.0, 0.5]])
    sample = np.stack([long, short])
    got = arraysig.sig_score(xp.array(sample, "float32"), xp.array(short, "float32"), 4)
    (expected,) = xp.numpy(arraysig.sig_score(xp.array(sample), xp.array(short), 4))
    assert float(arraysig.sig_kernel(xp.array(long), xp.array(long), 4)) > 1e5
    assert float(got[0]) == pytest.approx(expected, rel=1e-6)


def test_scores_of_many_paths_are_not_summed_one_by_one() -> None:
    # In single precision 2000 has no more than four digits behind the point, and 1.0001 has seven.
    sample, y = (np.tile([[[0.0], [0.01]]], (count, 1, 1)) for count in (3000, 3))
    got = arraysig.sig_score(sample.astype("float32"), y.astype("float32"), 0, lam=0)
    np.testing.assert_allclose(got, arraysig.sig_score(sample, y, 0, lam=0), rtol=5e-7)


def test_infinite_kernels_raise_no_warning(xp: Backend) -> None:
    sample = np.array([[[0.0], [4e77]], [[0.0], [4e77]], [[0.0], [-4e77]]])
    for function in (arraysig.sig_score, arraysig.expected_sig_score, arraysig.sig_mmd):
        with np.errstate(all="raise"):
            got = function(xp.array(sample), xp.array(sample), 0)
        assert not np.isfinite(xp.numpy(got)).any()


def test_samples_of_one_and_of_two_laws(rng: np.random.Generator) -> None:
    paths = walks(rng, 400, 12, 2)
    same = arraysig.sig_mmd(paths[:200], paths[200:], 0)
    other = arraysig.sig_mmd(paths[:200], paths[200:] * 1.5, 0)
    assert abs(same) < 0.02
    assert other > 5 * abs(same)
    # The true law has the least score in the mean.
    scores = [arraysig.expected_sig_score(s * paths[:200], paths[200:], 0)[0] for s in (0.5, 1, 2)]
    assert np.argmin(scores) == 1


def test_torch_gradients(torch_xp: Backend, rng: np.random.Generator) -> None:
    import torch

    x = torch_xp.array(walks(rng, 3, 4, 2)).requires_grad_()
    y = torch_xp.array(walks(rng, 2, 3, 2)).requires_grad_()
    for function in (arraysig.sig_score, arraysig.expected_sig_score, arraysig.sig_mmd):
        assert torch.autograd.gradcheck(lambda a, b, f=function: f(a, b, 1, time_aug=True), (x, y))
        assert torch.autograd.gradcheck(lambda a, f=function: f(a, a, 0), (x,))


def test_torch_compiles_arrays_that_meet_themselves(
    torch_xp: Backend, rng: np.random.Generator
) -> None:
    import torch

    def value(x: Any, y: Any) -> Any:
        norm = arraysig.sig_kernel_gram(x, y, 1, normalize=True).sum()
        return norm + arraysig.sig_mmd(x, y, 1) + arraysig.sig_score(x, y, 0, time_aug=True).sum()

    y = torch_xp.array(walks(rng, 2, 3, 2))
    x = walks(rng, 3, 4, 2)
    one, two = (torch_xp.array(x).requires_grad_() for _ in range(2))
    compiled = torch.compile(value, fullgraph=True, backend="aot_eager")(one, y)
    torch.testing.assert_close(compiled, value(two, y))
    compiled.backward()
    value(two, y).backward()
    torch.testing.assert_close(one.grad, two.grad)
