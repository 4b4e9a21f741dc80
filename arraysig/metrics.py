"""Scores of, and distances between, samples of paths: means of signature kernels."""

from __future__ import annotations

from typing import Any

from ._core import check
from ._core.docs import documented
from ._core.namespace import contiguous, quiet
from .kernels import Arguments, Scheme
from .static_kernels import StaticKernel

__all__ = ["expected_sig_score", "sig_mmd", "sig_score"]


def _mean(values: Any) -> Any:
    """Of all numbers, of shape (1,): an array in every library. By rows, which rounds least."""
    with quiet(values):
        return values.mean(-1).reshape(1, -1).mean(-1)


def _mean_of_columns(gram: Any) -> Any:
    """Of each one; as rows, so that many numbers are not summed one after another."""
    with quiet(gram):
        return contiguous(gram.swapaxes(0, 1)).mean(-1)


def _mean_of_others(gram: Any) -> Any:
    """Mean of a square matrix without its diagonal.

    That is left out, not subtracted: it may be so large that nothing of the rest would remain.
    """
    count = gram.shape[0]
    # After the first number, every row of count + 1 ends with the next one of the diagonal.
    return _mean(gram.reshape(-1)[1:].reshape(count - 1, count + 1)[:, :-1])


@documented
def sig_score(
    sample: Any,
    y: Any,
    dyadic_order: int | tuple[int, int] | None = None,
    *,
    method: str | None = None,
    order: int | None = None,
    fold: int = 0,
    tol: float = 1e-6,
    lam: float = 1.0,
    static_kernel: StaticKernel | None = None,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    n_jobs: int = 1,
    max_batch: int = -1,
) -> Any:
    r"""Signature kernel scores of paths under the law that a sample comes from.

    Parameters
    ----------
    sample : array, shape (..., length1, dimension)
        Paths of the law, two at least; leading axes are flattened. NumPy, CuPy or Torch, of any
        real dtype: half precision is computed in float32, integers in the default float.
    y : array, shape (..., length2, dimension)
        Paths that were observed, each of which is scored; they may be of another length.
    {scheme}
    lam : float, default 1.0
        Weight of the kernels within the sample; finite. 1 makes the score proper; less of it
        rewards samples that are spread less.
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    {n_jobs}
    {max_batch}

    Returns
    -------
    array, shape (...)
        Of the leading axes of `y`; of shape (1,) if `y` is a single path. Lower is better.

    Raises
    ------
    {raises}

    See Also
    --------
    expected_sig_score : the mean over a sample of observations
    sig_kernel : the kernel, and how `dyadic_order` refines it

    Notes
    -----
    With the signature kernel k and the m paths x of the sample, an unbiased estimate:

    .. math:: \frac{\lambda}{m (m - 1)} \sum_{i \ne j} k(x_i, x_j)
              - \frac{2}{m} \sum_i k(x_i, y).

    The cost is that of ``m (m + 1) / 2`` kernels, and of m for each y. Memory is a few times that
    of the matrices of kernels. Differentiable once in Torch.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> sample = np.array([[[0.0], [0.25]], [[0.0], [0.5]], [[0.0], [0.75]]])
    >>> y = np.array([[[0.0], [0.5]], [[0.0], [-0.5]]])
    >>> arraysig.sig_score(sample, y, 3).round(6)
    array([-1.292101, -0.289464])
    """
    name = "sig_score"
    lam = check.finite_real(name, "lam", lam)
    scheme = Scheme.of(name, dyadic_order, method, order, fold, tol)
    flags = time_aug, lead_lag, end_time
    args = Arguments(
        name,
        sample,
        y,
        scheme,
        static_kernel,
        flags,
        n_jobs,
        gram=True,
        names=("sample", "y"),
        fewest=(2, 0),
        max_batch=max_batch,
    )
    within, between = _mean_of_others(args.kernel(0, 0)), _mean_of_columns(args.kernel())
    with quiet(within):
        scores = lam * within - 2 * between
    return args.restore(scores.reshape(tuple(args.batch2) or (1,)))


