"""Branched signature kernels: inner products of branched signatures, without the signatures."""

from __future__ import annotations

from typing import Any

from ._core import check
from ._core.docs import documented
from .kernels import Arguments, Scheme, Wanted
from .static_kernels import StaticKernel

__all__ = [
    "branched_sig_kernel",
    "branched_sig_kernel_backprop",
    "branched_sig_kernel_gram",
    "branched_sig_kernel_gram_backprop",
]

_MOST_DEPTH = 2**20  # far beyond where kernels change, and products with it fit 64 bits


def _scheme(name: str, depth: Any, dyadic_order: Any) -> Scheme:
    depth = check.non_negative_int(name, "depth", depth)
    if depth > _MOST_DEPTH:
        raise ValueError(f"{name}: `depth` must be at most {_MOST_DEPTH}, got {depth}")
    return Scheme("branched", (depth, *check.dyadic_order(name, dyadic_order)))


def _kernel(
    name: str,
    paths: tuple[Any, Any],
    numbers: tuple[Any, Any],
    flags: tuple[Any, Any, Any],
    return_grid: Any,
    normalize: Any,
    gram: bool,
    **options: Any,
) -> Any:
    scheme = _scheme(name, *numbers)
    wanted = Wanted.of(name, scheme, return_grid, normalize, False)
    args = Arguments(name, *paths, scheme, flags=flags, gram=gram, grid=wanted.grid, **options)
    return args.result(wanted)


def _gradients(
    name: str,
    derivs: Any,
    paths: tuple[Any, Any],
    numbers: tuple[Any, Any],
    flags: tuple[Any, Any, Any],
    sides: tuple[Any, Any],
    k_stack: Any,
    gram: bool,
    **options: Any,
) -> tuple[Any, Any]:
    left, right = (
        check.flag(name, which, value)
        for which, value in zip(("left_deriv", "right_deriv"), sides, strict=True)
    )
    scheme = _scheme(name, *numbers)
    if k_stack is not None:
        options["k_stack"] = k_stack
    args = Arguments(name, *paths, scheme, flags=flags, gram=gram, derivs=derivs, **options)
    derivs = args.checked_derivs("k_stack", (scheme.numbers[0] + 1,))
    return args.gradients(derivs, left, right)


@documented
def branched_sig_kernel(
    path1: Any,
    path2: Any,
    depth: int,
    dyadic_order: int | tuple[int, int],
    *,
    static_kernel: StaticKernel | None = None,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    n_jobs: int = 1,
    return_grid: bool = False,
    normalize: bool = False,
) -> Any:
    r"""Branched signature kernels of pairs of paths: of trees up to a depth, not of words.

    Parameters
    ----------
    path1 : array, shape (..., length1, dimension)
        Points of piecewise linear paths; leading axes are batch. NumPy, CuPy or Torch, of any real
        dtype: half precision is computed in float32, integers in the default float.
    path2 : array, shape (..., length2, dimension)
        Paths of the same number, kind and dimension; they may be of another length.
    {depth}
    {refinement}
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    {n_jobs}
    return_grid : bool, default False
        All nodes of the grid, ``(length - 1) * 2**dyadic_order + 1`` along each of the augmented
        paths, instead of the last one. Memory is that of the grids.
    normalize : bool, default False
        Divide by the roots of the kernels of both paths with themselves. Not with `return_grid`.

    Returns
    -------
    array, shape (...), or (..., nodes1, nodes2) with `return_grid`
        Of the library, device and dtype of `path1`. A path of one point, or depth 0, gives 1.

    Raises
    ------
    {raises}

    See Also
    --------
    branched_sig_kernel_gram : all pairs of two sets of paths
    branched_sig_kernel_backprop : the gradient
    sig_kernel : signature kernels, which trees without branches give

    Notes
    -----
    The kernel is the value at the end of both paths of the last of

    .. math:: K_0 = 1, \qquad
              K_{m+1}(s, t) = \exp \int_0^s \! \int_0^t K_m(u, v)
              \langle \mathrm{d} x_u, \mathrm{d} y_v \rangle,

    the sum over forests of rooted trees of height m at most, where a static kernel replaces the
    inner product of increments by its second difference. In every cell of the grid that
    `dyadic_order` refines, :math:`K_m` is taken as the mean of its four corners; the error falls
    by a factor of about 4 with each order. Depth 1 is the exponential of the sum of all increments,
    whatever the order.

    Kernels are exponentials of exponentials: paths of a variation far above 1 overflow soon, and
    then give inf or NaN. Scale them down, or take a bounded static kernel.

    The cost is an exponential for each of the ``4**dyadic_order`` cells in an increment and each
    depth but the last. Neither grids nor increments are stored: memory is a few times that of the
    paths, and `depth` times that of the second path refined. Differentiable once in Torch, in
    reverse mode; the gradient is that of the sums, so exact for the value that is returned.

    References
    ----------
    Chevyrev, Oberhauser, "Signature moments to characterize laws of stochastic processes",
    JMLR 23 (2022).

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path1 = np.array([[0.0, 0.0], [0.25, 0.5], [0.75, 0.25]])
    >>> path2 = np.array([[0.0, 0.25], [0.125, 0.125], [0.25, 0.5]])
    >>> for order in (0, 2, 4):
    ...     float(arraysig.branched_sig_kernel(path1, path2, 2, order).round(6))
    1.292441
    1.291736
    1.291705
    """
    flags = time_aug, lead_lag, end_time
    return _kernel(
        "branched_sig_kernel",
        (path1, path2),
        (depth, dyadic_order),
        flags,
        return_grid,
        normalize,
        gram=False,
        static_kernel=static_kernel,
        n_jobs=n_jobs,
    )


