"""The user's arrays -> backend -> outputs in the same library, on the same device."""

from __future__ import annotations

import functools
import math
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .namespace import library

if TYPE_CHECKING:
    from .op import Op, Plan, Shape


class Memory(NamedTuple):
    """Where the arrays of a call live.

    Attributes
    ----------
    empty : ``empty(shape, dtype) -> array`` from the allocator of the caller's library
    device : number of the CUDA device; None for host memory
    stream : address of the CUDA stream to launch on; None for CuPy's current one
    available : bytes of memory that the device has
    """

    empty: Callable[[Shape, str], Any]
    device: int | None
    stream: int | None
    available: int


HOST_BYTES = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
NUMPY = Memory(np.empty, None, None, HOST_BYTES)

_CHARS = {"f": "float32", "d": "float64"}
#: Set by tests: the device that stands in for CUDA where arrays are in host memory.
_emulated: Any = None


def emulate(device: Any) -> Any:
    """Route arrays in host memory through the CUDA host code over `device`; None ends it."""
    global _emulated
    old, _emulated = _emulated, device
    return old


def call(op: Op, arrays: tuple[Any, ...], attrs: tuple[Any, ...]) -> Any:
    """Apply `op` to arrays of one library, dtype and device."""
    first = arrays[0]
    if type(first) is np.ndarray:
        ins = [a if a.flags.c_contiguous else np.ascontiguousarray(a) for a in arrays]
        return execute(op, ins, attrs, NUMPY, _CHARS[first.dtype.char])
    if library(first) == "torch":
        from . import torch_bridge

        return torch_bridge.call(op, arrays, attrs)
    from . import cuda

    return execute(op, *cuda.from_cupy(arrays, attrs))


def execute(op: Op, ins: Sequence[Any], attrs: tuple[Any, ...], memory: Memory, dtype: str) -> Any:
    """Allocate the outputs and run: `ins` are C-contiguous, of one dtype, on one device."""
    plan, specs, size, memo = planned(op, tuple([tuple(a.shape) for a in ins]), attrs, dtype)
    if size > memory.available:
        shapes = " and ".join(str(shape) for shape, _ in specs)
        raise MemoryError(
            f"{called(op.function)}: a result of shape {shapes} takes {size / 2**30:.4g} GiB, "
            f"more than the {memory.available / 2**30:.4g} GiB there are"
        )
    outs = [memory.empty(*spec) for spec in specs]
    if size:
        if memory.device is None and _emulated is None:
            _on_host()(op, plan, ins, outs, attrs, dtype, memo)
        else:
            from . import cuda

            cuda.run(op, plan, ins, outs, attrs, memory, dtype, _emulated)
    return outs[0] if len(outs) == 1 else tuple(outs)


def called(function: str) -> str:
    """Of the public functions that are being called the outermost, else `function`; for errors.

    None is where Torch calls a gradient.
    """
    package = sys.modules[__name__.partition(".")[0]]
    names = [
        frame.f_code.co_name
        for frame, _ in traceback.walk_stack(None)
        if frame.f_globals.get("__package__") == package.__name__
    ]
    return [function, *(name for name in names if name in package.__all__)][-1]


@functools.lru_cache(4096)
def planned(
    op: Op, shapes: tuple[Shape, ...], attrs: tuple[Any, ...], dtype: str
) -> tuple[Plan, list[tuple[Shape, str]], int, list[Any]]:
    """The plan of `op`, shape and dtype of each output, and the bytes of all outputs.

    The list is empty at first; it is for what a backend wants to keep for further calls.
    """
    plan = op.plan(*shapes, *attrs)
    specs = [(spec.shape, spec.dtype or dtype) for spec in plan.outs]
    size = sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in specs)
    return plan, specs, size, []


@functools.cache
def _on_host() -> Callable[..., None]:
    from . import cpu  # loads the C extension, which `import arraysig` does not

    return cpu.run
