"""Tables of integers that kernels walk, made once from attributes of an op."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
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
    """What kernels get of sums of words.

    Attributes
    ----------
    sums : how many
    nodes : distinct non-empty prefixes
    longest : letters of the longest
    h_size : numbers of H, see coefficients.cu
    table : address of the table
    """

    sums: int
    nodes: int
    longest: int
    h_size: int
    table: Table


# Which coefficients an op computes is an attribute, a tuple of integers. They are sums over words,
# of one word each unless said otherwise.


def encoded(words: Sequence[Word]) -> tuple[int, ...]:
    """Words one by one: each its length, then its letters."""
    return tuple([number for word in words for number in (len(word), *word)])


def all_words(
    letters: int,
    degree: int,
    empty: bool = False,
    blocks: int = 1,
    time: bool = False,
    apart: bool = False,
) -> tuple[int, ...]:
    """All words to length `degree`, in the order of signatures; the first may be the empty one.

    With `blocks` of 2 or more each stands for the sum over the ways to cut it into blocks of up to
    so many letters. Blocks of several letters are letters themselves: ``letters`` single ones, then
    the words of length 2, of length 3, and so on. With `time` there is one single letter more,
    which words have after the others, but blocks of several do not; it is the last letter. With
    `apart` nothing is summed: these are the words in blocks, in the order of `all_nodes`.
    """
    return (_ALL, letters, degree, int(empty), blocks, int(time), int(apart))


def all_nodes(letters: int, degree: int, blocks: int, time: bool) -> tuple[np.ndarray, np.ndarray]:
    """Of all words cut into blocks, which `all_words` sums: their parents, and last letters.

    They are in order of their blocks: fewer of them first, then lexicographic.
    """
    tree = _tree_of_all(letters, degree, False, blocks, time, True)
    return tree.parent, tree.letter


def has_more_nodes(most: int, letters: int, degree: int, blocks: int, time: bool) -> bool:
    """Whether `all_words` cut into blocks have more distinct prefixes than `most`.

    >>> [has_more_nodes(most, 1, 4, 1, False) for most in (3, 4)]
    [True, False]
    """
    counts, total = [1], 0
    for k in range(1, min(degree, most + 1) + 1):
        longer = [letters**b * counts[k - b] for b in range(1, min(blocks, k) + 1)]
        counts.append(sum(longer) + time * counts[k - 1])
        total += counts[k]
        if total > most:
            return True
    return False


def tangent_words(numbers: tuple[int, ...], channels: int) -> tuple[int, ...]:
    """For each word the sum over its letters of the word with that letter raised by `channels`."""
    return (_TANGENT, channels, *numbers)


_ALL, _TANGENT, FORMS = -1, -2, -3
#: Words that other modules know of, by the number that stands for them.
DECODERS: dict[int, Callable[[Sequence[int]], list[list[Word]]]] = {}


class _Tree(NamedTuple):
    """All prefixes, shorter ones first, those of one length in lexicographic order; and sums.

    Attributes
    ----------
    parent : of each prefix, without its last letter; -1 for the empty word
    letter : the last one of each prefix
    length : letters of each prefix
    terms : prefixes whose coefficients are summed, -1 for the empty word
    starts : where the terms of each sum start, and their number
    """

    parent: np.ndarray
    letter: np.ndarray
    length: np.ndarray
    terms: np.ndarray
    starts: np.ndarray


def _blocks(letters: int, blocks: int, time: bool) -> tuple[np.ndarray, np.ndarray]:
    """Length of each block, and the word that it is as a number."""
    base = letters + time
    lengths, values = [], []
    for b in range(1, blocks + 1):
        digits = np.indices((letters,) * b).reshape(b, -1)
        values.append(base ** np.arange(b - 1, -1, -1) @ digits)
        lengths.append(np.full(letters**b, b))
    if time:
        values.append(np.array([letters]))
        lengths.append(np.array([1]))
    return np.concatenate(lengths), np.concatenate(values)


def _tree_of_all(
    letters: int, degree: int, empty: bool, blocks: int, time: bool, apart: bool
) -> _Tree:
    size, value = _blocks(letters, blocks, time)
    base = letters + time
    before = np.cumsum([-1] + [base**k for k in range(degree + 1)])  # words that are shorter
    columns = [np.zeros((4, 0), dtype=np.int64)]
    parents = np.array([[-1], [0], [0]])  # prefix, letters of its word, and that word as a number
    nodes = 0
    while parents.size:
        parents = parents[:, parents[1] < degree]
        fitting = np.searchsorted(size[: len(size) - time], degree - parents[1], "right")
        count = fitting + time  # the letter of time fits always
        at = np.repeat(np.arange(len(count)), count)
        letter = np.arange(len(at)) - np.repeat(np.cumsum(count) - count, count)
        letter[letter == fitting[at]] = len(size) - 1
        length = parents[1][at] + size[letter]
        word = parents[2][at] * base ** size[letter] + value[letter]
        columns.append(
            np.stack(
                [parents[0][at], letter, np.full(len(at), len(columns)), before[length] + word]
            )
        )
        parents = np.stack([nodes + np.arange(len(at)), length, word])
        nodes += len(at)
    parent, letter, count, word = np.concatenate(columns, axis=1)
    if apart:
        word, before = np.arange(len(word)), np.array([len(word)])
    terms = np.argsort(word, kind="stable")
    starts = np.searchsorted(word[terms], np.arange(before[-1] + 1))
    if empty:
        terms, starts = np.insert(terms, 0, -1), np.insert(starts + 1, 0, 0)
    return _Tree(parent, letter, count, terms, starts)


def _words(tree: _Tree) -> list[Word]:
    """Every prefix as a word."""
    words: list[Word] = []
    for parent, letter in zip(tree.parent.tolist(), tree.letter.tolist(), strict=True):
        words.append((*(words[parent] if parent >= 0 else ()), letter))
    return [*words, ()]  # at last that of prefix -1


def decoded(numbers: Sequence[int]) -> list[list[Word]]:
    """The words of each sum that integers stand for.

    >>> decoded((2, 0, 1, 0, 1, 3))
    [[(0, 1)], [()], [(3,)]]
    >>> decoded(all_words(1, 3, blocks=2))
    [[(0,)], [(1,), (0, 0)], [(0, 1), (1, 0), (0, 0, 0)]]
    >>> decoded(tangent_words(all_words(1, 2), 1))
    [[(1,)], [(1, 0), (0, 1)]]
    """
    if numbers and numbers[0] == _ALL:
        tree = _tree(tuple(numbers))
        words = _words(tree)
        return [[words[i] for i in tree.terms[a:b]] for a, b in itertools.pairwise(tree.starts)]
    if numbers and numbers[0] == _TANGENT:
        channels, rest = numbers[1], decoded(numbers[2:])
        return [
            [(*w[:i], w[i] + channels, *w[i + 1 :]) for w in words for i in range(len(w))]
            for words in rest
        ]
    if numbers and numbers[0] in DECODERS:
        return DECODERS[numbers[0]](numbers[1:])
    sums, at = [], 0
    while at < len(numbers):
        end = at + 1 + numbers[at]
        sums.append([tuple(numbers[at + 1 : end])])
        at = end
    return sums


def _tree(numbers: tuple[int, ...]) -> _Tree:
    if numbers and numbers[0] == _ALL:
        letters, degree, empty, blocks, time, apart = numbers[1:]
        return _tree_of_all(letters, degree, bool(empty), blocks, bool(time), bool(apart))
    given = decoded(numbers)
    words = [word for terms in given for word in terms]
    found = sorted({w[:k] for w in words for k in range(1, len(w) + 1)}, key=lambda w: (len(w), w))
    index = {prefix: i for i, prefix in enumerate(found)}
    index[()] = -1
    columns = (
        [index[p[:-1]] for p in found],
        [p[-1] for p in found],
        [len(p) for p in found],
        [index[w] for w in words],
        [0, *itertools.accumulate(len(terms) for terms in given)],
    )
    return _Tree(*(np.array(column, dtype=np.int64) for column in columns))


@functools.lru_cache(256)
def prefixes(numbers: tuple[int, ...], channels: int) -> Prefixes:
    """The distinct prefixes of words; layout in coefficients.cu."""
    parent, letters, length, terms, sums = _tree(numbers)
    nodes, longest = len(parent), int(length.max(initial=0))
    starts = np.searchsorted(length, np.arange(1, longest + 2))
    height = np.zeros(nodes, dtype=np.int64)
    for k in range(longest - 1, 0, -1):
        level = slice(starts[k], starts[k + 1])
        np.maximum.at(height, parent[level], height[level] + 1)
    own = longest + np.cumsum(height) - height  # H of the empty word comes first
    above = np.zeros(nodes, dtype=np.int64)
    above[parent >= 0] = own[parent[parent >= 0]]
    by_prefix = np.argsort(terms, kind="stable")
    table = np.concatenate(
        [
            np.stack([above, letters, height, own], axis=1).ravel(),
            sums,
            terms,
            np.searchsorted(parent, np.arange(nodes), "left"),
            np.searchsorted(parent, np.arange(nodes), "right"),
            starts,
            np.argsort(letters, kind="stable"),
            np.searchsorted(np.sort(letters), np.arange(channels + 1)),
            np.searchsorted(sums, by_prefix, "right") - 1,
            np.searchsorted(np.sort(terms), np.arange(nodes + 1)),
        ]
    ).astype(np.int64)
    return Prefixes(len(sums) - 1, nodes, longest, longest + int(height.sum()), Table(table))