@documented
def branched_sig_kernel_backprop(
    derivs: Any,
    path1: Any,
    path2: Any,
    depth: int,
    dyadic_order: int | tuple[int, int],
    *,
    static_kernel: StaticKernel | None = None,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    left_deriv: bool = True,
    right_deriv: bool = False,
    k_stack: Any = None,
    n_jobs: int = 1,
    return_grid: bool = False,
) -> tuple[Any, Any]:
    """Gradient of a function of `branched_sig_kernel` with respect to the paths.

    Parameters
    ----------
    derivs : array, shape (...), or (..., nodes1, nodes2) with `return_grid`
        Derivatives with respect to the kernels.
    path1 : array, shape (..., length1, dimension)
        The first paths.
    path2 : array, shape (..., length2, dimension)
        The second paths.
    {depth}
    {refinement}
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    left_deriv : bool, default True
        Whether the gradient with respect to `path1` is wanted.
    right_deriv : bool, default False
        Whether the gradient with respect to `path2` is wanted.
    k_stack : array or None, default None
        For compatibility: grids of depths 0 to `depth`, of shape (..., depth + 1, nodes1, nodes2),
        without effect; they are computed again.
    {n_jobs}
    return_grid : bool, default False
        Whether `derivs` are with respect to all nodes, as `return_grid` gives them.

    Returns
    -------
    pair of arrays, of the shapes of `path1` and `path2`
        Derivatives with respect to the paths; None in place of one that is not wanted.

    Raises
    ------
    {raises}

    Notes
    -----
    The exact derivative of the sums: their adjoint, swept from the end to the start of both paths,
    all depths together. Values of the grids are computed again in strips, from rows that the
    forward sweep leaves, and never stored whole. The cost is about 3 times that of the forward
    call.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path1 = np.array([[0.0], [0.5]])
    >>> path2 = np.array([[0.0], [0.25]])
    >>> ones = np.array(1.0)
    >>> left, right = arraysig.branched_sig_kernel_backprop(ones, path1, path2, 1, 0)
    >>> left.round(6)
    array([[-0.283287],
           [ 0.283287]])
    >>> right is None
    True
    """
    flags = time_aug, lead_lag, end_time
    return _gradients(
        "branched_sig_kernel_backprop",
        derivs,
        (path1, path2),
        (depth, dyadic_order),
        flags,
        (left_deriv, right_deriv),
        k_stack,
        gram=False,
        static_kernel=static_kernel,
        n_jobs=n_jobs,
        grid=return_grid,
    )


