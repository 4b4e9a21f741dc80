"""Host code of the CUDA kernels of Lie elements."""

from __future__ import annotations

from typing import Any

from .._core import lie
from .._core.op import Plan
from .._core.sparse import transposed
from ..words import tensor_length


def _launch(
    gpu: Any, name: str, arrays: Any, numbers: int, tables: Any, ints: Any, size: tuple[int, int]
) -> None:
    """Launch a kernel whose blocks take one tensor at a time, and have room for `numbers` numbers.

    There are no more blocks than run at a time, so that scratch is no larger than it must be. The
    room is in shared memory where that does not mean fewer threads on a multiprocessor.

    `ints` begin with how many tensors there are.
    """
    dimension, degree = size
    source = gpu.source("lie.cu", CHANNELS=dimension, DEGREE=degree)
    top = dimension**degree
    threads = 32 if top <= 64 else 128 if top <= 4096 else 512
    blocks = min(ints[0], min(32, 1536 // threads) * gpu.processors)
    shared = numbers * gpu.itemsize
    scratch = None
    if shared > 96 * threads:  # 144 KiB for 1536 threads
        scratch, shared = gpu.scratch((blocks * numbers,)), 0
    constants = [gpu.constant(table.array) if table else None for table in tables]
    gpu.launch(source, name, (blocks,), (threads,), (*arrays, scratch, *constants, *ints), shared)


def _brackets(dimension: int, degree: int) -> int:
    """Numbers of all B_j of lie.cu."""
    return sum(tensor_length(dimension, k) for k in range(1, degree))


def launch_log(
    gpu: Any, ins: Any, outs: Any, plan: Plan, dimension: int, degree: int, method: int
) -> None:
    """Logarithms: see lie.cu."""
    count, n, words, solve = plan.ints
    size, room = (dimension, degree), _brackets(dimension, degree) + (n if solve else 0)
    _launch(gpu, "lie_log", (*ins, *outs), room, (words, solve), (count, n), size)


def launch_log_vjp(
    gpu: Any, ins: Any, outs: Any, plan: Plan, dimension: int, degree: int, method: int
) -> None:
    """Their gradients, which need the transpose of what makes coordinates of coefficients."""
    count, n, words, solve = plan.ints
    if solve:
        solve = lie.matrix(transposed(lie.key(lie.SOLVE, dimension, degree))).table
    size, short = (dimension, degree), tensor_length(dimension, degree - 1)
    room = _brackets(*size) + 2 * short
    _launch(gpu, "lie_log_vjp", (*ins, *outs), room, (words, solve), (count, n), size)


def launch_combine(gpu: Any, ins: Any, outs: Any, plan: Plan, dimension: int, degree: int) -> None:
    """Logarithms of products of exponentials: see lie.cu; structure constants are not used."""
    ints: Any = plan.ints
    count, n, words, solve, expand, right_row = ints[:6]
    size, short = (dimension, degree), tensor_length(dimension, degree - 1)
    positions = words.array[n + 1 : 2 * n + 1]
    first = int(positions.searchsorted(short))
    room = _brackets(*size) + 3 * short + n
    numbers = count, n, right_row, first
    _launch(gpu, "lie_combine", (*ins, *outs), room, (words, solve, expand), numbers, size)
