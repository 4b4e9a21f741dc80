"""The free Lie algebra: Lyndon words, their brackets, and tables that change bases."""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from . import store
from .sparse import Key, Sparse, sparse_table, transposed
from .tables import Table, Word


def lyndon(alphabet_size: int, max_length: int) -> list[Word]:
    """Lyndon words up to a length, in lexicographic order (Duval's algorithm)."""
    found, word = [], [-1]
    while word and max_length:
        word[-1] += 1
        found.append(tuple(word))
        period = len(word)
        while len(word) < max_length:
            word.append(word[-period])
        while word and word[-1] == alphabet_size - 1:
            word.pop()
    return found


def by_length(alphabet_size: int, max_length: int) -> list[Word]:
    """The same by length, then in lexicographic order."""
    return sorted(lyndon(alphabet_size, max_length), key=lambda word: (len(word), word))


def factors(words: list[Word]) -> dict[Word, tuple[Word, Word]]:
    """For those of several letters u and v of w = uv: v is the longest Lyndon word that ends w.

    `words` are all Lyndon words up to some length, shorter ones first.
    """
    seen = set()
    pairs = {}
    for word in words:
        if len(word) > 1:
            cut = next(i for i in range(1, len(word)) if word[i:] in seen)
            pairs[word] = word[:cut], word[cut:]
        seen.add(word)
    return pairs


#: Matrices between tensors without scalar term and numbers for each Lyndon word: coefficients of
#: these words; coordinates in the basis of their brackets, from tensors or from coefficients;
#: tensors from coordinates.
COEFFICIENTS, COORDINATES, SOLVE, EXPAND = range(4)


def key(kind: int, channels: int, degree: int) -> Key:
    """What stands for a matrix among the attributes of an op."""
    return kind, channels, degree, 0


class _Brackets(NamedTuple):
    """Of all Lyndon words, in order: entries of matrices, as (row, column, number) each.

    Attributes
    ----------
    expansion : rows are positions in a tensor, columns Lyndon words
    solution : from coefficients of Lyndon words to coordinates
    """

    expansion: np.ndarray
    solution: np.ndarray


#: By channels and degree: who makes tables of these has the lock.
_locks: dict[tuple[int, int], threading.Lock] = {}
#: Read from files, until they are in the cache below; of sizes whose lock is held.
_read: dict[tuple[int, int], _Brackets] = {}


def _in_forked_child() -> None:
    # The threads that hold locks, or are about to take what they have read, are not in the child.
    _locks.clear()
    _read.clear()


os.register_at_fork(after_in_child=_in_forked_child)


def _lock(channels: int, degree: int) -> threading.Lock:
    return _locks.setdefault((channels, degree), threading.Lock())


