"""Rooted trees with labels, plane or not, their Hopf algebras, and tables of both.

Trees are tuples: children, then the label of the root. A forest is a tuple of trees. Of the plane
kind (`planar`) children and the trees of a forest have an order, and the basis of the algebra are
forests; of the other kind they have none, and trees are enough, since functionals are
multiplicative.

Trees are numbered by nodes, then by the numbers of the children in lexicographic order (not
decreasing where they have no order), then by the label; forests by nodes, then by the numbers of
their trees in lexicographic order.

Tables are made shape by shape for all labels at once: the nodes of a shape are numbered, these
numbers are the labels of its tuples, and an array ``labels`` has a row for each of them.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
import os
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import store
from .lie import factors, solution
from .sparse import (
    Bilinear,
    Key,
    Sparse,
    adjoints,
    bilinear_table,
    sparse_table,
    transposed,
)
from .tables import DECODERS, FORMS, Word, all_nodes

Tree = tuple[Any, ...]
Forest = tuple[Tree, ...]

# ---- Counting and listing -----------------------------------------------------------------------


def _next_count(trees: Sequence[int], counts: Sequence[int], planar: bool) -> int:
    """Forests of one node more than `counts` has, of so many trees of each number of nodes."""
    n = len(counts)
    if planar:
        return sum([trees[s] * counts[n - s] for s in range(1, n + 1)])
    weights = [sum([m * trees[m] for m in range(1, s + 1) if s % m == 0]) for s in range(1, n + 1)]
    return sum([weight * counts[n - s] for s, weight in enumerate(weights, start=1)]) // n


def forest_counts(labels: int, degree: int, planar: bool) -> list[int]:
    """Forests of 0, 1, ..., `degree` nodes.

    >>> forest_counts(1, 5, planar=False), forest_counts(2, 3, planar=True)
    ([1, 1, 2, 4, 9, 20], [1, 2, 8, 40])
    """
    counts, trees = [1], [0]
    for n in range(1, degree + 1):
        trees.append(labels * counts[n - 1])
        counts.append(_next_count(trees, counts, planar))
    return counts


def element_counts(labels: int, degree: int, planar: bool) -> list[int]:
    """Elements of the basis with 1, ..., `degree` nodes: forests, or trees.

    >>> element_counts(2, 3, planar=False)
    [2, 4, 14]
    """
    counts = forest_counts(labels, degree, planar)
    return counts[1:] if planar else [labels * count for count in counts[:degree]]


def lyndon_count(labels: int, degree: int) -> int:
    """Lyndon words of plane trees with up to `degree` nodes.

    Of n nodes there are L(n), where the sum of m L(m) over all m that divide n is labels**n
    binomial(2 n, n) / 2: that many cyclic words there are, as for words of letters.

    >>> lyndon_count(1, 5), lyndon_count(2, 3)
    (38, 33)
    """
    counts: list[int] = []
    total = 1
    for n in range(1, degree + 1):
        total = total * labels * 2 * (2 * n - 1) // n
        shorter = sum(m * counts[m - 1] for m in range(1, n) if n % m == 0)
        counts.append((total // 2 - shorter) // n)
    return sum(counts)


class _Listed(NamedTuple):
    """Trees in order; forests of each number of nodes in order, as numbers of their trees."""

    trees: list[Tree]
    forests: list[list[tuple[int, ...]]]


def _listed(labels: int, degree: int, planar: bool) -> _Listed:
    trees: list[Tree] = []
    sizes: list[int] = []
    forests: list[list[tuple[int, ...]]] = [[()]]
    for n in range(1, degree + 1):
        trees += [
            (*[trees[i] for i in forest], label)
            for forest in forests[n - 1]
            for label in range(labels)
        ]
        sizes += [n] * (len(trees) - len(sizes))
        found: list[tuple[int, ...]] = []
        for i, size in enumerate(sizes):
            rest = forests[n - size]
            start = 0 if planar or n == size else bisect.bisect_left(rest, (i,))
            found += [(i, *other) for other in itertools.islice(rest, start, None)]
        forests.append(found)
    return _Listed(trees, forests)


def elements(labels: int, degree: int, planar: bool) -> list[list[Tree | Forest]]:
    """Elements of the basis with 1, ..., `degree` nodes.

    >>> elements(1, 2, planar=True)
    [[((0,),)], [((0,), (0,)), (((0,), 0),)]]
    """
    listed = _listed(labels, degree if planar else max(degree - 1, 0), planar)
    if planar:
        return [[tuple(listed.trees[i] for i in f) for f in found] for found in listed.forests[1:]]
    return [
        [(*[listed.trees[i] for i in forest], label) for forest in found for label in range(labels)]
        for found in listed.forests[:degree]
    ]


def nodes(trees: Iterable[Tree]) -> int:
    """Nodes of a forest."""
    return sum([1 + nodes(tree[:-1]) for tree in trees])


# ---- Numbers of trees and forests ---------------------------------------------------------------


# One element at a time, in Python's integers and without tables, which Torch's compiler can trace.


class _Counts(NamedTuple):
    """Trees and forests with labels 0 to `labels` - 1; of n, see `_Space`."""

    labels: int
    planar: bool
    first: list[int]
    forests: list[int]

    def before(self, size: int, tree: int) -> int:
        """Forests of `size` nodes whose first tree has a number below `tree`."""
        sizes = range(1, size + 1)
        if self.planar:
            below = [min(self.first[s + 1], tree) - self.first[s] for s in sizes]
            return sum([max(b, 0) * self.forests[size - s] for s, b in enumerate(below, start=1)])
        others = [0, *[max(self.first[s + 1] - max(tree, self.first[s]), 0) for s in sizes]]
        counts = [1]
        for _ in sizes:
            counts.append(_next_count(others, counts, False))
        return self.forests[size] - counts[size]

    def tree(self, tree: Tree) -> int:
        """Number of a tree among all trees."""
        size = nodes(tree[:-1])
        return self.first[size + 1] + self.rank(tree[:-1]) * self.labels + int(tree[-1])

    def rank(self, forest: Forest) -> int:
        """Number of a forest among those of as many nodes."""
        numbers = [self.tree(tree) for tree in forest]
        if not self.planar:
            numbers.sort()
        rank, left, lowest = 0, nodes(forest), 0
        for tree in numbers:
            rank += self.before(left, tree) - self.before(left, lowest)
            left -= self.size(tree)
            lowest = 0 if self.planar else tree
        return rank

    def size(self, tree: int) -> int:
        """Nodes of the tree with a number."""
        return len([start for start in self.first[1:] if start <= tree])

    def tree_at(self, number: int) -> Tree:
        """The tree with a number."""
        size = self.size(number)
        rank, label = divmod(number - self.first[size], self.labels)
        return (*self.forest_at(rank, size - 1), label)

    def forest_at(self, rank: int, size: int) -> Forest:
        """The forest of `size` nodes with a number."""
        found: list[Tree] = []
        lowest = 0
        while size:
            rank += self.before(size, lowest)
            below, above = lowest, self.first[size + 1]
            while above - below > 1:  # the first tree is the last one with no more before it
                middle = (below + above) // 2
                if self.before(size, middle) <= rank:
                    below = middle
                else:
                    above = middle
            rank -= self.before(size, below)
            found.append(self.tree_at(below))
            size -= self.size(below)
            lowest = 0 if self.planar else below
        return tuple(found)


def _counts(labels: int, degree: int, planar: bool) -> _Counts:
    forests = forest_counts(labels, degree, planar)
    first = [0, 0]
    for count in forests[:degree]:
        first.append(first[-1] + labels * count)
    return _Counts(labels, planar, first, forests)


def number(element: Tree | Forest, labels: int, planar: bool) -> int:
    """Position of an element of the basis, 0 for the first one that is not empty.

    >>> number((((0,), 1),), 2, planar=True), number(((1,), (0,), 0), 2, planar=False)
    (7, 8)
    """
    size = nodes(element if planar else (element,))
    counts = _counts(labels, size, planar)
    if planar:
        return sum(counts.forests[1:size]) + counts.rank(element)
    return counts.tree(element)


def element_at(at: int, labels: int, degree: int, planar: bool) -> Tree | Forest:
    """The element of the basis at a position.

    >>> element_at(7, 2, 3, planar=True), element_at(8, 2, 3, planar=False)
    ((((0,), 1),), ((0,), (1,), 0))
    """
    counts = _counts(labels, degree, planar)
    if not planar:
        return counts.tree_at(at)
    size = 1
    while at >= counts.forests[size]:
        at -= counts.forests[size]
        size += 1
    return counts.forest_at(at, size)


# All labels of a shape at once.


class _Space(NamedTuple):
    """Trees and forests with labels 0 to `labels` - 1 and up to some number of nodes.

    Attributes
    ----------
    labels, planar : see above
    first : of n: trees of fewer nodes
    forests : of n: forests of n nodes
    before : of n, at b: forests of n nodes whose first tree has a number below b
    """

    labels: int
    planar: bool
    first: list[int]
    forests: list[int]
    before: list[np.ndarray]


@functools.lru_cache(16)
def _space(labels: int, degree: int, planar: bool) -> _Space:
    _, _, first, forests = _counts(labels, degree, planar)
    before = [np.zeros(1, dtype=np.int64)]
    for n in range(1, degree + 1):
        parts = [np.zeros(1, dtype=np.int64)]
        for size in range(1, n + 1):
            trees = np.arange(first[size], first[size + 1])
            count = np.full(len(trees), forests[n - size])
            if not planar:  # the others have no lower number
                at = np.minimum(trees, len(before[n - size]) - 1)
                count -= before[n - size][at]
            parts.append(count)
        before.append(np.cumsum(np.concatenate(parts)))
    return _Space(labels, planar, first, forests, before)


class _Labelled:
    """A shape with some labels: the numbers of its trees and forests for all labels at once."""

    def __init__(self, space: _Space, labels: np.ndarray) -> None:
        self.space, self.labels = space, labels
        self._known: dict[Tree, tuple[np.ndarray, int]] = {}

    def tree(self, tree: Tree) -> tuple[np.ndarray, int]:
        """Number of a tree among all trees, and its nodes."""
        if tree not in self._known:
            rank, size = self.rank(tree[:-1])
            number = self.space.first[size + 1] + rank * self.space.labels + self.labels[tree[-1]]
            self._known[tree] = number, size + 1
        return self._known[tree]

    def rank(self, forest: Sequence[Tree]) -> tuple[np.ndarray, int]:
        """Number of a forest among those of as many nodes, and its nodes."""
        found = [self.tree(tree) for tree in forest]
        numbers, sizes = [number for number, _ in found], [size for _, size in found]
        before, planar = self.space.before, self.space.planar
        if not planar:
            sizes.sort()  # trees of fewer nodes have lower numbers
            if len(numbers) > 1:
                numbers = list(np.sort(numbers, axis=0))
        rank = np.zeros(self.labels.shape[-1], dtype=np.int64)
        left = total = sum(sizes)
        for i, (number, size) in enumerate(zip(numbers, sizes, strict=True)):
            rank += before[left][number]
            if i and not planar:  # those whose first tree has a number below the one before
                rank -= before[left][np.minimum(numbers[i - 1], len(before[left]) - 1)]
            left -= size
        return rank, total

    def element(self, forest: Forest) -> np.ndarray:
        """Position of an element of the basis, -1 for the empty one."""
        if forest and not self.space.planar:
            return self.tree(forest[0])[0]
        rank, size = self.rank(forest)
        return sum(self.space.forests[1:size]) + rank if size else rank - 1

    def factor(self, forest: Forest, degree: int) -> np.ndarray:
        """Position of a forest among what first factors of products have values on."""
        if self.space.planar:
            return self.element(forest)
        rank, size = self.rank(forest)
        if size == degree:
            rank = self.tree(forest[0])[0] - self.space.first[size]
        return sum(self.space.forests[1:size]) + rank if size else rank - 1


def _label_space(labels: int, size: int) -> np.ndarray:
    return np.indices((labels,) * size, dtype=np.int64).reshape(size, labels**size)


# ---- Coproducts ---------------------------------------------------------------------------------


def _shuffles(parts: Sequence[Forest]) -> list[Forest]:
    """All ways to merge ordered forests."""
    parts = [part for part in parts if part]
    if len(parts) < 2:
        return [parts[0] if parts else ()]
    return [
        (*before, part[-1])
        for i, part in enumerate(parts)
        for before in _shuffles([*parts[:i], part[:-1], *parts[i + 1 :]])
    ]


def _products(parts: Sequence[Forest], planar: bool) -> list[Forest]:
    """The forests whose sum is a product: shuffles, or one forest without order."""
    return _shuffles(parts) if planar else [tuple(itertools.chain(*parts))]


def _trunks(forest: Forest, planar: bool, longest: int) -> Iterator[tuple[Word, list[Forest]]]:
    """Terms of the coproduct whose right factor is a chain of up to `longest` nodes.

    Labels of the chain from the root on, and forests whose product is the left factor.
    """
    for i in [len(forest) - 1] if planar and forest else range(len(forest)):
        *children, label = forest[i]
        others = forest[:i] + forest[i + 1 :]
        yield (label,), [others, tuple(children)]
        if longest > 1:
            for chain, parts in _trunks(tuple(children), planar, longest - 1):
                yield (label, *chain), [others, *parts]


def _cuts(forest: Forest, planar: bool) -> list[tuple[Forest, Forest]]:
    """The terms of the coproduct of a forest: what is pruned, and the trunk."""
    if not forest:
        return [((), ())]
    *others, tree = forest
    found: list[tuple[Forest, Forest]] = [(forest, ())] if planar else []
    above = _cuts(tuple(tree[:-1]), planar)
    for pruned, trunk in _cuts(tuple(others), planar):
        if not planar:
            found.append(((*pruned, tree), trunk))
        for more, inner in above:
            left = (*trunk, (*inner, tree[-1]))
            found += [(product, left) for product in _products([pruned, more], planar)]
    return found


# ---- From words to trees ------------------------------------------------------------------------

# The signature of a path in the algebra is the image of its signature in words, whose letters are
# the chains that its segments have: of a tree t and a word w of chains c_1, ..., c_k the entry is
# what the product c_1 * ... * c_k has at t. The last factor is the trunk, the others are pruned.


class _Alphabet(NamedTuple):
    """Letters of words: channels, and chains of 2 to `longest` of them.

    They are numbered as in `arraysig._core.tables.all_words`.
    """

    channels: int
    longest: int
    time: bool

    @property
    def space(self) -> int:
        """Channels that chains have."""
        return self.channels - self.time

    @property
    def size(self) -> int:
        """Letters."""
        chains: list[int] = [self.space**k for k in range(2, self.longest + 1)]
        return self.channels + sum(chains)

    def letter(self, chain: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """The number of a chain of labels, from the root on, and whether it is a letter."""
        space = self.space
        fits = np.all(np.stack(chain) < space, axis=0)
        found = np.zeros_like(chain[0])
        for label in chain:
            found = found * space + label
        if len(chain) == 1:
            return np.where(fits, found, self.size - 1), np.ones_like(fits)
        return found + sum(space**k for k in range(1, len(chain))), fits


def _merged(keys: list[np.ndarray], counts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Every key once, with the sum of its counts."""
    found, where = np.unique(np.concatenate(keys), return_inverse=True)
    sums = np.zeros(len(found), dtype=np.int64)
    np.add.at(sums, where, np.concatenate(counts))
    return found, sums


