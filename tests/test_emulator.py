"""The emulator finds planted mistakes, passes their twins, and runs the library's kernels."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arraysig._core import cuda, dispatch
from arraysig._core.cuda import KernelSource, Launcher, Pointer
from arraysig._core.dispatch import NUMPY
from arraysig._core.op import OPS
from arraysig._ops.transforms import transform_path, transform_path_vjp

from .emulator import EmulatedDevice, EmulatorError, emulated, sanitizer_environment
from .emulator.planted import PlantedSource, line, run, start

ROOT = Path(__file__).parents[1]
IN_PROCESS = ["fast", "race"]


def python(flavor: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the environment that `flavor` needs."""
    environment = {**os.environ, "ARRAYSIG_EMULATOR": flavor, "PYTHONPATH": str(ROOT)}
    if flavor == "asan":
        environment |= sanitizer_environment()
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)


@functools.cache
def results() -> dict[str, Any]:
    """What correct kernels make of x."""
    t = np.arange(64)
    warp = np.repeat([(t[:32] + 0.5).sum(), (t[32:] + 0.5).sum()], 32)
    up = np.where(t % 8 == 0, t, t - 1) + t // 8 * 8 + 7
    sign = np.where(t < 32, -32, 32)
    x = start(64)
    paths = np.ones((32, 20))
    for i, j in itertools.product(range(1, 32), range(1, 20)):
        paths[i, j] = paths[i - 1, j] + paths[i, j - 1]

    def replaced(*new: float) -> np.ndarray[Any, Any]:
        return np.concatenate([new, x[len(new) :]])

    return {
        "scan_right": np.cumsum(x),
        "wavefront_right": replaced(*paths[:, -1]),
        "hand_over_right": replaced(*x[31::-1]),
        "reuse_right": 3 * x[::-1],
        "dynamic_shared_right": replaced(*x[31::-1]),
        "fill_right": np.ones(64),
        "add_with_atomic": replaced(128.5),
        "features": warp + 500 + 1000 + 16 + up + 64 + 1.5 * (63 - t) + 8 + 32 + sign + 0.5,
        "blocks_in_turn": np.repeat([0, 1], 32),
        "early_exit": replaced(*2 * np.ones(16)),
        "static_shared": replaced(*np.ones(32)),
    }


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("flavor", [*IN_PROCESS, "portable"])
@pytest.mark.parametrize("name", results())
def test_correct_kernels_pass(name: str, flavor: str, order: int) -> None:
    """No report, and the right values in every order."""
    got = run(name, EmulatedDevice(flavor, order))
    np.testing.assert_allclose(got, results()[name], rtol=1e-6)


RACES = {
    "scan_without_barrier": "read after write|write after read",
    "wavefront_without_barrier": "read after write|write after read",
    "hand_over_without_syncwarp": "read after write",
    "syncwarp_of_half": "read after write",
    "reuse_without_barrier": "write after read",
    "add_without_atomic": "write after write|read after write",
    "neighbour_block": "write after read|read after write",
    "update_while_read": "write after read|read after write",
    "update_after_syncwarp": "write after read|read after write",
    "update_after_syncthreads": "write after read|read after write",
    "unset_shared": "read of shared memory that nothing wrote",
}


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", RACES)
def test_races_are_found(name: str, order: int) -> None:
    """At the line of the mistake, whatever the order."""
    with pytest.raises(EmulatorError, match=RACES[name]) as caught:
        run(name, EmulatedDevice("race", order))
    assert f"planted.cu:{line(name)} " in str(caught.value)


@pytest.mark.parametrize("name", ["scan", "wavefront"])
def test_missing_barriers_change_values(name: str) -> None:
    """In some order, without the race detector."""
    right = results()[f"{name}_right"]
    got = [run(f"{name}_without_barrier", EmulatedDevice("fast", order)) for order in (0, 1, 2)]
    assert not all(np.allclose(values, right) for values in got)


@pytest.mark.parametrize("name", ["hand_over_without_syncwarp", "add_without_atomic"])
def test_some_races_need_the_detector(name: str) -> None:
    """These are right in every order, because fibers run one at a time."""
    x = start(64)
    right = {
        "hand_over_without_syncwarp": results()["hand_over_right"],
        "add_without_atomic": np.concatenate([[4.5], x[1:]]),
    }
    for order in (0, 1, 2):
        assert np.array_equal(run(name, EmulatedDevice("fast", order)), right[name])


