"""Signatures as elements of the tensor algebra: products, segments, inverses."""

from __future__ import annotations

from typing import Any

from ._core import check
from ._core.docs import documented
from ._ops import tensors as ops
from .words import augmented_channels

__all__ = [
    "linear_sig",
    "linear_sig_backprop",
    "sig_combine",
    "sig_combine_backprop",
    "sig_inverse",
    "sig_inverse_backprop",
    "sig_join",
    "sig_join_backprop",
]


def tensor_size(
    name: str, dimension: Any, degree: Any, time_aug: Any = False, lead_lag: Any = False
) -> tuple[int, int]:
    """Channels after augmentation, and degree."""
    dimension = check.positive_int(name, "dimension", dimension)
    degree = check.non_negative_int(name, "degree", degree)
    time_aug = check.flag(name, "time_aug", time_aug)
    lead_lag = check.flag(name, "lead_lag", lead_lag)
    return augmented_channels(dimension, time_aug, lead_lag), degree


def _scalar_term(name: str, argument: str, array: Any, size: tuple[int, int]) -> bool:
    """Whether the rows of a signature have the scalar term in front; ValueError if neither fits."""
    length = ops.row_length(name, *size, False)
    shape = tuple(array.shape)
    if not shape or shape[-1] not in (length, length + 1):
        raise ValueError(
            f"{name}: `{argument}` must have shape (..., {length}), or {length + 1} with the "
            f"scalar term, for {size[0]} channels and degree {size[1]}, got {shape}"
        )
    return bool(shape[-1] == length + 1)


@documented
def sig_combine(
    sig1: Any,
    sig2: Any,
    dimension: int,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    n_jobs: int = 1,
) -> Any:
    r"""Multiply signatures: the signature of one path followed by another.

    Parameters
    ----------
    sig1 : array, shape (..., sig_length(dimension, degree, ...))
        Signatures of the first paths, or any tensors with scalar part 1. A scalar term may stand in
        front; it is not read.
    sig2 : array
        Signatures of the second paths, of the shape of `sig1`.
    {dimension}
    {degree}
    {augmented}
    {n_jobs}

    Returns
    -------
    array
        Of the shape and kind of `sig1`; with a scalar term if that has one.

    Raises
    ------
    {raises}

    See Also
    --------
    sig_join : a path followed by one segment
    sig_inverse : the other side of an equation

    Notes
    -----
    Chen's identity: the signature of a concatenation is the product in the tensor algebra,

    .. math:: (S \otimes T)^w = \sum_{uv = w} S^u T^v.

    The cost is ``degree * channels**degree`` fused multiply-adds. In Torch all derivatives exist.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> first, second = arraysig.sig(path[:2], 2), arraysig.sig(path[1:], 2)
    >>> arraysig.sig_combine(first, second, 2, 2)
    array([ 3. ,  1. ,  4.5, -1. ,  4. ,  0.5])
    """
    name = "sig_combine"
    (sig1, sig2), restore = check.arrays(name, sig1=sig1, sig2=sig2)
    size = tensor_size(name, dimension, degree, time_aug, lead_lag)
    scalar_term = _scalar_term(name, "sig1", sig1, size)
    check.shape(name, "sig2", sig2.shape, sig1.shape)
    n_jobs = check.n_jobs(name, n_jobs)
    return restore(ops.product(sig1, sig2, *size, 1, 1, scalar_term, n_jobs))


@documented
def sig_combine_backprop(
    deriv: Any,
    sig1: Any,
    sig2: Any,
    dimension: int,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    n_jobs: int = 1,
) -> tuple[Any, Any]:
    """Gradient of a function of `sig_combine` with respect to both signatures.

    Parameters
    ----------
    deriv : array
        Derivatives with respect to the product, of its shape. That of the scalar term is not read.
    sig1 : array, shape (..., sig_length(dimension, degree, ...))
        The first factor.
    sig2 : array
        The second factor, of the shape of `sig1`.
    {dimension}
    {degree}
    {augmented}
    {n_jobs}

    Returns
    -------
    tuple of two arrays
        Derivatives with respect to `sig1` and `sig2`, of their shape; 0 for scalar terms, which
        are constants.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> one = np.array([1.0, 2.0])
    >>> arraysig.sig_combine_backprop(np.array([0.0, 1.0]), one, one, 1, 2)
    (array([1., 1.]), array([1., 1.]))
    """
    name = "sig_combine_backprop"
    (deriv, sig1, sig2), restore = check.arrays(name, deriv=deriv, sig1=sig1, sig2=sig2)
    size = tensor_size(name, dimension, degree, time_aug, lead_lag)
    scalar_term = _scalar_term(name, "sig1", sig1, size)
    check.shape(name, "sig2", sig2.shape, sig1.shape)
    check.shape(name, "deriv", deriv.shape, sig1.shape)
    end = (scalar_term, check.n_jobs(name, n_jobs))
    left = ops.contract_right(deriv, sig2, *size, 1, *end)
    right = ops.contract_left(deriv, sig1, *size, 1, *end)
    return restore(left), restore(right)


