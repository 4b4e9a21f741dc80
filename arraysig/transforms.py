"""Augmented paths: maps of paths with their adjoints."""

from __future__ import annotations

from typing import Any

from ._core import check
from ._core.docs import documented
from ._ops import transforms as ops

__all__ = ["transform_path", "transform_path_backprop"]


@documented
def transform_path(
    path: Any,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    n_jobs: int = 1,
) -> Any:
    """Augment paths by their lead-lag transform, a time channel, or both.

    All functions with these flags do this themselves, `sig` and its like without storing the
    augmented path; this function is for looking at it, or for code that needs it in memory.

    Parameters
    ----------
    {path}
    {time_aug}
    {lead_lag}
    {end_time}
    {n_jobs}

    Returns
    -------
    array, shape (..., points, channels)
        A new array of the library, device and dtype of `path`; ``points`` is 2 length - 1 with
        `lead_lag`, else length; ``channels`` is dimension, doubled by `lead_lag`, plus one with
        `time_aug`. A path of one point has time 0.

    Raises
    ------
    {raises}

    Notes
    -----
    Cost and memory are those of writing the result. Differentiable to any order in Torch.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> arraysig.transform_path(np.array([[0.0], [3.0], [5.0]]), time_aug=True, end_time=2.0)
    array([[0., 0.],
           [3., 1.],
           [5., 2.]])
    >>> arraysig.transform_path(np.array([[0.0], [3.0]]), lead_lag=True)
    array([[0., 0.],
           [0., 3.],
           [3., 3.]])
    """
    name = "transform_path"
    (path,), restore = check.arrays(name, path=path)
    check.path_shape(name, "path", path.shape)
    flags = check.flag(name, "time_aug", time_aug), check.flag(name, "lead_lag", lead_lag)
    end_time = check.end_time(name, end_time, path)
    return restore(ops.transform_path(path, *flags, end_time, check.n_jobs(name, n_jobs)))


@documented
def transform_path_backprop(
    derivs: Any, *, time_aug: bool = False, lead_lag: bool = False, n_jobs: int = 1
) -> Any:
    """Gradient of a function of augmented paths with respect to the paths.

    Parameters
    ----------
    derivs : array, shape (..., points, channels)
        Derivatives with respect to the output of `transform_path` with the same flags.
    {augmented}
    {n_jobs}

    Returns
    -------
    array, shape (..., length, dimension)
        Derivatives with respect to the input of `transform_path`.

    Raises
    ------
    {raises}

    Notes
    -----
    The transpose of the linear part of `transform_path`; the time channel contributes nothing.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> derivs = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    >>> arraysig.transform_path_backprop(derivs, lead_lag=True)
    array([[13.],
           [53.]])
    """
    name = "transform_path_backprop"
    (derivs,), restore = check.arrays(name, derivs=derivs)
    check.path_shape(name, "derivs", derivs.shape)
    flags = check.flag(name, "time_aug", time_aug), check.flag(name, "lead_lag", lead_lag)
    return restore(ops.transform_path_vjp(derivs, *flags, check.n_jobs(name, n_jobs)))
