"""CUDA kernels: their sources, and the device that runs them. The only file that imports CuPy.

Host code of an op (``Op.launch``) sees a `Launcher`; what lies behind it is a `Device`: CuPy here,
the emulator of the tests on machines without a GPU.
"""

from __future__ import annotations

import contextlib
import functools
import re
import weakref
from collections.abc import Iterator, Sequence
from importlib.resources import files
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from . import progress
from .dispatch import Memory, called
from .namespace import address, dtype_name

if TYPE_CHECKING:
    from .op import Op, Plan, Shape

_REAL = {"float32": "float", "float64": "double"}
_OPTIONS = ("-std=c++17",)  # CuPy compiles an empty program for every new tuple of options
_INCLUDE = re.compile(r'^#include "(\w+\.(?:cu)?h)"\n', re.M)


class KernelSource(NamedTuple):
    """A ``.cu`` file and the macros that specialise it; hashable, the key of every cache."""

    file: str
    macros: tuple[tuple[str, int | str], ...]

    def code(self) -> str:
        """CUDA C with macros and headers pasted in."""
        defines = "".join(f"#define {name} {value}\n" for name, value in self.macros)
        return defines + _text(self.file)


@functools.cache
def _text(file: str) -> str:
    seen: set[str] = set()

    def paste(name: str) -> str:
        body = (files("arraysig._kernels") / name).read_text(encoding="utf-8")
        parts = _INCLUDE.split(body)  # text, header, text, header, ..., text
        out, line = [f'#line 1 "{name}"\n', parts[0]], 1 + parts[0].count("\n")
        for header, rest in zip(parts[1::2], parts[2::2], strict=True):
            if header not in seen:
                seen.add(header)
                out.append(paste(header))
            line += 1
            out += [f'#line {line} "{name}"\n', rest]
            line += rest.count("\n")
        return "".join(out)

    return paste(file)


class Pointer(NamedTuple):
    """What a kernel receives for an array, and the shape that host code plans with."""

    address: int
    dtype: str
    shape: Shape


class Device(Protocol):
    """Something that compiles and runs CUDA kernels."""

    processors: int
    """Streaming multiprocessors."""
    shared_memory: int
    """Bytes of shared memory that one block may ask for."""

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
        """Enqueue one kernel."""

    def synchronize(self, stream: int | None) -> None:
        """Wait for what was enqueued on `stream`."""

    def constant(self, array: np.ndarray) -> Pointer:
        """A copy of `array` in the device's memory, kept for further calls."""