@documented
def sig_join(
    sig: Any,
    displacement: Any,
    dimension: int,
    degree: int,
    *,
    prepend: bool = False,
    n_jobs: int = 1,
) -> Any:
    """Extend signatures by one linear segment.

    Parameters
    ----------
    sig : array, shape (..., sig_length(dimension, degree))
        Signatures; a scalar term in front is kept.
    displacement : array, shape (..., dimension)
        Increment of the segment.
    {displaced}
    {degree}
    prepend : bool, default False
        Put the segment in front of the path instead of behind it.
    {n_jobs}

    Returns
    -------
    array
        Of the shape and kind of `sig`.

    Raises
    ------
    {raises}

    Notes
    -----
    This is ``sig_combine(sig, linear_sig(displacement))``, or with `prepend` the factors swapped.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> arraysig.sig_join(arraysig.sig(path[:2], 2), path[2] - path[1], 2, 2)
    array([ 3. ,  1. ,  4.5, -1. ,  4. ,  0.5])
    """
    name = "sig_join"
    (sig, displacement), restore = check.arrays(name, sig=sig, displacement=displacement)
    size = tensor_size(name, dimension, degree)
    scalar_term = _scalar_term(name, "sig", sig, size)
    check.shape(name, "displacement", displacement.shape, (*sig.shape[:-1], size[0]))
    prepend = check.flag(name, "prepend", prepend)
    n_jobs = check.n_jobs(name, n_jobs)
    return restore(ops.join(sig, displacement, *size, prepend, scalar_term, n_jobs))


@documented
def sig_join_backprop(
    d_out: Any,
    sig: Any,
    displacement: Any,
    dimension: int,
    degree: int,
    *,
    prepend: bool = False,
    n_jobs: int = 1,
) -> tuple[Any, Any]:
    """Gradient of a function of `sig_join` with respect to signature and displacement.

    Parameters
    ----------
    d_out : array
        Derivatives with respect to the result, of its shape.
    sig : array, shape (..., sig_length(dimension, degree))
        The signatures that were extended.
    displacement : array, shape (..., dimension)
        Increment of the segment.
    {displaced}
    {degree}
    prepend : bool, default False
        As in `sig_join`.
    {n_jobs}

    Returns
    -------
    tuple of two arrays
        Derivatives with respect to `sig` (0 for a scalar term) and to `displacement`.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> derivs = np.array([0.0, 1.0])
    >>> arraysig.sig_join_backprop(derivs, np.array([1.0, 2.0]), np.array([3.0]), 1, 2)
    (array([3., 1.]), array([4.]))
    """
    name = "sig_join_backprop"
    (d_out, sig, displacement), restore = check.arrays(
        name, d_out=d_out, sig=sig, displacement=displacement
    )
    size = tensor_size(name, dimension, degree)
    scalar_term = _scalar_term(name, "sig", sig, size)
    check.shape(name, "displacement", displacement.shape, (*sig.shape[:-1], size[0]))
    check.shape(name, "d_out", d_out.shape, sig.shape)
    prepend = check.flag(name, "prepend", prepend)
    n_jobs = check.n_jobs(name, n_jobs)
    attrs = (*size, prepend, scalar_term, n_jobs)
    d_sig, d_displacement = ops.join_vjp((sig, displacement), (d_out,), *attrs)
    return restore(d_sig), restore(d_displacement)


@documented
def linear_sig(
    displacement: Any, dimension: int, degree: int, *, scalar_term: bool = False, n_jobs: int = 1
) -> Any:
    r"""Compute signatures of linear segments.

    Parameters
    ----------
    displacement : array, shape (..., dimension)
        Increments of the segments.
    {displaced}
    {degree}
    {scalar_term}
    {n_jobs}

    Returns
    -------
    array, shape (..., sig_length(dimension, degree))
        The exponential :math:`\sum_k v^{\otimes k} / k!` of `displacement` :math:`v`.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> arraysig.linear_sig(np.array([1.0, 2.0]), 2, 2)
    array([1. , 2. , 0.5, 1. , 1. , 2. ])
    """
    name = "linear_sig"
    (displacement,), restore = check.arrays(name, displacement=displacement)
    size = tensor_size(name, dimension, degree)
    _check_displacement(name, displacement, size[0])
    scalar_term = check.flag(name, "scalar_term", scalar_term)
    ops.row_length(name, *size, scalar_term)
    n_jobs = check.n_jobs(name, n_jobs)
    return restore(ops.exponential(displacement, *size, scalar_term, n_jobs))