def counted(columns: np.ndarray) -> np.ndarray:
    """Every column once, in order, with how often it is there as one more number.

    >>> counted(np.array([[2**62, 0, 2**62], [2**62, 1, 2**62]])).tolist()
    [[0, 4611686018427387904], [1, 4611686018427387904], [1, 2]]
    """
    columns = columns[:, np.lexsort(columns[::-1])]
    differs = (columns[:, 1:] != columns[:, :-1]).any(axis=0)
    starts = np.flatnonzero(np.concatenate([[True], differs]))
    return np.vstack([columns[:, starts], np.diff(starts, append=columns.shape[1])])


def _shapes(size: int, planar: bool, trees_only: bool) -> list[Forest]:
    """Forests of so many nodes without labels; their nodes are numbered."""
    listed = _listed(1, size, planar)
    chosen = [f for f in listed.forests[size] if len(f) == 1 or not trees_only]

    def numbered(tree: Tree, count: Iterator[int]) -> Tree:
        return (*[numbered(child, count) for child in tree[:-1]], next(count))

    shapes = []
    for forest in chosen:
        count = itertools.count()
        shapes.append(tuple(numbered(listed.trees[i], count) for i in forest))
    return shapes


def _labelled(space: _Space, shape: Forest) -> tuple[np.ndarray, _Labelled]:
    """Ranks of all forests of a shape, each once, and the shape with their labels."""
    labels = _label_space(space.labels, nodes(shape))
    whole = _Labelled(space, labels)
    rank, _ = whole.rank(shape)
    if space.planar or space.labels == 1:
        return rank, whole
    rank, chosen = np.unique(rank, return_index=True)
    return rank, _Labelled(space, labels[:, chosen])


