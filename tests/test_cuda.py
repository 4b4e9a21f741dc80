"""The layer over CuPy, driven by a CuPy whose kernels run in the emulator."""

from __future__ import annotations

import itertools
import re
import sys
import types
import weakref
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from arraysig._core import cuda, dispatch, progress
from arraysig._core.cuda import CupyDevice, KernelSource, Launcher, Pointer, cupy_device
from arraysig._core.dispatch import Memory
from arraysig._ops.coefficients import sig_coef
from arraysig._ops.kernels import Rows, differences, polynomial
from arraysig._ops.transforms import transform_path, transform_path_vjp

from .emulator.planted import PlantedSource, start
from .fake_cupy import FakeArray, FakeCupy, Launch
from .test_emulator import sliced

FLAGS = list(itertools.product((False, True), (False, True)))
SOURCES = sorted(f.name for f in files("arraysig._kernels").iterdir() if f.name.endswith(".cu"))
PLANTED = PlantedSource("planted.cu", (("STATIC_FLOATS", 64),))


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCupy]:
    """A fresh CuPy, and a library that has not seen another one."""
    fake = FakeCupy()
    monkeypatch.setitem(sys.modules, "cupy", fake)
    forget()
    yield fake
    forget()


def forget() -> None:
    """What the library remembers of CuPy."""
    cuda._cupy_device.cache_clear()
    cuda._cupy_kernel.cache_clear()


def normal(*shape: int, dtype: str = "float32") -> np.ndarray[Any, Any]:
    """Random numbers, always the same."""
    return np.random.default_rng(5).normal(size=shape).astype(dtype)


