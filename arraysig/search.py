"""Method "auto" of signature kernels: pairs of paths go to the order that they need."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from ._core.namespace import (
    all_finite,
    concat,
    largest,
    machine_epsilon,
    positions,
    relative_change,
)

#: Order and fold of polynomial cells, in turn: `fold` gains most at low orders, and loses where
#: increments are so large that only high ones do.
LADDER = ((2, 2), (3, 2), (4, 2), (6, 2), (8, 2), (12, 2), (16, 0), (24, 0), (32, 0))

#: Units of rounding below which nobody tries to go.
_ROUNDING = 100

#: Where changes are below so many units of rounding, one that is not half of the one before is
#: rounding, which higher orders have too.
_NOISE = 1e4

#: To a lower order than this changes may happen not to fall where those to higher ones do.
_SETTLED = 8

#: Part of the tolerance that a single pair must meet: both orders may be off by nearly the same.
_SURE = 0.01

#: Of all pairs, those that may go on alone: their paths are laid side by side.
_ALONE = 0.6

#: Bytes of paths that are side by side.
_TILE_BYTES = 2**24


class Found(NamedTuple):
    """Kernels, the largest estimated error, the highest order with its fold, and if all is well.

    If not, the least of the largest errors of all orders.
    """

    kernels: Any
    error: float
    numbers: tuple[int, int]
    met: bool


def search(
    solve: Callable[..., Any],
    bar: Callable[[tuple[int, int], int], AbstractContextManager[Any]],
    one: Any,
    two: Any,
    symmetric: bool,
    tol: float,
) -> Found:
    """Kernels of all pairs in every group that another order changes by `tol` at most.

    ``solve(numbers, one, two, symmetric)`` are those of an order and a fold; `bar` shows progress.
    """
    epsilon = machine_epsilon(one)
    tol, noise = max(tol, _ROUNDING * epsilon), _NOISE * epsilon
    pairs = math.prod(one.shape[:-2]) * two.shape[-3]
    with bar(LADDER[0], pairs):
        kernels = solve(LADDER[0], one, two, symmetric)
    shape = kernels.shape
    if not pairs:
        return Found(kernels, 0.0, LADDER[1], True)

    def counts() -> Any:
        """Not where paths have points that are not finite, whose kernels have no value."""
        finite = all_finite(one, 2)[..., :, None] & all_finite(two, 2)[..., None, :]
        return finite.reshape(pairs, 1) if left is None else finite.reshape(pairs, 1)[left]

    kernels = kernels.reshape(pairs, -1)
    left = None  # those that go on alone
    last = least = math.inf
    for numbers in LADDER[1:]:
        with bar(numbers, pairs if left is None else left.shape[0]):
            if left is None:
                old, kernels = kernels, solve(numbers, one, two, symmetric).reshape(pairs, -1)
                change = relative_change(kernels, old, counts)
                del old
            else:
                new = _of_pairs(solve, numbers, one, two, left)
                change = relative_change(new, kernels[left], counts)
                kernels[left] = new
                if symmetric:
                    kernels[left % shape[1] * shape[1] + left // shape[1]] = new
        most = largest(change)
        rounding = numbers[0] >= _SETTLED and last < 2 * most <= 2 * noise
        if most <= tol or rounding:
            error = most if left is None else max(most, _SURE * tol)
            return Found(kernels.reshape(shape), error, numbers, True)
        last, least = most, min(least, most)
        more = positions(~(change <= _SURE * tol))
        if left is not None:
            left = left[more]
        elif more.shape[0] <= _ALONE * pairs:
            left = more[more // shape[1] <= more % shape[1]] if symmetric else more
    return Found(kernels.reshape(shape), least, LADDER[-1], False)


def _of_pairs(
    solve: Callable[..., Any], numbers: tuple[int, int], one: Any, two: Any, at: Any
) -> Any:
    """Kernels of the pairs `at`, counted through all groups."""
    rows, columns = one.shape[-3], two.shape[-3]
    first = at // (rows * columns) * rows + at // columns % rows
    second = at // (rows * columns) * columns + at % columns
    one, two = (path.reshape(-1, 1, *path.shape[-2:]) for path in (one, two))
    size = one.shape[-1] * (one.shape[-2] + two.shape[-2]) * one.itemsize
    step = max(1, _TILE_BYTES // size)
    tiles = []
    for k in range(0, at.shape[0], step):
        tile = one[first[k : k + step]], two[second[k : k + step]]
        tiles.append(solve(numbers, *tile, False).reshape(tile[0].shape[0], -1))
    return concat(tiles, 0)
