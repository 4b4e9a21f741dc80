"""Host code of the CUDA kernels of `kernels.py`: sizes of strips, and pairs of a launch.

A block of one warp or more works on a pair; see ``goursat.cuh`` for strips, steps and phases.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from .._core.op import Plan

_BYTES = 256 * 2**20  # of scratch memory in a call, unless one pair needs more
_GRID = 2**31 - 1
_WARPS = 8  # __launch_bounds__ of the kernels
_PER_SCHEDULER = 2  # warps that keep a scheduler busy
_IN_REGISTERS = 16  # the most channels of points that stay there
_LINEAR, _POLYNOMIAL, _GIVEN = 0, 6, 7  # static kernels (static_kernel.cuh)


class Strip(NamedTuple):
    """Macros of ``goursat.cuh``, and what follows from them.

    Attributes
    ----------
    channels, block, rows, row_order, columns, steps : macros
    split : log2 of the steps of an increment
    coarse, points : increments and points of a lane in a column
    strips, phases : of a pair
    width : columns of the grid
    """

    channels: int
    block: int
    rows: int
    row_order: int
    columns: int
    steps: int
    split: int
    coarse: int
    points: int
    strips: int
    phases: int
    width: int


class Call(NamedTuple):
    """Sizes and attributes of a call. Given increments are of pairs in groups of their own."""

    groups: int
    count1: int
    count2: int
    length1: int
    length2: int
    channels: int
    order1: int
    order2: int
    static_kernel: int
    p0: float
    p1: float
    p2: float
    symmetric: bool
    grid: bool

    @property
    def pairs(self) -> int:
        """All of them."""
        return self.groups * self.count1 * self.count2

    @property
    def active(self) -> int:
        """Those that are not left out, about."""
        return (self.pairs + 1) // 2 if self.symmetric else self.pairs

    @property
    def constant(self) -> bool:
        """Whether a path has no increments, or there are no pairs."""
        return min(self.length1, self.length2) < 2 or not self.pairs

    @property
    def of_points(self) -> bool:
        """Whether static kernels are of points, not of increments."""
        return self.static_kernel not in (_LINEAR, _GIVEN)

    @property
    def path_points(self) -> tuple[int, int]:
        """Points of all paths of both sets."""
        points1 = self.groups * self.count1 * self.length1
        return points1, self.groups * self.count2 * self.length2

    def gradients(self, strip: Strip) -> tuple[int, int]:
        """Numbers of both gradients of a pair, before they are summed (goursat_vjp.cuh)."""
        of_second = self.length2 - (self.static_kernel == _LINEAR)
        return strip.strips * (strip.points + 1) * self.channels * 32, of_second * self.channels

    def strip(
        self, rows: int, coarse: int, cells: int, held: int, block: int, columns: int = 4
    ) -> Strip:
        """The strips for lanes with at most `rows` rows and `coarse` increments.

        Lanes do `cells` columns in a phase, `columns` in a step if these are so many, and keep all
        channels of their points if that are `held` numbers or fewer, else `block` channels at a
        time.
        """
        needed = -(-(self.length1 - 1) // 32)  # increments of a lane that one strip would need
        coarse = min(coarse, 1 << (needed - 1).bit_length())
        rows = min(rows, coarse << self.order1)
        row_order = min(self.order1, rows.bit_length() - 1)
        columns = min(columns, 1 << self.order2)
        steps, split = cells // columns, self.order2 + 1 - columns.bit_length()
        coarse = rows >> row_order
        points = coarse + self.of_points
        channels = self.channels if self.channels <= min(_IN_REGISTERS, held // points) else 0
        strips = -(-((self.length1 - 1) << self.order1) // (32 * rows))
        phases = -(-(((self.length2 - 1) << split) + 31) // steps)
        width = (self.length2 - 1) << self.order2
        sizes = split, coarse, points, strips, phases, width
        return Strip(channels, channels or block, rows, row_order, columns, steps, *sizes)

    def macros(self, strip: Strip) -> dict[str, int | str]:
        """Of a source."""
        return {
            "KIND": self.static_kernel,
            "GRID": int(self.grid),
            "CHANNELS": strip.channels,
            "BLOCK": strip.block,
            "ROWS": strip.rows,
            "ROW_ORDER": strip.row_order,
            "COLUMNS": strip.columns,
            "STEPS": strip.steps,
        }

    def args(self, gpu: Any, strip: Strip) -> tuple[Any, ...]:
        """What both kernels get after the number of the first pair."""
        whole = self.static_kernel == _POLYNOMIAL and self.p2 >= 0 and self.p2 == int(self.p2)
        parameters = [gpu.real(p) for p in (self.p0, self.p1, self.p2)]
        power = int(self.p2) if whole else -1
        sizes = self.count1, self.count2, self.length1, self.length2, self.channels
        scale = gpu.real(0.5 ** (self.order1 + self.order2))
        return (*sizes, self.order1, strip.split, *parameters, power, scale, int(self.symmetric))


def given(plan: Plan, order1: int, order2: int, grid: bool) -> Call:
    """A call with increments."""
    pairs, steps1, steps2 = plan.ints
    sizes = pairs, 1, 1, steps1 + 1, steps2 + 1, 0
    return Call(*sizes, order1, order2, _GIVEN, 1.0, 0.0, 0.0, False, grid)


def fill(gpu: Any, out: Any, value: float) -> None:
    """Write `value` everywhere."""
    size = math.prod(out.shape)
    blocks = min(-(-size // 256), 32 * gpu.processors)
    source = gpu.source("sig_kernel_fill.cu")
    gpu.launch(source, "sig_kernel_fill", (blocks,), (256,), (out, size, gpu.real(value)))


def warps_of(gpu: Any, pairs: int, strips: int, shared: int) -> int:
    """Warps of a block, each with `shared` bytes: more than one where there are few pairs."""
    wanted = -(-4 * _PER_SCHEDULER * gpu.processors // pairs)
    return int(max(1, min(wanted, strips, _WARPS, gpu.shared_memory // shared)))


def pairs_of_a_launch(pairs: int, size: int) -> int:
    """How many of `pairs` have room at a time, where each has `size` bytes of scratch memory."""
    return min(pairs, _GRID, max(1, _BYTES // max(1, size)))


def launch(gpu: Any, ins: Any, outs: Any, plan: Plan, *attrs: Any) -> None:
    """Signature kernels."""
    _launch(gpu, ins, outs, Call._make((*plan.ints, *attrs)))


def launch_increments(gpu: Any, ins: Any, outs: Any, plan: Plan, *attrs: Any) -> None:
    """Signature kernels of given increments."""
    _launch(gpu, (*ins, None), outs, given(plan, *attrs))


def _launch(gpu: Any, ins: Any, outs: Any, call: Call) -> None:
    if call.constant:
        fill(gpu, outs[0], 1.0)
        return
    size = gpu.itemsize
    rows = (64 if call.grid else 128) // size  # more addresses of nodes would spill
    strip = call.strip(rows, 4, 16 * min(4, 1 << call.order2), 320 // size, 8)
    entries = strip.steps + strip.points - strip.coarse
    shared = size * (entries * strip.points * 32 + 2 * strip.steps * strip.columns)
    row = strip.width if strip.strips > 1 else 0
    most = pairs_of_a_launch(call.pairs, row * size)
    warps = warps_of(gpu, min(call.active, most), strip.strips, shared)
    room = gpu.scratch((most * row,)) if row else None
    source = gpu.source("sig_kernel.cu", **call.macros(strip))
    args = call.args(gpu, strip)
    for first, pairs in gpu.launches(call.pairs, most):
        grid, block = (pairs,), (32 * warps,)
        gpu.launch(
            source, "sig_kernel", grid, block, (*ins, *outs, room, first, *args), warps * shared
        )


def launch_sums(
    gpu: Any, source: Any, call: Call, strip: Strip, grads: Any, outs: Any, first: int, pairs: int
) -> None:
    """Add the gradients of the pairs of a launch (goursat_vjp.cuh), but of given increments."""
    if call.static_kernel == _GIVEN:
        return
    linear = call.static_kernel == _LINEAR
    factor = gpu.real(call.p0 * 0.5 ** (call.order1 + call.order2) if linear else 1.0)
    rest = (
        (call.length1, call.channels, call.order1, strip.strips, factor, int(call.symmetric)),
        (call.length2, call.channels, int(call.symmetric)),
    )
    for i, points in enumerate(call.path_points):
        blocks = min(-(-points * call.channels // 256), 32 * gpu.processors)
        args = grads[i], outs[i], first, pairs, call.count1, call.count2, *rest[i]
        gpu.launch(source, f"sig_kernel_sum{i + 1}", (blocks,), (256,), args)


def scratch_of_pairs(
    gpu: Any, call: Call, pairs: int, sizes: tuple[int, ...], outs: Any
) -> list[Any]:
    """What a kernel of gradients gets of so many numbers for each pair, and None for none.

    The first are gradients; those of given increments are the result.
    """
    room = [gpu.scratch((pairs * size,)) if size else None for size in sizes]
    return [*outs, *room[1:]] if call.static_kernel == _GIVEN else room


def launch_vjp(gpu: Any, ins: Any, outs: Any, plan: Plan, *attrs: Any) -> None:
    """Their gradients."""
    _launch_vjp(gpu, ins, outs, Call._make((*plan.ints, *attrs)))


def launch_increments_vjp(gpu: Any, ins: Any, outs: Any, plan: Plan, *attrs: Any) -> None:
    """Gradients of signature kernels of given increments."""
    _launch_vjp(gpu, (*ins, None), outs, given(plan, *attrs))


def _launch_vjp(gpu: Any, ins: Any, outs: Any, call: Call) -> None:
    if call.constant:
        for out in outs:
            fill(gpu, out, 0.0)
        return
    strip = call.strip(32 // gpu.itemsize, 16 // gpu.itemsize, 16, 160 // gpu.itemsize, 4)
    entries = strip.steps + strip.points - strip.coarse
    shared = 2 * strip.steps * strip.columns + strip.steps * strip.block  # see the pointers there
    shared += 32 * entries * strip.points + 32 * strip.steps * strip.coarse * call.of_points
    shared += 32 * strip.steps * strip.columns * (strip.rows + 1)
    shared *= gpu.itemsize

    row = strip.strips * strip.width
    front = strip.phases * (strip.rows + 1 + strip.columns) * 32
    warps = warps_of(gpu, call.active, strip.strips, shared)
    sizes = *call.gradients(strip), row, warps * front
    most = pairs_of_a_launch(call.pairs, sum(sizes) * gpu.itemsize)
    room = scratch_of_pairs(gpu, call, most, sizes, outs)

    source = gpu.source("sig_kernel_vjp.cu", **call.macros(strip))
    args = call.args(gpu, strip)
    for first, pairs in gpu.launches(call.pairs, most):
        gpu.launch(
            source,
            "sig_kernel_vjp",
            (pairs,),
            (32 * warps,),
            (*ins, *room, first, *args),
            warps * shared,
        )
        launch_sums(gpu, source, call, strip, room[:2], outs, first, pairs)
