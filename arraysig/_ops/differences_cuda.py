"""Cells of finite differences for `kernels_cuda`: numbers of differences.cuh."""

from __future__ import annotations

from typing import Any

from .kernels_cuda import Call, Cells


def cells(gpu: Any, call: Call, *orders: int) -> Cells:
    """Without gradient."""
    size = gpu.itemsize
    rows = (64 if call.grid else 128) // size  # more addresses of nodes would spill
    return Cells(call.strip(rows, 4, 16 * min(4, 1 << call.order2), 320 // size, 8))


def cells_vjp(gpu: Any, call: Call, *orders: int) -> Cells:
    """For the gradient."""
    size = gpu.itemsize
    strip = call.strip(32 // size, 16 // size, 16, 160 // size, 4)
    saved, held = strip.rows + 1 + strip.columns, strip.steps * strip.columns * (strip.rows + 1)
    return Cells(strip, saved=saved, held=held)