class Launcher:
    """A device as the host code of one call sees it.

    Attributes
    ----------
    processors, shared_memory : of the device
    dtype : name of the dtype of the call
    itemsize : bytes of a number of that dtype
    """

    def __init__(self, device: Device, memory: Memory, dtype: str) -> None:
        self.processors = device.processors
        self.shared_memory = device.shared_memory
        self.dtype = dtype
        self.itemsize = np.dtype(dtype).itemsize
        self._device = device
        self._memory = memory
        self._scratch: list[Any] = []

    def source(self, file: str, **macros: int | str) -> KernelSource:
        """`file` for the dtype of the call (macro ``REAL``) and further macros."""
        return KernelSource(file, (("REAL", _REAL[self.dtype]), *macros.items()))

    def scratch(self, shape: Shape, dtype: str | None = None) -> Pointer:
        """Uninitialised device memory from the caller's allocator, until the call returns.

        Allocators order memory by stream, so that kernels still in flight keep theirs.
        """
        array = self._memory.empty(shape, dtype or self.dtype)
        self._scratch.append(array)
        return Pointer(address(array), dtype or self.dtype, shape)

    def constant(self, array: np.ndarray) -> Pointer:
        """A table of integers on the device: copied there once, and then kept."""
        return self._device.constant(array)

    def real(self, value: float) -> Any:
        """A number of the dtype of the call."""
        return np.dtype(self.dtype).type(value)

    def launches(self, total: int, most: int) -> Iterator[tuple[int, int]]:
        """The first of `total` items, and how many, of every launch of `most` items at most.

        Where progress is shown, launches are at least 50 if they can, and are waited for.
        """
        bar = progress.current()
        if bar is not None:
            most = min(most, -(-total // 50))
        for first in range(0, total, max(1, most)):
            count = min(most, total - first)
            yield first, count
            if bar is not None:
                self._device.synchronize(self._memory.stream)
                bar.advance(count)

    def launch(
        self,
        source: KernelSource,
        name: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: Sequence[Pointer | np.generic | int | None],
        shared: int = 0,
    ) -> None:
        """Enqueue kernel `name` of `source`. A Python int is passed as 64-bit integer."""
        if 0 in grid:  # CuPy would launch one block
            return
        typed = [np.int64(a) if isinstance(a, int) else a for a in args]
        self._device.launch(source, name, grid, block, typed, shared, self._memory.stream)


def run(
    op: Op,
    plan: Plan,
    ins: Sequence[Any],
    outs: Sequence[Any],
    attrs: Sequence[Any],
    memory: Memory,
    dtype: str,
    emulated: Device | None,
) -> None:
    """Run the CUDA kernels of `op` over contiguous arrays on one device."""
    if memory.device is not None:
        device: Device = cupy_device(op.function, memory.device)
    else:
        assert emulated is not None
        device = emulated
    launcher = Launcher(device, memory, dtype)
    pointers = [
        [Pointer(address(a), dtype_name(a), tuple(a.shape)) for a in x] for x in (ins, outs)
    ]
    op.launch(launcher, *pointers, plan, *attrs[:-1])


def from_cupy(
    arrays: Sequence[Any], attrs: tuple[Any, ...]
) -> tuple[list[Any], tuple[Any, ...], Memory, str]:
    """The arguments of `dispatch.execute` for CuPy arrays."""
    import cupy

    device = arrays[0].device.id
    with cupy.cuda.Device(device):
        ins = [cupy.ascontiguousarray(a) for a in arrays]

    def empty(shape: Shape, dtype: str) -> Any:
        with cupy.cuda.Device(device):
            return cupy.empty(shape, dtype)

    memory = Memory(empty, device, None, cupy_device("arraysig", device).memory)
    return ins, attrs, memory, dtype_name(arrays[0])


def cupy_device(function: str, ordinal: int) -> CupyDevice:
    """The CUDA device `ordinal`; ImportError without CuPy."""
    try:
        return _cupy_device(ordinal)
    except ImportError as error:
        raise ImportError(
            f"{called(function)}: CUDA arrays need CuPy, which compiles and launches the kernels: "
            "python -m pip install 'arraysig[cuda13]' (or 'arraysig[cuda12]')"
        ) from error


def find() -> tuple[Any, str]:
    """CuPy where it can be imported, else None; and why CUDA arrays can not be used, or ""."""
    if find_spec("cupy") is None:
        return None, "CuPy is not installed"
    try:
        import cupy
    except Exception as error:  # a broken installation may raise anything
        return None, f"CuPy does not import, {type(error).__name__}: {error}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return cupy, f"no usable GPU, {error}"
    return cupy, "" if count else "no GPU"


def upload(array: Any) -> Any:
    """Copy `array` to the current CUDA device."""
    import cupy

    return cupy.asarray(array)


def download(array: Any) -> Any:
    """Copy a CuPy array to host memory, once the kernels that write it have finished."""
    return array.get()


class _Stream(NamedTuple):
    """CuPy's launch only reads ``ptr``."""

    ptr: int


class CupyDevice:
    """A CUDA device through CuPy."""

    def __init__(self, ordinal: int) -> None:
        import cupy

        self._cupy = cupy
        self._ordinal = ordinal
        properties = cupy.cuda.runtime.getDeviceProperties(ordinal)
        self.processors = int(properties["multiProcessorCount"])
        self.shared_memory = int(properties["sharedMemPerBlockOptin"])
        self.memory = int(properties["totalGlobalMem"])
        self._shared: dict[tuple[KernelSource, str], int] = {}
        self._constants: dict[bytes, Any] = {}
        self._seen: dict[int, tuple[weakref.ref[np.ndarray], Pointer]] = {}

    def constant(self, array: np.ndarray) -> Pointer:
        """A copy of `array` on the device; the first call waits for it, on whatever stream."""
        seen = self._seen.get(id(array))
        if seen is not None and seen[0]() is array:
            return seen[1]
        key = array.tobytes()
        if key not in self._constants:
            with self._cupy.cuda.Device(self._ordinal):
                self._constants[key] = self._cupy.asarray(array)
                self._cupy.cuda.get_current_stream().synchronize()
        pointer = Pointer(address(self._constants[key]), array.dtype.name, array.shape)
        self._seen[id(array)] = (weakref.ref(array), pointer)
        return pointer

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
        """Enqueue one kernel on `stream`, or on CuPy's current one."""
        kernel = _cupy_kernel(source, name)
        cuda = self._cupy.cuda
        here = cuda.runtime.getDevice() == self._ordinal
        with contextlib.nullcontext() if here else cuda.Device(self._ordinal):
            if shared:
                allowed = self._shared.get((source, name))
                if allowed is None:  # static and dynamic shared memory may be 48 KiB together
                    allowed = self._shared[source, name] = 48 * 1024 - kernel.shared_size_bytes
                if shared > allowed:
                    kernel.max_dynamic_shared_size_bytes = self._shared[source, name] = shared
            values = tuple(np.uint64(a.address) if isinstance(a, Pointer) else a for a in args)
            keywords = {} if stream is None else {"stream": _Stream(stream)}
            kernel(grid, block, values, shared_mem=shared, **keywords)

    def synchronize(self, stream: int | None) -> None:
        """Wait for `stream`, or for CuPy's current one."""
        cuda = self._cupy.cuda
        with cuda.Device(self._ordinal):
            if stream is None:
                cuda.get_current_stream().synchronize()
            else:
                cuda.runtime.streamSynchronize(stream)


@functools.cache
def _cupy_device(ordinal: int) -> CupyDevice:
    return CupyDevice(ordinal)


@functools.cache
def _cupy_kernel(source: KernelSource, name: str) -> Any:
    import cupy

    return cupy.RawModule(code=source.code(), options=_OPTIONS).get_function(name)
