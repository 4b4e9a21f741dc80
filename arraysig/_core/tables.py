"""Tables of integers that kernels walk, made once from attributes of an op."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

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


class Prefixes(tuple[int, int, int, int, Table]):
    """Words, distinct non-empty prefixes, letters of the longest, numbers of H, and the table."""

    __slots__ = ()


def encoded(words: Sequence[Word]) -> tuple[int, ...]:
    """Words as integers, an attribute of the ops: each its length, then its letters."""
    return tuple([number for word in words for number in (len(word), *word)])


def all_words(channels: int, degree: int) -> tuple[int, ...]:
    """What `encoded` would give for all words of length 1 to `degree`, in short."""
    return (_ALL, channels, degree)


def tangent_words(numbers: tuple[int, ...], channels: int) -> tuple[int, ...]:
    """Every word once per letter, that letter raised by `channels`: derivatives, see `derive`."""
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
        letters = range(numbers[1])
        return [w for k in range(numbers[2]) for w in itertools.product(letters, repeat=k + 1)]
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


@functools.lru_cache(256)
def prefixes(numbers: tuple[int, ...], channels: int) -> Prefixes:
    """The distinct prefixes of words, shorter ones first; layout in coefficients.cu."""
    words = decoded(numbers)
    found = sorted({w[:k] for w in words for k in range(1, len(w) + 1)}, key=lambda w: (len(w), w))
    index = {prefix: i for i, prefix in enumerate(found)}
    parent = np.array([index.get(p[:-1], -1) for p in found], dtype=np.int64)
    height = np.zeros(len(found) + 1, dtype=np.int64)  # the last is that of the empty word
    for i in range(len(found) - 1, -1, -1):
        height[parent[i]] = max(height[parent[i]], height[i] + 1)
    longest = int(height[-1])
    own = longest + np.cumsum(height[:-1]) - height[:-1]  # H of the empty word comes first
    above = np.where(parent < 0, 0, own[parent] if len(found) else 0)
    letters = np.array([p[-1] for p in found], dtype=np.int64)
    lengths = np.array([len(p) for p in found], dtype=np.int64)
    table = np.concatenate(
        [
            np.stack([above, letters, height[:-1], own], axis=1).ravel(),
            np.array([index.get(w, -1) for w in words], dtype=np.int64),
            np.searchsorted(parent, np.arange(len(found)), "left"),
            np.searchsorted(parent, np.arange(len(found)), "right"),
            np.searchsorted(lengths, np.arange(1, longest + 2)),
            np.argsort(letters, kind="stable"),
            np.searchsorted(np.sort(letters), np.arange(channels + 1)),
        ]
    ).astype(np.int64)
    h_size = longest + int(height[:-1].sum())
    return Prefixes((len(words), len(found), longest, h_size, Table(table)))
