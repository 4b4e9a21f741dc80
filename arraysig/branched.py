"""Branched signatures: iterated integrals indexed by trees, and their products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._core import check, tape
from ._core import trees as tables
from ._core.docs import documented
from ._core.namespace import beside_sums, contiguous, with_scalar, without_scalar
from ._core.sparse import Key, transposed
from ._ops import coefficients
from ._ops.branched import Algebra
from ._ops.sparse import sparse
from .signature import arranged as arranged_signature
from .signature import longest_block
from .trees import checked_element, element_length, position
from .words import augmented_channels

__all__ = [
    "branched_sig",
    "branched_sig_backprop",
    "branched_sig_coef",
    "branched_sig_coef_backprop",
    "branched_sig_combine",
    "branched_sig_combine_backprop",
    "branched_sig_join",
    "branched_sig_join_backprop",
    "extract_branched_sig_coef",
    "linear_branched_sig",
    "linear_branched_sig_backprop",
]

# ---- Arguments ----------------------------------------------------------------------------------


def algebra(
    name: str,
    dimension: Any,
    degree: Any,
    planar: Any,
    n_jobs: Any,
    time_aug: Any = False,
    lead_lag: Any = False,
) -> Algebra:
    """What was asked for; ValueError or MemoryError where there are too many trees."""
    dimension = check.positive_int(name, "dimension", dimension)
    degree = check.non_negative_int(name, "degree", degree)
    time_aug = check.flag(name, "time_aug", time_aug)
    lead_lag = check.flag(name, "lead_lag", lead_lag)
    channels = augmented_channels(dimension, time_aug, lead_lag)
    planar = check.flag(name, "planar", planar)
    if degree > 6 or (4 * channels) ** degree > 10**6:  # fewer elements need no counting
        size = 64 * degree * element_length(name, channels, degree, planar)  # and more
        check.table_bytes(name, "degree", degree, size)
    return Algebra(channels, degree, planar, check.n_jobs(name, n_jobs))


def length_of(name: str, of: Algebra) -> int:
    """Numbers of a branched signature without the empty tree."""
    return element_length(name, of.channels, of.degree, of.planar)


def has_scalar(name: str, argument: str, array: Any, of: Algebra) -> bool:
    """Whether rows have the empty tree in front; ValueError if neither fits."""
    length, shape = length_of(name, of), tuple(array.shape)
    if not shape or shape[-1] not in (length, length + 1):
        raise ValueError(
            f"{name}: `{argument}` must have shape (..., {length}), or {length + 1} with the empty "
            f"tree in front, for labels below {of.channels}, degree {of.degree} and "
            f"planar={of.planar}, got {shape}"
        )
    return bool(shape[-1] == length + 1)


def displacement_shape(name: str, v: Any, batch: tuple[int, ...], channels: int) -> None:
    """One displacement for each row."""
    check.shape(name, "displacement", v.shape, (*batch, channels))


def pulled_back(
    function: Callable[..., Any], arrays: list[Any], scalars: list[bool], grad: Any
) -> list[Any]:
    """Gradients of a function of rows, and its result, of which some have a scalar term.

    `scalars` are for the arrays, and that for the result comes last.
    """
    inner = [without_scalar(a, has) for a, has in zip(arrays, scalars, strict=False)]
    found = tape.gradients(function, inner, without_scalar(grad, scalars[-1]))
    return [with_scalar(g, has) for g, has in zip(found, scalars, strict=False)]


# ---- From paths ---------------------------------------------------------------------------------


def arranged(
    name: str,
    path: Any,
    degree: Any,
    time_aug: Any,
    lead_lag: Any,
    end_time: Any,
    planar: Any,
    correction: Any,
    n_jobs: Any,
) -> tuple[tuple[Any, Any], Any, tuple[Any, ...], Callable[[Any], Any], Algebra, Any]:
    """As `signature.arranged`, then the algebra, and the key of what makes trees of words."""
    flags = time_aug, lead_lag, end_time
    pair, walked, attrs, restore = arranged_signature(
        name, path, degree, *flags, False, correction, False, n_jobs, False, True
    )
    dimension = path.shape[-1]
    of = algebra(name, dimension, degree, planar, n_jobs, time_aug, lead_lag)
    longest = longest_block(name, path.shape, correction, of.degree, lead_lag)
    key = tables.words_key(*of[:3], longest, time_aug and longest > 1)
    return pair, walked, attrs, restore, of, key


@documented
def branched_sig(
    path: Any,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    planar: bool = False,
    scalar_term: bool = False,
    correction: Any = None,
    n_jobs: int = 1,
) -> Any:
    r"""Compute truncated branched signatures of piecewise linear paths.

    Parameters
    ----------
    {path}
    {degree}
    {time_aug}
    {lead_lag}
    {end_time}
    {planar}
    scalar_term : bool, default False
        Put the coefficient of the empty tree, which is 1, in front.
    {branched_correction}
    {n_jobs}

    Returns
    -------
    array, shape (..., branched_sig_length(channels, degree, planar=planar))
        Of the library, device and dtype of `path`, in the order of `trees`, with channels after
        augmentation. The units are those of the path to the power of the number of nodes.

    Raises
    ------
    {raises}

    See Also
    --------
    trees : what each of the coefficients belongs to
    branched_sig_coef : chosen coefficients
    branched_sig_backprop : the gradient, for NumPy and CuPy

    Notes
    -----
    The coefficient of the tree with children :math:`t_1, \dots, t_m` and root r is

    .. math:: X^t(s) = \int_0^s X^{t_1}(u) \cdots X^{t_m}(u) \, dx^r_u,

    where leaves are integrated first [1]_; the word :math:`(i_1, \dots, i_k)` is the chain with
    leaf :math:`i_1` and root :math:`i_k`. With `planar` the coefficient of an ordered forest, whose
    last tree has the root r and the children h, and is preceded by the forest w, is the integral of
    :math:`X^w X^h dx^r` [2]_.

    Along a path with segments of logarithms :math:`l_j` the branched signature is the product of
    their exponentials in the dual of a Hopf algebra, and hence the image of a signature in words
    whose letters are what segments have: increments, and with a `correction` chains [3]_. That
    signature is computed, and multiplied by a sparse matrix of integers: without a correction the
    cost is little more than that of `sig`. The matrix is made on first use and kept.

    With a correction products of increments no longer obey the product rule of ordinary calculus:
    the coefficients are integrals in the sense of Itô, for one, and of a tree with branches they
    can not be read off `sig`. With `planar` a forest of leaves is a word, which has the coefficient
    that `sig` has without a correction.

    In Torch all derivatives exist, in reverse and forward mode.

    References
    ----------
    .. [1] M. Gubinelli, "Ramification of rough paths", Journal of Differential Equations 248
       (2010), 693-721.
    .. [2] C. Curry, K. Ebrahimi-Fard, D. Manchon, H. Z. Munthe-Kaas, "Planarly branched rough paths
       and rough differential equations on homogeneous spaces", Journal of Differential Equations
       269 (2020), 9740-9782.
    .. [3] M. Hairer and D. Kelly, "Geometric versus non-geometric rough paths", Annales de
       l'Institut Henri Poincaré 51 (2015), 207-251.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0], [1.0]])
    >>> arraysig.trees(1, 3)[1:]
    ((0,), ((0,), 0), ((0,), (0,), 0), (((0,), 0), 0))
    >>> arraysig.branched_sig(path, 3)
    array([1.        , 0.5       , 0.33333333, 0.16666667])
    >>> arraysig.branched_sig(path, 3, correction=np.array([[-0.5]]))
    array([ 1.        ,  0.        , -0.16666667, -0.33333333])
    """
    name = "branched_sig"
    (forward, _), walked, attrs, restore, of, key = arranged(
        name, path, degree, time_aug, lead_lag, end_time, planar, correction, n_jobs
    )
    scalar_term = check.flag(name, "scalar_term", scalar_term)
    result = sparse(forward(walked, *attrs), key, of.n_jobs)
    return restore(with_scalar(result, scalar_term, 1.0))


@documented
def branched_sig_backprop(
    path: Any,
    bsig: Any,
    bsig_derivs: Any,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    planar: bool = False,
    correction: Any = None,
    n_jobs: int = 1,
) -> Any:
    """Gradient of a function of branched signatures with respect to the paths.

    Torch users need not call this: `branched_sig` itself is differentiable there.

    Parameters
    ----------
    {path}
    bsig : array or None
        The branched signature of `path`, of the shape of `bsig_derivs`. Accepted for compatibility
        with other libraries; the result does not depend on its values.
    bsig_derivs : array, shape (..., branched_sig_length(channels, degree, planar=planar))
        Derivatives with respect to the branched signature, of its shape. One entry more than that,
        in front, is taken as derivative of the coefficient of the empty tree, which is constant.
    {degree}
    {time_aug}
    {lead_lag}
    {end_time}
    {planar}
    {branched_correction}
    {n_jobs}

    Returns
    -------
    array, shape (..., length, dimension)
        Derivatives with respect to `path`, of its dtype.

    Raises
    ------
    {raises}

    Notes
    -----
    The transposed matrix, and then the gradient of the signature, which costs about three times
    what that costs. A correction is constant, also where it was made of the path.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> derivs = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    >>> arraysig.branched_sig_backprop(path, None, derivs, 2)
    array([[-1. , -0.5],
           [ 0.5, -1.5],
           [ 0.5,  2. ]])
    """
    name = "branched_sig_backprop"
    optional = {"bsig": bsig, "correction": correction}
    given, restore = check.given_arrays(name, optional, path=path, bsig_derivs=bsig_derivs)
    path, derivs, correction = given["path"], given["bsig_derivs"], given.get("correction")
    (_, back), walked, attrs, _, of, key = arranged(
        name, path, degree, time_aug, lead_lag, end_time, planar, correction, n_jobs
    )
    scalar_term = has_scalar(name, "bsig_derivs", derivs, of)
    check.shape(name, "bsig_derivs", derivs.shape, (*path.shape[:-2], derivs.shape[-1]))
    check.shape(name, "bsig", given.get("bsig", derivs).shape, derivs.shape)
    of_words = sparse(without_scalar(derivs, scalar_term), transposed(key), of.n_jobs)
    return restore(contiguous(back(of_words, walked, *attrs)[..., : path.shape[-1]]))


# ---- Chosen coefficients ------------------------------------------------------------------------


def chosen_trees(
    name: str, trees: Any, dimension: int, time_aug: bool, lead_lag: bool, planar: bool
) -> tuple[list[tables.Forest], int]:
    """One element of the basis or a list of them, checked, and the channels that are labels."""
    channels = augmented_channels(dimension, time_aug, lead_lag)
    if not isinstance(trees, list):
        trees = [trees]
    if not trees:
        raise ValueError(f"{name}: `trees` must not be empty, got []")
    forests = [checked_element(name, "trees", tree, channels, planar) for tree in trees]
    return forests, channels


#: Words that chosen trees may have: dictionaries are made of them.
_MOST_WORDS = 2**20


def countable(name: str, forests: list[tables.Forest], planar: bool) -> None:
    """ValueError or MemoryError where trees are sums of too many words."""
    if any([tables.orderings(forest, planar) >= 2**63 for forest in forests]):
        raise ValueError(
            f"{name}: `trees` must be sums of words that 64 bits can count, got a tree of "
            f"{max([tables.nodes(forest) for forest in forests])} nodes"
        )
    words = sum([tables.most_words(forest, planar) for forest in forests])
    if words > _MOST_WORDS:
        raise MemoryError(
            f"{name}: `trees` are sums of up to {words} different words, of which "
            f"{_MOST_WORDS} are possible"
        )


def _chosen(
    name: str,
    path: Any,
    trees: Any,
    time_aug: Any,
    lead_lag: Any,
    end_time: Any,
    planar: Any,
    correction: Any,
    n_jobs: Any,
) -> tuple[Any, tuple[Any, ...], Key, int]:
    """Path and attributes of `sig_coef`, the key of the matrix, and how many trees there are."""
    check.path_shape(name, "path", path.shape)
    time_aug = check.flag(name, "time_aug", time_aug)
    lead_lag = check.flag(name, "lead_lag", lead_lag)
    end_time = check.end_time(name, end_time, path)
    planar = check.flag(name, "planar", planar)
    n_jobs = check.n_jobs(name, n_jobs)
    forests, channels = chosen_trees(name, trees, path.shape[-1], time_aug, lead_lag, planar)
    countable(name, forests, planar)
    degree = max([tables.nodes(forest) for forest in forests])
    longest = longest_block(name, path.shape, correction, degree, lead_lag)
    if longest > 1:
        path = beside_sums(path, correction)
    key = tables.chosen_key(forests, channels, planar, longest, time_aug and longest > 1)
    attrs = tables.words_of(key), False, time_aug, lead_lag, end_time, n_jobs
    return path, attrs, key, len(forests)


@documented
def branched_sig_coef(
    path: Any,
    trees: Any,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    planar: bool = False,
    correction: Any = None,
    n_jobs: int = 1,
) -> Any:
    """Compute chosen coefficients of branched signatures, and nothing else.

    Parameters
    ----------
    {path}
    trees : tuple, None, or list of them
        One tree ``(child, ..., label)``, or several in a list; labels are channels after
        augmentation, and children stand in any order unless `planar`. With `planar` also ordered
        forests ``(tree, ...)``. None is the empty tree, which has coefficient 1.
    {time_aug}
    {lead_lag}
    {end_time}
    {planar}
    {branched_correction}
    {n_jobs}

    Returns
    -------
    array, shape (..., number of trees)
        In the order of `trees`, repetitions included; of the kind and dtype of `path`.

    Raises
    ------
    {raises}

    See Also
    --------
    extract_branched_sig_coef : the same out of a whole branched signature

    Notes
    -----
    The coefficients are sums of those of words, which `sig_coef` computes: the linear extensions of
    the trees, and with a correction those with some chains as letters. With a correction the most
    nodes that a tree has stand for the degree.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> arraysig.branched_sig_coef(path, [((0,), 1), ((0,), (1,), 0)])
    array([-1.        ,  6.33333333])
    """
    name = "branched_sig_coef"
    given, restore = check.given_arrays(name, {"correction": correction}, path=path)
    flags = time_aug, lead_lag, end_time, planar
    walked, attrs, key, _ = _chosen(
        name, given["path"], trees, *flags, given.get("correction"), n_jobs
    )
    return restore(sparse(coefficients.sig_coef(walked, *attrs), key, attrs[-1]))


@documented
def branched_sig_coef_backprop(
    path: Any,
    trees: Any,
    coefs: Any,
    derivs: Any,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    planar: bool = False,
    correction: Any = None,
    n_jobs: int = 1,
) -> Any:
    """Gradient of a function of `branched_sig_coef` with respect to the paths.

    Parameters
    ----------
    {path}
    trees : tuple, None, or list of them
        The trees, as for `branched_sig_coef`.
    coefs : array or None
        Their coefficients. Accepted for compatibility with other libraries; the result does not
        depend on its values.
    derivs : array, shape (..., number of trees)
        Derivatives with respect to the coefficients.
    {time_aug}
    {lead_lag}
    {end_time}
    {planar}
    {branched_correction}
    {n_jobs}

    Returns
    -------
    array, shape (..., length, dimension)
        Derivatives with respect to `path`, of its dtype.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> trees, derivs = [(0,), ((0,), 1)], np.array([1.0, 1.0])
    >>> arraysig.branched_sig_coef_backprop(path, trees, None, derivs)
    array([[-1. , -0.5],
           [ 0.5, -1.5],
           [ 0.5,  2. ]])
    """
    name = "branched_sig_coef_backprop"
    optional = {"coefs": coefs, "correction": correction}
    given, restore = check.given_arrays(name, optional, path=path, derivs=derivs)
    path, derivs = given["path"], given["derivs"]
    flags = time_aug, lead_lag, end_time, planar
    walked, attrs, key, count = _chosen(name, path, trees, *flags, given.get("correction"), n_jobs)
    check.shape(name, "derivs", derivs.shape, (*path.shape[:-2], count))
    check.shape(name, "coefs", given.get("coefs", derivs).shape, derivs.shape)
    of_words = sparse(derivs, transposed(key), attrs[-1])
    gradient = coefficients.sig_coef_vjp(of_words, walked, *attrs)
    return restore(contiguous(gradient[..., : path.shape[-1]]))


@documented
def extract_branched_sig_coef(
    bsig: Any,
    trees: Any,
    dimension: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    planar: bool = False,
    scalar_term: bool = False,
) -> Any:
    """Take the coefficients of some trees out of branched signatures.

    Parameters
    ----------
    bsig : array, shape (..., branched_sig_length(channels, degree, planar=planar))
        Branched signatures of any degree.
    trees : tuple, None, or list of them
        One tree, or several in a list, as for `branched_sig_coef`.
    {dimension}
    {augmented}
    {planar}
    scalar_term : bool, default False
        Whether `bsig` has the empty tree in front.

    Returns
    -------
    array, shape (..., number of trees)
        In the order of `trees`; of the kind and dtype of `bsig`. Differentiable in Torch.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If `trees` has what is no tree, or the empty tree without `scalar_term`.
    IndexError
        If a tree has more nodes than the degree of `bsig`.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> bsig = arraysig.branched_sig(path, 3)
    >>> arraysig.extract_branched_sig_coef(bsig, [((0,), 1), ((0,), (1,), 0)], 2)
    array([-1.        ,  6.33333333])
    """
    name = "extract_branched_sig_coef"
    (bsig,), restore = check.arrays(name, bsig=bsig)
    dimension = check.positive_int(name, "dimension", dimension)
    time_aug = check.flag(name, "time_aug", time_aug)
    lead_lag = check.flag(name, "lead_lag", lead_lag)
    planar = check.flag(name, "planar", planar)
    scalar_term = check.flag(name, "scalar_term", scalar_term)
    forests, channels = chosen_trees(name, trees, dimension, time_aug, lead_lag, planar)
    if not bsig.shape:
        raise ValueError(f"{name}: `bsig` must have shape (..., length), got ()")
    indices = []
    for forest in forests:
        if not forest and not scalar_term:
            raise ValueError(
                f"{name}: `trees` must not have the empty tree for signatures without scalar term"
            )
        indices.append(position(forest, channels, planar) - (not scalar_term))
        if indices[-1] >= bsig.shape[-1]:
            raise IndexError(
                f"{name}: `trees` must fit the {bsig.shape[-1]} coefficients of `bsig`, got "
                f"{forest if planar or not forest else forest[0]!r}"
            )
    return restore(contiguous(bsig[..., indices]))  # NumPy gathers column by column


# ---- Products -----------------------------------------------------------------------------------


@documented
def branched_sig_combine(
    bsig1: Any, bsig2: Any, dimension: int, degree: int, *, planar: bool = False, n_jobs: int = 1
) -> Any:
    r"""Multiply branched signatures: that of one path followed by another.

    Parameters
    ----------
    bsig1 : array, shape (..., branched_sig_length(dimension, degree, planar=planar))
        Branched signatures of the first paths, or any numbers. The coefficient of the empty tree
        may stand in front; it is not read.
    bsig2 : array
        Branched signatures of the second paths, of the shape of `bsig1`.
    {tree_dimension}
    {degree}
    {planar}
    {n_jobs}

    Returns
    -------
    array
        Of the shape and kind of `bsig1`; with the empty tree if that has it.

    Raises
    ------
    {raises}

    See Also
    --------
    branched_sig_join : a path followed by one segment

    Notes
    -----
    The product of the dual of the Hopf algebra: over the terms of the coproduct of a tree

    .. math:: (f * g)(t) = \sum f(\text{pruned}) \, g(\text{trunk}),

    where the trunk has the root. Without `planar` it has admissible cuts [1]_, and what is pruned
    is a forest on which `bsig1` is multiplicative; with `planar` left admissible cuts [2]_, whose
    pruned parts are shuffled.

    References
    ----------
    .. [1] A. Connes and D. Kreimer, "Hopf algebras, renormalization and noncommutative geometry",
       Communications in Mathematical Physics 199 (1998), 203-242.
    .. [2] H. Z. Munthe-Kaas and W. M. Wright, "On the Hopf algebraic structure of Lie group
       integrators", Foundations of Computational Mathematics 8 (2008), 227-257.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> first, second = arraysig.branched_sig(path[:2], 2), arraysig.branched_sig(path[1:], 2)
    >>> arraysig.branched_sig_combine(first, second, 2, 2)
    array([ 3. ,  1. ,  4.5, -1. ,  4. ,  0.5])
    """
    name = "branched_sig_combine"
    (one, two), restore = check.arrays(name, bsig1=bsig1, bsig2=bsig2)
    of = algebra(name, dimension, degree, planar, n_jobs)
    scalar_term = has_scalar(name, "bsig1", one, of)
    check.shape(name, "bsig2", two.shape, one.shape)
    one, two = without_scalar(one, scalar_term), without_scalar(two, scalar_term)
    return restore(with_scalar(of.product(one, two), scalar_term, 1.0))


@documented
def branched_sig_combine_backprop(
    derivs: Any,
    bsig1: Any,
    bsig2: Any,
    dimension: int,
    degree: int,
    *,
    planar: bool = False,
    n_jobs: int = 1,
) -> tuple[Any, Any]:
    """Gradient of a function of `branched_sig_combine` with respect to both factors.

    Parameters
    ----------
    derivs : array
        Derivatives with respect to the product, of its shape. That of the empty tree is not read.
    bsig1 : array, shape (..., branched_sig_length(dimension, degree, planar=planar))
        The first factor.
    bsig2 : array
        The second factor, of the shape of `bsig1`.
    {tree_dimension}
    {degree}
    {planar}
    {n_jobs}

    Returns
    -------
    tuple of two arrays
        Derivatives with respect to `bsig1` and `bsig2`, 0 for the empty tree.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> one, two = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    >>> arraysig.branched_sig_combine_backprop(np.array([0.0, 1.0]), one, two, 1, 2)
    (array([3., 1.]), array([1., 1.]))
    """
    name = "branched_sig_combine_backprop"
    arrays, restore = check.arrays(name, derivs=derivs, bsig1=bsig1, bsig2=bsig2)
    derivs, one, two = arrays
    of = algebra(name, dimension, degree, planar, n_jobs)
    scalar_term = has_scalar(name, "bsig1", one, of)
    check.shape(name, "bsig2", two.shape, one.shape)
    check.shape(name, "derivs", derivs.shape, one.shape)
    both = pulled_back(of.product, [one, two], [scalar_term] * 3, derivs)
    return restore(both[0]), restore(both[1])


def _joined(of: Algebra, prepend: bool) -> Callable[..., Any]:
    def join(bsig: Any, v: Any) -> Any:
        segment = of.linear(v)
        return of.product(segment, bsig) if prepend else of.product(bsig, segment)

    return join


@documented
def branched_sig_join(
    bsig: Any,
    displacement: Any,
    dimension: int,
    degree: int,
    *,
    planar: bool = False,
    prepend: bool = False,
    n_jobs: int = 1,
) -> Any:
    """Add a segment: branched signatures of paths that go on.

    Parameters
    ----------
    bsig : array, shape (..., branched_sig_length(dimension, degree, planar=planar))
        Branched signatures. The coefficient of the empty tree may stand in front; it is not read.
    displacement : array, shape (..., dimension)
        End less start of the segment.
    {tree_dimension}
    {degree}
    {planar}
    prepend : bool, default False
        Put the segment before the path instead of behind it.
    {n_jobs}

    Returns
    -------
    array
        Of the shape and kind of `bsig`; with the empty tree if that has it.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> first = arraysig.branched_sig(path[:2], 2)
    >>> arraysig.branched_sig_join(first, path[2] - path[1], 2, 2)
    array([ 3. ,  1. ,  4.5, -1. ,  4. ,  0.5])
    """
    name = "branched_sig_join"
    (bsig, v), restore = check.arrays(name, bsig=bsig, displacement=displacement)
    of = algebra(name, dimension, degree, planar, n_jobs)
    prepend = check.flag(name, "prepend", prepend)
    scalar_term = has_scalar(name, "bsig", bsig, of)
    displacement_shape(name, v, tuple(bsig.shape[:-1]), of.channels)
    result = _joined(of, prepend)(without_scalar(bsig, scalar_term), v)
    return restore(with_scalar(result, scalar_term, 1.0))


@documented
def branched_sig_join_backprop(
    derivs: Any,
    bsig: Any,
    displacement: Any,
    dimension: int,
    degree: int,
    *,
    planar: bool = False,
    prepend: bool = False,
    n_jobs: int = 1,
) -> tuple[Any, Any]:
    """Gradient of a function of `branched_sig_join` with respect to its arguments.

    Parameters
    ----------
    derivs : array
        Derivatives with respect to the result, of its shape. That of the empty tree is not read.
    bsig : array, shape (..., branched_sig_length(dimension, degree, planar=planar))
        Branched signatures.
    displacement : array, shape (..., dimension)
        End less start of the segment.
    {tree_dimension}
    {degree}
    {planar}
    prepend : bool, default False
        Whether the segment comes before the path.
    {n_jobs}

    Returns
    -------
    tuple of two arrays
        Derivatives with respect to `bsig`, 0 for the empty tree, and `displacement`.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> one, v = np.array([1.0, 2.0]), np.array([3.0])
    >>> arraysig.branched_sig_join_backprop(np.array([0.0, 1.0]), one, v, 1, 2)
    (array([3., 1.]), array([4.]))
    """
    name = "branched_sig_join_backprop"
    arrays, restore = check.arrays(name, derivs=derivs, bsig=bsig, displacement=displacement)
    derivs, bsig, v = arrays
    of = algebra(name, dimension, degree, planar, n_jobs)
    prepend = check.flag(name, "prepend", prepend)
    scalar_term = has_scalar(name, "bsig", bsig, of)
    displacement_shape(name, v, tuple(bsig.shape[:-1]), of.channels)
    check.shape(name, "derivs", derivs.shape, bsig.shape)
    scalars = [scalar_term, False, scalar_term]
    both = pulled_back(_joined(of, prepend), [bsig, v], scalars, derivs)
    return restore(both[0]), restore(both[1])


@documented
def linear_branched_sig(
    displacement: Any,
    dimension: int,
    degree: int,
    *,
    planar: bool = False,
    scalar_term: bool = False,
    n_jobs: int = 1,
) -> Any:
    r"""Compute branched signatures of segments.

    Parameters
    ----------
    displacement : array, shape (..., dimension)
        End less start of each segment.
    {tree_dimension}
    {degree}
    {planar}
    scalar_term : bool, default False
        Put the coefficient of the empty tree, which is 1, in front.
    {n_jobs}

    Returns
    -------
    array, shape (..., branched_sig_length(dimension, degree, planar=planar))
        Branched signatures.

    Raises
    ------
    {raises}

    Notes
    -----
    The coefficient of a tree is the product of the displacements that its labels name, divided by
    the tree factorial: the product over all nodes of the number of nodes at and above them. With
    `planar` the nodes of trees on the left of a node, children of the same node or in the forest,
    are counted for it, too.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> arraysig.linear_branched_sig(np.array([1.0]), 1, 3)
    array([1.        , 0.5       , 0.33333333, 0.16666667])
    >>> arraysig.trees(1, 2, planar=True)[1:]
    (((0,),), ((0,), (0,)), (((0,), 0),))
    >>> arraysig.linear_branched_sig(np.array([1.0]), 1, 2, planar=True)
    array([1. , 0.5, 0.5])
    """
    name = "linear_branched_sig"
    (v,), restore = check.arrays(name, displacement=displacement)
    of = algebra(name, dimension, degree, planar, n_jobs)
    scalar_term = check.flag(name, "scalar_term", scalar_term)
    displacement_shape(name, v, tuple(v.shape[:-1]), of.channels)
    return restore(with_scalar(of.linear(v), scalar_term, 1.0))


@documented
def linear_branched_sig_backprop(
    derivs: Any,
    displacement: Any,
    dimension: int,
    degree: int,
    *,
    planar: bool = False,
    scalar_term: bool = False,
    n_jobs: int = 1,
) -> Any:
    """Gradient of a function of `linear_branched_sig` with respect to the displacements.

    Parameters
    ----------
    derivs : array
        Derivatives with respect to the branched signatures, of their shape.
    displacement : array, shape (..., dimension)
        End less start of each segment.
    {tree_dimension}
    {degree}
    {planar}
    scalar_term : bool, default False
        Whether `derivs` have that of the empty tree in front, which is not read.
    {n_jobs}

    Returns
    -------
    array
        Derivatives with respect to `displacement`, of its shape.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> arraysig.linear_branched_sig_backprop(np.array([0.0, 1.0]), np.array([3.0]), 1, 2)
    array([3.])
    """
    name = "linear_branched_sig_backprop"
    (derivs, v), restore = check.arrays(name, derivs=derivs, displacement=displacement)
    of = algebra(name, dimension, degree, planar, n_jobs)
    scalar_term = check.flag(name, "scalar_term", scalar_term)
    displacement_shape(name, v, tuple(v.shape[:-1]), of.channels)
    check.shape(name, "derivs", derivs.shape, (*v.shape[:-1], length_of(name, of) + scalar_term))
    (gradient,) = pulled_back(of.linear, [v], [False, scalar_term], derivs)
    return restore(gradient)