def _words_to_elements(
    channels: int, degree: int, planar: bool, longest: int, time: bool
) -> np.ndarray:
    """Entries of the matrix."""
    space, alphabet = _space(channels, degree, planar), _Alphabet(channels, longest, time)
    parent, letters = all_nodes(alphabet.space, degree, longest, time)
    size = alphabet.size
    steps = (parent + 1) * size + letters  # in ascending order
    # Of forests of each number of nodes, in order: where their entries start, words, numbers.
    levels = [(np.array([0, 1]), np.array([-1]), np.array([1]))]
    result = [np.zeros((3, 0), dtype=np.int64)]
    done = 0
    for n in range(1, degree + 1):
        keys, counts = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        waiting = 0
        for shape in _shapes(n, planar, trees_only=n == degree and not planar):
            rank, given = _labelled(space, shape)
            for chain, parts in _trunks(shape, planar, min(longest, n)):
                letter, fits = alphabet.letter([given.labels[node] for node in chain])
                starts, words, numbers = levels[n - len(chain)]
                for product in _products(parts, planar):
                    before, _ = given.rank(product)
                    before, to, last = before[fits], rank[fits], letter[fits]
                    lengths = starts[before + 1] - starts[before]
                    at = np.repeat(starts[before] - np.cumsum(lengths) + lengths, lengths)
                    at += np.arange(len(at))
                    step = (words[at] + 1) * size + np.repeat(last, lengths)
                    word = np.searchsorted(steps, step)
                    keys.append(np.repeat(to, lengths) * len(steps) + word)
                    counts.append(numbers[at])
                    waiting += len(at)
            if waiting > 2**22:  # bounds memory
                merged, sums = _merged(keys, counts)
                keys, counts, waiting = [merged], [sums], 0
        merged, sums = _merged(keys, counts)
        rank, word = np.divmod(merged, max(len(steps), 1))
        levels.append((np.searchsorted(rank, np.arange(space.forests[n] + 1)), word, sums))
        if planar:
            rows, many = rank, space.forests[n]
        else:  # of the forests with one tree only
            single = space.before[n][space.first[n] : space.first[n + 1]]
            many = len(single)
            rows = np.searchsorted(single, rank)
            rows[rows == many] = 0
            chosen = single[rows] == rank
            rows, word, sums = rows[chosen], word[chosen], sums[chosen]
        result.append(np.stack([done + rows, word, sums]))
        done += many
    return np.concatenate(result, axis=1)


