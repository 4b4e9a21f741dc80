"""Branched log-signatures: logarithms of branched signatures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ._core import check
from ._core.docs import documented
from ._core.namespace import concat, contiguous, copied, with_scalar, without_scalar, zeros
from ._core.sparse import transposed
from ._core.tape import gradients
from ._ops import lie
from ._ops.branched import Algebra
from ._ops.sparse import sparse
from .branched import algebra, arranged, displacement_shape, has_scalar, length_of, pulled_back
from .trees import lyndon_length

__all__ = [
    "branched_log_sig",
    "branched_log_sig_backprop",
    "branched_log_sig_join",
    "branched_log_sig_join_backprop",
    "branched_sig_to_log_sig",
    "branched_sig_to_log_sig_backprop",
    "linear_branched_log_sig",
    "linear_branched_log_sig_backprop",
]


def checked_format(name: str, method: Any, planar: bool) -> int:
    """The format: 0, 1 or 2."""
    if method is None:
        return int(planar)
    number: int = check.non_negative_int(name, "method", method)
    if number > 3:
        raise ValueError(f"{name}: `method` must be None, 0, 1, 2 or 3, got {number}")
    if number and not planar:
        raise ValueError(f"{name}: `method` must be 0 without `planar`, got {number}")
    return min(number, 2)


def _scalar_term(name: str, scalar_term: Any, method: int) -> bool:
    """Whether there is an empty tree, which only format 0 has."""
    scalar_term = check.flag(name, "scalar_term", scalar_term)
    if scalar_term and method:
        raise ValueError(f"{name}: `scalar_term` must be False for method {method}, got True")
    return bool(scalar_term)


def _length(name: str, of: Algebra, method: int) -> int:
    """Numbers of a format without the empty tree."""
    return lyndon_length(name, of.channels, of.degree) if method else length_of(name, of)


def _checked(name: str, argument: str, array: Any, of: Algebra, method: int) -> bool:
    """Whether rows have the empty tree in front, where they may; ValueError if none fits."""
    if method == 0:
        return has_scalar(name, argument, array, of)
    length, shape = _length(name, of, method), tuple(array.shape)
    if not shape or shape[-1] != length:
        raise ValueError(
            f"{name}: `{argument}` must have shape (..., {length}) for labels below {of.channels} "
            f"and degree {of.degree}, got {shape}"
        )
    return False


def _log(of: Algebra, method: int) -> Callable[..., Any]:
    return lambda x: of.to_lyndon(of.log(x), method)


@documented
def branched_log_sig(
    path: Any,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    planar: bool = False,
    scalar_term: bool = False,
    method: int | None = None,
    correction: Any = None,
    n_jobs: int = 1,
) -> Any:
    r"""Compute truncated branched log-signatures of piecewise linear paths.

    Parameters
    ----------
    {path}
    {degree}
    {time_aug}
    {lead_lag}
    {end_time}
    {planar}
    scalar_term : bool, default False
        For method 0: put the number of the empty tree, which is 0, in front.
    {branched_method}
    {branched_correction}
    {n_jobs}

    Returns
    -------
    array, shape (..., branched_log_sig_length(channels, degree, planar=planar))
        Branched log-signatures; for method 0 with `planar` of ``branched_sig_length`` numbers. A
        path of one point gives zeros.

    Raises
    ------
    {raises}

    See Also
    --------
    branched_sig_to_log_sig : the same from a branched signature

    Notes
    -----
    The logarithm of the branched signature X, 1 on the empty tree, in the dual of the Hopf algebra,

    .. math:: \log X = \sum_{k \ge 1} \frac{(-1)^{k+1}}{k} (X - 1)^{* k}.

    It vanishes on products of trees, and with `planar` on shuffles of forests: it is an element of
    the free Lie algebra over plane trees, for which values on Lyndon words are enough. Without a
    correction it is made of the logarithm of the signature, with one in the algebra of trees.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> arraysig.branched_log_sig(path, 2)
    array([ 3. ,  1. ,  0. , -2.5,  2.5,  0. ])
    >>> arraysig.branched_log_sig(path, 2, planar=True)
    array([ 3. ,  1. , -2.5,  0. , -2.5,  2.5,  0. ])
    """
    name = "branched_log_sig"
    flags = time_aug, lead_lag, end_time, planar
    (forward, _), walked, attrs, restore, of, key = arranged(
        name, path, degree, *flags, correction, n_jobs
    )
    method = checked_format(name, method, of.planar)
    scalar_term = _scalar_term(name, scalar_term, method)
    words = forward(walked, *attrs)
    if _is_plain(key):
        words = lie.log(words, of.channels, of.degree, 0, of.n_jobs)
        result = of.to_lyndon(sparse(words, key, of.n_jobs), method)
    else:
        result = _log(of, method)(sparse(words, key, of.n_jobs))
    return restore(with_scalar(result, scalar_term))


def _is_plain(key: Any) -> bool:
    """Whether the letters of words are channels only: signatures have no correction."""
    return bool(key[4] == 1)


@documented
def branched_log_sig_backprop(
    path: Any,
    blogsig_derivs: Any,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    planar: bool = False,
    method: int | None = None,
    correction: Any = None,
    n_jobs: int = 1,
) -> Any:
    """Gradient of a function of branched log-signatures with respect to the paths.

    Parameters
    ----------
    {path}
    blogsig_derivs : array, shape (..., branched_log_sig_length(channels, degree, planar=planar))
        Derivatives with respect to the branched log-signature, of the shape of what
        `branched_log_sig` returns. For method 0 one entry more, in front, is taken as that of the
        empty tree.
    {degree}
    {time_aug}
    {lead_lag}
    {end_time}
    {planar}
    {branched_method}
    {branched_correction}
    {n_jobs}

    Returns
    -------
    array, shape (..., length, dimension)
        Derivatives with respect to `path`.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> derivs = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    >>> arraysig.branched_log_sig_backprop(path, derivs, 2)
    array([[ 0.5,  1. ],
           [ 0.5, -1.5],
           [-1. ,  0.5]])
    """
    name = "branched_log_sig_backprop"
    given, restore = check.given_arrays(
        name, {"correction": correction}, path=path, blogsig_derivs=blogsig_derivs
    )
    path, derivs = given["path"], given["blogsig_derivs"]
    flags = time_aug, lead_lag, end_time, planar
    (forward, back), walked, attrs, _, of, key = arranged(
        name, path, degree, *flags, given.get("correction"), n_jobs
    )
    method = checked_format(name, method, of.planar)
    scalar_term = _checked(name, "blogsig_derivs", derivs, of, method)
    check.shape(name, "blogsig_derivs", derivs.shape, (*path.shape[:-2], derivs.shape[-1]))
    grad = without_scalar(derivs, scalar_term)
    words = forward(walked, *attrs)
    if _is_plain(key):
        (grad,) = gradients(
            lambda x: of.to_lyndon(x, method), [sparse(words, key, of.n_jobs)], grad
        )
        grad = sparse(grad, transposed(key), of.n_jobs)
        grad = lie.log_vjp(grad, words, of.channels, of.degree, 0, of.n_jobs)
    else:
        (grad,) = gradients(_log(of, method), [sparse(words, key, of.n_jobs)], grad)
        grad = sparse(grad, transposed(key), of.n_jobs)
    return restore(contiguous(back(grad, walked, *attrs)[..., : path.shape[-1]]))


@documented
def branched_sig_to_log_sig(
    bsig: Any,
    dimension: int,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    planar: bool = False,
    method: int | None = None,
    n_jobs: int = 1,
) -> Any:
    """Take logarithms of branched signatures.

    Parameters
    ----------
    bsig : array, shape (..., branched_sig_length(channels, degree, planar=planar))
        Branched signatures. The coefficient of the empty tree may stand in front; it is not read.
    {dimension}
    {degree}
    {augmented}
    {planar}
    {branched_method}
    {n_jobs}

    Returns
    -------
    array, shape (..., branched_log_sig_length(channels, degree, planar=planar))
        Branched log-signatures; for method 0 of the shape of `bsig`, with the empty tree, 0, if
        that has it.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> arraysig.branched_sig_to_log_sig(arraysig.branched_sig(path, 2), 2, 2)
    array([ 3. ,  1. ,  0. , -2.5,  2.5,  0. ])
    """
    name = "branched_sig_to_log_sig"
    (bsig,), restore = check.arrays(name, bsig=bsig)
    of = algebra(name, dimension, degree, planar, n_jobs, time_aug, lead_lag)
    method = checked_format(name, method, of.planar)
    scalar_term = has_scalar(name, "bsig", bsig, of)
    result = _log(of, method)(without_scalar(bsig, scalar_term))
    if result is bsig:
        result = copied(bsig)
    return restore(with_scalar(result, scalar_term and method == 0))


@documented
def branched_sig_to_log_sig_backprop(
    bsig: Any,
    blogsig_derivs: Any,
    dimension: int,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    planar: bool = False,
    method: int | None = None,
    n_jobs: int = 1,
) -> Any:
    """Gradient of a function of `branched_sig_to_log_sig` with respect to the branched signatures.

    Parameters
    ----------
    bsig : array, shape (..., branched_sig_length(channels, degree, planar=planar))
        Branched signatures.
    blogsig_derivs : array
        Derivatives with respect to the logarithms, of the shape of what `branched_sig_to_log_sig`
        returns.
    {dimension}
    {degree}
    {augmented}
    {planar}
    {branched_method}
    {n_jobs}

    Returns
    -------
    array
        Derivatives with respect to `bsig`, of its shape, 0 for the empty tree.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> bsig, derivs = np.array([2.0, 3.0]), np.array([0.0, 1.0])
    >>> arraysig.branched_sig_to_log_sig_backprop(bsig, derivs, 1, 2)
    array([-2.,  1.])
    """
    name = "branched_sig_to_log_sig_backprop"
    (bsig, derivs), restore = check.arrays(name, bsig=bsig, blogsig_derivs=blogsig_derivs)
    of = algebra(name, dimension, degree, planar, n_jobs, time_aug, lead_lag)
    method = checked_format(name, method, of.planar)
    scalar_term = has_scalar(name, "bsig", bsig, of)
    in_front = scalar_term and method == 0
    expected = (*bsig.shape[:-1], _length(name, of, method) + in_front)
    check.shape(name, "blogsig_derivs", derivs.shape, expected)
    (gradient,) = pulled_back(_log(of, method), [bsig], [scalar_term, in_front], derivs)
    return restore(gradient)


def _joined(of: Algebra, prepend: bool) -> Callable[..., Any]:
    def join(blogsig: Any, v: Any) -> Any:
        factor, segment = of.exp(of.from_basis(blogsig)), of.linear(v)
        product = of.product(segment, factor) if prepend else of.product(factor, segment)
        return of.to_lyndon(of.log(product), 2)

    return join


def _join_arguments(
    name: str, blogsig: Any, v: Any, dimension: Any, degree: Any, prepend: Any, n_jobs: Any
) -> Callable[..., Any]:
    """Check the arguments of a join; returns what it is."""
    of = algebra(name, dimension, degree, True, n_jobs)
    prepend = check.flag(name, "prepend", prepend)
    _checked(name, "blogsig", blogsig, of, 2)
    displacement_shape(name, v, tuple(blogsig.shape[:-1]), of.channels)
    return _joined(of, prepend)


@documented
def branched_log_sig_join(
    blogsig: Any,
    displacement: Any,
    dimension: int,
    degree: int,
    *,
    prepend: bool = False,
    n_jobs: int = 1,
) -> Any:
    """Add a segment: planar branched log-signatures of paths that go on.

    Parameters
    ----------
    blogsig : array, shape (..., branched_log_sig_length(dimension, degree, planar=True))
        Planar branched log-signatures, coordinates in the basis of brackets (method 2).
    displacement : array, shape (..., dimension)
        End less start of the segment.
    {tree_dimension}
    {degree}
    prepend : bool, default False
        Put the segment before the path instead of behind it.
    {n_jobs}

    Returns
    -------
    array
        Of the shape of `blogsig`.

    Raises
    ------
    {raises}

    Notes
    -----
    The logarithm of the product of both exponentials.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> blogsig = np.array([1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    >>> arraysig.branched_log_sig_join(blogsig, np.array([2.0, -1.0]), 2, 2)
    array([ 3. ,  1. , -2.5,  0. , -2.5,  2.5,  0. ])
    """
    name = "branched_log_sig_join"
    (blogsig, v), restore = check.arrays(name, blogsig=blogsig, displacement=displacement)
    join = _join_arguments(name, blogsig, v, dimension, degree, prepend, n_jobs)
    return restore(join(blogsig, v))


@documented
def branched_log_sig_join_backprop(
    derivs: Any,
    blogsig: Any,
    displacement: Any,
    dimension: int,
    degree: int,
    *,
    prepend: bool = False,
    n_jobs: int = 1,
) -> tuple[Any, Any]:
    """Gradient of a function of `branched_log_sig_join` with respect to its arguments.

    Parameters
    ----------
    derivs : array
        Derivatives with respect to the result, of its shape.
    blogsig : array, shape (..., branched_log_sig_length(dimension, degree, planar=True))
        Planar branched log-signatures.
    displacement : array, shape (..., dimension)
        End less start of the segment.
    {tree_dimension}
    {degree}
    prepend : bool, default False
        Whether the segment comes before the path.
    {n_jobs}

    Returns
    -------
    tuple of two arrays
        Derivatives with respect to `blogsig` and `displacement`.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> blogsig, v = np.array([1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0]), np.array([2.0, -1.0])
    >>> derivs = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    >>> of_blogsig, of_v = arraysig.branched_log_sig_join_backprop(derivs, blogsig, v, 2, 2)
    >>> of_blogsig[:3], of_v
    (array([-0.5, -1. ,  1. ]), array([-1. ,  0.5]))
    """
    name = "branched_log_sig_join_backprop"
    arrays, restore = check.arrays(name, derivs=derivs, blogsig=blogsig, displacement=displacement)
    derivs, blogsig, v = arrays
    join = _join_arguments(name, blogsig, v, dimension, degree, prepend, n_jobs)
    check.shape(name, "derivs", derivs.shape, blogsig.shape)
    both = gradients(join, [blogsig, v], derivs)
    return restore(both[0]), restore(both[1])


@documented
def linear_branched_log_sig(
    displacement: Any,
    dimension: int,
    degree: int,
    *,
    planar: bool = False,
    scalar_term: bool = False,
    method: int | None = None,
    n_jobs: int = 1,
) -> Any:
    """Write the branched log-signatures of segments: the displacement, and zeros.

    Parameters
    ----------
    displacement : array, shape (..., dimension)
        End less start of each segment.
    {tree_dimension}
    {degree}
    {planar}
    scalar_term : bool, default False
        For method 0: put the number of the empty tree, which is 0, in front.
    {branched_method}
    {n_jobs}

    Returns
    -------
    array, shape (..., branched_log_sig_length(dimension, degree, planar=planar))
        Branched log-signatures; for method 0 with `planar` of ``branched_sig_length`` numbers.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> arraysig.linear_branched_log_sig(np.array([1.0, 2.0]), 2, 2)
    array([1., 2., 0., 0., 0., 0.])
    """
    name = "linear_branched_log_sig"
    (v,), restore = check.arrays(name, displacement=displacement)
    of = algebra(name, dimension, degree, planar, n_jobs)
    method = checked_format(name, method, of.planar)
    scalar_term = _scalar_term(name, scalar_term, method)
    displacement_shape(name, v, tuple(v.shape[:-1]), of.channels)
    first = v[..., : of.channels if of.degree else 0]
    rest = zeros(v, (*v.shape[:-1], _length(name, of, method) - first.shape[-1]))
    return restore(with_scalar(concat([first, rest]), scalar_term))


@documented
def linear_branched_log_sig_backprop(
    derivs: Any,
    displacement: Any,
    dimension: int,
    degree: int,
    *,
    planar: bool = False,
    scalar_term: bool = False,
    method: int | None = None,
    n_jobs: int = 1,
) -> Any:
    """Gradient of a function of `linear_branched_log_sig` with respect to the displacements.

    Parameters
    ----------
    derivs : array
        Derivatives with respect to the branched log-signatures, of their shape.
    displacement : array, shape (..., dimension)
        End less start of each segment; its values do not matter.
    {tree_dimension}
    {degree}
    {planar}
    scalar_term : bool, default False
        For method 0: whether `derivs` have that of the empty tree in front.
    {branched_method}
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
    >>> derivs = np.array([3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    >>> arraysig.linear_branched_log_sig_backprop(derivs, np.array([1.0, 2.0]), 2, 2)
    array([3., 4.])
    """
    name = "linear_branched_log_sig_backprop"
    (derivs, v), restore = check.arrays(name, derivs=derivs, displacement=displacement)
    of = algebra(name, dimension, degree, planar, n_jobs)
    method = checked_format(name, method, of.planar)
    scalar_term = _scalar_term(name, scalar_term, method)
    displacement_shape(name, v, tuple(v.shape[:-1]), of.channels)
    expected = (*v.shape[:-1], _length(name, of, method) + scalar_term)
    check.shape(name, "derivs", derivs.shape, expected)
    if of.degree == 0:
        return restore(zeros(v, tuple(v.shape)))
    return restore(copied(derivs[..., scalar_term : scalar_term + of.channels]))
