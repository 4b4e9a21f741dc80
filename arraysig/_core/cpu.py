"""Calls into the C extension: one function for every op, because they share one convention.

``as_<op>_<f32|f64>(inputs..., outputs..., plan.ints..., attributes..., threads, control)``
returns 0, or 1 when out of memory, or 2 when cancelled. ``control`` points to two 64-bit words: C
polls the first and gives up when it is not 0, and counts finished units of work in the second.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import progress
from .check import PROCESSORS
from .dispatch import called

if TYPE_CHECKING:
    from .op import Op, Plan


def _load() -> Any:
    # GNU OpenMP reads its settings when it is loaded. By default its threads spin for milliseconds
    # at the end of a parallel region; where other programs want the processors too, they then spin
    # while the thread that they wait for can not run. A few 100 us keep threads awake between
    # calls in a row. Whoever has set a policy, or loaded GNU OpenMP before, keeps his.
    ours = not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys()
    if ours:
        os.environ["GOMP_SPINCOUNT"] = "10000"
    try:
        from .. import _ckernels
    finally:
        if ours:
            del os.environ["GOMP_SPINCOUNT"]
    return _ckernels


_ckernels = _load()
ffi, lib = _ckernels.ffi, _ckernels.lib
_from_buffer, _NULL = ffi.from_buffer, ffi.NULL

#: Fused multiply-adds from which Ctrl-C must work inside a call: half a second for one thread of
#: the slowest instruction set. A call in a thread of its own costs about 0.1 ms more.
INTERRUPTIBLE_WORK = 2**31

_TYPES = {
    "float32": (ffi.typeof("float *"), ffi.typeof("float[]"), "f32"),
    "float64": (ffi.typeof("double *"), ffi.typeof("double[]"), "f64"),
}
_SECONDS = 0.1  #: between looks at how far a call is
_OK, _OUT_OF_MEMORY, _CANCELLED = 0, 1, 2


def _select_isa() -> None:
    wanted = os.environ.get("ARRAYSIG_ISA", "")
    if lib.as_select_isa(wanted.encode() if wanted else ffi.NULL):
        raise ImportError(
            f"ARRAYSIG_ISA={wanted!r} is not an instruction set of this processor and build; "
            "they are " + ", ".join(instruction_sets())
        )


def instruction_sets() -> list[str]:
    """Instruction sets that this build has and this processor runs, slowest first."""
    text: bytes = ffi.string(lib.as_supported_isas())
    return text.decode().split()


def instruction_set() -> str:
    """The one in use."""
    text: bytes = ffi.string(lib.as_isa())
    return text.decode()


def openmp() -> int:
    """Date of the OpenMP version that the extension was built with (201511, say), 0 without."""
    return int(lib.as_openmp())


_select_isa()
_processors = PROCESSORS


def _in_forked_child() -> None:
    # GNU OpenMP hangs when a process that has used it forks and the child opens a parallel region.
    global _processors
    _processors = 1


os.register_at_fork(after_in_child=_in_forked_child)


def threads(n_jobs: int) -> int:
    """How many threads `n_jobs` means in this process."""
    return max(1, min(n_jobs if n_jobs > 0 else PROCESSORS + 1 + n_jobs, _processors))


def run(
    op: Op,
    plan: Plan,
    ins: Sequence[Any],
    outs: Sequence[Any],
    attrs: Sequence[Any],
    dtype: str,
    memo: list[Any],
) -> None:
    """Run the C function of `op` over contiguous arrays in host memory.

    `memo` is that of the plan: function, numbers and types are found once.
    """
    if not memo:
        pointer, view, suffix = _TYPES[dtype]
        # lists of integers reach C through plan.ints
        numbers = [*plan.ints, *[a for a in attrs[:-1] if type(a) is not tuple]]
        memo[:] = getattr(lib, f"as_{op.name}_{suffix}"), numbers, pointer, view
    function, numbers, pointer, view = memo
    arrays = [
        _from_buffer(view, a) if type(a) is np.ndarray else ffi.cast(pointer, a.data_ptr())
        for a in (*ins, *outs)
    ]
    team = 1 if attrs[-1] == 1 else threads(attrs[-1])
    bar = progress.current()
    if bar is None and plan.work < INTERRUPTIBLE_WORK:
        status = function(*arrays, *numbers, team, _NULL)
    else:
        status = _interruptibly(function, [*arrays, *numbers, team], bar)
    if status == _OUT_OF_MEMORY:
        raise MemoryError(f"{called(op.function)}: no memory for scratch space")


def _interruptibly(
    function: Callable[..., int], arguments: list[Any], bar: progress.Bar | None
) -> int:
    """Call while the main thread can see Ctrl-C, and then make C give up."""
    control = ffi.new("int64_t[2]")
    if threading.current_thread() is not threading.main_thread() and not bar:
        return function(*arguments, control)  # signals never arrive here
    status = [_CANCELLED]
    finished = threading.Event()

    def work() -> None:
        status[0] = function(*arguments, control)
        finished.set()

    thread = threading.Thread(target=work, name="arraysig", daemon=True)
    thread.start()
    try:
        while not finished.wait(_SECONDS if bar else None):
            if bar:
                bar.show(control[1])
        if bar:
            bar.advance(control[1])
    except BaseException:
        control[0] = 1
        finished.wait()
        raise
    finally:
        thread.join()
    return status[0]
