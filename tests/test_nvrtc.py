"""CUDA's own compilers accept every kernel that host code asks for, and waste nothing.

No spills, no stack frame (registers that went to memory), no double precision in float builds, and
blocks that fit a multiprocessor. Nothing is run: sources and launches are recorded.
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pytest

from arraysig._core.cuda import KernelSource, Launcher, Pointer
from arraysig._core.dispatch import Memory
from arraysig._core.op import OPS, Shape
from arraysig._core.sparse import adjoints, transposed
from arraysig._core.trees import forests_key, product_key, words_key
from arraysig.words import tensor_length

from .emulator.planted import PlantedSource
from .nvrtc import WHEELS, Module, NvrtcError, nvrtc

#: Architectures, and bytes of shared memory that a block may have there (the opt-in limit).
ARCHITECTURES = {80: 163 * 1024, 90: 227 * 1024, 100: 227 * 1024}
PROCESSORS = (1, 132)
REGISTERS = 65536
STATIC_SHARED = 48 * 1024


class Case(NamedTuple):
    """Shapes of the arrays of an op, and its attributes."""

    shapes: tuple[Shape, ...]
    attrs: tuple[Any, ...]


def _transforms() -> Iterator[tuple[str, Case]]:
    shapes = ((1, 2, 1), (256, 1000, 4), (100_000, 2, 3), (3, 1_000_000, 33))
    for shape, time, lead_lag in itertools.product(shapes, (False, True), (False, True)):
        yield "transform_path", Case((shape,), (time, lead_lag, 1.0, 1))
        plan = OPS["transform_path"].plan(shape, time, lead_lag, 1.0, 1)
        yield "transform_path_vjp", Case((plan.outs[0].shape,), (time, lead_lag, 1))


#: Channels, degree, time augmentation and lead-lag of the tested grid: that of the benchmarks,
#: every family of kernels, and the flags, which change channels as well as code.
SIGNATURES = [
    *itertools.product((1, 2, 3, 4, 5, 8, 10, 16, 33), (1, 2, 3), (False,), (False,)),
    *[
        (d, degree, False, False)
        for d, degree in ((2, 5), (5, 5), (3, 8), (10, 4), (2, 12), (20, 2))
    ],
    *itertools.product((2, 5), (2, 3), (False, True), (False, True)),
    (3, 4, True, True),
]
SIZES = ((1, 2), (256, 1000), (1, 10_000))


def _signatures() -> Iterator[tuple[str, Case]]:
    for (dimension, degree, time, lead_lag), (batch, length) in itertools.product(
        SIGNATURES, SIZES
    ):
        words = tensor_length(dimension * (1 + lead_lag) + time, degree)
        if words > 10**4 and batch * length > 1000:  # the same sources, very many launches
            continue
        path = (batch, length, dimension)
        attrs = (degree, time, lead_lag, 1.0, False, False, 1)
        yield "sig", Case((path,), attrs)
        plan = OPS["sig"].plan(path, *attrs)
        yield "sig_vjp", Case((plan.outs[0].shape, path), attrs)


def _tensors() -> Iterator[tuple[str, Case]]:
    for (d, degree), batch in itertools.product(
        ((1, 3), (2, 2), (2, 8), (3, 4), (4, 4), (8, 3), (33, 2)), (1, 4096)
    ):
        shape = (batch, tensor_length(d, degree) + 1)
        yield "tensor_product", Case((shape, shape), (d, degree, 1, 1, True, 1))
        yield "tensor_contract_right", Case((shape, shape), (d, degree, 1, True, 1))
        yield "tensor_contract_left", Case((shape, shape), (d, degree, 1, True, 1))
        yield "tensor_inverse", Case((shape,), (d, degree, True, 1))
        segment = (batch, d)
        for prepend in (False, True):
            attrs = (d, degree, prepend, True, 1)
            yield "sig_join", Case((shape, segment), attrs)
            yield "sig_join_vjp_sig", Case((shape, segment), attrs)
            yield "sig_join_vjp_segment", Case((shape, shape, segment), attrs)


def _lie_elements() -> Iterator[tuple[str, Case]]:
    yield "sparse", Case(((3, 14),), ((1, 2, 3, 0), 1))
    for (d, degree), batch in itertools.product(
        ((1, 3), (2, 2), (2, 10), (5, 4), (33, 2)), (1, 4096)
    ):
        tensor = (batch, tensor_length(d, degree))
        for method in (0, 1, 2):
            yield from _and_gradient("lie_log", Case((tensor,), (d, degree, method, 1)))
        row = OPS["lie_log"].plan(tensor, d, degree, 2, 1).outs[0].shape
        for right in (row, (batch, d)):
            yield "lie_combine", Case((row, right), (d, degree, 1))


def _trees() -> Iterator[tuple[str, Case]]:
    for batch, planar in itertools.product((1, 4096), (False, True)):
        count = 50 if planar else 20
        words, product = words_key(2, 3, planar), product_key(2, 3, planar)
        yield "sparse", Case(((batch, 14),), (words, 1))
        yield "sparse", Case(((batch, count),), (transposed(words), 1))
        first = OPS["bilinear"].plan((1, count), (1, count), product, 1, 1, 1.0, 1).ints[2]
        sizes = count, first, count
        for of in (product, *adjoints(product)):
            factors = tuple((batch, sizes[axis]) for axis in of[-2:])
            yield "bilinear", Case(factors, (of, 1, 0, 0.5, 1))
    for stage in range(2):
        key = forests_key(2, 4, stage)
        size = OPS["bilinear"].plan((1, 1), (1, 1), key, 1, 1, 1.0, 1).ints[2]
        yield "bilinear", Case(((3, size), (3, size)), (key, 1, 1, 1.0, 1))


def _coefficients() -> Iterator[tuple[str, Case]]:
    for count, (batch, length), flag in itertools.product((1, 300), SIZES, (False, True)):
        words = tuple(n for i in range(count) for n in (4, i % 3, i % 7, i % 5, i % 2))
        attrs = (words, flag, flag, flag, 1.0, 1)
        plan = OPS["sig_coef"].plan((batch, length, 8), *attrs)
        yield "sig_coef", Case(((batch, length, 8),), attrs)
        yield "sig_coef_vjp", Case((plan.outs[0].shape, (batch, length, 8)), attrs)


def _kernels() -> Iterator[tuple[str, Case]]:
    # kernels of both schemes share what static kernels and channels bring: not all meet all
    differences = (
        *itertools.product((0,), ((0, 0),), (2, 8, 20), ((32, 1000),), (False,)),
        *itertools.product((0,), ((2, 2),), (2, 20), ((32, 1000),), (False,)),
        *itertools.product((1, 6), ((0, 0),), (8,), ((32, 1000),), (False,)),
        (0, (5, 0), 3, (1, 10_000), False),
        (0, (0, 5), 3, (100_000, 2), False),
        (1, (3, 3), 20, (32, 1000), False),
        (5, (1, 1), 4, (2000, 50), False),
        (0, (2, 2), 8, (32, 100), True),
        (1, (0, 0), 8, (32, 100), True),
    )
    cells = (
        *[(0, (order, 0), 16, (32, 1000), False) for order in (1, 3, 4, 6, 8, 64)],
        *[
            (kind, (order, 2), 8, (32, 1000), False)
            for kind, order in zip((1, 2, 3, 4), (2, 4, 8, 16), strict=True)
        ],
        *[(0, (order, 1), 4, (32, 1000), order == 3) for order in (3, 4, 6)],
        (6, (1, 2), 2, (1, 10_000), False),
        (5, (4, 0), 20, (100_000, 2), False),
        (0, (4, 0), 16, (32, 100), True),
        (6, (16, 2), 2, (1, 100), True),
    )
    deep = (
        *[(0, (depth, 0, 0), 8, (32, 1000), False) for depth in (1, 2, 3, 4, 5, 40)],
        *[(kind, (3, 1, 1), 4, (32, 100), True) for kind in (0, 1)],
        (5, (2, 1, 1), 20, (2000, 50), False),
        (6, (4, 0, 3), 3, (32, 100), False),
        (1, (2, 4, 4), 16, (1, 10_000), False),
        (1, (1, 0, 0), 16, (32, 100), True),
        (2, (8, 1, 0), 2, (32, 100), True),
    )
    for name, cases in (
        ("sig_kernel", differences),
        ("sig_kernel_polynomial", cells),
        ("branched_sig_kernel", deep),
    ):
        for kind, numbers, channels, (count, length), grid in cases:
            paths = ((1, count, length, channels), (1, 32, 1000, channels))
            attrs = (*numbers, kind, 1.0, 2.0, 3.0, False, grid, 1)
            yield from _and_gradient(name, Case(paths, attrs))
    for name, numbers, grid in (
        ("sig_kernel", (0, 0), False),
        ("sig_kernel", (3, 3), True),
        ("sig_kernel_polynomial", (16, 1), False),
        ("sig_kernel_polynomial", (64, 0), True),
        ("branched_sig_kernel", (2, 0, 0), False),
        ("branched_sig_kernel", (4, 3, 3), True),
    ):
        yield from _and_gradient(f"{name}_increments", Case(((32, 100, 100),), (*numbers, grid, 1)))


def _and_gradient(op: str, case: Case) -> Iterator[tuple[str, Case]]:
    yield op, case
    result = OPS[op].plan(*case.shapes, *case.attrs).outs[0]
    yield f"{op}_vjp", Case((result.shape, *case.shapes), case.attrs)


def grid() -> dict[str, list[Case]]:
    """What every op is asked for; a new op adds its cases here."""
    cases: dict[str, list[Case]] = {}
    for name, case in itertools.chain(
        _transforms(),
        _signatures(),
        _tensors(),
        _lie_elements(),
        _trees(),
        _coefficients(),
        _kernels(),
    ):
        cases.setdefault(name, []).append(case)
    return cases


class Use(NamedTuple):
    """The largest launch of a kernel: threads of a block, and its dynamic shared memory."""

    threads: int
    shared: int


class Recorder:
    """A `Device` that notes what it is asked to launch."""

    def __init__(self, processors: int, shared_memory: int) -> None:
        self.processors = processors
        self.shared_memory = shared_memory
        self.uses: dict[tuple[KernelSource, str], Use] = {}
        self._seen: set[Any] = set()

    def launch(
        self,
        source: KernelSource,
        name: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: Sequence[Pointer | np.generic | None],
        shared: int,
        stream: int | None,
    ) -> None:
        """Check the geometry and note the launch."""
        key = (source, name, grid, block, shared)
        if key in self._seen:
            return
        self._seen.add(key)
        where = f"{name} {source}: grid {grid}, block {block}"
        assert all(n <= most for n, most in zip(grid, (2**31 - 1, 65535, 65535), strict=False)), (
            where
        )
        assert all(n <= most for n, most in zip(block, (1024, 1024, 64), strict=False)), where
        assert shared <= self.shared_memory, f"{where}, {shared} bytes of dynamic shared memory"
        threads = math.prod(block)
        assert 0 < threads <= 1024, where
        before = self.uses.get((source, name), Use(0, 0))
        self.uses[source, name] = Use(max(before.threads, threads), max(before.shared, shared))

    def synchronize(self, stream: int | None) -> None:
        """Nothing is left to wait for."""

    def constant(self, array: np.ndarray) -> Pointer:
        """Somewhere."""
        return Pointer(256, array.dtype.name, array.shape)


class _Nowhere(NamedTuple):
    """Memory that no kernel will touch; what `address` reads of an array."""

    shape: Shape

    def data_ptr(self) -> int:
        return 256


@functools.cache
def recorded(op: str, shared_memory: int) -> dict[tuple[KernelSource, str], Use]:
    """What the host code of `op` launches over its grid, on small and on large devices."""
    uses: dict[tuple[KernelSource, str], Use] = {}
    memory = Memory(lambda shape, dtype: _Nowhere(shape), None, None, 2**62)
    for case, processors, dtype in itertools.product(
        grid()[op], PROCESSORS, ("float32", "float64")
    ):
        device = Recorder(processors, shared_memory)
        launcher = Launcher(device, memory, dtype)
        plan = OPS[op].plan(*case.shapes, *case.attrs)
        ins = [Pointer(256, dtype, shape) for shape in case.shapes]
        outs = [Pointer(256, spec.dtype or dtype, spec.shape) for spec in plan.outs]
        OPS[op].launch(launcher, ins, outs, plan, *case.attrs[:-1])
        assert device.uses, f"{op} launches nothing for {case}"
        for key, use in device.uses.items():
            before = uses.get(key, Use(0, 0))
            uses[key] = Use(max(before.threads, use.threads), max(before.shared, use.shared))
    return uses


def problems(module: Module, float_only: bool, uses: dict[str, Use], shared: int) -> Iterator[str]:
    """What is wrong with a compiled source, where a block may have `shared` bytes."""
    if float_only and module.uses_double():
        yield "double precision in a float build"
    for name, kernel in module.kernels.items():
        if kernel.spill:
            yield f"{name} spills {kernel.spill} bytes"
        if kernel.stack:
            yield f"{name} has a stack frame of {kernel.stack} bytes"
        if kernel.shared > STATIC_SHARED:
            yield f"{name} has {kernel.shared} bytes of static shared memory"
    for name, use in uses.items():
        if name not in module.kernels:
            yield f"there is no {name}"
            continue
        kernel = module.kernels[name]
        # registers are given to warps, eight by eight
        registers = 32 * -(-use.threads // 32) * 8 * -(-kernel.registers // 8)
        if registers > REGISTERS:
            yield f"{name} needs {registers} registers for {use.threads} threads"
        if kernel.shared + use.shared > shared:
            yield f"{name} needs {kernel.shared} + {use.shared} bytes of shared memory"


@functools.lru_cache(256)
def _module(source: KernelSource, cuda: int, architecture: int) -> Module:
    """What one op after the other may ask for."""
    return nvrtc(cuda).compile(source.code(), source.file, architecture)


def is_turn(source: KernelSource, cuda: int, architecture: int) -> bool:
    """Whether a source is compiled so: for sm_90 half of them with one compiler, half the other.

    Each one meets all architectures and both compilers.
    """
    versions = [version for version, other in COMBINATIONS if other == architecture]
    return versions[zlib.crc32(repr(source).encode()) % len(versions)] == cuda


def compiled(op: str, cuda: int, architecture: int) -> Iterator[str]:
    """Compile all that `op` launches; yields what is wrong."""
    shared = ARCHITECTURES[architecture]
    sources: dict[KernelSource, dict[str, Use]] = {}
    for (source, name), use in recorded(op, shared).items():
        if is_turn(source, cuda, architecture):
            sources.setdefault(source, {})[name] = use

    def check(source: KernelSource) -> list[str]:
        where = f"{source.file} {dict(source.macros)} for sm_{architecture} with CUDA {cuda}"
        try:
            module = _module(source, cuda, architecture)
        except NvrtcError as error:
            return [f"{where}: {error}"]
        float_only = ("REAL", "float") in source.macros
        found = problems(module, float_only, sources[source], shared)
        return [f"{where}: {problem}" for problem in found]

    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(check, sources):
            yield from found


#: Every architecture, and both compilers where most devices are.
COMBINATIONS = [(12, 80), (12, 90), (13, 90), (13, 100)]


@pytest.mark.slow
@pytest.mark.parametrize(("cuda", "architecture"), COMBINATIONS)
@pytest.mark.parametrize("op", sorted(OPS))
def test_kernels_compile_well(op: str, cuda: int, architecture: int) -> None:
    """Every source that host code emits over the grid."""
    if architecture not in nvrtc(cuda).architectures:
        pytest.skip(f"the NVRTC of CUDA {cuda} does not know sm_{architecture}")
    found = list(compiled(op, cuda, architecture))
    assert not found, "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("op", sorted(OPS))
def test_launches_fit(op: str) -> None:
    """Geometry of every launch over the grid, on devices of two sizes."""
    for shared in set(ARCHITECTURES.values()):
        assert recorded(op, shared)


def test_every_source_meets_all() -> None:
    """No architecture and no compiler is forgotten."""
    met = set()
    for source in {source for source, _ in recorded("sig", ARCHITECTURES[80])}:
        turns = [
            turn for turn in itertools.product(WHEELS, ARCHITECTURES) if is_turn(source, *turn)
        ]
        assert {cuda for cuda, _ in turns} == set(WHEELS)
        assert sorted(architecture for _, architecture in turns) == sorted(ARCHITECTURES)
        met |= set(turns)
    assert met == set(COMBINATIONS)


def test_every_op_has_cases() -> None:
    """None is forgotten."""
    assert set(grid()) == set(OPS)


STACK = """
extern "C" __global__ void kernel(float *x, int n)
{
    float values[256];
    values[0] = 1;
    for (int i = 1; i < 256; i++)
        values[i] = values[i - 1] * x[i];
    x[0] = values[n] + values[n / 2];
}
"""
SPILL = """
extern "C" __global__ void __launch_bounds__(1024, 1) kernel(double *x)
{
    double values[96];
#pragma unroll
    for (int i = 0; i < 96; i++)
        values[i] = x[i * 1024 + threadIdx.x];
    __syncthreads();
    double sum = 0;
#pragma unroll
    for (int i = 0; i < 96; i++)
        x[i * 1024 + threadIdx.x] = sum = sum * values[i] + values[95 - i];
}
"""
DOUBLE = 'extern "C" __global__ void kernel(float *x) { x[threadIdx.x] *= 0.1; }'
FINE = """
extern "C" __global__ void kernel(float *x)
{
    __shared__ float row[256];
    row[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = row[255 - threadIdx.x] * 0.1f;
}
"""
WASTE: dict[str, tuple[str, Use, list[str]]] = {
    "nothing": (FINE, Use(256, 0), []),
    "stack": (STACK, Use(1, 0), ["kernel has a stack frame of "]),
    "spill": (SPILL, Use(1024, 0), ["kernel spills ", "kernel has a stack frame of "]),
    "double": (DOUBLE, Use(1, 0), ["double precision in a float build"]),
    "shared": (
        FINE,
        Use(256, 163 * 1024 - 1023),
        [r"kernel needs 1024 \+ 165889 bytes of shared"],
    ),
    "registers": (
        FINE,
        Use(65536, 0),
        [r"kernel needs \d+ registers for 65536 threads"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", WASTE)
@pytest.mark.parametrize("cuda", [12, 13])
def test_waste_is_found(case: str, cuda: int) -> None:
    """The checks above can fail."""
    code, use, expected = WASTE[case]
    module = nvrtc(cuda).compile(code, "waste.cu", 80)
    found = list(problems(module, case != "spill", {"kernel": use}, ARCHITECTURES[80]))
    assert len(found) == len(expected), found
    assert all(map(re.match, expected, found)), found


@pytest.mark.slow
@pytest.mark.parametrize("cuda", [12, 13])
def test_emulator_speaks_cuda(cuda: int) -> None:
    """What the emulator's own kernels use means something to CUDA as well."""
    source = PlantedSource("planted.cu", (("STATIC_FLOATS", 64),))
    module = nvrtc(cuda).compile(source.code(), source.file, 80)
    assert {"features", "scan_right"} <= set(module.kernels)


@pytest.mark.slow
def test_errors_name_the_line() -> None:
    """As the log of the compiler does."""
    with pytest.raises(NvrtcError, match=r"wrong.cu\(1\): error[\s\S]*nonsense"):
        nvrtc(13).compile("nonsense", "wrong.cu", 90)
