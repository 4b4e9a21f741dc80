"""Sparse matrices and sparse bilinear maps of integers, as tables that kernels walk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .tables import Table

#: What stands for a matrix or a bilinear map among the attributes of an op. The first number is its
#: kind; the last one of a matrix tells whether it is transposed, the last three of a bilinear map
#: which of its axes are the result and the two factors.
Key = tuple[int, ...]


class Sparse(NamedTuple):
    """A matrix of integers.

    Attributes
    ----------
    rows, columns : its shape
    table : where each row starts, with the end of the last one; columns of the entries; entries
    """

    rows: int
    columns: int
    table: Table


class Bilinear(NamedTuple):
    """A bilinear map of integers.

    Attributes
    ----------
    rows, first, second : numbers of the result and of both factors
    reach : so many of the first factor are used, the first ones
    table : where the entries of each row start, with the end of the last ones; of all entries the
        place in the first factor, then those in the second, -1 for the constant in front of a
        factor, then the entries
    """

    rows: int
    first: int
    second: int
    reach: int
    table: Table


def transposed(of: Key) -> Key:
    """The key of the transposed matrix."""
    return (*of[:-1], 1 - of[-1])


def adjoints(of: Key) -> tuple[Key, Key]:
    """Keys of the maps from the gradient and the second factor, and from the first factor and it.

    They give the gradients of the first and of the second factor.
    """
    *rest, result, first, second = of
    return (*rest, first, result, second), (*rest, second, first, result)


def _rows(entries: np.ndarray, rows: int) -> Table:
    """Entries as columns of indices and, at last, numbers; sorted by the first index."""
    entries = entries[:, np.lexsort(entries[-2::-1])]
    starts = np.searchsorted(entries[0], np.arange(rows + 1))
    return Table(np.concatenate([starts, *entries[1:]]).astype(np.int64))


def sparse_table(shape: tuple[int, int], entries: np.ndarray, is_transposed: bool) -> Sparse:
    """A matrix from its rows, columns, numbers."""
    if is_transposed:
        shape, entries = (shape[1], shape[0]), entries[[1, 0, 2]]
    return Sparse(*shape, _rows(entries, shape[0]))


def bilinear_table(sizes: Sequence[int], entries: np.ndarray, axes: Sequence[int]) -> Bilinear:
    """A bilinear map from the indices and numbers of its entries, for these axes."""
    entries = entries[[*axes, 3]]
    entries = entries[:, entries[0] >= 0]
    rows, first, second = [sizes[axis] for axis in axes]
    reach = int(entries[1].max(initial=-1)) + 1
    return Bilinear(rows, first, second, reach, _rows(entries, rows))
