"""Log-signatures: logarithms of signatures, in bases of the free Lie algebra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from . import signature
from ._core import check, lie
from ._core.docs import documented
from ._core.namespace import concat, contiguous, copied, with_scalar, without_scalar, zeros
from ._ops import lie as ops
from ._ops import tensors
from .algebra import tensor_size
from .words import Word, augmented_channels, check_listed, lyndon_words, tensor_length, words

__all__ = [
    "linear_log_sig",
    "linear_log_sig_backprop",
    "log_sig",
    "log_sig_backprop",
    "log_sig_basis",
    "log_sig_combine",
    "log_sig_combine_backprop",
    "log_sig_join",
    "log_sig_join_backprop",
    "log_sig_length",
    "logsig_to_sig",
    "logsig_to_sig_backprop",
    "sig_to_log_sig",
    "sig_to_log_sig_backprop",
]


def channels_of(name: str, dimension: Any, degree: Any, time_aug: Any, lead_lag: Any) -> int:
    """Channels after augmentation; ValueError where 64 bits can not count their words."""
    channels, degree = tensor_size(name, dimension, degree, time_aug, lead_lag)
    tensors.row_length(name, channels, degree, False)
    return channels


def checked_method(name: str, method: Any) -> int:
    if type(method) is int and 0 <= method <= 3:  # the common case, quickly
        return method
    number: int = check.non_negative_int(name, "method", method)
    if number > 3:
        raise ValueError(f"{name}: `method` must be 0, 1, 2 or 3, got {number}")
    return number


def _of_tensor(name: str, scalar_term: Any, method: Any) -> bool:
    """Whether there is a scalar term, which only tensors have."""
    if scalar_term is False:
        return False
    scalar_term = check.flag(name, "scalar_term", scalar_term)
    if scalar_term and checked_method(name, method):
        raise ValueError(f"{name}: `scalar_term` must be False for method {method}, got True")
    return bool(scalar_term)


def _lyndon_counts(channels: int, degree: int) -> list[int]:
    """Lyndon words of length 1, 2, ..., `degree`.

    Every word is a power of a word that is no power itself, and that has a Lyndon word among its
    rotations: channels**n is the sum of m times their number over the lengths m that divide n.
    """
    counts: list[int] = []
    for n in range(1, degree + 1):
        shorter = sum(m * counts[m - 1] for m in range(1, n) if n % m == 0)
        counts.append((channels**n - shorter) // n)
    return counts


@documented
def log_sig_length(
    dimension: int, degree: int, *, time_aug: bool = False, lead_lag: bool = False
) -> int:
    r"""Count the numbers of a truncated log-signature: the Lyndon words.

    Parameters
    ----------
    {dimension}
    {degree}
    {augmented}

    Returns
    -------
    int
        Lyndon words of 1 to `degree` letters, of which there are as many as channels after
        augmentation.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a value is out of range, or 64 bits can not count the words.

    See Also
    --------
    log_sig_basis : what each of the numbers is the coordinate of
    sig_length : the numbers of a signature

    Notes
    -----
    Witt's formula, with the Moebius function mu and c channels:

    .. math:: \sum_{n=1}^N \frac{1}{n} \sum_{m | n} \mu(n / m) \, c^m.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.log_sig_length(3, 4)
    32
    >>> arraysig.sig_length(3, 4)
    120
    """
    return sum(
        _lyndon_counts(channels_of("log_sig_length", dimension, degree, time_aug, lead_lag), degree)
    )


def _texts(letters: Sequence[str], degree: int) -> dict[Word, str]:
    """Brackets of all Lyndon words: that of uv is [u,v] with the longest v that is one itself."""
    lyndon = lyndon_words(len(letters), degree)
    texts: dict[Word, str] = {word: letters[word[0]] for word in lyndon if len(word) == 1}
    for word, (u, v) in lie.factors(lyndon).items():
        texts[word] = f"[{texts[u]},{texts[v]}]"
    return texts


@documented
def log_sig_basis(
    dimension: int,
    degree: int,
    *,
    method: int = 1,
    time_aug: bool = False,
    lead_lag: bool = False,
    names: Sequence[str] | None = None,
) -> list[str]:
    """Name the numbers of a truncated log-signature.

    Parameters
    ----------
    {dimension}
    {degree}
    method : int, default 1
        The format: 0 for coefficients of all words; 1 for those of Lyndon words; 2 or 3 for
        coordinates in the basis of brackets of Lyndon words.
    {augmented}
    names : sequence of str or None, default None
        What channels are called, after augmentation; by default "0", "1" and so on.

    Returns
    -------
    list of str
        One text for each number, in order: words as "(0,0,1)", brackets as "[0,[0,1]]".

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a value is out of range, or `names` are not one for each channel.
    MemoryError
        If the names are more than the memory of the machine holds.

    See Also
    --------
    log_sig_length : how many there are for methods 1 to 3
    lyndon_words : the words as tuples

    Notes
    -----
    The bracket of a Lyndon word w is that of u and that of v, where w = uv, and v is the longest
    proper suffix of w that is a Lyndon word itself [1]_.

    References
    ----------
    .. [1] K.-T. Chen, R. H. Fox, R. C. Lyndon, "Free differential calculus, IV. The quotient groups
       of the lower central series", Annals of Mathematics 68 (1958), 81-95.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.log_sig_basis(2, 3)
    ['(0)', '(1)', '(0,1)', '(0,0,1)', '(0,1,1)']
    >>> arraysig.log_sig_basis(1, 3, method=2, time_aug=True, names=["x", "t"])
    ['x', 't', '[x,t]', '[x,[x,t]]', '[[x,t],t]']
    """
    name = "log_sig_basis"
    channels = channels_of(name, dimension, degree, time_aug, lead_lag)
    method = checked_method(name, method)
    letters = [str(i) for i in range(channels)]
    if names is not None:
        is_sequence = isinstance(names, Sequence) and not isinstance(names, str)
        if not is_sequence or not all(isinstance(n, str) for n in names):
            raise TypeError(f"{name}: `names` must be a sequence of str or None, got {names!r}")
        letters = list(names)
        if len(letters) != channels:
            raise ValueError(
                f"{name}: `names` must be {channels}, one for each channel, got {names!r}"
            )
    check_listed(name, "degree", channels, degree, lyndon=method > 0)
    if method >= 2:
        return list(_texts(letters, degree).values())
    of_letters = words(channels, degree)[1:] if method == 0 else lyndon_words(channels, degree)
    return [f"({','.join(letters[i] for i in word)})" for word in of_letters]


class _Format(NamedTuple):
    """A format of log-signatures, and what is needed to change to it and back.

    Attributes
    ----------
    channels, degree : of tensors
    method : 0 for tensors, 1 for coefficients of Lyndon words, 2 for coordinates of brackets
    n_jobs : CPU threads
    """

    channels: int
    degree: int
    method: int
    n_jobs: int

    @classmethod
    def of(
        cls,
        name: str,
        dimension: Any,
        degree: Any,
        method: Any,
        n_jobs: Any,
        time_aug: Any = False,
        lead_lag: Any = False,
    ) -> _Format:
        """Check what was asked for."""
        channels = channels_of(name, dimension, degree, time_aug, lead_lag)
        return cls(
            channels, int(degree), min(checked_method(name, method), 2), check.n_jobs(name, n_jobs)
        )

    @property
    def tensor_length(self) -> int:
        """Numbers of a tensor without the scalar term."""
        return tensor_length(self.channels, self.degree)

    @property
    def length(self) -> int:
        """Numbers of a log-signature, without a scalar term."""
        if self.method == 0:
            return self.tensor_length
        return sum(_lyndon_counts(self.channels, self.degree))

    def log(self, tensor: Any) -> Any:
        """The logarithm of 1 + tensor in the format."""
        return ops.log(tensor, *self)

    def log_vjp(self, grad: Any, tensor: Any) -> Any:
        """The gradient of `log`."""
        return ops.log_vjp(grad, tensor, *self)

    def exp(self, array: Any) -> Any:
        """The exponential of what is in this format, less 1."""
        tensor = ops.to_tensor(array, *self)
        result = ops.exp(tensor, self.channels, self.degree, self.n_jobs)
        return copied(array) if result is array else result  # of degrees 0 and 1

    def exp_vjp(self, grad: Any, array: Any) -> Any:
        """The gradient of `exp`."""
        tensor = ops.to_tensor(array, *self)
        grad = ops.exp_vjp(grad, tensor, self.channels, self.degree, self.n_jobs)
        return ops.to_tensor(grad, *self, adjoint=True)

    def checked(self, name: str, argument: str, array: Any, length: int, scalar: bool) -> bool:
        """Whether rows have a scalar term in front, where they may; ValueError if none fits."""
        shape = tuple(array.shape)
        fitting = (length, length + 1) if scalar else (length,)
        if not shape or shape[-1] not in fitting:
            more = f", or {length + 1} with the scalar term," if scalar else ""
            raise ValueError(
                f"{name}: `{argument}` must have shape (..., {length}){more} for {self.channels} "
                f"channels and degree {self.degree}, got {shape}"
            )
        return bool(shape[-1] == length + 1)


@documented
def log_sig(
    path: Any,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    method: int = 1,
    scalar_term: bool = False,
    correction: Any = None,
    stream: bool = False,
    n_jobs: int = 1,
) -> Any:
    r"""Truncated log-signatures of paths.

    Parameters
    ----------
    {path}
    {degree}
    {time_aug}
    {lead_lag}
    {end_time}
    {log_sig_method}
    scalar_term : bool, default False
        For method 0: put the coefficient of the empty word, which is 0, in front.
    {correction}
    {stream}
    {n_jobs}

    Returns
    -------
    array, shape (..., log_sig_length(dimension, degree, ...))
        Log-signatures, or for method 0 tensors of ``sig_length`` numbers; with `stream`
        (..., length - 1, numbers). A path of one point gives zeros.

    Raises
    ------
    {raises}

    See Also
    --------
    log_sig_basis : names of the numbers
    sig_to_log_sig : the same from a signature

    Notes
    -----
    The logarithm of the signature S in the tensor algebra,

    .. math:: \log S = \sum_{k \ge 1} \frac{(-1)^{k+1}}{k} (S - 1)^{\otimes k},

    is a Lie polynomial, for which far fewer numbers are enough; with a `correction` it need not be
    one, and methods 1 to 3 then lose what is not. In Torch all derivatives exist.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> arraysig.log_sig(path, 2)
    array([ 3. ,  1. , -2.5])
    >>> arraysig.log_sig(path, 2, method=0)
    array([ 3. ,  1. ,  0. , -2.5,  2.5,  0. ])
    """
    name = "log_sig"
    flags = time_aug, lead_lag, end_time
    method = checked_method(name, method)
    scalar_term = _of_tensor(name, scalar_term, method)
    n_jobs = check.n_jobs(name, n_jobs)
    (forward, _), walked, attrs, restore = signature.arranged(
        name, path, degree, *flags, False, correction, stream, n_jobs, method > 0
    )
    tensor = forward(walked, *attrs)
    channels = augmented_channels(path.shape[-1], time_aug, lead_lag)
    result = ops.log(tensor, channels, int(degree), min(method, 2), n_jobs)
    return restore(with_scalar(result, scalar_term))


@documented
def log_sig_backprop(
    path: Any,
    log_sig_derivs: Any,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    method: int = 1,
    correction: Any = None,
    stream: bool = False,
    n_jobs: int = 1,
) -> Any:
    """Gradient of a function of log-signatures with respect to the paths.

    Parameters
    ----------
    {path}
    log_sig_derivs : array, shape (..., log_sig_length(dimension, degree, ...))
        Derivatives with respect to the log-signature, of the shape of what `log_sig` returns. For
        method 0 one entry more, in front, is taken as that of the scalar term.
    {degree}
    {time_aug}
    {lead_lag}
    {end_time}
    {log_sig_method}
    {correction}
    {stream}
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
    >>> arraysig.log_sig_backprop(path, np.array([0.0, 0.0, 1.0]), 2)
    array([[ 0.5,  1. ],
           [ 0.5, -1.5],
           [-1. ,  0.5]])
    """
    name = "log_sig_backprop"
    given = {} if correction is None else {"correction": correction}
    arrays, restore = check.arrays(name, path=path, log_sig_derivs=log_sig_derivs, **given)
    path, derivs, *corrections = arrays
    check.path_shape(name, "path", path.shape)
    into = _Format.of(name, path.shape[-1], degree, method, n_jobs, time_aug, lead_lag)
    rows = (path.shape[-2] - 1,) if check.flag(name, "stream", stream) else ()
    scalar_term = into.checked(name, "log_sig_derivs", derivs, into.length, into.method == 0)
    expected = (*path.shape[:-2], *rows, into.length + scalar_term)
    check.shape(name, "log_sig_derivs", derivs.shape, expected)
    flags = time_aug, lead_lag, end_time
    rest = corrections[0] if corrections else None, stream, n_jobs
    (forward, back), walked, attrs, _ = signature.arranged(
        name, path, degree, *flags, False, *rest, into.method > 0
    )
    grad = into.log_vjp(without_scalar(derivs, scalar_term), forward(walked, *attrs))
    return restore(contiguous(back(grad, walked, *attrs)[..., : path.shape[-1]]))


@documented
def sig_to_log_sig(
    sig: Any,
    dimension: int,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    method: int = 1,
    n_jobs: int = 1,
) -> Any:
    """Take logarithms of signatures, or of any tensors with scalar part 1.

    Parameters
    ----------
    sig : array, shape (..., sig_length(dimension, degree, ...))
        Signatures. A scalar term may stand in front; it is not read.
    {dimension}
    {degree}
    {augmented}
    {log_sig_method}
    {n_jobs}

    Returns
    -------
    array, shape (..., log_sig_length(dimension, degree, ...))
        Log-signatures; for method 0 of the shape of `sig`, with a scalar term, 0, if that has one.

    Raises
    ------
    {raises}

    See Also
    --------
    logsig_to_sig : the inverse
    log_sig : the same from paths

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    >>> arraysig.sig_to_log_sig(arraysig.sig(path, 2), 2, 2)
    array([ 3. ,  1. , -2.5])
    """
    name = "sig_to_log_sig"
    (sig,), restore = check.arrays(name, sig=sig)
    into = _Format.of(name, dimension, degree, method, n_jobs, time_aug, lead_lag)
    scalar_term = into.checked(name, "sig", sig, into.tensor_length, True)
    result = into.log(without_scalar(sig, scalar_term))
    return restore(with_scalar(result, scalar_term and into.method == 0))


@documented
def sig_to_log_sig_backprop(
    sig: Any,
    log_sig_derivs: Any,
    dimension: int,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    method: int = 1,
    n_jobs: int = 1,
) -> Any:
    """Gradient of a function of `sig_to_log_sig` with respect to the signatures.

    Parameters
    ----------
    sig : array, shape (..., sig_length(dimension, degree, ...))
        Signatures, with or without a scalar term.
    log_sig_derivs : array
        Derivatives with respect to the log-signatures, of the shape of what `sig_to_log_sig`
        returns.
    {dimension}
    {degree}
    {augmented}
    {log_sig_method}
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
    >>> sig = np.array([3.0, 1.0, 4.5, -1.0, 4.0, 0.5])
    >>> arraysig.sig_to_log_sig_backprop(sig, np.array([0.0, 0.0, 1.0]), 2, 2)
    array([-0.5, -1.5,  0. ,  1. ,  0. ,  0. ])
    """
    name = "sig_to_log_sig_backprop"
    (sig, derivs), restore = check.arrays(name, sig=sig, log_sig_derivs=log_sig_derivs)
    into = _Format.of(name, dimension, degree, method, n_jobs, time_aug, lead_lag)
    scalar_term = into.checked(name, "sig", sig, into.tensor_length, True)
    in_both = scalar_term and into.method == 0
    check.shape(name, "log_sig_derivs", derivs.shape, (*sig.shape[:-1], into.length + in_both))
    result = into.log_vjp(without_scalar(derivs, in_both), without_scalar(sig, scalar_term))
    return restore(with_scalar(result, scalar_term))


@documented
def logsig_to_sig(
    log_sig: Any,
    dimension: int,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    method: int = 1,
    scalar_term: bool = False,
    n_jobs: int = 1,
) -> Any:
    """Take exponentials in the tensor algebra: signatures of log-signatures.

    Parameters
    ----------
    log_sig : array, shape (..., log_sig_length(dimension, degree, ...))
        Log-signatures; for method 0 any tensors, with or without a scalar term, which is not read.
    {dimension}
    {degree}
    {augmented}
    {log_sig_method}
    scalar_term : bool, default False
        For methods 1 to 3: put the coefficient of the empty word, which is 1, in front. For method
        0 it stands where `log_sig` has one.
    {n_jobs}

    Returns
    -------
    array, shape (..., sig_length(dimension, degree, ...))
        Signatures.

    Raises
    ------
    {raises}

    See Also
    --------
    sig_to_log_sig : the inverse

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> arraysig.logsig_to_sig(np.array([3.0, 1.0, -2.5]), 2, 2)
    array([ 3. ,  1. ,  4.5, -1. ,  4. ,  0.5])
    """
    name = "logsig_to_sig"
    (log_sig,), restore = check.arrays(name, log_sig=log_sig)
    of = _Format.of(name, dimension, degree, method, n_jobs, time_aug, lead_lag)
    wanted = check.flag(name, "scalar_term", scalar_term)
    given = of.checked(name, "log_sig", log_sig, of.length, of.method == 0)
    result = of.exp(without_scalar(log_sig, given))
    return restore(with_scalar(result, wanted if of.method else given, 1.0))


@documented
def logsig_to_sig_backprop(
    log_sig: Any,
    sig_derivs: Any,
    dimension: int,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    method: int = 1,
    scalar_term: bool = False,
    n_jobs: int = 1,
) -> Any:
    """Gradient of a function of `logsig_to_sig` with respect to the log-signatures.

    Parameters
    ----------
    log_sig : array, shape (..., log_sig_length(dimension, degree, ...))
        Log-signatures.
    sig_derivs : array
        Derivatives with respect to the signatures, of the shape of what `logsig_to_sig` returns.
    {dimension}
    {degree}
    {augmented}
    {log_sig_method}
    scalar_term : bool, default False
        For methods 1 to 3: whether `sig_derivs` have that of the scalar term in front.
    {n_jobs}

    Returns
    -------
    array
        Derivatives with respect to `log_sig`, of its shape; 0 for a scalar term.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> derivs = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    >>> arraysig.logsig_to_sig_backprop(np.array([3.0, 1.0, -2.5]), derivs, 2, 2)
    array([0.5, 1.5, 1. ])
    """
    name = "logsig_to_sig_backprop"
    (log_sig, derivs), restore = check.arrays(name, log_sig=log_sig, sig_derivs=sig_derivs)
    of = _Format.of(name, dimension, degree, method, n_jobs, time_aug, lead_lag)
    wanted = check.flag(name, "scalar_term", scalar_term)
    given = of.checked(name, "log_sig", log_sig, of.length, of.method == 0)
    in_front = wanted if of.method else given
    check.shape(
        name, "sig_derivs", derivs.shape, (*log_sig.shape[:-1], of.tensor_length + in_front)
    )
    result = of.exp_vjp(without_scalar(derivs, in_front), without_scalar(log_sig, given))
    return restore(with_scalar(result, given))


@documented
def log_sig_combine(
    log_sig1: Any,
    log_sig2: Any,
    dimension: int,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    n_jobs: int = 1,
) -> Any:
    """Multiply log-signatures: that of one path followed by another.

    Parameters
    ----------
    log_sig1 : array, shape (..., log_sig_length(dimension, degree, ...))
        Log-signatures of the first paths, coordinates of brackets (method 2).
    log_sig2 : array
        Those of the second paths, of the same shape.
    {dimension}
    {degree}
    {augmented}
    {n_jobs}

    Returns
    -------
    array
        Of the shape of `log_sig1`.

    Raises
    ------
    {raises}

    Notes
    -----
    The Baker-Campbell-Hausdorff product ``log(exp(a) exp(b))``.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> arraysig.log_sig_combine(np.array([1.0, 2.0, 0.0]), np.array([2.0, -1.0, 0.0]), 2, 2)
    array([ 3. ,  1. , -2.5])
    """
    name = "log_sig_combine"
    (one, two), restore = check.arrays(name, log_sig1=log_sig1, log_sig2=log_sig2)
    of = _Format.of(name, dimension, degree, 2, n_jobs, time_aug, lead_lag)
    of.checked(name, "log_sig1", one, of.length, False)
    check.shape(name, "log_sig2", two.shape, one.shape)
    return restore(ops.combine(one, two, of.channels, of.degree, of.n_jobs))


@documented
def log_sig_combine_backprop(
    deriv: Any,
    log_sig1: Any,
    log_sig2: Any,
    dimension: int,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    n_jobs: int = 1,
) -> tuple[Any, Any]:
    """Gradient of a function of `log_sig_combine` with respect to both log-signatures.

    Parameters
    ----------
    deriv : array
        Derivatives with respect to the result, of its shape.
    log_sig1 : array, shape (..., log_sig_length(dimension, degree, ...))
        The first factor.
    log_sig2 : array
        The second factor, of the same shape.
    {dimension}
    {degree}
    {augmented}
    {n_jobs}

    Returns
    -------
    tuple of two arrays
        Derivatives with respect to `log_sig1` and `log_sig2`.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> one, two = np.array([1.0, 2.0, 0.0]), np.array([2.0, -1.0, 0.0])
    >>> arraysig.log_sig_combine_backprop(np.array([0.0, 0.0, 2.0]), one, two, 2, 2)
    (array([-1., -2.,  2.]), array([-2.,  1.,  2.]))
    """
    name = "log_sig_combine_backprop"
    arrays, restore = check.arrays(name, deriv=deriv, log_sig1=log_sig1, log_sig2=log_sig2)
    deriv, one, two = arrays
    of = _Format.of(name, dimension, degree, 2, n_jobs, time_aug, lead_lag)
    of.checked(name, "log_sig1", one, of.length, False)
    check.shape(name, "log_sig2", two.shape, one.shape)
    check.shape(name, "deriv", deriv.shape, one.shape)
    both = ops.combine_vjp((one, two), (deriv,), of.channels, of.degree, of.n_jobs)
    return restore(both[0]), restore(both[1])


@documented
def log_sig_join(
    log_sig: Any, displacement: Any, dimension: int, degree: int, *, n_jobs: int = 1
) -> Any:
    """Append a segment: log-signatures of paths that go on.

    Parameters
    ----------
    log_sig : array, shape (..., log_sig_length(dimension, degree))
        Log-signatures, coordinates of brackets (method 2).
    displacement : array, shape (..., dimension)
        The last point less the one before.
    {displaced}
    {degree}
    {n_jobs}

    Returns
    -------
    array
        Of the shape of `log_sig`.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> arraysig.log_sig_join(np.array([1.0, 2.0, 0.0]), np.array([2.0, -1.0]), 2, 2)
    array([ 3. ,  1. , -2.5])
    """
    name = "log_sig_join"
    (log_sig, v), restore = check.arrays(name, log_sig=log_sig, displacement=displacement)
    of = _Format.of(name, dimension, degree, 2, n_jobs)
    of.checked(name, "log_sig", log_sig, of.length, False)
    check.shape(name, "displacement", v.shape, (*log_sig.shape[:-1], of.channels))
    return restore(ops.combine(log_sig, v, of.channels, of.degree, of.n_jobs))


@documented
def log_sig_join_backprop(
    d_out: Any, log_sig: Any, displacement: Any, dimension: int, degree: int, *, n_jobs: int = 1
) -> tuple[Any, Any]:
    """Gradient of a function of `log_sig_join` with respect to its arguments.

    Parameters
    ----------
    d_out : array
        Derivatives with respect to the result, of its shape.
    log_sig : array, shape (..., log_sig_length(dimension, degree))
        Log-signatures.
    displacement : array, shape (..., dimension)
        The last point less the one before.
    {displaced}
    {degree}
    {n_jobs}

    Returns
    -------
    tuple of two arrays
        Derivatives with respect to `log_sig` and `displacement`.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> one, v = np.array([1.0, 2.0, 0.0]), np.array([2.0, -1.0])
    >>> arraysig.log_sig_join_backprop(np.array([0.0, 0.0, 2.0]), one, v, 2, 2)
    (array([-1., -2.,  2.]), array([-2.,  1.]))
    """
    name = "log_sig_join_backprop"
    arrays, restore = check.arrays(name, d_out=d_out, log_sig=log_sig, displacement=displacement)
    d_out, log_sig, v = arrays
    of = _Format.of(name, dimension, degree, 2, n_jobs)
    of.checked(name, "log_sig", log_sig, of.length, False)
    check.shape(name, "displacement", v.shape, (*log_sig.shape[:-1], of.channels))
    check.shape(name, "d_out", d_out.shape, log_sig.shape)
    both = ops.combine_vjp((log_sig, v), (d_out,), of.channels, of.degree, of.n_jobs)
    return restore(both[0]), restore(both[1])


@documented
def linear_log_sig(
    displacement: Any,
    dimension: int,
    degree: int,
    *,
    method: int = 1,
    scalar_term: bool = False,
    n_jobs: int = 1,
) -> Any:
    """Write the log-signatures of segments: the displacement, and zeros.

    Parameters
    ----------
    displacement : array, shape (..., dimension)
        End less start of each segment.
    {displaced}
    {degree}
    {log_sig_method}
    scalar_term : bool, default False
        For method 0: put the coefficient of the empty word, which is 0, in front.
    {n_jobs}

    Returns
    -------
    array, shape (..., log_sig_length(dimension, degree))
        Log-signatures.

    Raises
    ------
    {raises}

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> arraysig.linear_log_sig(np.array([1.0, 2.0]), 2, 2)
    array([1., 2., 0.])
    """
    name = "linear_log_sig"
    (v,), restore = check.arrays(name, displacement=displacement)
    of = _Format.of(name, dimension, degree, method, n_jobs)
    scalar_term = _of_tensor(name, scalar_term, method)
    check.shape(name, "displacement", v.shape, (*v.shape[:-1], of.channels))
    if of.degree == 0:
        v = v[..., :0]
    rest = zeros(v, (*v.shape[:-1], of.length - v.shape[-1]))
    return restore(with_scalar(concat([v, rest]), scalar_term))


@documented
def linear_log_sig_backprop(
    derivs: Any,
    displacement: Any,
    dimension: int,
    degree: int,
    *,
    method: int = 1,
    scalar_term: bool = False,
    n_jobs: int = 1,
) -> Any:
    """Gradient of a function of `linear_log_sig` with respect to the displacements.

    Parameters
    ----------
    derivs : array
        Derivatives with respect to the log-signatures, of the shape of what `linear_log_sig`
        returns.
    displacement : array, shape (..., dimension)
        End less start of each segment; its values do not matter.
    {displaced}
    {degree}
    {log_sig_method}
    scalar_term : bool, default False
        For method 0: whether `derivs` have that of the scalar term in front.
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
    >>> v = np.array([1.0, 2.0])
    >>> arraysig.linear_log_sig_backprop(np.array([3.0, 4.0, 5.0]), v, 2, 2)
    array([3., 4.])
    """
    name = "linear_log_sig_backprop"
    (derivs, v), restore = check.arrays(name, derivs=derivs, displacement=displacement)
    of = _Format.of(name, dimension, degree, method, n_jobs)
    scalar_term = _of_tensor(name, scalar_term, method)
    check.shape(name, "displacement", v.shape, (*v.shape[:-1], of.channels))
    check.shape(name, "derivs", derivs.shape, (*v.shape[:-1], of.length + scalar_term))
    if of.degree == 0:
        return restore(zeros(v, tuple(v.shape)))
    first = 1 if scalar_term else 0
    return restore(copied(derivs[..., first : first + of.channels]))