@pytest.mark.parametrize(("time", "lead_lag"), FLAGS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values(cupy: FakeCupy, dtype: str, time: bool, lead_lag: bool) -> None:
    """CuPy arrays in, CuPy arrays out, and the adjoint."""
    path = normal(3, 50, 4, dtype=dtype)
    got = transform_path(cupy.asarray(path), time, lead_lag, 2.0, 1)
    assert type(got) is FakeArray
    right = sliced(path, time, lead_lag, 2.0)
    rtol = 4 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(got.values, right, rtol=rtol, strict=True)
    grad, other = normal(*right.shape, dtype=dtype), normal(3, 50, 4, dtype=dtype)
    adjoint = transform_path_vjp(cupy.asarray(grad), time, lead_lag, 1)
    product = (sliced(other, time, lead_lag, 0.0) * grad).sum()
    assert (adjoint.values * other).sum() == pytest.approx(product, rel=1e-4)


def test_tables_are_uploaded_once_per_device(cupy: FakeCupy) -> None:
    """And waited for, since kernels may run on another stream than the copy."""
    path, words = normal(2, 6, 3), (2, 0, 1, 1, 2)
    attrs = (words, False, False, False, 1.0, 1)
    expected = sig_coef(path, *attrs)
    for device in (0, 0, 1):
        cupy.current = device
        array = cupy.asarray(path)
        cupy.current = 0
        got = sig_coef(array, *attrs)
        assert got.device.id == device
        np.testing.assert_allclose(got.values, expected, rtol=1e-5, atol=1e-6)
    assert cupy.waits == [0, 1]
    device = cupy_device("sig_coef", 0)
    table = np.arange(5)
    device._seen[id(table)] = (weakref.ref(np.arange(3)), device.constant(np.arange(3)))
    assert device.constant(table).shape == (5,)  # not what had this address before


def test_strided_arrays(cupy: FakeCupy) -> None:
    """Made contiguous on their device."""
    path = normal(9, 3, 4)[::-2, :, ::2]
    cupy.current = 1
    array = cupy.asarray(path)
    cupy.current = 0
    got = transform_path(array, False, True, 1.0, 1)
    assert got.device.id == 1
    assert np.array_equal(got.values, sliced(path, False, True, 1.0))


def test_kernels_are_compiled_once(cupy: FakeCupy) -> None:
    """Macros and headers stand in the source; options never change."""
    for dtype, _ in itertools.product(("float32", "float64"), range(3)):
        array = cupy.asarray(normal(2, 5, 3, dtype=dtype))
        transform_path(array, False, False, 1.0, 1)
        transform_path(array, True, True, 1.0, 1)
    single, double = cupy.modules
    assert single.text.startswith('#define REAL float\n#line 1 "transforms.cu"\n')
    assert double.text.startswith('#define REAL double\n#line 1 "transforms.cu"\n')
    assert single.text.removeprefix("#define REAL float") == double.text.removeprefix(
        "#define REAL double"
    )
    assert '#include "' not in single.text
    assert '#line 1 "path.h"\n' in single.text
    assert single.options == double.options == ("-std=c++17",)
    assert [f.name for f in single.functions] == ["transform_path"]
    assert len(cupy.launches) == 12


@pytest.mark.parametrize("file", SOURCES)
def test_lines_are_those_of_the_files(file: str) -> None:
    """So that compilers name the place of an error."""
    folder, name, number = files("arraysig._kernels"), "", 0
    for text in KernelSource(file, ()).code().splitlines():
        if found := re.fullmatch(r'#line (\d+) "(.+)"', text):
            number, name = int(found[1]), found[2]
        else:
            assert text == (folder / name).read_text(encoding="utf-8").splitlines()[number - 1]
            number += 1


def launch(
    cupy: FakeCupy, device: CupyDevice, shared: int = 128, stream: int | None = None
) -> None:
    """Run a kernel that reverses 32 numbers through dynamic shared memory."""
    with cupy.cuda.Device(device._ordinal):
        x = cupy.asarray(start(32))
    cupy.entered.clear()
    args = (Pointer(x.data.ptr, "float32", x.shape), np.int64(32))
    device.launch(PLANTED, "dynamic_shared", (1,), (32,), args, shared, stream)
    assert np.array_equal(x.values, start(32)[::-1])


def test_dynamic_shared_memory(cupy: FakeCupy) -> None:
    """The limit of a kernel is raised beyond 48 KiB, when it must be, on each device."""
    first, second = cupy_device("f", 0), cupy_device("f", 1)
    assert first.shared_memory == cupy.emulator.shared_memory  # all that a kernel can be given
    for size in (128, 49152, 49153, 60000, 50000, 60000):
        launch(cupy, first, size)
    launch(cupy, second, 50000)
    ((kernel,),) = (module.functions for module in cupy.modules)
    assert kernel.raised == [(0, 49153), (0, 60000), (1, 50000)]
    assert [used.shared for used in cupy.launches][-2:] == [60000, 50000]


def test_dynamic_and_static_shared_memory(cupy: FakeCupy) -> None:
    """The 48 KiB are for both."""
    cupy.static_shared = 1024
    for size in (128, 48128, 48129, 48130, 48129):
        launch(cupy, cupy_device("f", 0), size)
    ((kernel,),) = (module.functions for module in cupy.modules)
    assert kernel.raised == [(0, 48129), (0, 48130)]


def test_device_guard(cupy: FakeCupy) -> None:
    """Entered only where another device is current, which is current again afterwards."""
    device = cupy_device("f", 1)
    assert device is cupy_device("f", 1)
    launch(cupy, device)
    assert cupy.entered == [1]
    assert cupy.current == 0
    cupy.current = 1
    launch(cupy, device)
    assert cupy.entered == []
    assert [used.device for used in cupy.launches] == [1, 1]


def test_streams(cupy: FakeCupy) -> None:
    """CuPy's current one, unless the caller's library has its own."""
    launch(cupy, cupy_device("f", 0))
    launch(cupy, cupy_device("f", 0), stream=0)  # CUDA's default stream is a stream
    launch(cupy, cupy_device("f", 0), stream=4711)
    assert [used.stream for used in cupy.launches] == [None, 0, 4711]


def test_stream_and_allocator_of_the_caller(cupy: FakeCupy) -> None:
    """As the Torch layer calls: outputs and scratch from its allocator, launches on its stream."""
    allocated = []

    def empty(shape: tuple[int, ...], dtype: str) -> FakeArray:
        allocated.append((shape, dtype))
        return cupy.empty(shape, dtype)

    memory = Memory(empty, 0, 4711, 2**30)
    path = normal(2, 5, 3)
    attrs = (False, False, 1.0, 1)
    out = dispatch.execute(transform_path, [cupy.asarray(path)], attrs, memory, "float32")
    assert np.array_equal(out.values, path)
    assert cupy.launches == [Launch("transform_path", (1,), (256,), 0, 4711, 0)]
    launcher = Launcher(cupy_device("f", 0), memory, "float32")
    scratch = launcher.scratch((2, 3)), launcher.scratch((4,), "int64")
    assert [(s.shape, s.dtype) for s in scratch] == [
        ((2, 3), "float32"),
        ((4,), "int64"),
    ]
    assert allocated == [((2, 5, 3), "float32"), ((2, 3), "float32"), ((4,), "int64")]
    assert all(s.address in cupy.arrays for s in scratch)


def test_grid_follows_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small device gets a small grid."""
    fake = FakeCupy(processors=1)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    forget()
    path = normal(1, 5000, 3)
    got = transform_path(fake.asarray(path), False, False, 1.0, 1)
    forget()
    assert np.array_equal(got.values, path)
    assert fake.launches[0].grid == (32,)


def test_empty_results_and_grids_are_not_launched(cupy: FakeCupy) -> None:
    """CuPy would launch one block."""
    got = transform_path(cupy.asarray(normal(0, 5, 3)), True, True, 1.0, 1)
    assert got.shape == (0, 9, 7)
    memory = Memory(cupy.empty, 0, None, 2**30)
    launcher = Launcher(cupy_device("f", 0), memory, "float32")
    launcher.launch(PLANTED, "trap", (0,), (32,), (None, 1))
    launcher.launch(PLANTED, "trap", (1, 0), (32,), (None, 1))
    assert not cupy.launches
    assert not cupy.modules


def test_numbers_have_exact_types(cupy: FakeCupy) -> None:
    """Python integers travel as int64; the emulator checks the rest."""
    memory = Memory(cupy.empty, 0, None, 2**30)
    launcher = Launcher(cupy_device("f", 0), memory, "float32")
    assert launcher.real(2.5).dtype == np.float32
    x = cupy.asarray(start(32))
    launcher.launch(PLANTED, "scan_right", (1,), (32,), (Pointer(x.data.ptr, "float32", (32,)), 32))
    np.testing.assert_allclose(x.values, np.cumsum(start(32)))


@pytest.mark.parametrize("rows", [differences, polynomial], ids=["differences", "polynomial"])
def test_progress(cupy: FakeCupy, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a bar is shown there are more launches, which are waited for; else there is one."""
    counts: list[int] = []
    bar = types.SimpleNamespace(advance=counts.append)
    paths = [cupy.asarray(normal(n, 3, 2)) for n in (10, 11)]
    increments = cupy.asarray(normal(110, 2, 2))
    grad, grads = (cupy.asarray(normal(*shape)) for shape in ((10, 11), (110,)))
    attrs = (1, 0, 0, 1.0, 0.0, 0.0, False, False, 1)

    def results() -> list[Any]:
        given = rows.of_increments(increments, 1, 0, False, 1)
        of_given = rows.of_increments_vjp(grads, increments, 1, 0, False, 1)
        both = rows.vjp(grad, *paths, *attrs)
        return [a.values for a in (rows.kernel(*paths, *attrs), *both, given, of_given)]

    wanted = results()
    assert len(cupy.launches) == 6  # with two sums
    assert not cupy.waits
    monkeypatch.setattr(progress, "current", lambda: bar)
    for got, values in zip(results(), wanted, strict=True):
        np.testing.assert_allclose(got, values, rtol=1e-5, atol=1e-6)
    assert counts == 4 * ([3] * 36 + [2])
    assert cupy.waits == 4 * 37 * [0]


def test_synchronize(cupy: FakeCupy) -> None:
    """The stream of the call, on its device."""
    waited: list[tuple[int, int]] = []
    cupy.cuda.runtime.streamSynchronize = lambda stream: waited.append((cupy.current, stream))
    device = cupy_device("f", 1)
    device.synchronize(None)
    assert cupy.waits == [1]
    device.synchronize(4711)
    device.synchronize(0)
    assert waited == [(1, 4711), (1, 0)]


def test_launches(cupy: FakeCupy, monkeypatch: pytest.MonkeyPatch) -> None:
    """As few as memory allows, or about 50 where a bar is shown."""
    launcher = Launcher(cupy_device("f", 0), Memory(cupy.empty, 0, None, 2**30), "float32")
    assert list(launcher.launches(10, 4)) == [(0, 4), (4, 4), (8, 2)]
    assert list(launcher.launches(0, 0)) == []
    counts: list[int] = []
    bar = types.SimpleNamespace(advance=counts.append)
    monkeypatch.setattr(progress, "current", lambda: bar)
    assert list(launcher.launches(3, 3)) == [(0, 1), (1, 1), (2, 1)]
    assert list(launcher.launches(1000, 7)) == [(n, min(7, 1000 - n)) for n in range(0, 1000, 7)]
    assert list(launcher.launches(0, 0)) == []
    assert counts == [1, 1, 1, *[7] * 142, 6]


def test_results_larger_than_the_device(cupy: FakeCupy) -> None:
    """Refused before anything is allocated."""
    path = cupy.asarray(normal(2**10, 2**9, 2))
    with pytest.raises(MemoryError, match=r"takes 0\.01951 GiB, more than the 0\.01562 GiB"):
        transform_path(path, True, True, 1.0, 1)
    assert list(cupy.arrays.values()) == [path]


def test_without_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA arrays of another library need it too; the message names the function and the cure."""
    monkeypatch.setitem(sys.modules, "cupy", None)
    forget()
    memory = Memory(np.empty, 0, 4711, 2**30)
    message = r"^transform_path: CUDA arrays need CuPy.*pip install 'arraysig\[cuda13\]'"
    with pytest.raises(ImportError, match=message) as caught:
        dispatch.execute(
            transform_path, [normal(2, 5, 3)], (False, False, 1.0, 1), memory, "float32"
        )
    assert isinstance(caught.value.__cause__, ImportError)