@documented
def linear_sig_backprop(
    derivs: Any, displacement: Any, dimension: int, degree: int, *, n_jobs: int = 1
) -> Any:
    """Gradient of a function of `linear_sig` with respect to the displacement.

    Parameters
    ----------
    derivs : array, shape (..., sig_length(dimension, degree))
        Derivatives with respect to the signature; one entry more in front is that of the scalar
        term, which is constant.
    displacement : array, shape (..., dimension)
        Increments of the segments.
    {displaced}
    {degree}
    {n_jobs}

    Returns
    -------
    array, shape (..., dimension)
        Derivatives with respect to `displacement`.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> arraysig.linear_sig_backprop(np.array([0.0, 1.0]), np.array([3.0]), 1, 2)
    array([3.])
    """
    name = "linear_sig_backprop"
    (derivs, displacement), restore = check.arrays(name, derivs=derivs, displacement=displacement)
    size = tensor_size(name, dimension, degree)
    _check_displacement(name, displacement, size[0])
    scalar_term = _scalar_term(name, "derivs", derivs, size)
    check.shape(name, "derivs", derivs.shape, (*displacement.shape[:-1], derivs.shape[-1]))
    n_jobs = check.n_jobs(name, n_jobs)
    return restore(ops.exponential_vjp(derivs, displacement, *size, scalar_term, n_jobs))


def _check_displacement(name: str, displacement: Any, dimension: int) -> None:
    shape = tuple(displacement.shape)
    if not shape or shape[-1] != dimension:
        raise ValueError(f"{name}: `displacement` must have shape (..., {dimension}), got {shape}")


@documented
def sig_inverse(
    sig: Any,
    dimension: int,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    n_jobs: int = 1,
) -> Any:
    r"""Invert signatures: the signature of the path run backwards.

    Parameters
    ----------
    sig : array, shape (..., sig_length(dimension, degree, ...))
        Signatures, or any tensors with scalar part 1; a scalar term in front is kept.
    {dimension}
    {degree}
    {augmented}
    {n_jobs}

    Returns
    -------
    array
        :math:`T` with :math:`S \otimes T = T \otimes S = 1`, of the shape and kind of `sig`.

    Raises
    ------
    {raises}

    Notes
    -----
    :math:`T = \sum_k (1 - S)^{\otimes k}`, level by level; the cost is that of `sig_combine`. For
    the signature of a path, :math:`T^w` is that of the reversed word, with sign
    :math:`(-1)^{|w|}`. In Torch all derivatives exist.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> inverse = arraysig.sig_inverse(arraysig.sig(path, 2), 2, 2)
    >>> inverse
    array([-3. , -1. ,  4.5,  4. , -1. ,  0.5])
    >>> np.array_equal(inverse, arraysig.sig(path[::-1], 2))
    True
    """
    name = "sig_inverse"
    (sig,), restore = check.arrays(name, sig=sig)
    size = tensor_size(name, dimension, degree, time_aug, lead_lag)
    scalar_term = _scalar_term(name, "sig", sig, size)
    n_jobs = check.n_jobs(name, n_jobs)
    return restore(ops.inverse(sig, *size, scalar_term, n_jobs))


@documented
def sig_inverse_backprop(
    derivs: Any,
    sig: Any,
    dimension: int,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    n_jobs: int = 1,
) -> Any:
    """Gradient of a function of `sig_inverse` with respect to the signature.

    Parameters
    ----------
    derivs : array
        Derivatives with respect to the inverse, of its shape.
    sig : array, shape (..., sig_length(dimension, degree, ...))
        The signatures that were inverted.
    {dimension}
    {degree}
    {augmented}
    {n_jobs}

    Returns
    -------
    array
        Derivatives with respect to `sig`, of its shape; 0 for a scalar term, which is constant.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> arraysig.sig_inverse_backprop(np.array([0.0, 1.0]), np.array([3.0, 5.0]), 1, 2)
    array([ 6., -1.])
    """
    name = "sig_inverse_backprop"
    (derivs, sig), restore = check.arrays(name, derivs=derivs, sig=sig)
    size = tensor_size(name, dimension, degree, time_aug, lead_lag)
    scalar_term = _scalar_term(name, "sig", sig, size)
    check.shape(name, "derivs", derivs.shape, sig.shape)
    n_jobs = check.n_jobs(name, n_jobs)
    return restore(ops.inverse_vjp((sig,), (derivs,), *size, scalar_term, n_jobs)[0])
