"""A `Device` that runs CUDA kernels on the processor."""

from __future__ import annotations

import ctypes
import functools
import os
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cffi
import numpy as np

from arraysig._core.cuda import Pointer

from . import build
from .build import EmulatorError

#: The runtime of a kernel has global state, and threads of autograd launch kernels too.
_ONE_LAUNCH = threading.Lock()
_RACES = (
    "write after write",
    "read after write",
    "write after read",
    "read of shared memory that nothing wrote",
)


class Source(Protocol):
    """What the emulator needs of a `KernelSource`."""

    def code(self) -> str:
        """CUDA C with macros and headers pasted in."""


class EmulatedDevice:
    """CUDA kernels over host memory; see the package for the flavors.

    Attributes
    ----------
    processors, shared_memory : what the device claims to have
    flavor : how kernels are compiled; by default the environment variable ARRAYSIG_EMULATOR
    order : of threads that could run, and of blocks: 0 ascending, 1 descending, 2 random
    seed : of the random order
    """

    def __init__(
        self,
        flavor: str | None = None,
        order: int = 0,
        seed: int = 1,
        processors: int = 132,
        shared_memory: int = 227 * 1024,
    ) -> None:
        self.flavor = flavor or os.environ.get("ARRAYSIG_EMULATOR", "fast")
        self.order = order
        self.seed = seed
        self.processors = processors
        self.shared_memory = shared_memory
        if self.flavor not in build.FLAVORS:
            raise EmulatorError(f"no flavor {self.flavor!r}: there are {', '.join(build.FLAVORS)}")
        if order not in (0, 1, 2):
            raise EmulatorError(f"no order {order!r}: there are 0, 1 and 2")
        if self.flavor == "asan" and not hasattr(ctypes.CDLL(None), "__asan_init"):
            raise EmulatorError(
                "the flavor 'asan' needs an environment: env $(python -m tests.emulator) python ..."
            )

    def launch(
        self,
        source: Source,
        name: str,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: Sequence[Pointer | np.generic | None],
        shared: int,
        stream: int | None,
    ) -> None:
        """Run one kernel to its end; EmulatorError where a GPU would misbehave."""
        if stream is not None:
            raise EmulatorError(f"{name}: there are no streams on the host")
        with _ONE_LAUNCH:
            code = source.code()
            kernel = _kernel(code, name, self.flavor)
            launch = _ffi.new("struct emu_launch *")
            launch.grid, launch.block = _three(name, grid), _three(name, block)
            launch.dynamic_shared, launch.shared_limit = shared, self.shared_memory
            launch.order, launch.seed = self.order, self.seed
            launch.stacks = _STACKS
            # CuPy always compiles with -ftz=true, which concerns float32 alone.
            launch.flush = "#define REAL float\n" in code
            kernel.run(args, launch)

    def synchronize(self, stream: int | None) -> None:
        """Nothing is left to wait for."""

    def constant(self, array: np.ndarray) -> Pointer:
        """The array itself: it is in the device's memory already."""
        return Pointer(array.ctypes.data, array.dtype.name, array.shape)


class _Kernel:
    """One kernel of a shared object."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self.library = _ffi.dlopen(str(path))
        self.record = _ffi.NULL
        names = []
        record = self.library.emu_kernels()
        while record:
            names.append(_text(record.name))
            if names[-1] == name:
                self.record = record
            record = record.next
        if not self.record:
            raise EmulatorError(f"no kernel {name}: there are {', '.join(names)}")
        parameters = _ffi.unpack(self.record.parameters, self.record.count)
        self.parameters = [(_text(p.dtype), bool(p.pointer)) for p in parameters]

    def run(self, args: Sequence[Pointer | np.generic | None], launch: Any) -> None:
        storage, addresses = self._arguments(args)
        self.library.emu_run(self.record, addresses, launch)
        del storage
        error = _text(launch.error)
        if error:
            raise EmulatorError(f"{self.name}: {error}")
        if launch.race_count:
            kept = launch.races[0 : min(launch.race_count, len(launch.races))]
            raise EmulatorError(f"{self.name}: " + "; ".join(map(self._describe, kept)))

    def _arguments(self, args: Sequence[Pointer | np.generic | None]) -> tuple[list[Any], Any]:
        """Addresses of the arguments, and what must live as long."""
        if len(args) != len(self.parameters):
            raise EmulatorError(
                f"{self.name}: {len(args)} arguments for {len(self.parameters)} parameters"
            )
        storage: list[Any] = []
        for number, (value, (dtype, pointer)) in enumerate(zip(args, self.parameters, strict=True)):
            wanted = f"{dtype} *" if pointer else dtype
            if pointer and value is None:
                storage.append(np.uint64(0))
            elif pointer and isinstance(value, Pointer) and value.dtype == dtype:
                storage.append(np.uint64(value.address))
            elif not pointer and isinstance(value, np.generic) and value.dtype.name == dtype:
                storage.append(value)
            else:
                raise EmulatorError(f"{self.name}: parameter {number} is {wanted}, got {value!r}")
        storage = [np.array(value) for value in storage]
        addresses = [_ffi.cast("void *", value.ctypes.data) for value in storage]
        return storage, _ffi.new("void *[]", addresses)

    def _describe(self, race: Any) -> str:
        text = (
            f"{_RACES[race.kind]} at {build.location(self.path, race.place)} "
            f"(block {race.block}, thread {race.thread})"
        )
        if race.other_place:
            other = build.location(self.path, race.other_place)
            text += f" against {other} (block {race.other_block}, thread {race.other_thread})"
        return text


@functools.cache
def _kernel(code: str, name: str, flavor: str) -> _Kernel:
    return _Kernel(build.build(code, flavor), name)


def _three(name: str, size: tuple[int, ...]) -> tuple[int, ...]:
    if not 1 <= len(size) <= 3 or min(size) < 0:
        raise EmulatorError(f"{name}: {size} is no size of a grid or block")
    return (*size, 1, 1)[:3]


def _text(characters: Any) -> str:
    data: bytes = _ffi.string(characters)
    return data.decode()


_ffi = cffi.FFI()
_ffi.cdef(re.sub(r"^#.*\n", "", (Path(__file__).parent / "abi.h").read_text(), flags=re.M))
_STACKS = _ffi.new("struct emu_stacks *")
