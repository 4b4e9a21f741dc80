"""Cells of branched signature kernels for `kernels_cuda`: numbers of branched.cuh."""

from __future__ import annotations

from typing import Any

from .kernels_cuda import Call, Cells

_IN_REGISTERS = 4  # the greatest depth whose numbers are
_STEPS = 16


def _cells(
    gpu: Any, call: Call, depth: int, size: int, points: int, block: int, numbers: int
) -> Cells:
    """Those of lanes with `size` bytes for a number of each row and depth, `points` for points.

    Where they are in memory, they have `numbers` numbers for each depth and row, less one.
    """
    deep = max(2, min(depth, _IN_REGISTERS))
    rows = 1 << (size // (gpu.itemsize * deep)).bit_length() - 1
    strip = call.strip(rows, 4, _STEPS, points // gpu.itemsize, block, 2 * depth - 1)
    in_registers = depth <= _IN_REGISTERS
    return Cells(
        strip,
        {"DEPTH": depth, "IN_REGISTERS": int(in_registers)},
        rows_shared=in_registers,
        room=0 if in_registers else (numbers * depth - 1) * (strip.rows + 1),
    )


def cells(gpu: Any, call: Call, depth: int, *orders: int) -> Cells:
    """Without gradient."""
    return _cells(gpu, call, depth, 64, 160, 8, 2)


def cells_vjp(gpu: Any, call: Call, depth: int, *orders: int) -> Cells:
    """For the gradient."""
    found = _cells(gpu, call, depth, 32, 128, 4, 3)
    strip = found.strip
    return found._replace(saved=strip.steps * (depth - 1 + call.grid) * (strip.rows + 1))
