"""Rooted trees with labels, which index the coefficients of branched signatures."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ._core import check
from ._core import trees as tables
from ._core.docs import documented
from ._core.trees import Forest, Tree
from .words import LARGEST

__all__ = [
    "branched_log_sig_length",
    "branched_sig_length",
    "idx_to_tree",
    "tree_to_idx",
    "trees",
    "trees_of_order",
]


def element_length(name: str, channels: int, degree: int, planar: bool) -> int:
    """Elements of the basis without the empty one; ValueError where 64 bits can not count them."""
    length = sum(tables.element_counts(channels, min(degree, 64), planar))  # 64 are too many
    if length > LARGEST:
        raise ValueError(
            f"{name}: `degree` is too large: 64 bits can not count the trees with labels below "
            f"{channels} and up to {degree} nodes (overflow)"
        )
    return length


def lyndon_length(name: str, channels: int, degree: int) -> int:
    """Lyndon words of plane trees; ValueError as for `element_length`."""
    element_length(name, channels, degree, True)
    return tables.lyndon_count(channels, degree)


_MOST_NODES = 200  # of one element: functions of trees call themselves


def _checked_tree(tree: Any, channels: int, levels: int) -> Tree | None:
    """A tree with labels as Python integers; None for what is no tree of up to so many levels."""
    if not isinstance(tree, tuple) or not tree or not levels:
        return None
    found = []
    for child in tree[:-1]:
        found.append(_checked_tree(child, channels, levels - 1))
        if found[-1] is None:
            return None
    label = tree[-1]
    if type(label) is not int:
        if isinstance(label, bool | np.bool_) or not hasattr(label, "__index__"):
            return None
        label = operator.index(label)
    return (*found, label) if 0 <= label < channels else None


def _shown(element: tuple[Any, ...]) -> str:
    try:
        return repr(element)
    except RecursionError:
        return "a tuple of very many levels"


def checked_element(function: str, name: str, element: Any, channels: int, planar: bool) -> Forest:
    """An element of the basis as a forest, of one tree unless `planar`; the empty one is ()."""
    if element is None:
        return ()
    if not isinstance(element, tuple):
        raise TypeError(f"{function}: `{name}` must be a tuple or None, got {element!r}")
    is_forest = planar and element and isinstance(element[-1], tuple)
    given = element if is_forest else (element,)
    found = [_checked_tree(tree, channels, _MOST_NODES) for tree in given]
    forest = tuple([tree for tree in found if tree is not None])
    if len(forest) < len(found) or tables.nodes(forest) > _MOST_NODES:
        what = "a tree or an ordered forest" if planar else "a tree"
        raise ValueError(
            f"{function}: `{name}` must be {what}, (child, ..., label), of up to {_MOST_NODES} "
            f"nodes with labels below {channels}, got {_shown(element)}"
        )
    return forest


def position(forest: Forest, channels: int, planar: bool) -> int:
    """Index of a checked element among all, the empty one included."""
    if not forest:
        return 0
    return 1 + tables.number(forest if planar else forest[0], channels, planar)


@documented
def trees(dimension: int, degree: int, *, planar: bool = False) -> tuple[Any, ...]:
    """List the trees that index branched signatures.

    Parameters
    ----------
    dimension : int
        Labels are 0 to ``dimension - 1``; at least 1.
    degree : int
        Nodes of the largest trees, at least 0.
    {planar}

    Returns
    -------
    tuple
        None, the empty tree, then trees ``(child, ..., label)``, where a leaf is ``(label,)``; with
        `planar` ordered forests ``(tree, ...)``. By nodes; of as many nodes by the indices of the
        children (not decreasing without `planar`) in lexicographic order, then by label; forests by
        the indices of their trees in lexicographic order.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a value is out of range, or 64 bits can not count the trees.
    MemoryError
        If the trees are more than the memory of the machine holds.

    See Also
    --------
    trees_of_order : those with one number of nodes
    branched_sig_length : how many there are

    Examples
    --------
    >>> import arraysig
    >>> arraysig.trees(1, 3)
    (None, (0,), ((0,), 0), ((0,), (0,), 0), (((0,), 0), 0))
    >>> arraysig.trees(1, 2, planar=True)
    (None, ((0,),), ((0,), (0,)), (((0,), 0),))
    """
    name = "trees"
    size = _size(name, dimension, degree, planar)
    check.table_bytes(name, "degree", degree, 64 * element_length(name, *size))
    return (None, *(element for found in tables.elements(*size) for element in found))


@documented
def trees_of_order(dimension: int, order: int, *, planar: bool = False) -> tuple[Any, ...]:
    """List the trees of one number of nodes.

    Parameters
    ----------
    dimension : int
        Labels are 0 to ``dimension - 1``; at least 1.
    order : int
        Nodes, at least 0; of 0 there is the empty tree, None.
    {planar}

    Returns
    -------
    tuple
        As `trees` lists them.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a value is out of range, or 64 bits can not count the trees.
    MemoryError
        If the trees are more than the memory of the machine holds.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.trees_of_order(2, 2)
    (((0,), 0), ((0,), 1), ((1,), 0), ((1,), 1))
    """
    name = "trees_of_order"
    dimension = check.positive_int(name, "dimension", dimension)
    order = check.non_negative_int(name, "order", order)
    planar = check.flag(name, "planar", planar)
    check.table_bytes(name, "order", order, 64 * element_length(name, dimension, order, planar))
    return tuple(tables.elements(dimension, order, planar)[-1]) if order else (None,)


def _size(name: str, dimension: Any, degree: Any, planar: Any) -> tuple[int, int, bool]:
    return (
        check.positive_int(name, "dimension", dimension),
        check.non_negative_int(name, "degree", degree),
        check.flag(name, "planar", planar),
    )


@documented
def tree_to_idx(
    tree: Any, dimension: int, degree: int, *, planar: bool = False, scalar_term: bool = False
) -> int:
    """Find the index of a tree in branched signatures.

    Parameters
    ----------
    tree : tuple or None
        A tree ``(child, ..., label)``, children in any order unless `planar`; with `planar` also an
        ordered forest ``(tree, ...)``. None is the empty tree.
    dimension : int
        Labels are 0 to ``dimension - 1``; at least 1.
    degree : int
        Nodes of the largest trees of the signature.
    {planar}
    scalar_term : bool, default False
        Whether signatures have the empty tree in front.

    Returns
    -------
    int
        The index, which does not depend on `degree`.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If `tree` is no tree, has more nodes than `degree`, or is empty without `scalar_term`.

    See Also
    --------
    idx_to_tree : the inverse

    Examples
    --------
    >>> import arraysig
    >>> arraysig.tree_to_idx(((1,), (0,), 0), 2, 3)
    8
    >>> arraysig.tree_to_idx((((0,), 1), (0,)), 2, 3, planar=True)
    28
    """
    name = "tree_to_idx"
    channels, degree, planar = _size(name, dimension, degree, planar)
    scalar_term = check.flag(name, "scalar_term", scalar_term)
    forest = checked_element(name, "tree", tree, channels, planar)
    if not forest and not scalar_term:
        raise ValueError(f"{name}: `tree` must not be empty without `scalar_term`, got {tree!r}")
    if tables.nodes(forest) > degree:
        raise ValueError(f"{name}: `tree` must have at most {degree} nodes, got {tree!r}")
    return position(forest, channels, planar) - (not scalar_term)


@documented
def idx_to_tree(
    idx: int, dimension: int, degree: int, *, planar: bool = False, scalar_term: bool = False
) -> Any:
    """Find the tree at an index of branched signatures.

    Parameters
    ----------
    idx : int
        The index, at least 0.
    dimension : int
        Labels are 0 to ``dimension - 1``; at least 1.
    degree : int
        Nodes of the largest trees of the signature.
    {planar}
    scalar_term : bool, default False
        Whether signatures have the empty tree in front.

    Returns
    -------
    tuple or None
        As `trees` lists it; None is the empty tree.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a value is out of range.

    See Also
    --------
    tree_to_idx : the inverse

    Examples
    --------
    >>> import arraysig
    >>> arraysig.idx_to_tree(8, 2, 3)
    ((0,), (1,), 0)
    """
    name = "idx_to_tree"
    channels, degree, planar = _size(name, dimension, degree, planar)
    scalar_term = check.flag(name, "scalar_term", scalar_term)
    number = check.non_negative_int(name, "idx", idx) - scalar_term
    length = element_length(name, channels, degree, planar)
    if number >= length:
        raise ValueError(
            f"{name}: `idx` must be below {length + scalar_term} for labels below {channels} and "
            f"up to {degree} nodes, got {idx}"
        )
    return None if number < 0 else tables.element_at(number, channels, degree, planar)


@documented
def branched_sig_length(
    dimension: int, degree: int, *, planar: bool = False, scalar_term: bool = False
) -> int:
    r"""Count the coefficients of a truncated branched signature.

    Parameters
    ----------
    {tree_dimension}
    {degree}
    {planar}
    scalar_term : bool, default False
        Count the coefficient of the empty tree, too.

    Returns
    -------
    int
        Trees, or with `planar` ordered forests, of 1 to `degree` nodes.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a value is out of range, or 64 bits can not count the trees.

    Notes
    -----
    There are :math:`d^n C_n` ordered forests of n nodes, with the Catalan numbers
    :math:`C_n = \binom{2n}{n} / (n + 1)`, and d times as many trees of n nodes as there are
    multisets of trees with n - 1 nodes together.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.branched_sig_length(2, 3), arraysig.branched_sig_length(2, 3, planar=True)
    (20, 50)
    """
    name = "branched_sig_length"
    size = _size(name, dimension, degree, planar)
    return element_length(name, *size) + check.flag(name, "scalar_term", scalar_term)


@documented
def branched_log_sig_length(dimension: int, degree: int, *, planar: bool = False) -> int:
    r"""Count the numbers of a truncated branched log-signature.

    Parameters
    ----------
    {tree_dimension}
    {degree}
    {planar}

    Returns
    -------
    int
        With `planar` the Lyndon words over plane trees, which methods 1 to 3 have; without it as
        many as `branched_sig_length`.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a value is out of range, or 64 bits can not count them.

    Notes
    -----
    With the Moebius function mu there are

    .. math:: \sum_{n=1}^N \frac{1}{n} \sum_{k | n} \mu(n / k) \, d^k \, \tfrac12 \binom{2k}{k}

    Lyndon words of plane trees.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.branched_log_sig_length(2, 3, planar=True)
    33
    """
    name = "branched_log_sig_length"
    channels, degree, planar = _size(name, dimension, degree, planar)
    if planar:
        return lyndon_length(name, channels, degree)
    return element_length(name, channels, degree, False)
