"""Signature kernels whose static kernels users wrote: increments in tiles of pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from ._core import check, progress
from ._core.namespace import (
    broadcast_to,
    depends,
    differentiable,
    recording,
    transforming,
    zeros,
)
from ._ops.kernels import Rows
from .static_kernels import Context, StaticKernel

#: Numbers of increments and points in a tile, unless one pair has more.
_TILE = 2**21


class Tile(NamedTuple):
    """Pairs that go together: of `groups`, paths `rows` with paths `columns`.

    With `mirrored` they count for pairs the other way round, too.
    """

    groups: slice
    rows: slice
    columns: slice
    mirrored: bool


def _tiles(groups: int, count1: int, count2: int, most: int, symmetric: bool) -> Iterator[Tile]:
    """All pairs, at most `most` to a tile; with `symmetric` those above the diagonal, mostly."""
    if symmetric:
        rows = columns = max(1, math.isqrt(most))
    else:
        columns = max(1, min(count2, most))
        rows = max(1, min(count1, most // columns))
    together = most // (rows * columns)  # 1 unless there are few pairs in a group
    for g in range(0, groups, together):
        for i in range(0, count1, rows):
            for j in range(i if symmetric else 0, count2, columns):
                yield Tile(
                    slice(g, min(g + together, groups)),
                    slice(i, min(i + rows, count1)),
                    slice(j, min(j + columns, count2)),
                    symmetric and j > i,
                )


class UserKernel(NamedTuple):
    """A call with a static kernel that a user wrote.

    Attributes
    ----------
    function : public function, for messages
    static_kernel : the user's object
    rows, numbers : the scheme
    grid : whether all nodes are wanted
    n_jobs : CPU threads
    max_batch : -1, or the root of the number of pairs in a tile
    """

    function: str
    static_kernel: StaticKernel
    rows: Rows
    numbers: tuple[int, ...]
    grid: bool
    n_jobs: int
    max_batch: int

    def kernel(self, one: Any, two: Any, symmetric: bool) -> Any:
        """Of all pairs in every group, as the op of paths does it; differentiable in Torch."""
        if transforming(one) and min(one.shape[-2], two.shape[-2]) > 1:
            # Below, transforms are undone, and nothing tells what the object holds.
            x, y = (zeros(a, (1, *a.shape[-2:])) for a in (one, two))
            self._call(Context(), x, y, True)
        recorded = recording(one)
        return differentiable(
            lambda one, two: self._kernel(one, two, symmetric, recorded),
            lambda wanted, grad, one, two: self.gradients(grad, one, two, symmetric, wanted),
            one,
            two,
        )

    def _kernel(self, one: Any, two: Any, symmetric: bool, recorded: bool) -> Any:
        batch = one.shape[:-2]
        one, two = _grouped(one), _grouped(two)
        shape = (*one.shape[:2], two.shape[1], one.shape[2] - 1, two.shape[2] - 1)
        plan = self.rows.of_increments.plan(shape, *self.numbers, self.grid, self.n_jobs)
        result = zeros(one, plan.outs[0].shape)
        for tile in self._tiles(one, two, symmetric):
            _, increments, sizes = self._increments(tile, one, two, recorded)
            values = self.rows.of_increments(increments, *self.numbers, self.grid, self.n_jobs)
            values = values.reshape(*sizes, *values.shape[1:])
            result[tile[:3]] = values
            if tile.mirrored:
                result[tile.groups, tile.columns, tile.rows] = values.swapaxes(1, 2)
                progress.advance(math.prod(sizes))
        return result.reshape(*batch, *result.shape[2:])

    def gradients(
        self, grad: Any, one: Any, two: Any, symmetric: bool, wanted: tuple[bool, bool]
    ) -> tuple[Any, Any]:
        """With respect to paths, None where not wanted; of `symmetric` ones the sum is right."""
        shapes = one.shape, two.shape
        one, two = _grouped(one), _grouped(two)
        counts = (*one.shape[:2], two.shape[1])
        grad = grad.reshape(*counts, *grad.shape[len(shapes[0]) - 1 :])
        dx, dy = (
            zeros(a, a.shape) if want else None for a, want in zip((one, two), wanted, strict=True)
        )
        for tile in self._tiles(one, two, symmetric):
            ctx, increments, sizes = self._increments(tile, one, two, False)
            if 0 in increments.shape:
                continue
            of_values = grad[tile[:3]]
            if tile.mirrored:
                of_values = of_values + grad[tile.groups, tile.columns, tile.rows].swapaxes(1, 2)
            of_values = of_values.reshape(math.prod(sizes), *of_values.shape[3:])
            derivs = self.rows.of_increments_vjp(
                of_values, increments, *self.numbers, self.grid, self.n_jobs
            )
            if dx is not None:
                shape = (derivs.shape[0], *one.shape[2:])
                of_x = self._checked("grad_x", self.static_kernel.grad_x(ctx, derivs), one, shape)
                dx[tile.groups, tile.rows] += of_x.reshape(*sizes, *shape[1:]).sum(2)
            if dy is not None:
                shape = (derivs.shape[0], *two.shape[2:])
                of_y = self._checked("grad_y", self.static_kernel.grad_y(ctx, derivs), two, shape)
                dy[tile.groups, tile.columns] += of_y.reshape(*sizes, *shape[1:]).sum(1)
        return (
            None if dx is None else dx.reshape(shapes[0]),
            None if dy is None else dy.reshape(shapes[1]),
        )

    def _tiles(self, one: Any, two: Any, symmetric: bool) -> Iterator[Tile]:
        groups, count1, length1, channels = one.shape
        _, count2, length2, _ = two.shape
        most = self.max_batch**2
        if self.max_batch < 0:
            most = max(1, _TILE // (length1 * length2 + (length1 + length2) * channels))
        return _tiles(groups, count1, count2, most, symmetric)

    def _increments(
        self, tile: Tile, one: Any, two: Any, recorded: bool
    ) -> tuple[Context, Any, tuple[int, ...]]:
        """Of a tile, a context that remembers it, and numbers of groups, rows and columns."""
        x = one[tile.groups, tile.rows][:, :, None]
        y = two[tile.groups, tile.columns][:, None]
        sizes = x.shape[0], x.shape[1], y.shape[2]
        pairs = math.prod(sizes)
        x, y = (
            broadcast_to(a, (*sizes, *a.shape[3:])).reshape(pairs, *a.shape[3:]) for a in (x, y)
        )
        shape = pairs, x.shape[1] - 1, y.shape[1] - 1
        ctx = Context()
        if 0 in shape:
            return ctx, zeros(one, shape), sizes
        increments = self._call(ctx, x, y, recorded)
        return ctx, self._checked("__call__", increments, one, shape), sizes

    def _call(self, ctx: Context, x: Any, y: Any, recorded: bool) -> Any:
        """Of the user's object; refused where that has a derivative but for those of paths."""
        if not recorded:
            return self.static_kernel(ctx, x, y)
        increments, refused = depends(lambda x, y: self.static_kernel(ctx, x, y), x, y)
        if refused:
            raise NotImplementedError(
                f"{self.function}: derivatives with respect to what `static_kernel` holds are not "
                f"computed, got {self.static_kernel!r} with a tensor that requires grad; detach it"
            )
        return increments

    def _checked(self, method: str, result: Any, like: Any, shape: tuple[int, ...]) -> Any:
        return check.result(self.function, f"static_kernel.{method}", result, like, shape)


def _grouped(path: Any) -> Any:
    """All leading axes but the last as one."""
    *groups, count, length, channels = path.shape
    return path.reshape(math.prod(groups), count, length, channels)