def _combined(words: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A polynomial with every word once."""
    found, where = np.unique(words, return_inverse=True)
    sums = np.zeros(len(found), dtype=np.int64)
    np.add.at(sums, where, numbers)
    return found[sums != 0], sums[sums != 0]


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Of a lower triangular matrix of integers with ones on the diagonal."""
    inverse = np.eye(len(matrix), dtype=np.int64)
    for i in range(1, len(matrix)):
        inverse[i, :i] = -matrix[i, :i] @ inverse[:i, :i]
    return inverse


def solution(classes: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Entries of the inverse of the matrix of coefficients of Lyndon words in their brackets.

    `of` are those of the matrix, and `classes` tells for each word which letters it has; between
    words of different ones there are no entries: it is inverted class by class.
    """
    if not len(classes):  # of degree 0
        return np.zeros((3, 0), dtype=np.int64)
    order = np.argsort(classes, kind="stable")  # words of a class stay in their order
    starts = np.flatnonzero(np.diff(classes[order], prepend=-1))
    place = np.empty(len(classes), dtype=np.int64)
    ends = np.append(starts[1:], len(classes))
    for start, end in zip(starts, ends, strict=True):
        place[order[start:end]] = np.arange(end - start)
    by_class = np.argsort(classes[of[1]], kind="stable")
    of = of[:, by_class]
    bounds = (
        np.searchsorted(classes[of[1]], classes[order[starts]]),
        np.searchsorted(classes[of[1]], classes[order[starts]], "right"),
    )
    parts = []
    for start, end, a, b in zip(starts, ends, *bounds, strict=True):
        members = order[start:end]
        matrix = np.zeros((end - start, end - start), dtype=np.int64)
        matrix[place[of[0, a:b]], place[of[1, a:b]]] = of[2, a:b]
        inverse = _inverse(matrix)
        rows, columns = np.nonzero(inverse)
        parts.append(np.stack([members[rows], members[columns], inverse[rows, columns]]))
    return np.concatenate(parts, axis=1)


def _positions(channels: int, degree: int) -> np.ndarray:
    """Where Lyndon words stand in a tensor without scalar term."""
    words = by_length(channels, degree)
    before = np.cumsum([0, *(channels**k for k in range(1, degree + 1))])
    found = [
        before[len(word) - 1] + sum(letter * channels**i for i, letter in enumerate(reversed(word)))
        for word in words
    ]
    return np.array(found, dtype=np.int64)


def _made(channels: int, degree: int) -> _Brackets:
    words = by_length(channels, degree)
    pairs = factors(words)
    polynomials: dict[Word, tuple[np.ndarray, np.ndarray]] = {}
    before, count = 0, 0
    expansions, solutions = [], []
    for length in range(1, degree + 1):
        level = [word for word in words if len(word) == length]
        letters = np.array(level, dtype=np.int64).reshape(len(level), length)
        numbers = letters @ channels ** np.arange(length - 1, -1, -1, dtype=np.int64)
        for word, number in zip(level, numbers, strict=True):
            if length == 1:
                polynomials[word] = np.array([number]), np.array([1])
                continue
            u, v = pairs[word]
            (head, a), (tail, b) = polynomials[u], polynomials[v]
            both = [
                (head[:, None] * channels ** len(v) + tail).ravel(),
                (tail[:, None] * channels ** len(u) + head).ravel(),
            ]
            weights = [np.outer(a, b).ravel(), -np.outer(b, a).ravel()]
            polynomials[word] = _combined(np.concatenate(both), np.concatenate(weights))
        of_level = [polynomials[word] for word in level]
        columns = np.repeat(np.arange(len(level)), [len(p) for p, _ in of_level])
        empty = [np.zeros(0, dtype=np.int64)]
        rows = np.concatenate([*empty, *(p for p, _ in of_level)])
        entries = np.concatenate([*empty, *(c for _, c in of_level)])
        expansions.append(np.stack([before + rows, count + columns, entries]))
        at = np.searchsorted(numbers, rows)
        at[at == len(numbers)] = 0
        is_lyndon = numbers[at] == rows if len(level) else np.zeros(0, dtype=bool)
        triangle = np.stack([at, columns, entries])[:, is_lyndon]
        _, classes = np.unique(np.sort(letters, axis=1), axis=0, return_inverse=True)
        if len(level):
            found = solution(classes.ravel(), triangle)
            solutions.append(found + np.array([[count], [count], [0]]))
        before, count = before + channels**length, count + len(level)
    none = np.zeros((3, 0), dtype=np.int64)
    return _Brackets(
        np.concatenate([none, *expansions], axis=1),
        np.concatenate([none, *solutions], axis=1),
    )


@functools.lru_cache(8)
def _brackets(channels: int, degree: int) -> _Brackets:
    found = _read.get((channels, degree))
    return _made(channels, degree) if found is None else found


def _from_file(channels: int, degree: int) -> _Brackets | None:
    """What is in a file, if kernels can walk it: it may be anyone's."""
    arrays = store.read("lyndon", channels, degree)
    if arrays is None or len(arrays) != 2:
        return None
    words = len(by_length(channels, degree))
    tensor = sum(channels**k for k in range(1, degree + 1))
    for array, rows in zip(arrays, (tensor, words), strict=True):
        if len(array) != 3 or array[:2].min(initial=0) < 0:
            return None
        if (array[:2].max(axis=1, initial=0) >= [rows, words]).any():
            return None
    return _Brackets(*arrays)


def _kept(channels: int, degree: int) -> OSError | None:
    """Make or read brackets, and have them in a file; returns what prevented the latter."""
    size = channels, degree
    with _lock(*size):
        found = _from_file(*size)
        if found is None:
            made = _brackets(*size)
            try:
                store.write("lyndon", *size, made)
            except OSError as error:
                return error
        else:
            _read[size] = found
            try:
                _brackets(*size)
            finally:
                del _read[size]
    return None


@functools.lru_cache(64)
def _matrix(of: Key) -> Sparse:
    kind, channels, degree, is_transposed = of
    position = _positions(channels, degree)  # brackets, of many terms, are for coordinates only
    words, tensor = len(position), sum(channels**k for k in range(1, degree + 1))
    if kind == COEFFICIENTS:
        each = np.arange(words)
        shape, entries = (words, tensor), np.stack([each, position, np.ones_like(each)])
    elif kind == EXPAND:
        shape, entries = (tensor, words), _brackets(channels, degree).expansion
    else:
        shape, entries = (words, words), _brackets(channels, degree).solution
        if kind == COORDINATES:
            shape = words, tensor
            entries = np.stack([entries[0], position[entries[1]], entries[2]])
    return sparse_table(shape, entries, bool(is_transposed))


def matrix(of: Key) -> Sparse:
    """The matrix that a key stands for; made once, by one thread."""
    _, channels, degree, _ = of
    with _lock(channels, degree):
        return _matrix(of)


#: Pairs of brackets up to which the products of all of them are worth a table.
_MOST_PAIRS = 2**12


def structure(channels: int, degree: int) -> Table | None:
    """Structure constants of brackets of Lyndon words; None above degree 4, or for very many.

    For brackets of words of lengths 1 and 1, then 1 and 2, 1 and 3, 2 and 2: of each word of the
    sum of these lengths, in order, how many pairs i < j have [b_i, b_j] with its bracket, and how
    many have it with a minus; then these pairs. They repeat where there are multiples.
    """
    if degree > 4:
        return None
    one, two, three = (channels**k // k for k in (1, 2, 3))  # about as many of each length
    if [0, 0, one**2 // 2, one * two, one * three + two**2 // 2][degree] > _MOST_PAIRS:
        return None
    with _lock(channels, degree):
        return _structure(channels, degree)


@functools.lru_cache(16)
def _structure(channels: int, degree: int) -> Table:
    words = by_length(channels, degree)
    lengths = np.array([len(word) for word in words])
    position = {p: i for i, p in enumerate(_positions(channels, degree).tolist())}
    before = [0, *itertools.accumulate(channels**k for k in range(1, degree + 1))]
    polynomials: list[dict[int, int]] = [{} for _ in words]
    brackets = _brackets(channels, degree)
    for row, column, number in brackets.expansion.T.tolist():
        polynomials[column][row - before[len(words[column]) - 1]] = number
    columns: list[list[tuple[int, int]]] = [[] for _ in words]
    for row, column, number in brackets.solution.T.tolist():
        columns[column].append((row, number))
    table: list[int] = []
    for a, b in ((1, 1), (1, 2), (1, 3), (2, 2)):
        if a + b > degree:
            continue
        terms: dict[int, tuple[list[int], list[int]]] = {
            k: ([], []) for k in np.flatnonzero(lengths == a + b).tolist()
        }
        for i, j in itertools.product(np.flatnonzero(lengths == a), np.flatnonzero(lengths == b)):
            if i >= j:
                continue
            found: dict[int, int] = {}
            both = itertools.product(polynomials[i].items(), polynomials[j].items())
            for (u, x), (v, y) in both:
                for word, entry in ((u * channels**b + v, x * y), (v * channels**a + u, -x * y)):
                    index = position.get(before[a + b - 1] + word)
                    for row, number in [] if index is None else columns[index]:
                        found[row] = found.get(row, 0) + entry * number
            for k, number in found.items():
                terms[k][number < 0].extend([int(i), int(j)] * abs(number))
        for plus, minus in terms.values():
            table += [len(plus) // 2, len(minus) // 2, *plus, *minus]
    return Table(np.array(table, dtype=np.int64))


def prepare(kinds: Sequence[int], channels: int, degree: int, use_disk: bool) -> OSError | None:
    """Make matrices and their transposes, with `use_disk` from what is in a file.

    With coordinates go structure constants, of which only products of coordinates are made.

    Returns what prevented that there is a file now.
    """
    failure = _kept(channels, degree) if use_disk and kinds else None
    for kind in kinds:
        of = key(kind, channels, degree)
        matrix(of)
        matrix(transposed(of))
    if COORDINATES in kinds:
        structure(channels, degree)
    return failure


def forget() -> None:
    """Drop all tables that nobody uses."""
    _matrix.cache_clear()
    _structure.cache_clear()
    _brackets.cache_clear()
