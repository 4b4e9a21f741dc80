"""Host code of the CUDA kernels of `kernels.py`: sizes of strips, and pairs of a launch.

A block of one warp or more works on a pair; see ``goursat.cuh`` for strips, steps and phases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

_BYTES = 256 * 2**20  # of scratch memory in a call, unless one pair needs more
_GRID = 2**31 - 1
_WARPS = 8  # __launch_bounds__ of the kernels
_PER_SCHEDULER = 2  # warps that keep a scheduler busy
_IN_REGISTERS = 16  # the most channels of points that stay there
_LINEAR, _POLYNOMIAL, GIVEN = 0, 6, 7  # static kernels (static_kernel.cuh)


class Strip(NamedTuple):
    """Macros of ``goursat.cuh``, and what follows from them.

    Attributes
    ----------
    channels, block, rows, row_order, columns, steps : macros
    split : log2 of the steps of an increment
    coarse, points : increments and points of a lane in a column
    strips, phases : of a pair
    row : numbers that a row of a pair hands down
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
    row: int


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
        return self.static_kernel not in (_LINEAR, GIVEN)

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
        self, rows: int, coarse: int, cells: int, most: int, block: int, numbers: int = 0
    ) -> Strip:
        """The strips for lanes with at most `rows` rows and `coarse` increments.

        Lanes do `cells` columns in a phase. They hand down `numbers` numbers of each; if that is 0,
        one number, and do up to four of an increment in a step. They keep all channels of their
        points if that are `most` numbers or fewer, else `block` channels at a time.
        """
        needed = -(-(self.length1 - 1) // 32)  # increments of a lane that one strip would need
        coarse = min(coarse, 1 << (needed - 1).bit_length())
        rows = min(rows, coarse << self.order1)
        row_order = min(self.order1, rows.bit_length() - 1)
        columns = 1 if numbers else min(4, 1 << self.order2)
        steps, split = cells // columns, self.order2 + 1 - columns.bit_length()
        coarse = rows >> row_order
        points = coarse + self.of_points
        channels = self.channels if self.channels <= min(_IN_REGISTERS, most // points) else 0
        strips = -(-((self.length1 - 1) << self.order1) // (32 * rows))
        all_steps = (self.length2 - 1) << split
        phases = -(-(all_steps + 31) // steps)
        columns = numbers or columns
        sizes = split, coarse, points, strips, phases, all_steps * columns
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


class Cells(NamedTuple):
    """What a launch has to know of cells: names of pairs.cuh and pairs_backward.cuh.

    Attributes
    ----------
    strip : the strips
    macros : of the cells
    rows_shared : ROWS_SHARED
    room : ROOM or ROOM_VJP
    saved : SAVED
    held : HELD, of shared memory
    """

    strip: Strip
    macros: Mapping[str, int | str] = MappingProxyType({})
    rows_shared: bool = True
    room: int = 0
    saved: int = 0
    held: int = 0

    @property
    def rows(self) -> int:
        """Numbers of the rows of a phase of a warp."""
        return 2 * self.strip.steps * self.strip.columns

    @property
    def lanes(self) -> int:
        """Numbers of the lanes of a warp that are in memory, and those of its rows that are."""
        return 32 * self.room + self.rows * (not self.rows_shared)

    @property
    def shared(self) -> int:
        """Numbers of a warp in shared memory, without gradient."""
        strip = self.strip
        entries = strip.steps + strip.points - strip.coarse
        return 32 * entries * strip.points + self.rows * self.rows_shared

    def shared_vjp(self, of_points: bool) -> int:
        """With gradient."""
        strip = self.strip
        return (
            self.shared
            + strip.steps * strip.block
            + 32 * strip.steps * strip.coarse * of_points
            + 32 * self.held
        )


def fill(gpu: Any, out: Any, value: float) -> None:
    """Write `value` everywhere."""
    size = math.prod(out.shape)
    blocks = min(-(-size // 256), 32 * gpu.processors)
    source = gpu.source("sig_kernel_fill.cu")
    gpu.launch(source, "sig_kernel_fill", (blocks,), (256,), (out, size, gpu.real(value)))


def launch(gpu: Any, ins: Any, out: Any, call: Call, cells: Cells, file: str) -> None:
    """Signature kernels (pairs_forward.cuh)."""
    size, strip = gpu.itemsize, cells.strip
    row = strip.row if strip.strips > 1 else 0
    shared = size * cells.shared
    warps, most = _warps_and_pairs(gpu, call, strip, shared, row, cells.lanes)
    room = [_scratch(gpu, n) for n in (most * row, most * warps * cells.lanes)]
    source = gpu.source(file, **call.macros(strip), **cells.macros)
    args = call.args(gpu, strip)
    for first, pairs in gpu.launches(call.pairs, most):
        grid, block = (pairs,), (32 * warps,)
        arguments = *ins, out, *room, first, *args
        gpu.launch(source, "sig_kernel_pairs", grid, block, arguments, warps * shared)


def launch_vjp(gpu: Any, ins: Any, outs: Any, call: Call, cells: Cells, file: str) -> None:
    """Their gradients (pairs_backward.cuh)."""
    size, strip = gpu.itemsize, cells.strip
    shared = size * cells.shared_vjp(call.of_points)
    gradients = call.gradients(strip)
    row = strip.strips * strip.row
    saved = 32 * strip.phases * cells.saved
    alike = sum(gradients) + row
    warps, most = _warps_and_pairs(gpu, call, strip, shared, alike, saved + cells.lanes)
    given = call.static_kernel == GIVEN
    grads = [*outs, None] if given else [_scratch(gpu, most * n) for n in gradients]
    room = [_scratch(gpu, most * n) for n in (row, warps * saved, warps * cells.lanes)]
    source = gpu.source(file, **call.macros(strip), **cells.macros)
    args = call.args(gpu, strip)
    for first, pairs in gpu.launches(call.pairs, most):
        grid, block = (pairs,), (32 * warps,)
        arguments = *ins, *grads, *room, first, *args
        gpu.launch(source, "sig_kernel_pairs_vjp", grid, block, arguments, warps * shared)
        if not given:
            _launch_sums(gpu, source, call, strip, grads, outs, first, pairs)


def _scratch(gpu: Any, size: int) -> Any:
    """So many numbers, or None."""
    return gpu.scratch((size,)) if size else None


def _warps_and_pairs(
    gpu: Any, call: Call, strip: Strip, shared: int, of_pair: int, of_warp: int
) -> tuple[int, int]:
    """Warps of a block, with `shared` bytes each, and pairs of a launch.

    A pair needs `of_pair` numbers of scratch memory and `of_warp` for each warp. A block has more
    than one warp where there are few pairs.
    """
    most = _most_pairs(gpu, call, of_pair + of_warp)
    wanted = -(-4 * _PER_SCHEDULER * gpu.processors // min(call.active, most))
    warps = int(max(1, min(wanted, strip.strips, _WARPS, gpu.shared_memory // shared)))
    return warps, _most_pairs(gpu, call, of_pair + warps * of_warp)


def _most_pairs(gpu: Any, call: Call, size: int) -> int:
    """How many pairs have room at a time, where each has `size` numbers of scratch memory."""
    return min(call.pairs, _GRID, max(1, _BYTES // max(1, int(gpu.itemsize) * size)))


def _launch_sums(
    gpu: Any, source: Any, call: Call, strip: Strip, grads: Any, outs: Any, first: int, pairs: int
) -> None:
    """Add the gradients of the pairs of a launch (goursat_vjp.cuh)."""
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