def test_shared_memory_starts_as_nan() -> None:
    """Every mistake that reads it shows."""
    got = run("unset_shared", EmulatedDevice("fast"))
    assert np.isnan(got[0])
    assert np.array_equal(got[1:32], np.ones(31))


DIVERGENCE = {
    "divergent_barrier": "divergent __syncthreads: thread 16 at line {line}",
    "barrier_of_some": r"deadlock: 16 threads at __syncthreads \(line {line}\), 16 in warp",
    "shuffle_without_half": r"warp collective \(line {line}\) waits for lane 16, which has exited",
    "shuffle_from_outside": r"shuffle \(line {line}\): lane 15 reads lane 16, which is not in the",
    "shuffles_of_halves": "divergent warp collective: lane 16 at line {line} with mask ffffffff",
    "shuffle_in_small_block": r"mask ffffffff names lanes that .* 16 threads \(line {line}\)",
    "shuffle_of_odd_width": r"shuffle of width 3 \(line {line}\)",
    "lane_outside_of_mask": r"lane 16 is not in the mask 0000ffff .* \(line {line}\)",
    "trap": r"__trap \(line {line}\)",
}


@pytest.mark.parametrize("flavor", IN_PROCESS)
@pytest.mark.parametrize("name", DIVERGENCE)
def test_divergence_is_found(name: str, flavor: str) -> None:
    """In every flavor."""
    # descending, exited lanes are met first
    device = EmulatedDevice(flavor, 1 if name == "shuffle_without_half" else 0)
    with pytest.raises(EmulatorError, match=DIVERGENCE[name].format(line=line(name))):
        run(name, device)
    run("scan_right", device)  # the next launch is not disturbed


MEMORY = {
    "shared_index_plus_one": "index 32 out of bounds for type 'float \\[32\\]'",
    "dynamic_shared": "heap-buffer-overflow",
    "fill": "heap-buffer-overflow",
    "int_overflow": "signed integer overflow",
    "misaligned_vector": "misaligned address",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MEMORY, *DIVERGENCE])
def test_sanitizers_end_the_process(name: str) -> None:
    """With a report at the line of the mistake."""
    done = python("asan", "-m", "tests.emulator.planted", name)
    assert done.returncode != 0, done.stdout
    if name in MEMORY:
        assert f"planted.cu:{line(name)}" in done.stderr, done.stderr
        assert_matches(MEMORY[name], done.stderr)
    else:
        assert f"EmulatorError: {name}" in done.stderr, done.stderr


def assert_matches(pattern: str, text: str) -> None:
    """As `pytest.raises(match=pattern)`."""
    with pytest.raises(EmulatorError, match=pattern):
        raise EmulatorError(text)


CORRECT_UNDER_ASAN = """
import numpy as np
from tests.emulator import EmulatedDevice
from tests.emulator.planted import run
from tests.test_emulator import results
for name, right in results().items():
    for order in (0, 1, 2):
        np.testing.assert_allclose(run(name, EmulatedDevice(order=order)), right, rtol=1e-6)
print("all right")
"""


@pytest.mark.slow
def test_correct_kernels_pass_under_sanitizers() -> None:
    """No false alarms."""
    done = python("asan", "-c", CORRECT_UNDER_ASAN)
    assert done.stdout == "all right\n", done.stderr


def test_sanitizers_refuse_a_process_without_them() -> None:
    """Loading such a kernel would end the process; the message says what to do."""
    if os.environ.get("ARRAYSIG_EMULATOR") == "asan":
        pytest.skip("this process has the sanitizers")
    with pytest.raises(EmulatorError, match=r"python -m tests\.emulator"):
        EmulatedDevice("asan")


