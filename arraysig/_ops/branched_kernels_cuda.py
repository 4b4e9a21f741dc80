"""Host code of the CUDA kernels of branched signature kernels: sizes, and pairs of a launch.

Strips, steps and phases are those of ``goursat.cuh``; see `kernels_cuda`.
"""

from __future__ import annotations

from typing import Any

from .._core.op import Plan
from .kernels_cuda import (
    Call,
    Strip,
    fill,
    given,
    launch_sums,
    pairs_of_a_launch,
    scratch_of_pairs,
    warps_of,
)

_IN_REGISTERS = 4  # the greatest depth whose numbers are
_STEPS = 16


def _strip(gpu: Any, call: Call, depth: int, room: int, held: int, block: int) -> Strip:
    """The strips for lanes that have `room` bytes for a number of each row and depth."""
    deep = max(2, min(depth, _IN_REGISTERS))
    rows = 1 << (room // (gpu.itemsize * deep)).bit_length() - 1
    strip = call.strip(rows, 4, _STEPS, held // gpu.itemsize, block, 1)
    return strip._replace(columns=2 * depth - 1, width=strip.width * (2 * depth - 1))


def _source(gpu: Any, file: str, call: Call, strip: Strip, depth: int) -> Any:
    in_registers = int(depth <= _IN_REGISTERS)
    return gpu.source(file, **call.macros(strip), DEPTH=depth, IN_REGISTERS=in_registers)


def launch(gpu: Any, ins: Any, outs: Any, plan: Plan, depth: int, *attrs: Any) -> None:
    """Branched signature kernels."""
    _launch(gpu, ins, outs, Call._make((*plan.ints, *attrs)), depth)


def launch_increments(gpu: Any, ins: Any, outs: Any, plan: Plan, depth: int, *attrs: Any) -> None:
    """Branched signature kernels of given increments."""
    _launch(gpu, (*ins, None), outs, given(plan, *attrs), depth)


def _launch(gpu: Any, ins: Any, outs: Any, call: Call, depth: int) -> None:
    if call.constant or not depth:
        fill(gpu, outs[0], 1.0)
        return
    size = gpu.itemsize
    strip = _strip(gpu, call, depth, 64, 160, 8)
    in_registers = depth <= _IN_REGISTERS
    rows = 2 * strip.steps * strip.columns
    entries = strip.steps + strip.points - strip.coarse
    shared = size * (entries * strip.points * 32 + rows * in_registers)
    row = strip.width if strip.strips > 1 else 0
    lanes = 0 if in_registers else 32 * strip.columns * (strip.rows + 1) + rows
    most = pairs_of_a_launch(call.pairs, (row + lanes) * size)
    warps = warps_of(gpu, min(call.active, most), strip.strips, shared)
    most = pairs_of_a_launch(call.pairs, (row + warps * lanes) * size)
    above = gpu.scratch((most * row,)) if row else None
    room = gpu.scratch((most * warps * lanes,)) if lanes else None
    source = _source(gpu, "branched_sig_kernel.cu", call, strip, depth)
    args = call.args(gpu, strip)
    for first, pairs in gpu.launches(call.pairs, most):
        gpu.launch(
            source,
            "branched_sig_kernel",
            (pairs,),
            (32 * warps,),
            (*ins, *outs, above, room, first, *args),
            warps * shared,
        )


def launch_vjp(gpu: Any, ins: Any, outs: Any, plan: Plan, depth: int, *attrs: Any) -> None:
    """Their gradients."""
    _launch_vjp(gpu, ins, outs, Call._make((*plan.ints, *attrs)), depth)


def launch_increments_vjp(
    gpu: Any, ins: Any, outs: Any, plan: Plan, depth: int, *attrs: Any
) -> None:
    """Gradients of branched signature kernels of given increments."""
    _launch_vjp(gpu, (*ins, None), outs, given(plan, *attrs), depth)


def _launch_vjp(gpu: Any, ins: Any, outs: Any, call: Call, depth: int) -> None:
    if call.constant or not depth:
        for out in outs:
            fill(gpu, out, 0.0)
        return
    size = gpu.itemsize
    strip = _strip(gpu, call, depth, 32, 128, 4)
    in_registers = depth <= _IN_REGISTERS
    rows = 2 * strip.steps * strip.columns
    entries = strip.steps + strip.points - strip.coarse
    shared = strip.steps * strip.block + rows * in_registers  # see the pointers there
    shared += 32 * entries * strip.points + 32 * strip.steps * strip.coarse * call.of_points
    shared *= size

    gradients = call.gradients(strip)
    row = strip.strips * strip.width
    kept = strip.phases * strip.steps * (depth - 1 + call.grid) * (strip.rows + 1) * 32
    lanes = 0 if in_registers else 32 * (3 * depth - 1) * (strip.rows + 1) + rows
    alike = sum(gradients) + row
    most = pairs_of_a_launch(call.pairs, size * (alike + kept + lanes))
    warps = warps_of(gpu, min(call.active, most), strip.strips, shared)
    most = pairs_of_a_launch(call.pairs, size * (alike + warps * (kept + lanes)))
    sizes = *gradients, row, warps * kept, warps * lanes
    room = scratch_of_pairs(gpu, call, most, sizes, outs)

    source = _source(gpu, "branched_sig_kernel_vjp.cu", call, strip, depth)
    args = call.args(gpu, strip)
    for first, pairs in gpu.launches(call.pairs, most):
        gpu.launch(
            source,
            "branched_sig_kernel_vjp",
            (pairs,),
            (32 * warps,),
            (*ins, *room, first, *args),
            warps * shared,
        )
        launch_sums(gpu, source, call, strip, room[:2], outs, first, pairs)