@documented
def expected_sig_score(
    sample1: Any,
    sample2: Any,
    dyadic_order: int | tuple[int, int] | None = None,
    *,
    method: str | None = None,
    order: int | None = None,
    fold: int = 0,
    tol: float = 1e-6,
    lam: float = 1.0,
    static_kernel: StaticKernel | None = None,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    n_jobs: int = 1,
    max_batch: int = -1,
) -> Any:
    """Mean of the signature kernel scores of a sample of observed paths.

    Parameters
    ----------
    sample1 : array, shape (..., length1, dimension)
        Paths of the law, two at least, as for `sig_score`.
    sample2 : array, shape (..., length2, dimension)
        Paths that were observed, one at least; leading axes are flattened.
    {scheme}
    lam : float, default 1.0
        Weight of the kernels within `sample1`; finite.
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    {n_jobs}
    {max_batch}

    Returns
    -------
    array, shape (1,)
        The mean of ``sig_score(sample1, y)`` over the paths y of `sample2`.

    Raises
    ------
    {raises}

    See Also
    --------
    sig_score : one score per path, and the definition
    sig_mmd : a distance, which is 0 for samples of one law

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> sample = np.array([[[0.0], [0.25]], [[0.0], [0.5]], [[0.0], [0.75]]])
    >>> y = np.array([[[0.0], [0.5]], [[0.0], [-0.5]]])
    >>> arraysig.expected_sig_score(sample, y, 3).round(6)
    array([-0.790783])
    """
    name = "expected_sig_score"
    lam = check.finite_real(name, "lam", lam)
    scheme = Scheme.of(name, dyadic_order, method, order, fold, tol)
    flags = time_aug, lead_lag, end_time
    args = Arguments(
        name,
        sample1,
        sample2,
        scheme,
        static_kernel,
        flags,
        n_jobs,
        gram=True,
        names=("sample1", "sample2"),
        fewest=(2, 1),
        max_batch=max_batch,
    )
    within, between = _mean_of_others(args.kernel(0, 0)), _mean(args.kernel())
    with quiet(within):
        score = lam * within - 2 * between
    return args.restore(score)


@documented
def sig_mmd(
    sample1: Any,
    sample2: Any,
    dyadic_order: int | tuple[int, int] | None = None,
    *,
    method: str | None = None,
    order: int | None = None,
    fold: int = 0,
    tol: float = 1e-6,
    static_kernel: StaticKernel | None = None,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    n_jobs: int = 1,
    max_batch: int = -1,
) -> Any:
    r"""Squared maximum mean discrepancy of two samples of paths, by the signature kernel.

    Parameters
    ----------
    sample1 : array, shape (..., length1, dimension)
        Two paths at least; leading axes are flattened. NumPy, CuPy or Torch, of any real dtype:
        half precision is computed in float32, integers in the default float.
    sample2 : array, shape (..., length2, dimension)
        Two paths at least; another number of them and of points is fine.
    {scheme}
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    {n_jobs}
    {max_batch}

    Returns
    -------
    array, shape ()
        The unbiased estimate: 0 in the mean if both samples come from one law, so negative at
        times.

    Raises
    ------
    {raises}

    See Also
    --------
    expected_sig_score : the same but for the last term below, which `sample1` does not change
    sig_kernel : the kernel, and how `dyadic_order` refines it

    Notes
    -----
    With the signature kernel k, and the m paths x and n paths y of the samples:

    .. math:: \frac{1}{m (m - 1)} \sum_{i \ne j} k(x_i, x_j)
              - \frac{2}{m n} \sum_{i, j} k(x_i, y_j)
              + \frac{1}{n (n - 1)} \sum_{i \ne j} k(y_i, y_j).

    Memory is a few times that of the matrices of kernels. Differentiable once in Torch.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> sample1 = np.array([[[0.0], [0.25]], [[0.0], [0.5]], [[0.0], [0.75]]])
    >>> sample2 = np.array([[[0.0], [0.5]], [[0.0], [-0.5]]])
    >>> float(arraysig.sig_mmd(sample1, sample2, 3).round(6))
    -0.02559
    """
    name = "sig_mmd"
    scheme = Scheme.of(name, dyadic_order, method, order, fold, tol)
    flags = time_aug, lead_lag, end_time
    args = Arguments(
        name,
        sample1,
        sample2,
        scheme,
        static_kernel,
        flags,
        n_jobs,
        gram=True,
        names=("sample1", "sample2"),
        fewest=(2, 2),
        max_batch=max_batch,
    )
    one, two = (_mean_of_others(args.kernel(which, which)) for which in (0, 1))
    between = _mean(args.kernel())
    with quiet(between):
        distance = one + two - 2 * between
    return args.restore(distance.reshape(()))