@documented
def branched_sig_kernel_gram(
    path1: Any,
    path2: Any,
    depth: int,
    dyadic_order: int | tuple[int, int],
    *,
    static_kernel: StaticKernel | None = None,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    n_jobs: int = 1,
    return_grid: bool = False,
    normalize: bool = False,
    max_batch: int = -1,
    progress: bool = False,
) -> Any:
    """Branched signature kernels of all pairs of two sets of paths.

    Parameters
    ----------
    path1 : array, shape (..., length1, dimension)
        The first paths, as for `branched_sig_kernel`.
    path2 : array, shape (..., length2, dimension)
        The second paths, with leading axes of their own. The very same object as `path1`, not a
        copy or a view, halves the work where both have the same dyadic order.
    {depth}
    {refinement}
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    {n_jobs}
    return_grid : bool, default False
        All nodes of the grid, as for `branched_sig_kernel`. Memory is that of the grids.
    normalize : bool, default False
        Divide by the roots of the kernels of both paths with themselves. Not with `return_grid`.
    {max_batch}
    {progress}

    Returns
    -------
    array
        Its shape is the leading axes of `path1`, then those of `path2`, then with `return_grid`
        (nodes1, nodes2).

    Raises
    ------
    {raises}

    See Also
    --------
    branched_sig_kernel : paths in pairs, and the definition

    Notes
    -----
    Memory is that of the result, and of a few paths per thread. Differentiable once in Torch.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> paths = np.array([[[0.0, 0.0], [0.25, 0.5]], [[0.0, 0.0], [0.5, -0.25]]])
    >>> arraysig.branched_sig_kernel_gram(paths, paths, 2, 3).round(4)
    array([[1.4032, 1.    ],
           [1.    , 1.4032]])
    """
    flags = time_aug, lead_lag, end_time
    return _kernel(
        "branched_sig_kernel_gram",
        (path1, path2),
        (depth, dyadic_order),
        flags,
        return_grid,
        normalize,
        gram=True,
        static_kernel=static_kernel,
        n_jobs=n_jobs,
        max_batch=max_batch,
        progress=progress,
    )


@documented
def branched_sig_kernel_gram_backprop(
    derivs: Any,
    path1: Any,
    path2: Any,
    depth: int,
    dyadic_order: int | tuple[int, int],
    *,
    static_kernel: StaticKernel | None = None,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    left_deriv: bool = True,
    right_deriv: bool = False,
    k_stack: Any = None,
    n_jobs: int = 1,
    return_grid: bool = False,
    max_batch: int = -1,
    progress: bool = False,
) -> tuple[Any, Any]:
    """Gradient of a function of `branched_sig_kernel_gram` with respect to the paths.

    Parameters
    ----------
    derivs : array
        Derivatives with respect to the kernels, of the shape of what `branched_sig_kernel_gram`
        returns.
    path1 : array, shape (..., length1, dimension)
        The first paths.
    path2 : array, shape (..., length2, dimension)
        The second paths.
    {depth}
    {refinement}
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    left_deriv : bool, default True
        Whether the gradient with respect to `path1` is wanted.
    right_deriv : bool, default False
        Whether the gradient with respect to `path2` is wanted.
    k_stack : array or None, default None
        For compatibility: grids of depths 0 to `depth`, with axes (depth + 1, nodes1, nodes2)
        behind those of `path1` and `path2`, without effect; they are computed again.
    {n_jobs}
    return_grid : bool, default False
        Whether `derivs` are with respect to all nodes, as `return_grid` gives them.
    {max_batch}
    {progress}

    Returns
    -------
    pair of arrays, of the shapes of `path1` and `path2`
        Derivatives with respect to the paths; None in place of one that is not wanted. Where both
        arguments are the same paths, the derivative with respect to these is the sum of both.

    Raises
    ------
    {raises}

    Notes
    -----
    As `branched_sig_kernel_backprop`. Every CPU thread sums its share of the gradients on its own,
    which takes the memory of both gradients once more per thread at most.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> paths = np.array([[[0.0], [0.5]], [[0.0], [0.25]]])
    >>> ones = np.ones((2, 2))
    >>> left, _ = arraysig.branched_sig_kernel_gram_backprop(ones, paths, paths, 1, 0)
    >>> left[:, 1].round(6)
    array([[0.9253  ],
           [0.832698]])
    """
    flags = time_aug, lead_lag, end_time
    return _gradients(
        "branched_sig_kernel_gram_backprop",
        derivs,
        (path1, path2),
        (depth, dyadic_order),
        flags,
        (left_deriv, right_deriv),
        k_stack,
        gram=True,
        static_kernel=static_kernel,
        n_jobs=n_jobs,
        grid=return_grid,
        max_batch=max_batch,
        progress=progress,
    )