ARGUMENTS: dict[str, tuple[tuple[Any, ...], str]] = {
    "too few": ((None,), "1 arguments for 2 parameters"),
    "wrong dtype": (
        (Pointer(64, "float64", (1,)), np.int64(1)),
        r"parameter 0 is float32 \*, got",
    ),
    "int32 for int64": ((None, np.int32(1)), "parameter 1 is int64, got"),
    "Python int": ((None, 1), "parameter 1 is int64, got 1"),
    "pointer for number": (
        (None, Pointer(64, "int64", (1,))),
        "parameter 1 is int64, got",
    ),
    "null for number": ((None, None), "parameter 1 is int64, got None"),
    "number for pointer": (
        (np.float32(1), np.int64(1)),
        r"parameter 0 is float32 \*, got",
    ),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_arguments_are_checked(case: str) -> None:
    """A GPU would take them for something else."""
    args, message = ARGUMENTS[case]
    source = PlantedSource("planted.cu", (("STATIC_FLOATS", 64),))
    with pytest.raises(EmulatorError, match=message):
        EmulatedDevice().launch(source, "trap", (1,), (32,), args, 0, None)


GEOMETRY: dict[str, tuple[tuple[int, ...], tuple[int, ...], int, str]] = {
    "no blocks": ((0,), (32,), 0, "a grid needs"),
    "tall grid": ((1, 65536), (32,), 0, "a grid needs"),
    "large block": ((1,), (32, 33), 0, "a block needs"),
    "deep block": ((1,), (1, 1, 65), 0, "a block needs"),
    "four dimensions": ((1,), (1, 1, 1, 1), 0, "no size of a grid or block"),
    "dynamic shared": ((1,), (32,), 1025, "more dynamic shared memory"),
    "both shared": (
        (1,),
        (32,),
        1000,
        "256 bytes of static and 1000 of dynamic shared memory",
    ),
}


@pytest.mark.parametrize("case", GEOMETRY)
def test_geometry_is_checked(case: str) -> None:
    """Limits of a GPU, and those that the device claims."""
    grid, block, shared, message = GEOMETRY[case]
    source = PlantedSource("planted.cu", (("STATIC_FLOATS", 64),))
    x = start(64)
    args = (Pointer(x.ctypes.data, "float32", x.shape), np.int64(64))
    with pytest.raises(EmulatorError, match=message):
        EmulatedDevice(shared_memory=1024).launch(
            source, "static_shared", grid, block, args, shared, None
        )


def test_static_shared_memory_is_limited() -> None:
    """To 48 KiB, as by CUDA's compiler."""
    with pytest.raises(EmulatorError, match="49156 bytes of static shared memory"):
        run("static_shared", EmulatedDevice(), macros=(("STATIC_FLOATS", 12289),))
    run("static_shared", EmulatedDevice(), macros=(("STATIC_FLOATS", 12288),))


def test_unknown_kernels_flavors_orders_and_streams() -> None:
    """Refused by name."""
    source = PlantedSource("planted.cu", (("STATIC_FLOATS", 64),))
    with pytest.raises(EmulatorError, match=r"no kernel other: there are .*scan_right"):
        EmulatedDevice().launch(source, "other", (1,), (1,), (), 0, None)
    with pytest.raises(EmulatorError, match="no streams"):
        EmulatedDevice().launch(source, "trap", (1,), (1,), (), 0, 1)
    with pytest.raises(EmulatorError, match="no flavor 'slow'"):
        EmulatedDevice("slow")
    with pytest.raises(EmulatorError, match="no order 3"):
        EmulatedDevice(order=3)


def test_code_that_gcc_refuses_is_reported() -> None:
    """With the compiler's message and the line."""
    with pytest.raises(EmulatorError, match=r"TWO[\s\S]*planted.cu:\d+"):
        run("static_shared", EmulatedDevice(), macros=(("STATIC_FLOATS", "TWO"),))


@pytest.mark.parametrize("name", ["block_order", "thread_order"])
def test_orders(name: str) -> None:
    """Ascending, descending, and by seed at random."""

    def order(**options: int) -> list[int]:
        return [int(v) for v in run(name, EmulatedDevice("fast", **options))[1:]]

    up = list(range(63))
    assert order(order=0) == up
    assert order(order=1) == up[::-1]
    assert sorted(order(order=2)) == up
    assert order(order=2, seed=5) == order(order=2, seed=5)
    assert len({tuple(order(order=2, seed=s)) for s in range(1, 9)} | {tuple(up)}) > 4


def test_float_denormals_are_flushed() -> None:
    """As CuPy has them compiled; the caller's arithmetic is left alone."""
    tiny = np.finfo(np.float32).tiny
    for real, expected in (("float", np.float32(0)), ("double", tiny / 2)):
        x = np.full(64, tiny, np.float32)
        macros = (("REAL", real), ("STATIC_FLOATS", 64))
        assert run("denormal", EmulatedDevice(), x, macros)[0].tobytes() == expected.tobytes()
        assert (tiny * np.float32(0.5)).tobytes() != bytes(4)


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_outputs_and_scratch_start_as_nan(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a kernel does not write shows, for every library."""
    path: Any = np.zeros((2, 3, 4), np.float32)
    if library == "torch":
        path = pytest.importorskip("torch").from_numpy(path)
    scratch = []

    def launch(gpu: Launcher, *rest: Any) -> None:
        scratch.append(gpu.scratch((2, 3)))
        numbers = (ctypes.c_float * 6).from_address(scratch[0].address)
        assert np.isnan(list(numbers)).all()

    monkeypatch.setitem(OPS, "transform_path", transform_path)  # a new row takes its place
    op = dataclasses.replace(transform_path, launch=launch)
    memory = NUMPY
    if library == "torch":
        from arraysig._core.torch_bridge import _HOST as memory
    with emulated():
        out = dispatch.execute(op, [path], (False, False, 1.0, 1), memory, "float32")
    assert np.isnan(np.asarray(out)).all()
    assert scratch


def test_emulation_ends() -> None:
    """Also in the middle of another one."""
    run = cuda.run
    with emulated() as outer:
        with emulated() as inner:
            assert dispatch._emulated is inner
        assert dispatch._emulated is outer
    assert dispatch._emulated is None
    assert cuda.run is run


FLAGS = list(itertools.product((False, True), (False, True)))


def sliced(path: np.ndarray[Any, Any], time: bool, lead_lag: bool, end: float) -> Any:
    """`transform_path` by slices."""
    if lead_lag:
        doubled = np.repeat(path, 2, axis=-2)
        path = np.concatenate([doubled[..., :-1, :], doubled[..., 1:, :]], axis=-1)
    if time:
        clock = np.linspace(0, end, path.shape[-2], dtype=path.dtype)[:, None]
        clock = np.broadcast_to(clock, (*path.shape[:-1], 1))
        path = np.concatenate([path, clock], axis=-1)
    return path


def check_transforms(**options: Any) -> None:
    """Values and adjoint of `transform_path` in the emulator."""
    rng = np.random.default_rng(3)
    for dtype, (time, lead_lag) in itertools.product(("float32", "float64"), FLAGS):
        for shape in ((3, 100, 4), (1, 2), (2, 0, 5, 1), (2, 1, 3)):
            path = rng.normal(size=shape).astype(dtype)
            with emulated(**options):
                got = transform_path(path, time, lead_lag, 2.0, 1)
                right = sliced(path, time, lead_lag, 2.0)
                assert got.dtype == dtype
                np.testing.assert_allclose(got, right, rtol=4 * float(np.finfo(dtype).eps))
                grad = rng.normal(size=got.shape).astype(dtype)
                adjoint = transform_path_vjp(grad, time, lead_lag, 1)
            assert adjoint.shape == path.shape
            other = rng.normal(size=shape).astype(dtype)
            product = (sliced(other, time, lead_lag, 0.0) * grad).sum()
            scale = np.abs(other).sum() + 1
            assert abs((adjoint * other).sum() - product) < 20 * np.finfo(dtype).eps * scale


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("flavor", [*IN_PROCESS, "portable"])
def test_transform_path(flavor: str, order: int) -> None:
    """The library's own kernels, on large and on small devices."""
    for processors in (1, 132):
        check_transforms(flavor=flavor, order=order, processors=processors)


@pytest.mark.slow
def test_transform_path_under_sanitizers() -> None:
    """In a process that has them."""
    program = "from tests.test_emulator import check_transforms as check\n" + "".join(
        f"check(order={order})\n" for order in (0, 1, 2)
    )
    done = python("asan", "-c", program)
    assert done.returncode == 0, done.stderr


def test_flavor_of_a_whole_run() -> None:
    """The environment variable decides where no argument does."""
    program = "from tests.emulator import EmulatedDevice as E; print(E().flavor, E('fast').flavor)"
    assert python("race", "-c", program).stdout == "race fast\n"


def test_processes_may_build_at_once(tmp_path: Path) -> None:
    """An empty cache, several builders, one result."""
    program = (
        "from tests.emulator.planted import run\n"
        "from tests.emulator import EmulatedDevice\n"
        "print(run('add_with_atomic', EmulatedDevice('fast'))[0])"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    assert [p.communicate()[0] for p in processes] == [b"128.5\n"] * 3
    left = [path.name for path in tmp_path.glob("*/*")]
    assert sorted(name.partition("-")[0] for name in left) == ["header", "kernel", "runtime"]


def test_library_sources_are_complete() -> None:
    """Every .cu of the library names its kernels in the one way that the emulator looks for."""
    for path in (ROOT / "arraysig" / "_kernels").glob("*.cu"):
        text = KernelSource(path.name, ()).code()
        assert text.count("__global__") == text.count('extern "C" __global__') > 0, path.name
