"""Tables of integers that kernels walk, made once from attributes of an op."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Word = tuple[int, ...]


class Table(int):
    """The address of an array of 64-bit integers, which it keeps alive."""

    array: np.ndarray

    def __new__(cls, array: np.ndarray) -> Table:
        """The table in `array`."""
        table = super().__new__(cls, array.ctypes.data)
        table.array = array
        return table


class Prefixes(NamedTuple):
    """What kernels get of a list of words.

    Attributes
    ----------
    words : how many
    nodes : distinct non-empty prefixes
    longest : letters of the longest
    h_size : numbers of H, see coefficients.inc.c
    table : address of the table
    """

    words: int
    nodes: int
    longest: int
    h_size: int
    table: Table


def encoded(words: Sequence[Word]) -> tuple[int, ...]:
    """Words as integers, an attribute of the ops: each its length, then its letters."""
    return tuple([number for word in words for number in (len(word), *word)])


def all_words(channels: int, degree: int, empty: bool = False) -> tuple[int, ...]:
    """What `encoded` would give for all words to length `degree`, in short."""
    return (_ALL, channels, degree, 0 if empty else 1)


def tangent_words(numbers: tuple[int, ...], channels: int) -> tuple[int, ...]:
    """Every word once per letter, that letter raised by `channels`: `_ops/coefficients.py`."""
    return (_TANGENT, channels, *numbers)


_ALL, _TANGENT = -1, -2


def decoded(numbers: Sequence[int]) -> list[Word]:
    """The words that integers stand for.

    >>> decoded((2, 0, 1, 0, 1, 3))
    [(0, 1), (), (3,)]
    >>> decoded(tangent_words(all_words(1, 2), 1))
    [(1,), (1, 0), (0, 1)]
    """
    if numbers and numbers[0] == _ALL:
        letters, levels = range(numbers[1]), range(numbers[3], numbers[2] + 1)
        return [word for k in levels for word in itertools.product(letters, repeat=k)]
    if numbers and numbers[0] == _TANGENT:
        channels, rest = numbers[1], decoded(numbers[2:])
        return [(*w[:i], w[i] + channels, *w[i + 1 :]) for w in rest for i in range(len(w))]
    words, at = [], 0
    while at < len(numbers):
        end = at + 1 + numbers[at]
        words.append(tuple(numbers[at + 1 : end]))
        at = end
    return words


@functools.lru_cache(256)
def lengths(numbers: tuple[int, ...]) -> list[tuple[int, int]]:
    """Runs of words of one length: that length, and how many there are."""
    runs = itertools.groupby(len(word) for word in decoded(numbers))
    return [(length, len(list(run))) for length, run in runs]


def _tree(numbers: tuple[int, ...]) -> tuple[np.ndarray, ...]:
    """Parent (-1 for the empty word), last letter and length of every prefix; prefix of each word.

    Shorter prefixes come first, those of one length in lexicographic order.
    """
    if numbers and numbers[0] == _ALL:
        channels, degree, least = numbers[1:]
        sizes = [channels**k for k in range(1, degree + 1)]
        before = [-1, *np.cumsum([0, *sizes]).tolist()]  # prefixes that are shorter than the parent
        words = [np.arange(size, dtype=np.int64) for size in sizes]
        parent = [before[k] + word // channels for k, word in enumerate(words)]
        letters = [word % channels for word in words]
        length = [np.full(size, k + 1) for k, size in enumerate(sizes)]
        chosen = np.arange(least - 1, sum(sizes), dtype=np.int64)
        none = [np.zeros(0, dtype=np.int64)]
        return (*(np.concatenate(none + x) for x in (parent, letters, length)), chosen)
    given = decoded(numbers)
    found = sorted({w[:k] for w in given for k in range(1, len(w) + 1)}, key=lambda w: (len(w), w))
    index = {prefix: i for i, prefix in enumerate(found)}
    columns = (
        [index.get(p[:-1], -1) for p in found],
        [p[-1] for p in found],
        [len(p) for p in found],
        [index.get(w, -1) for w in given],
    )
    return tuple(np.array(column, dtype=np.int64) for column in columns)


@functools.lru_cache(256)
def prefixes(numbers: tuple[int, ...], channels: int) -> Prefixes:
    """The distinct prefixes of words; layout in coefficients.cu."""
    parent, letters, length, chosen = _tree(numbers)
    nodes, longest = len(parent), int(length.max(initial=0))
    starts = np.searchsorted(length, np.arange(1, longest + 2))
    height = np.zeros(nodes, dtype=np.int64)
    for k in range(longest - 1, 0, -1):
        level = slice(starts[k], starts[k + 1])
        np.maximum.at(height, parent[level], height[level] + 1)
    own = longest + np.cumsum(height) - height  # H of the empty word comes first
    above = np.zeros(nodes, dtype=np.int64)
    above[parent >= 0] = own[parent[parent >= 0]]
    table = np.concatenate(
        [
            np.stack([above, letters, height, own], axis=1).ravel(),
            chosen,
            np.searchsorted(parent, np.arange(nodes), "left"),
            np.searchsorted(parent, np.arange(nodes), "right"),
            starts,
            np.argsort(letters, kind="stable"),
            np.searchsorted(np.sort(letters), np.arange(channels + 1)),
            np.argsort(chosen, kind="stable"),
            np.searchsorted(np.sort(chosen), np.arange(nodes + 1)),
        ]
    ).astype(np.int64)
    return Prefixes(len(chosen), nodes, longest, longest + int(height.sum()), Table(table))
