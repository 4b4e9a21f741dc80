"""Signatures of piecewise linear paths."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ._core import check
from ._core.docs import documented
from ._core.namespace import beside_sums, contiguous
from ._core.tables import all_words, encoded, has_more_nodes
from ._ops import coefficients
from ._ops import signature as ops
from ._ops.tensors import row_length
from .words import augmented_channels, check_word, position

__all__ = [
    "extract_sig_coef",
    "sig",
    "sig_backprop",
    "sig_coef",
    "sig_coef_backprop",
    "sig_length",
    "signature",
]


@documented
def sig_length(
    dimension: int,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    scalar_term: bool = False,
) -> int:
    """Count the coefficients of a truncated signature.

    Parameters
    ----------
    {dimension}
    {degree}
    {augmented}
    scalar_term : bool, default False
        Count the coefficient of the empty word, too.

    Returns
    -------
    int
        ``c + c**2 + ... + c**degree`` with c channels after augmentation, plus 1 with
        `scalar_term`.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a value is out of range, or 64 bits can not count the coefficients.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.sig_length(2, 3)
    14
    >>> arraysig.sig_length(2, 2, time_aug=True, lead_lag=True, scalar_term=True)
    31
    """
    name = "sig_length"
    dimension = check.positive_int(name, "dimension", dimension)
    degree = check.non_negative_int(name, "degree", degree)
    time_aug = check.flag(name, "time_aug", time_aug)
    lead_lag = check.flag(name, "lead_lag", lead_lag)
    scalar_term = check.flag(name, "scalar_term", scalar_term)
    return _length(name, dimension, degree, time_aug, lead_lag) + scalar_term


def _length(name: str, dimension: int, degree: int, time_aug: bool, lead_lag: bool) -> int:
    return row_length(name, augmented_channels(dimension, time_aug, lead_lag), degree, False)


@documented
def sig(
    path: Any,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    scalar_term: bool = False,
    correction: Any = None,
    stream: bool = False,
    n_jobs: int = 1,
) -> Any:
    r"""Compute truncated signatures of piecewise linear paths.

    Parameters
    ----------
    {path}
    {degree}
    {time_aug}
    {lead_lag}
    {end_time}
    {scalar_term}
    {correction}
    {stream}
    {n_jobs}

    Returns
    -------
    array, shape (..., sig_length(dimension, degree, ...))
        Of the library, device and dtype of `path`; with `stream` of shape (..., length - 1,
        sig_length(dimension, degree, ...)). Level 1 first; inside a level the words are in
        lexicographic order, the first letter being the earliest increment. Its units are those of
        the path to the power of the level.

    Raises
    ------
    {raises}

    See Also
    --------
    sig_length : the number of coefficients
    sig_backprop : the gradient, for NumPy and CuPy
    transform_path : what the augmentation flags do

    Notes
    -----
    The coefficient of the word :math:`(i_1, \dots, i_k)` of a path :math:`x` is

    .. math:: \int_{t_1 < \dots < t_k} dx^{i_1}_{t_1} \cdots dx^{i_k}_{t_k},

    and for a piecewise linear path with increments :math:`z_1, \dots, z_m` all coefficients
    together are :math:`\exp(z_1) \otimes \dots \otimes \exp(z_m)` in the tensor algebra truncated
    at `degree` [1]_. Only increments matter; a path of one point has the trivial signature.

    The cost is about ``length * channels**degree`` fused multiply-adds per path; on processors,
    at degrees 3 to 5, less than half of that, because words that are no Lyndon words follow from
    shuffle products at the end. Apart from the result, memory of a few times the result per thread
    is used; neither augmented paths nor signatures of prefixes are stored. NaN and infinities
    spread in their own path only.

    With `correction` the factor of a segment is :math:`\exp(z_j + c_j)`, where :math:`c_j` has
    levels 2 to m. The Itô signature of a semimartingale, for one, has
    :math:`c_j = -\tfrac12 \mathrm{d}[x]_j` on level 2. The words are then cut into blocks of up to
    m letters in all ways, and a path with the running sums of the corrections beside it is walked
    over these words: that many times more are computed, and that path is stored.

    In Torch all derivatives exist, in reverse and forward mode. Those beyond the first cost
    ``degree + 1`` times the words, each: they are coefficients of twice as many channels. Equal
    calls give equal bits for equal `n_jobs` and instruction set.

    References
    ----------
    .. [1] I. Chevyrev and A. Kormilitzin, "A primer on the signature method in machine learning",
       arXiv:1603.03788, equations (1.5) and (1.17).

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> arraysig.sig(path, 2)
    array([ 3. ,  1. ,  4.5, -1. ,  4. ,  0.5])
    >>> arraysig.sig(np.stack([path, 2 * path]), 1, scalar_term=True)
    array([[1., 3., 1.],
           [1., 6., 2.]])
    >>> arraysig.sig(path, 2, stream=True)[0]
    array([1. , 2. , 0.5, 1. , 1. , 2. ])
    >>> arraysig.sig(path, 2, correction=np.array([-0.5, 0.0, 0.0, -0.5]))
    array([ 3. ,  1. ,  3.5, -1. ,  4. , -0.5])
    """
    flags = time_aug, lead_lag, end_time
    (forward, _), path, attrs, restore = arranged(
        "sig", path, degree, *flags, scalar_term, correction, stream, n_jobs
    )
    return restore(forward(path, *attrs))


#: Forward and back: by tensors, and by the words of a table.
_BY_TENSORS = ops.sig, ops.sig_vjp
_BY_WORDS = coefficients.sig_coef, coefficients.sig_coef_vjp


def arranged(
    name: str,
    path: Any,
    degree: Any,
    time_aug: Any,
    lead_lag: Any,
    end_time: Any,
    scalar_term: Any,
    correction: Any,
    stream: Any,
    n_jobs: Any,
    lyndon: bool = False,
    apart: bool = False,
) -> tuple[tuple[Any, Any], Any, tuple[Any, ...], Callable[[Any], Any]]:
    """What computes signatures and their gradient: two ops, path, attributes, cast of results.

    `name` is the public function whose arguments these are. `lyndon`: see the op. `apart`: with a
    correction do not sum the ways to cut words into blocks, see `all_words`. The path may get more
    channels; gradients are with respect to all of them.
    """
    if correction is None:
        (path,), restore = check.arrays(name, path=path)
    else:
        (path, correction), restore = check.arrays(name, path=path, correction=correction)
    check.path_shape(name, "path", path.shape)
    degree = check.non_negative_int(name, "degree", degree)
    if not (time_aug is lead_lag is scalar_term is stream is False):  # the common case, quickly
        time_aug = check.flag(name, "time_aug", time_aug)
        lead_lag = check.flag(name, "lead_lag", lead_lag)
        scalar_term = check.flag(name, "scalar_term", scalar_term)
        stream = check.flag(name, "stream", stream)
    if type(end_time) is not float or end_time != 1.0:
        end_time = check.end_time(name, end_time, path)
    n_jobs = check.n_jobs(name, n_jobs)
    _length(name, path.shape[-1], degree, time_aug, lead_lag)
    flags = (time_aug, lead_lag, end_time, n_jobs)
    if stream or _is_given(correction):
        path, *attrs = _by_words(name, path, correction, degree, scalar_term, stream, *flags, apart)
        return _BY_WORDS, path, tuple(attrs), restore
    rest = degree, time_aug, lead_lag, end_time, scalar_term, lyndon, n_jobs
    return _BY_TENSORS, path, rest, restore


#: Words of streams and corrections: tables of about 300 bytes for each are made of them.
_MOST_NODES = 2**22


def _is_given(correction: Any) -> bool:
    return correction is not None and math.prod(correction.shape) > 0


def longest_block(
    name: str, path: tuple[int, ...], correction: Any, degree: int, lead_lag: bool
) -> int:
    """The highest level that segments have: 1 without a correction. It is checked."""
    if not _is_given(correction):
        return 1
    return check.correction(name, correction, path, degree, lead_lag)


def _by_words(
    name: str,
    path: Any,
    correction: Any,
    degree: int,
    scalar_term: bool,
    stream: bool,
    time_aug: bool,
    lead_lag: bool,
    end_time: float,
    n_jobs: int,
    apart: bool,
) -> tuple[Any, ...]:
    """Path and attributes of `coefficients.sig_coef` for whole signatures, or streams of them."""
    length = _length(name, path.shape[-1], degree, time_aug, lead_lag)
    letters, time = augmented_channels(path.shape[-1], time_aug, lead_lag), False
    blocks = longest_block(name, path.shape, correction, degree, lead_lag)
    if blocks > 1:
        letters, time = path.shape[-1], time_aug
    if length > _MOST_NODES or (
        blocks > 1 and has_more_nodes(_MOST_NODES, letters, degree, blocks, time)
    ):
        raise MemoryError(
            f"{name}: `degree` is too large: a walk over more than {_MOST_NODES} words, "
            f"got {degree}"
        )
    if blocks > 1:
        path = beside_sums(path, correction)
    words = all_words(letters, degree, scalar_term, blocks, time, apart)
    return (path, words, stream, time_aug, lead_lag, end_time, n_jobs)


signature = sig


@documented
def sig_backprop(
    path: Any,
    sig: Any,
    sig_derivs: Any,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    correction: Any = None,
    stream: bool = False,
    n_jobs: int = 1,
) -> Any:
    """Gradient of a function of signatures with respect to the paths.

    Torch users need not call this: `sig` itself is differentiable there.

    Parameters
    ----------
    {path}
    sig : array or None
        The signature of `path`, of the shape of `sig_derivs`. Accepted for compatibility with
        other libraries; the result does not depend on its values.
    sig_derivs : array, shape (..., sig_length(dimension, degree, ...))
        Derivatives with respect to the signature, of its shape. One entry more than that, in front,
        is taken as derivative of the scalar term, which is constant.
    {degree}
    {time_aug}
    {lead_lag}
    {end_time}
    {correction}
    {stream}
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
    The cost is about three times that of `sig`. Signatures of levels below `degree` are kept at
    checkpoints along the path and recomputed in between; nothing is inverted.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> arraysig.sig_backprop(path, None, np.array([1.0, 0.0, 0.0, 2.0, 0.0, 0.0]), 2)
    array([[-1., -1.],
           [ 1., -3.],
           [ 0.,  4.]])
    """
    name = "sig_backprop"
    optional = {"sig": sig, "correction": correction}
    given, restore = check.given_arrays(name, optional, path=path, sig_derivs=sig_derivs)
    path, sig_derivs, correction = given["path"], given["sig_derivs"], given.get("correction")
    check.path_shape(name, "path", path.shape)
    degree = check.non_negative_int(name, "degree", degree)
    time_aug = check.flag(name, "time_aug", time_aug)
    lead_lag = check.flag(name, "lead_lag", lead_lag)
    end_time = check.end_time(name, end_time, path)
    stream = check.flag(name, "stream", stream)
    n_jobs = check.n_jobs(name, n_jobs)
    dimension = path.shape[-1]
    length = _length(name, dimension, degree, time_aug, lead_lag)
    scalar_term = len(sig_derivs.shape) > 0 and sig_derivs.shape[-1] == length + 1
    rows = (path.shape[-2] - 1,) if stream else ()
    expected = (*path.shape[:-2], *rows, length + scalar_term)
    check.shape(name, "sig_derivs", sig_derivs.shape, expected)
    check.shape(name, "sig", given.get("sig", sig_derivs).shape, expected)
    flags = (time_aug, lead_lag, end_time)
    (_, back), walked, attrs, _ = arranged(
        name, path, degree, *flags, scalar_term, correction, stream, n_jobs
    )
    return restore(contiguous(back(sig_derivs, walked, *attrs)[..., :dimension]))


@documented
def extract_sig_coef(
    sig: Any,
    words: Any,
    dimension: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    scalar_term: bool = False,
) -> Any:
    """Take the coefficients of some words out of signatures.

    Parameters
    ----------
    sig : array, shape (..., sig_length(dimension, degree, ...))
        Signatures of any degree.
    words : tuple of int, or list of tuples
        One word, or several; letters are channels after augmentation, the earliest first.
    {dimension}
    {augmented}
    scalar_term : bool, default False
        Whether `sig` has the scalar term in front.

    Returns
    -------
    array, shape (..., number of words)
        In the order of `words`; of the kind and dtype of `sig`. Differentiable in Torch.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a letter is out of range, or a word is empty without `scalar_term`.
    IndexError
        If a word is longer than the degree of `sig`.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> arraysig.extract_sig_coef(arraysig.sig(path, 2), [(1,), (0, 1)], 2)
    array([ 1., -1.])
    """
    name = "extract_sig_coef"
    (sig,), restore = check.arrays(name, sig=sig)
    dimension = check.positive_int(name, "dimension", dimension)
    time_aug = check.flag(name, "time_aug", time_aug)
    lead_lag = check.flag(name, "lead_lag", lead_lag)
    scalar_term = check.flag(name, "scalar_term", scalar_term)
    channels = augmented_channels(dimension, time_aug, lead_lag)
    if not isinstance(words, list):
        words = [words]
    if not sig.shape:
        raise ValueError(f"{name}: `sig` must have shape (..., length), got ()")
    indices = []
    for word in words:
        letters = check_word(name, "words", word, channels)
        if not letters and not scalar_term:
            raise ValueError(
                f"{name}: `words` must not have the empty word for signatures without scalar term"
            )
        index = position(letters, channels) - (not scalar_term)
        if index >= sig.shape[-1]:
            raise IndexError(
                f"{name}: `words` must fit the {sig.shape[-1]} coefficients of `sig`, got {word!r}"
            )
        indices.append(index)
    return restore(contiguous(sig[..., indices]))  # NumPy gathers column by column


def _words(name: str, words: Any, channels: int) -> list[tuple[int, ...]]:
    """One word or several as a list; ValueError if there are none."""
    if not isinstance(words, list):
        words = [words]
    if not words:
        raise ValueError(f"{name}: `words` must not be empty, got []")
    return [check_word(name, "words", word, channels) for word in words]


def _with_prefixes(words: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    return [word[:k] for word in words for k in range(1 if word else 0, len(word) + 1)]


@documented
def sig_coef(
    path: Any,
    words: Any,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    prefixes: bool = False,
    n_jobs: int = 1,
) -> Any:
    """Compute chosen coefficients of signatures, and nothing else.

    Parameters
    ----------
    {path}
    words : tuple of int, or list of tuples
        One word, or several; letters are channels after augmentation, the earliest first. The empty
        word has coefficient 1.
    {time_aug}
    {lead_lag}
    {end_time}
    prefixes : bool, default False
        Replace each word by its non-empty prefixes, short ones first, which cost nothing more.
    {n_jobs}

    Returns
    -------
    array, shape (..., number of words)
        In the order of `words`, repetitions included; of the kind and dtype of `path`.

    Raises
    ------
    {raises}

    See Also
    --------
    extract_sig_coef : the same out of a whole signature

    Notes
    -----
    Cost and memory are proportional to the distinct prefixes of the words: about ``length`` times
    the sum of their lengths in fused multiply-adds, each prefix once. On a GPU the list of prefixes
    is copied there on first use, which waits for the copy. In Torch all derivatives exist.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> arraysig.sig_coef(path, [(1,), (0, 1)])
    array([ 1., -1.])
    >>> arraysig.sig_coef(path, (0, 1), prefixes=True)
    array([ 3., -1.])
    """
    name = "sig_coef"
    (path,), restore = check.arrays(name, path=path)
    check.path_shape(name, "path", path.shape)
    time_aug = check.flag(name, "time_aug", time_aug)
    lead_lag = check.flag(name, "lead_lag", lead_lag)
    end_time = check.end_time(name, end_time, path)
    n_jobs = check.n_jobs(name, n_jobs)
    chosen = _words(name, words, augmented_channels(path.shape[-1], time_aug, lead_lag))
    if check.flag(name, "prefixes", prefixes):
        chosen = _with_prefixes(chosen)
    numbers = encoded(chosen)
    return restore(
        coefficients.sig_coef(path, numbers, False, time_aug, lead_lag, end_time, n_jobs)
    )


@documented
def sig_coef_backprop(
    path: Any,
    words: Any,
    coefs: Any,
    derivs: Any,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    n_jobs: int = 1,
) -> Any:
    """Gradient of a function of `sig_coef` with respect to the paths.

    Parameters
    ----------
    {path}
    words : tuple of int, or list of tuples
        The words, as for `sig_coef`.
    coefs : array or None
        Their coefficients, or those of all prefixes. Accepted for compatibility with other
        libraries; the result does not depend on its values.
    derivs : array, shape (..., number of words)
        Derivatives with respect to the coefficients; with as many entries as the words have
        prefixes, with respect to the result with ``prefixes=True``.
    {time_aug}
    {lead_lag}
    {end_time}
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
    The cost is about six times that of `sig_coef`: walks forward for checkpoints, and one back.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> arraysig.sig_coef_backprop(path, [(0,), (0, 1)], None, np.array([1.0, 2.0]))
    array([[-1., -1.],
           [ 1., -3.],
           [ 0.,  4.]])
    """
    name = "sig_coef_backprop"
    given, restore = check.given_arrays(name, {"coefs": coefs}, path=path, derivs=derivs)
    path, derivs = given["path"], given["derivs"]
    check.path_shape(name, "path", path.shape)
    time_aug = check.flag(name, "time_aug", time_aug)
    lead_lag = check.flag(name, "lead_lag", lead_lag)
    end_time = check.end_time(name, end_time, path)
    n_jobs = check.n_jobs(name, n_jobs)
    chosen = _words(name, words, augmented_channels(path.shape[-1], time_aug, lead_lag))
    longer = _with_prefixes(chosen)
    batch = tuple(path.shape[:-2])
    if coefs is not None and tuple(given["coefs"].shape) != (*batch, len(longer)):
        check.shape(name, "coefs", given["coefs"].shape, (*batch, len(chosen)))
    if tuple(derivs.shape) == (*batch, len(longer)):
        chosen = longer
    check.shape(name, "derivs", derivs.shape, (*batch, len(chosen)))
    numbers = encoded(chosen)
    attrs = (numbers, False, time_aug, lead_lag, end_time, n_jobs)
    return restore(coefficients.sig_coef_vjp(derivs, path, *attrs))
