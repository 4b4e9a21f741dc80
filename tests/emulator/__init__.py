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
import ctypes
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np

from arraysig._core import cuda, dispatch
from arraysig._core.dispatch import Memory
from arraysig._core.namespace import address, dtype_name
from arraysig._core.op import Op, Plan

from .build import EmulatorError, sanitizer_environment
from .device import EmulatedDevice

__all__ = ["EmulatedDevice", "EmulatorError", "emulated", "sanitizer_environment"]


@contextlib.contextmanager
def emulated(**options: Any) -> Iterator[EmulatedDevice]:
    """Send arrays in host memory to CUDA kernels on an `EmulatedDevice`, in every thread.

    Outputs and scratch start as NaN, so that what a kernel forgets to write shows.
    """
    device = EmulatedDevice(**options)
    previous = dispatch.emulate(device)
    try:
        with mock.patch.object(cuda, "run", functools.partial(_run_poisoned, cuda.run)):
            yield device
    finally:
        dispatch.emulate(previous)


def _run_poisoned(
    run: Callable[..., None],
    op: Op,
    plan: Plan,
    ins: Sequence[Any],
    outs: Sequence[Any],
    attrs: Sequence[Any],
    memory: Memory,
    *rest: Any,
) -> None:
    """`arraysig._core.cuda.run` over memory that holds NaN."""

    def empty(shape: tuple[int, ...], dtype: str) -> Any:
        return _poisoned(memory.empty(shape, dtype))

    for out in outs:
        _poisoned(out)
    run(op, plan, ins, outs, attrs, memory._replace(empty=empty), *rest)


def _poisoned(array: Any) -> Any:
    """`array`, of NumPy or Torch, with all bits set."""
    size = math.prod(array.shape) * np.dtype(dtype_name(array)).itemsize
    ctypes.memset(address(array), 0xFF, size)
    return array
