"""Where a benchmark runs: placing arrays, reading them back, and the clock."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from .floors import Gpu
from .rows import Arrays
from .timing import Clock

LIBRARIES = {"cpu": ("numpy", "torch"), "cuda": ("cupy", "torch")}


class Device(Protocol):
    """What the harness needs of a device."""

    name: str

    def place(self, arrays: Arrays, library: str) -> list[Arrays]:
        """The arrays in `library` on this device, in as many copies as timing rotates over."""

    def clock(self, function: Callable[[Arrays], Any], copies: Sequence[Arrays]) -> Clock:
        """A clock of `function` over rotating copies."""

    def read(self, array: Any) -> np.ndarray:
        """An array as NumPy's."""


class Cpu:
    """Host memory: one copy, wall clock."""

    name = "cpu"

    def place(self, arrays: Arrays, library: str) -> list[Arrays]:
        """NumPy arrays as they are, or Torch tensors over them."""
        if library == "numpy":
            return [arrays]
        import torch

        return [{name: torch.from_numpy(a) for name, a in arrays.items()}]

    def clock(self, function: Callable[[Arrays], Any], copies: Sequence[Arrays]) -> Clock:
        """Wall clock."""
        (arrays,) = copies

        def run(count: int) -> float:
            start = time.perf_counter()
            for _ in range(count):
                function(arrays)
            return time.perf_counter() - start

        return run

    def read(self, array: Any) -> np.ndarray:
        """Of Torch or NumPy."""
        return np.asarray(array)


class NoGpuError(RuntimeError):
    """There is nothing to run ``--device cuda`` on."""


class Cuda:
    """The current CUDA device: copies that exceed the L2 cache, CUDA events."""

    name = "cuda"

    def __init__(self) -> None:
        try:
            import cupy
        except ImportError as error:
            raise NoGpuError(
                "--device cuda needs CuPy: pip install 'arraysig[cuda13]' or 'arraysig[cuda12]'"
            ) from error
        if not cupy.cuda.is_available():
            raise NoGpuError("--device cuda: CuPy finds no CUDA device")
        self._cupy = cupy
        self._attributes = cupy.cuda.Device().attributes

    def properties(self) -> Gpu:
        """Properties of the device; its bandwidth is measured."""
        device = self._cupy.cuda.Device()
        properties = self._cupy.cuda.runtime.getDeviceProperties(device.id)
        return Gpu(
            name=properties["name"].decode(),
            capability=int(device.compute_capability),
            multiprocessors=self._attributes["MultiProcessorCount"],
            clock_hz=1e3 * self._attributes["ClockRate"],
            bandwidth=self._bandwidth(),
        )

    def _bandwidth(self) -> float:
        """Bytes per second of a copy of 1 GiB, read and write."""
        source = self._cupy.ones(2**27, dtype="float64")
        target = self._cupy.empty_like(source)

        def copy(arrays: Arrays) -> None:
            target[...] = arrays["source"]

        run = self.clock(copy, [{"source": source}])
        run(3)
        return 2 * float(source.nbytes) / min(run(10) / 10 for _ in range(5))

    def place(self, arrays: Arrays, library: str) -> list[Arrays]:
        """Copies in `library`, together twice as large as the L2 cache."""
        size = sum(a.nbytes for a in arrays.values())
        count = 1 + math.ceil(2 * self._attributes["L2CacheSize"] / size)
        if library == "cupy":
            return [
                {name: self._cupy.asarray(a) for name, a in arrays.items()} for _ in range(count)
            ]
        import torch

        return [
            {name: torch.tensor(a, device="cuda") for name, a in arrays.items()}
            for _ in range(count)
        ]

    def clock(self, function: Callable[[Arrays], Any], copies: Sequence[Arrays]) -> Clock:
        """Events on the default stream, which CuPy and Torch both use here."""
        rotating = itertools.cycle(copies)
        start, end = self._cupy.cuda.Event(), self._cupy.cuda.Event()

        def run(count: int) -> float:
            start.record()
            for arrays in itertools.islice(rotating, count):
                function(arrays)
            end.record()
            end.synchronize()
            return 1e-3 * float(self._cupy.cuda.get_elapsed_time(start, end))

        return run

    def read(self, array: Any) -> np.ndarray:
        """Of CuPy or Torch."""
        if isinstance(array, self._cupy.ndarray):
            return np.asarray(self._cupy.asnumpy(array))
        return np.asarray(array.detach().cpu().numpy())


def find(name: str) -> Device:
    """The device called `name`."""
    return Cpu() if name == "cpu" else Cuda()
