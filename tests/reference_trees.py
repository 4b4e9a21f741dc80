"""Slow definitions of what has to do with trees, in any exact or floating type.

A tree is a tuple: its children, then the label of its root. A forest is a tuple of trees. Where
they are not planar, children and the trees of a forest have no order. A functional is an array of
its values on all forests of up to `degree` nodes, the empty one first.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import reference

Tree = tuple[Any, ...]
Forest = tuple[Tree, ...]
Sum = Counter[tuple[Forest, Forest]]


def nodes(forest: Forest) -> int:
    """Nodes of all trees of a forest together."""
    return sum(1 + nodes(tree[:-1]) for tree in forest)


def without_order(forest: Forest) -> Forest:
    """The same for all forests that differ in the order of trees and of children."""
    return tuple(sorted(((*without_order(t[:-1]), t[-1]) for t in forest), key=repr))


# ---- Enumeration --------------------------------------------------------------------------------


def _chosen(trees: Sequence[Tree], size: int, planar: bool, first: int = 0) -> Iterator[Forest]:
    """Forests of `size` nodes, in lexicographic order of the indices of their trees."""
    if size == 0:
        yield ()
    for i in range(first, len(trees)):
        rest = size - nodes((trees[i],))
        for others in _chosen(trees, rest, planar, 0 if planar else i) if rest >= 0 else ():
            yield (trees[i], *others)


@functools.cache
def trees_up_to(labels: int, degree: int, planar: bool) -> tuple[Tree, ...]:
    """All trees: by nodes, then by the indices of the children, then by the label of the root."""
    if degree == 0:
        return ()
    smaller = trees_up_to(labels, degree - 1, planar)
    above = _chosen(smaller, degree - 1, planar)
    return (*smaller, *((*forest, label) for forest in above for label in range(labels)))


@functools.cache
def forests_up_to(labels: int, degree: int, planar: bool) -> tuple[Forest, ...]:
    """All forests, the empty one first."""
    trees = trees_up_to(labels, degree, planar)
    return tuple(f for size in range(degree + 1) for f in _chosen(trees, size, planar))


def elements(labels: int, degree: int, planar: bool) -> tuple[Any, ...]:
    """What coefficients belong to: trees, if they are planar forests."""
    if planar:
        return forests_up_to(labels, degree, True)[1:]
    return trees_up_to(labels, degree, False)


# ---- Coproducts ---------------------------------------------------------------------------------


def shuffles(one: Forest, two: Forest) -> list[Forest]:
    """All ways to interleave two ordered forests, with repetitions."""
    if not one or not two:
        return [one + two]
    last = [(*forest, one[-1]) for forest in shuffles(one[:-1], two)]
    return last + [(*forest, two[-1]) for forest in shuffles(one, two[:-1])]


def cuts(tree: Tree) -> Iterator[tuple[Forest, Forest]]:
    """Admissible cuts: the branches that fall, and what is left; nothing if the root falls."""
    yield (tree,), ()
    for choice in itertools.product(*(list(cuts(child)) for child in tree[:-1])):
        fallen = tuple(itertools.chain(*(pruned for pruned, _ in choice)))
        left = itertools.chain(*(trunk for _, trunk in choice))
        yield fallen, ((*left, tree[-1]),)


def coproduct(forest: Forest, planar: bool) -> Sum:
    """How often each pair of what is pruned and the trunk occurs."""
    found: Sum = Counter()
    if not planar:  # a product of those of the trees
        for choice in itertools.product(*(list(cuts(tree)) for tree in forest)):
            pruned = tuple(itertools.chain(*(part for part, _ in choice)))
            trunk = tuple(itertools.chain(*(part for _, part in choice)))
            found[without_order(pruned), without_order(trunk)] += 1
        return found
    found[forest, ()] += 1
    if forest:
        *others, (*children, root) = forest
        before, above = coproduct(tuple(others), True), coproduct(tuple(children), True)
        for ((p, r), m), ((q, s), n) in itertools.product(before.items(), above.items()):
            for pruned in shuffles(p, q):
                found[pruned, (*r, (*s, root))] += m * n
    return found


# ---- Functionals --------------------------------------------------------------------------------


class Hopf(NamedTuple):
    """All that functionals need.

    Attributes
    ----------
    place : of each forest among all, in the form of `without_order` if they are not planar
    basis : places of the elements that coefficients belong to
    factors : of each forest, which elements it is the product of
    terms : of all coproducts: places of what they are of, of both factors, and how often
    """

    place: dict[Forest, int]
    basis: list[int]
    factors: list[list[int]]
    terms: np.ndarray


@functools.cache
def hopf(labels: int, degree: int, planar: bool) -> Hopf:
    """The Hopf algebra of forests of up to `degree` nodes."""
    forests = forests_up_to(labels, degree, planar)
    if not planar:
        forests = tuple(map(without_order, forests))
    place = {forest: i for i, forest in enumerate(forests)}
    assert len(place) == len(forests)
    trees = [] if planar else [(tree,) for tree in elements(labels, degree, False)]
    index = {without_order(tree): i for i, tree in enumerate(trees)}
    return Hopf(
        place,
        [place[without_order(tree)] for tree in trees] if trees else list(range(1, len(forests))),
        [[index[(tree,)] for tree in forest] for forest in forests] if trees else [],
        np.array(
            [
                (i, place[pruned], place[trunk], count)
                for i, forest in enumerate(forests)
                for (pruned, trunk), count in coproduct(forest, planar).items()
            ]
        ).T,
    )


def functional(numbers: np.ndarray, size: tuple[int, int, bool], scalar: int = 1) -> np.ndarray:
    """What has these values on the basis; multiplicative, where that are trees only."""
    *_, planar = size
    values = [scalar, *numbers]
    if not planar and len(numbers):
        values = [math.prod(numbers[i] for i in factors) for factors in hopf(*size).factors]
    return np.array(values, dtype=numbers.dtype)


def product(f: np.ndarray, g: np.ndarray, size: tuple[int, int, bool]) -> np.ndarray:
    """The convolution product: f on what is pruned, times g on the trunk."""
    to, first, second, count = hopf(*size).terms
    result = np.zeros(len(f), dtype=f.dtype)
    np.add.at(result, to, count * f[first] * g[second])
    return result


def _series(f: np.ndarray, size: tuple[int, int, bool], divisor: Any) -> np.ndarray:
    """Sum of f^k / divisor(k), over k = 1 .. degree."""
    power, total = f, f
    for k in range(2, size[1] + 1):
        power = product(power, f, size)
        total = total + power / divisor(k)
    return total


def exponential(f: np.ndarray, size: tuple[int, int, bool]) -> np.ndarray:
    """Exp of a functional that is 0 on the empty forest."""
    result = _series(f, size, math.factorial).copy()
    result[0] = 1
    return result


def logarithm(numbers: np.ndarray, size: tuple[int, int, bool]) -> np.ndarray:
    """Log of a functional that is 1 on the empty forest, in and out by values on the basis."""
    less_one = functional(numbers, size)
    less_one[0] = 0
    return _series(less_one, size, lambda k: k * (-1) ** (k + 1))[hopf(*size).basis]


def chain(labels: Sequence[int]) -> Tree:
    """The tree without branches whose root has the first label, and whose leaf has the last."""
    tree: tuple[Any, ...] = ()
    for label in reversed(labels):
        tree = (tree, label) if tree else (label,)
    return tree


def logarithm_of_segment(
    increment: np.ndarray, row: np.ndarray, dimension: int, size: tuple[int, int, bool]
) -> np.ndarray:
    """The increment on leaves, a row of a correction on chains, and 0 elsewhere."""
    place = hopf(*size).place
    result = np.zeros(len(place), dtype=increment.dtype)
    if size[1]:
        for label, number in enumerate(increment):
            result[place[((label,),)]] = number
    for level in range(2, size[1] + 1 if len(row) else 0):
        words = itertools.product(range(dimension), repeat=level)
        for word, number in zip(words, row, strict=False):  # or row is at its end
            result[place[(chain(word),)]] = number
        row = row[dimension**level :]
    return result


def branched_signature(
    path: np.ndarray,
    degree: int,
    *,
    planar: bool = False,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: Any = 1,
    scalar_term: bool = False,
    correction: np.ndarray | None = None,
) -> np.ndarray:
    """exp(l_1) * ... * exp(l_m) of one path (length, dimension)."""
    dimension = path.shape[1]
    path = reference.augment(path, time_aug, lead_lag, end_time)
    size = path.shape[1], degree, planar
    total = np.zeros(len(hopf(*size).place), dtype=path.dtype)
    total[0] = 1
    for t, increment in enumerate(path[1:] - path[:-1]):
        row = path[:0, 0]
        if correction is not None:
            row = correction[t] if correction.ndim > 1 else correction
        segment = logarithm_of_segment(increment, row, dimension, size)
        total = product(total, exponential(segment, size), size)
    return total[([0] if scalar_term else []) + hopf(*size).basis]


def linear(v: np.ndarray, size: tuple[int, int, bool]) -> np.ndarray:
    """The branched signature of a segment."""
    return branched_signature(np.stack([v * 0, v]), size[1], planar=size[2])


def combine(one: np.ndarray, two: np.ndarray, size: tuple[int, int, bool]) -> np.ndarray:
    """The product, in and out by values on the basis."""
    values = functional(one, size), functional(two, size)
    return product(*values, size)[hopf(*size).basis]


# ---- Lyndon words of plane trees ----------------------------------------------------------------


@functools.cache
def lyndon_basis(labels: int, degree: int) -> tuple[list[int], np.ndarray]:
    """Of Lyndon words of plane trees: places in a row of coefficients, and brackets as rows."""
    letter = {tree: i for i, tree in enumerate(trees_up_to(labels, degree, True))}
    forests = elements(labels, degree, True)
    words = [tuple(letter[tree] for tree in forest) for forest in forests]
    place = {word: i for i, word in enumerate(words)}

    def bracket(word: tuple[int, ...]) -> np.ndarray:
        row = np.zeros(len(words))
        if len(word) == 1:
            row[place[word]] = 1
            return row
        cut = next(i for i in range(1, len(word)) if reference.is_lyndon(word[i:]))
        u, v = bracket(word[:cut]), bracket(word[cut:])
        for i, j in itertools.product(np.flatnonzero(u), np.flatnonzero(v)):
            row[place[words[i] + words[j]]] += u[i] * v[j]
            row[place[words[j] + words[i]]] -= u[i] * v[j]
        return row

    lyndon = [word for word in words if reference.is_lyndon(word)]
    rows = np.array([bracket(word) for word in lyndon]).reshape(len(lyndon), len(words))
    return [place[word] for word in lyndon], rows


def to_format(numbers: np.ndarray, labels: int, degree: int, method: int) -> np.ndarray:
    """All coefficients, those of Lyndon words, or coordinates that have these."""
    if method == 0:
        return numbers
    places, brackets = lyndon_basis(labels, degree)
    result = numbers[places]
    for i, row in enumerate(brackets[:, places] if method > 1 else []):
        result[i + 1 :] = result[i + 1 :] - row[i + 1 :] * result[i]
    return result


def log_join(
    coordinates: np.ndarray, v: np.ndarray, labels: int, degree: int, prepend: bool = False
) -> np.ndarray:
    """Coordinates of the log of exp(element) * exp(v), or of exp(v) * exp(element)."""
    size = labels, degree, True
    _, brackets = lyndon_basis(labels, degree)
    element = exponential(functional(coordinates @ brackets, size, 0), size)[1:]
    factors = [linear(v, size), element] if prepend else [element, linear(v, size)]
    return to_format(logarithm(combine(*factors, size), size), labels, degree, 2)
