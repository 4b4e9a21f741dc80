"""CUDA on the processor: the library's kernels, compiled unchanged by g++, over host memory.

Flavors, chosen by an argument or for a whole run by the environment variable ARRAYSIG_EMULATOR:

``fast``
    Values. Shared memory starts as NaN. Reported in every flavor: divergent barriers and warp
    collectives, deadlocks, lanes that have exited or are outside of a mask, wrong numbers and types
    of arguments, impossible grids, blocks and shared memory.
``race``
    Also data races in shared and global memory, and reads of shared memory that nothing wrote.
``asan``
    Also accesses out of bounds (shared memory, arrays of NumPy and Torch), integer overflow and
    misaligned vector types, by the sanitizers of g++. These end the process, and must be loaded
    before Python: ``env $(python -m tests.emulator) python -m pytest`` sets LD_PRELOAD.

Threads run one at a time, in one of three orders; a test that compares values should pass in all.
What only a GPU can show: speed, contraction to fused multiply-adds, weak memory ordering.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from arraysig._core import dispatch

from .build import EmulatorError, sanitizer_environment
from .device import EmulatedDevice

__all__ = ["EmulatedDevice", "EmulatorError", "emulated", "sanitizer_environment"]


@contextlib.contextmanager
def emulated(**options: Any) -> Iterator[EmulatedDevice]:
    """Send arrays in host memory to CUDA kernels on an `EmulatedDevice`, in every thread.

    NumPy outputs and scratch start as NaN, so that what a kernel forgets to write shows.
    """
    device = EmulatedDevice(**options)
    memory = dispatch.NUMPY
    previous = dispatch.emulate(device)
    dispatch.NUMPY = memory._replace(empty=_poisoned)
    try:
        yield device
    finally:
        dispatch.NUMPY = memory
        dispatch.emulate(previous)


def _poisoned(shape: tuple[int, ...], dtype: str) -> np.ndarray[Any, Any]:
    array = np.empty(shape, dtype)
    array.reshape(-1).view(np.uint8).fill(0xFF)
    return array
