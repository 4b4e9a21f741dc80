"""As much of CuPy as the library touches, over host memory; its kernels run in the emulator.

It is stricter than CuPy where CuPy is lenient: kernels accept only NumPy scalars of exact type and
addresses of arrays of the device that is current, and no empty grid.
"""

from __future__ import annotations

import types
from typing import Any, NamedTuple

import numpy as np

from arraysig._core.cuda import Pointer

from .emulator import EmulatedDevice

DEFAULT_SHARED = 48 * 1024


class Launch(NamedTuple):
    """What a kernel was called with."""

    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared: int
    stream: int | None
    device: int


class _Guard:
    """`cupy.cuda.Device`."""

    def __init__(self, cupy: FakeCupy, ordinal: int) -> None:
        self.cupy = cupy
        self.ordinal = ordinal

    def __enter__(self) -> None:
        self.cupy.entered.append(self.ordinal)
        self.before, self.cupy.current = self.cupy.current, self.ordinal

    def __exit__(self, *error: object) -> None:
        self.cupy.current = self.before


class FakeArray:
    """`cupy.ndarray`, also by name."""

    __module__ = "cupy"

    def __init__(self, values: np.ndarray[Any, Any], device: int) -> None:
        self.values = values
        self.device = types.SimpleNamespace(id=device)
        self.data = types.SimpleNamespace(ptr=values.ctypes.data)
        self.shape = values.shape
        self.dtype = values.dtype
        self.flags = types.SimpleNamespace(c_contiguous=values.flags.c_contiguous)


FakeArray.__name__ = "ndarray"


class FakeCupy(types.ModuleType):
    """The module, with two devices, and what happened to it."""

    ndarray = FakeArray

    def __init__(self, processors: int = 132) -> None:
        super().__init__("cupy")
        self.current = 0
        self.entered: list[int] = []
        self.waits: list[int] = []
        self.static_shared = 0
        self.modules: list[FakeModule] = []
        self.launches: list[Launch] = []
        self.arrays: dict[int, FakeArray] = {}
        self.emulator = EmulatedDevice(processors=processors)
        self.cuda = types.SimpleNamespace(
            Device=lambda ordinal: _Guard(self, ordinal),
            get_current_stream=lambda: types.SimpleNamespace(synchronize=self._synchronize),
            runtime=types.SimpleNamespace(
                getDevice=lambda: self.current, getDeviceProperties=self._properties
            ),
        )

    def _synchronize(self) -> None:
        self.waits.append(self.current)

    def _properties(self, ordinal: int) -> dict[str, Any]:
        assert ordinal in (0, 1)
        return {
            "name": b"NVIDIA Nothing",
            "multiProcessorCount": self.emulator.processors,
            "sharedMemPerBlock": DEFAULT_SHARED,
            "sharedMemPerBlockOptin": self.emulator.shared_memory,
            "totalGlobalMem": 2**24,
        }

    def RawModule(self, *, code: str, options: tuple[str, ...] = ()) -> FakeModule:
        """Like `cupy.RawModule`, lazy."""
        self.modules.append(FakeModule(self, code, options))
        return self.modules[-1]

    def asarray(self, values: np.ndarray[Any, Any]) -> FakeArray:
        """On the current device."""
        array = FakeArray(values, self.current)
        self.arrays[array.data.ptr] = array
        return array

    def empty(self, shape: tuple[int, ...], dtype: str) -> FakeArray:
        """Full of NaN, so that what a kernel forgets shows."""
        values = np.empty(shape, dtype)
        values.reshape(-1).view(np.uint8).fill(0xFF)
        return self.asarray(values)

    def ascontiguousarray(self, array: FakeArray) -> FakeArray:
        """A copy unless contiguous, as in CuPy."""
        assert array.device.id == self.current
        if array.flags.c_contiguous:
            return array
        return self.asarray(np.ascontiguousarray(array.values))


class FakeModule:
    """`cupy.RawModule`."""

    def __init__(self, cupy: FakeCupy, code: str, options: tuple[str, ...]) -> None:
        self.cupy = cupy
        self.text = code
        self.options = options
        self.functions: list[FakeKernel] = []

    def code(self) -> str:
        """What the emulator wants of a source."""
        return self.text

    def get_function(self, name: str) -> FakeKernel:
        """A new one each time, as in CuPy."""
        self.functions.append(FakeKernel(self, name))
        return self.functions[-1]


class FakeKernel:
    """`cupy.RawKernel`."""

    def __init__(self, module: FakeModule, name: str) -> None:
        self.module = module
        self.name = name
        self.raised: list[tuple[int, int]] = []  # device, bytes

    @property
    def shared_size_bytes(self) -> int:
        """Static shared memory, of which the emulator learns when the kernel runs: tests say."""
        return self.module.cupy.static_shared

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        """An attribute of the function on the current device."""
        device = self.module.cupy.current
        default = DEFAULT_SHARED - self.shared_size_bytes
        return next((n for d, n in reversed(self.raised) if d == device), default)

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, size: int) -> None:
        self.raised.append((self.module.cupy.current, size))

    def __call__(
        self,
        grid: tuple[int, ...],
        block: tuple[int, ...],
        args: tuple[Any, ...],
        *,
        shared_mem: int = 0,
        stream: Any = None,
    ) -> None:
        """Run to the end."""
        cupy = self.module.cupy
        pointer = None if stream is None else stream.ptr
        cupy.launches.append(Launch(self.name, grid, block, shared_mem, pointer, cupy.current))
        assert min(grid) > 0, "CuPy launches one block for none"
        assert shared_mem <= self.max_dynamic_shared_size_bytes
        values = [self._pointer(a) if type(a) is np.uint64 else a for a in args]
        cupy.emulator.launch(self.module, self.name, grid, block, values, shared_mem, None)

    def _pointer(self, address: np.uint64) -> Pointer:
        array = self.module.cupy.arrays[int(address)]
        assert array.device.id == self.module.cupy.current
        return Pointer(int(address), array.dtype.name, array.shape)