def orderings(forest: Forest, planar: bool) -> int:
    """In how many ways the nodes of a forest can be written as words, equal ones included.

    >>> orderings((((0,), (0,), (0,), 0),), False), orderings(((0,), ((0,), 0)), True)
    (6, 2)
    """
    if not forest:
        return 1
    before, above = forest[:-1], forest[-1][:-1]
    sizes = nodes(before), nodes(above) + (not planar)
    both = orderings(before, planar) * orderings(above, planar)
    return math.comb(sum(sizes), sizes[0]) * both


def most_words(forest: Forest, planar: bool) -> int:
    """A bound on the different words among them."""

    def labels(trees: Forest) -> list[int]:
        return [label for tree in trees for label in (*labels(tree[:-1]), tree[-1])]

    given = labels(forest)
    alike = math.prod([math.factorial(given.count(label)) for label in set(given)])
    return min(orderings(forest, planar), math.factorial(len(given)) // alike)


Form = dict[Word, int]


def _sorted(forest: Forest) -> Forest:
    """One of the ways to write a forest without order."""
    return tuple(sorted(((*_sorted(t[:-1]), t[-1]) for t in forest), key=repr))


def _form(forest: Forest, planar: bool, alphabet: _Alphabet, known: dict[Forest, Form]) -> Form:
    """The coefficient of one forest as a sum over words, by letters."""
    forest = forest if planar else _sorted(forest)
    if forest in known:
        return known[forest]
    found: Counter[Word] = Counter()
    for chain, parts in _trunks(forest, planar, alphabet.longest):
        letter, fits = alphabet.letter([np.array([label]) for label in chain])
        for product in _products(parts, planar) if fits[0] else []:
            for word, count in _form(product, planar, alphabet, known).items():
                found[(*word, int(letter[0]))] += count
    known[forest] = dict(found) if forest else {(): 1}
    return known[forest]


def _encoded(forest: Forest) -> list[int]:
    numbers = [len(forest)]
    for tree in forest:
        numbers += [tree[-1], *_encoded(tree[:-1])]
    return numbers


def _decoded(numbers: Iterator[int]) -> Forest:
    trees = []
    for _ in range(next(numbers)):
        label = next(numbers)
        trees.append((*_decoded(numbers), label))
    return tuple(trees)


def chosen_key(
    forests: Sequence[Forest], channels: int, planar: bool, longest: int, time: bool
) -> Key:
    """Of the matrix from words to some forests, of one tree each unless they are `planar`.

    The words are those that `words_of` gives `sig_coef`.
    """
    numbers = [number for forest in forests for number in _encoded(forest)]
    return (CHOSEN, channels, int(planar), longest, int(time), *numbers, 0)


def words_of(key: Key) -> tuple[int, ...]:
    """What stands for the words of chosen forests where words are asked for.

    >>> DECODERS[FORMS](words_of(chosen_key([(((0,), (1,), 0),)], 2, False, 1, False))[1:])
    [[(0, 1, 0)], [(1, 0, 0)]]
    """
    return (FORMS, *key[:-1])


@functools.lru_cache(64)
def _forms(key: Key) -> tuple[list[Word], list[Form]]:
    _, channels, planar, longest, time, *numbers = key
    alphabet = _Alphabet(channels, longest, bool(time))
    known: dict[Forest, Form] = {}
    rest = iter(numbers)
    forests: list[Form] = []
    left = len(numbers)
    while left:
        forest = _decoded(rest)
        left -= len(_encoded(forest))
        forests.append(_form(forest, bool(planar), alphabet, known))
    return sorted({word for form in forests for word in form}), forests


def _decoded_words(key: Sequence[int]) -> list[list[Word]]:
    return [[word] for word in _forms(tuple(key))[0]]


DECODERS[FORMS] = _decoded_words


def _words_to_chosen(key: Key) -> np.ndarray:
    words, forms = _forms(key)
    column = {word: i for i, word in enumerate(words)}
    entries = [(i, column[w], n) for i, form in enumerate(forms) for w, n in form.items()]
    return np.array(entries, dtype=np.int64).reshape(-1, 3).T


# ---- The free Lie algebra over plane trees ------------------------------------------------------


class _Brackets(NamedTuple):
    """Of Lyndon words of plane trees, in order: where they are, and entries of matrices.

    Attributes
    ----------
    position : of each among all forests
    expansion : rows are forests, columns Lyndon words
    solution : from coefficients of Lyndon words to coordinates
    """

    position: np.ndarray
    expansion: np.ndarray
    solution: np.ndarray


@functools.lru_cache(8)
def _brackets(labels: int, degree: int) -> _Brackets:
    listed = _listed(labels, degree, True)
    forests = [forest for found in listed.forests[1:] for forest in found]
    position = {forest: i for i, forest in enumerate(forests)}
    lyndon = [f for f in forests if all(f < f[i:] for i in range(1, len(f)))]
    pairs = factors(lyndon)
    index = {word: i for i, word in enumerate(lyndon)}
    polynomials: dict[Word, Form] = {}
    expansion, triangle = [], []
    for column, word in enumerate(lyndon):
        found: Counter[Word] = Counter()
        if len(word) == 1:
            found[word] = 1
        else:
            u, v = (polynomials[part].items() for part in pairs[word])
            for (head, a), (tail, b) in itertools.product(u, v):
                found[head + tail] += a * b
                found[tail + head] -= a * b
        polynomials[word] = {key: n for key, n in found.items() if n}
        for key, n in polynomials[word].items():
            expansion.append((position[key], column, n))
            if key in index:
                triangle.append((index[key], column, n))
    classes: dict[Word, int] = {}
    of = [classes.setdefault(tuple(sorted(word)), len(classes)) for word in lyndon]
    both = [np.array(e, dtype=np.int64).reshape(-1, 3).T for e in (expansion, triangle)]
    return _Brackets(
        np.array([position[word] for word in lyndon], dtype=np.int64),
        both[0],
        solution(np.array(of, dtype=np.int64), both[1]),
    )


# ---- Products -----------------------------------------------------------------------------------

# A functional is given by its values on the elements of the basis but the empty one. The first
# factor of a product is wanted on what is pruned: forests. Values of a multiplicative functional on
# these are made first, see FORESTS; there are those of less than `degree` nodes, then the trees of
# `degree`.


def _wide(labels: int, degree: int, planar: bool) -> int:
    """Numbers that the first factor of a product has."""
    shorter = forest_counts(labels, max(degree - 1, 0), planar)[1:degree]
    return sum(shorter) + (element_counts(labels, degree, planar)[-1] if degree else 0)


def _product(labels: int, degree: int, planar: bool) -> np.ndarray:
    """Entries: result, first factor, second factor, number."""
    space = _space(labels, degree, planar)
    entries = [np.zeros((4, 0), dtype=np.int64)]
    for n in range(1, degree + 1):
        for shape in _shapes(n, planar, trees_only=not planar):
            _, given = _labelled(space, shape)
            to = given.element(shape)
            terms = [  # no other shape has these elements
                np.stack([to, given.factor(pruned, degree), given.element(trunk)])
                for pruned, trunk in _cuts(shape, planar)
            ]
            entries.append(counted(np.concatenate(terms, axis=1)))
    return np.concatenate(entries, axis=1)


def stages(degree: int) -> int:
    """How many tables FORESTS has: they make products of up to 2, 4, 8, ... trees."""
    return max(degree - 2, 0).bit_length()


def _forests(labels: int, degree: int, stage: int) -> np.ndarray:
    """As `_product`; of the values on trees, or on forests of up to 2**stage of them."""
    space, entries = _space(labels, degree, False), []
    for n in range(1, degree + 1):
        for shape in _shapes(n, False, trees_only=n == degree):
            if len(shape) > 2 ** (stage + 1):
                continue
            _, given = _labelled(space, shape)
            to = given.factor(shape, degree)
            half = min(len(shape), 2**stage)
            parts = [
                given.factor(part, degree) if stage else given.element(part)
                for part in (shape[:half], shape[half:])
            ]
            entries.append(np.stack([to, *parts, np.ones_like(to)]))
    return np.concatenate(entries, axis=1)


# ---- Keys ---------------------------------------------------------------------------------------

#: Matrices: from coefficients of words to elements, of all and of some; from plane forests to
#: coefficients of Lyndon words, to coordinates in the basis of their brackets, and from these.
FIRST_KIND = 16
WORDS, CHOSEN, COEFFICIENTS, COORDINATES, EXPAND = range(FIRST_KIND, FIRST_KIND + 5)
#: Bilinear maps: the product; values on forests from those on trees, in steps.
PRODUCT, FORESTS = range(FIRST_KIND + 5, FIRST_KIND + 7)


def words_key(
    channels: int, degree: int, planar: bool, longest: int = 1, time: bool = False
) -> Key:
    """Of the matrix from coefficients of all words, with chains of up to `longest`, to elements."""
    return (WORDS, channels, degree, int(planar), longest, int(time), 0)


def lie_key(kind: int, channels: int, degree: int) -> Key:
    """Of a matrix between plane forests and Lyndon words of plane trees."""
    return (kind, channels, degree, 0)


def product_key(channels: int, degree: int, planar: bool) -> Key:
    """Of the product."""
    return (PRODUCT, channels, degree, int(planar), 0, 0, 1, 2)


def step_key(channels: int, degree: int, planar: bool, top: int) -> Key:
    """Of the product to `top` nodes where the first factor is 0 on the empty element.

    Of the second factor values on fewer nodes are enough.
    """
    return (PRODUCT, channels, degree, int(planar), top, 0, 1, 2)


def forests_key(channels: int, degree: int, stage: int) -> Key:
    """Of a step that makes values on forests."""
    return (FORESTS, channels, degree, stage, 0, 0, 1, 2)


#: Tables that stay: at least those of eight sizes, of which one of degree 16 has 60.
_KEPT = 512


@functools.lru_cache(_KEPT)
def _sizes(of: Key) -> list[int]:
    """How many numbers the axes of a table have; `of` is a key without its axes."""
    kind, labels, *rest = of
    if kind == CHOSEN:
        words, forms = _forms(of)
        return [len(forms), len(words)]
    degree = rest[0]
    planar = bool(rest[1]) if kind in (WORDS, PRODUCT) else kind != FORESTS
    length = sum(element_counts(labels, degree, planar))
    if kind == WORDS:
        _, _, longest, time = rest
        alphabet = _Alphabet(labels, longest, bool(time))
        return [length, len(all_nodes(alphabet.space, degree, longest, alphabet.time)[0])]
    if kind == EXPAND:
        return [length, lyndon_count(labels, degree)]
    if kind in (COEFFICIENTS, COORDINATES):
        return [lyndon_count(labels, degree), length]
    wide = _wide(labels, degree, planar)
    if kind == PRODUCT:
        return [length, wide, length]
    return [wide, wide, wide] if rest[1] else [wide, length, length]


@functools.lru_cache(_KEPT)
def _entries(of: Key) -> np.ndarray:
    """Entries of a table: indices along its axes, and at last numbers."""
    if of in _read:
        return _read[of]
    kind, labels, *rest = of
    if kind == CHOSEN:
        return _words_to_chosen(of)
    if kind == WORDS:
        degree, planar, longest, time = rest
        return _words_to_elements(labels, degree, bool(planar), longest, bool(time))
    if kind == PRODUCT:
        return _product(labels, rest[0], bool(rest[1]))
    if kind == FORESTS:
        return _forests(labels, *rest)
    brackets = _brackets(labels, rest[0])
    if kind == EXPAND:
        return brackets.expansion
    if kind == COORDINATES:
        row, column, entry = brackets.solution
        return np.stack([row, brackets.position[column], entry])
    each = np.arange(len(brackets.position))
    return np.stack([each, brackets.position, np.ones_like(each)])


@functools.lru_cache(_KEPT)
def _matrix(of: Key) -> Sparse:
    rows, columns = _sizes(of[:-1])
    return sparse_table((rows, columns), _entries(of[:-1]), bool(of[-1]))


@functools.lru_cache(_KEPT)
def _bilinear(of: Key) -> Bilinear:
    base, top = of[:4], of[4]
    entries, sizes = _entries(base), _sizes(base)
    if top:
        counts = element_counts(of[1], top, bool(of[3]))
        sizes = [sum(counts), sizes[1], sum(counts[:-1])]
        entries = entries[:, (entries[0] < sizes[0]) & (entries[1] >= 0)]
    return bilinear_table(sizes, entries, of[-3:])


#: Who makes tables has the lock.
_lock = threading.RLock()
#: Entries from files, until they are in the cache above.
_read: dict[Key, np.ndarray] = {}


def _in_forked_child() -> None:
    global _lock
    _lock = threading.RLock()  # the thread that may hold the old one is not in the child
    _read.clear()


os.register_at_fork(after_in_child=_in_forked_child)


def matrix(of: Key) -> Sparse:
    """The matrix that a key stands for; made once, by one thread."""
    with _lock:
        return _matrix(of)


def bilinear(of: Key) -> Bilinear:
    """The bilinear map that a key stands for; made once, by one thread."""
    with _lock:
        return _bilinear(of)


def _from_file(kind: str, size: tuple[int, int], keys: Sequence[Key]) -> bool:
    """Whether tables are in a file and can be walked, which anyone may have written."""
    arrays = store.read(kind, *size)
    if arrays is None or len(arrays) != len(keys):
        return False
    for key, array in zip(keys, arrays, strict=True):
        sizes = _sizes(key)
        lowest = -1 if len(sizes) == 3 else 0
        if len(array) != len(sizes) + 1 or array[:-1].min(initial=0) < lowest:
            return False
        if (array[:-1].max(axis=1, initial=-1) >= sizes).any() or array[0].min(initial=0) < 0:
            return False
    _read.update(zip(keys, arrays, strict=True))
    return True


def prepare(
    channels: int,
    degree: int,
    planar: bool,
    use_disk: bool,
    logarithms: bool = False,
    lie_kinds: Sequence[int] = (),
) -> OSError | None:
    """Make all tables of an algebra, with `use_disk` from what is in files.

    Returns what prevented that there are files now.
    """
    matrices = [words_key(channels, degree, planar)]
    maps = [product_key(channels, degree, planar)]
    maps += [forests_key(channels, degree, k) for k in range(0 if planar else stages(degree))]
    brackets = [lie_key(kind, channels, degree) for kind in lie_kinds]
    groups = {"forests" if planar else "trees": [m[:-1] for m in matrices] + [m[:4] for m in maps]}
    if logarithms:
        maps += [step_key(channels, degree, planar, top) for top in range(2, degree + 1)]
    if brackets:  # a file has all
        kinds = COEFFICIENTS, COORDINATES, EXPAND
        groups["plane"] = [lie_key(kind, channels, degree)[:-1] for kind in kinds]
    failure: OSError | None = None
    with _lock:
        for kind, keys in groups.items() if use_disk else ():
            found = _from_file(kind, (channels, degree), keys)
            try:
                arrays = [_entries(key) for key in keys]
                if not found:
                    store.write(kind, channels, degree, arrays)
            except OSError as error:
                failure = error
            finally:
                _read.clear()
        for key in matrices + brackets:
            matrix(key)
            matrix(transposed(key))
        for key in maps:
            for of in (key, *adjoints(key)):
                bilinear(of)
    return failure


def prepare_chosen(of: Key) -> None:
    """Make the matrix of chosen trees and its transpose."""
    matrix(of)
    matrix(transposed(of))


def forget() -> None:
    """Drop all tables that nobody uses."""
    for made in (_matrix, _bilinear, _entries, _sizes, _brackets, _forms, _space):
        made.cache_clear()
