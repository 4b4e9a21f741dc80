"""Signature kernels: inner products of signatures of all levels, without the signatures."""

from __future__ import annotations

import math
from typing import Any

from ._core import check
from ._core.docs import documented
from ._core.namespace import square_root
from ._ops import kernels as ops
from ._ops import transforms
from .static_kernels import StaticKernel

__all__ = [
    "sig_kernel",
    "sig_kernel_backprop",
    "sig_kernel_gram",
    "sig_kernel_gram_backprop",
]


class _Arguments:
    """What all four functions do with their arguments: checks, and augmented paths."""

    def __init__(
        self,
        name: str,
        path1: Any,
        path2: Any,
        dyadic_order: Any,
        static_kernel: Any,
        flags: tuple[Any, Any, Any],
        n_jobs: Any,
        gram: bool,
        **derivs: Any,
    ) -> None:
        arrays, self.restore = check.arrays(name, path1=path1, path2=path2, **derivs)
        one, two, *self.derivs = arrays
        check.path_shape(name, "path1", one.shape)
        check.path_shape(name, "path2", two.shape)
        self.shapes = one.shape, two.shape
        *self.batch1, _, channels = one.shape
        *self.batch2, _, channels2 = two.shape
        if channels != channels2:
            raise ValueError(
                f"{name}: `path2` must have {channels} channels, as `path1` has, got shape "
                f"{tuple(two.shape)}"
            )
        if not gram and self.batch1 != self.batch2:
            raise ValueError(
                f"{name}: `path2` must have leading axes {tuple(self.batch1)}, as `path1` has, got "
                f"shape {tuple(two.shape)}"
            )
        orders = check.dyadic_order(name, dyadic_order)
        kernel: tuple[Any, ...] = (0, 1.0, 0.0, 0.0)
        if static_kernel is not None:
            if not isinstance(static_kernel, StaticKernel):
                raise TypeError(
                    f"{name}: `static_kernel` must be a StaticKernel or None, got {static_kernel!r}"
                )
            kernel = (static_kernel.number, *static_kernel.parameters())
        self.time_aug = check.flag(name, "time_aug", flags[0])
        self.lead_lag = check.flag(name, "lead_lag", flags[1])
        end_time = check.finite_real(name, "end_time", flags[2])
        self.n_jobs = check.n_jobs(name, n_jobs)
        if self.time_aug or self.lead_lag:
            rest = self.time_aug, self.lead_lag, end_time, self.n_jobs
            one, two = transforms.transform_path(one, *rest), transforms.transform_path(two, *rest)
        length1, length2 = one.shape[-2], two.shape[-2]
        if ((length1 - 1) << orders[0]) * ((length2 - 1) << orders[1]) >= 2**62:
            raise ValueError(
                f"{name}: `dyadic_order` is too large for paths of {length1} and {length2} points: "
                f"64 bits can not count the cells, got {dyadic_order!r}"
            )
        # One object twice is a symmetric matrix, but for the errors of unequal orders.
        self.symmetric = gram and path1 is path2 and orders[0] == orders[1]
        self.attrs = (*orders, *kernel)
        self.paths = self._grouped(one, gram), self._grouped(two, gram)

    @staticmethod
    def _grouped(path: Any, gram: bool) -> Any:
        """(count, length, channels) for Gram matrices, else (..., 1, length, channels)."""
        *batch, length, channels = path.shape
        if gram:
            return path.reshape(math.prod(batch), length, channels)
        return path.reshape(*batch, 1, length, channels)

    def kernel(self) -> Any:
        """Of all pairs in every group."""
        return ops.sig_kernel(*self.paths, *self.attrs, self.symmetric, self.n_jobs)

    def norms(self, which: int) -> Any:
        """Kernels of paths with themselves, one each in a group of its own."""
        *groups, count, length, channels = self.paths[which].shape
        path = self.paths[which].reshape(*groups, count, 1, length, channels)
        return ops.sig_kernel(path, path, *self.attrs, False, self.n_jobs)[..., 0, 0]

    def normalized(self) -> Any:
        """The kernel of all pairs, divided by the roots of both norms."""
        product = self.norms(0)[..., :, None] * self.norms(1)[..., None, :]
        return self.kernel() / square_root(product)

    def gradients(self, derivs: Any, left: bool, right: bool) -> tuple[Any, Any]:
        """With respect to the paths as they were given, None where not wanted."""
        both = ops.sig_kernel_vjp(derivs, *self.paths, *self.attrs, False, self.n_jobs)
        return self._original(both[0], 0, left), self._original(both[1], 1, right)

    def _original(self, gradient: Any, which: int, wanted: bool) -> Any:
        if not wanted:
            return None
        if self.time_aug or self.lead_lag:
            gradient = transforms.transform_path_vjp(
                gradient, self.time_aug, self.lead_lag, self.n_jobs
            )
        return self.restore(gradient.reshape(self.shapes[which]))


@documented
def sig_kernel(
    path1: Any,
    path2: Any,
    dyadic_order: int | tuple[int, int],
    *,
    static_kernel: StaticKernel | None = None,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    n_jobs: int = 1,
    normalize: bool = False,
) -> Any:
    r"""Signature kernels of pairs of paths: inner products of their signatures of all levels.

    Parameters
    ----------
    path1 : array, shape (..., length1, dimension)
        Points of piecewise linear paths; leading axes are batch. NumPy, CuPy or Torch, of any real
        dtype: half precision is computed in float32, integers in the default float.
    path2 : array, shape (..., length2, dimension)
        Paths of the same number, kind and dimension; they may be of another length.
    {dyadic_order}
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    {n_jobs}
    normalize : bool, default False
        Divide by the roots of the kernels of each path with itself; NaN where these are negative,
        as happens when the scheme below blows up.

    Returns
    -------
    array, shape (...)
        Of the library, device and dtype of `path1`. A path of one point gives 1.

    Raises
    ------
    {raises}

    See Also
    --------
    sig_kernel_gram : all pairs of two sets of paths
    sig_kernel_backprop : the gradient

    Notes
    -----
    The kernel is the value at the end of both paths of the solution of the Goursat problem

    .. math:: \frac{\partial^2 k}{\partial s \, \partial t} = \langle \dot x_s, \dot y_t \rangle k,
              \qquad k = 1 \text{ on both axes},

    where a static kernel replaces the inner product of increments by its second difference. It is
    solved by finite differences of second order on the grid of the points, which
    `dyadic_order` refines: the error falls by about 4 with each order. The scheme needs increments
    p of a refined cell that are small against 1; when they are not, the result is meaningless, and
    may be huge. Scale the paths down, or refine.

    The cost is that of ``(length1 - 1) (length2 - 1)`` static kernels, and 4 fused multiply-adds
    for each of the 4**dyadic_order cells in each of these. Neither the grid nor the increments are
    stored: memory is a few times that of the paths. Differentiable once in Torch, in reverse mode;
    the gradient is that of the scheme, so exact for the value that is returned.

    References
    ----------
    Salvi, Cass, Foster, Lyons, Yang, "The signature kernel is the solution of a Goursat PDE",
    SIAM J. Math. Data Sci. 3 (2021).

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path1 = np.array([[0.0, 0.0], [0.25, 0.5], [0.75, 0.25]])
    >>> path2 = np.array([[0.0, 0.25], [0.125, 0.125], [0.25, 0.5]])
    >>> float(arraysig.sig_kernel(path1, path2, 2).round(6))
    1.255994
    """
    name = "sig_kernel"
    flags = time_aug, lead_lag, end_time
    normalize = check.flag(name, "normalize", normalize)
    args = _Arguments(name, path1, path2, dyadic_order, static_kernel, flags, n_jobs, gram=False)
    result = args.normalized() if normalize else args.kernel()
    return args.restore(result.reshape(tuple(args.batch1)))


@documented
def sig_kernel_backprop(
    derivs: Any,
    path1: Any,
    path2: Any,
    dyadic_order: int | tuple[int, int],
    *,
    static_kernel: StaticKernel | None = None,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    left_deriv: bool = True,
    right_deriv: bool = False,
    n_jobs: int = 1,
) -> tuple[Any, Any]:
    """Gradient of a function of `sig_kernel` with respect to the paths.

    Parameters
    ----------
    derivs : array, shape (...)
        Derivatives with respect to the kernels.
    path1 : array, shape (..., length1, dimension)
        The first paths.
    path2 : array, shape (..., length2, dimension)
        The second paths.
    {dyadic_order}
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    left_deriv : bool, default True
        Whether the gradient with respect to `path1` is wanted.
    right_deriv : bool, default False
        Whether the gradient with respect to `path2` is wanted.
    {n_jobs}

    Returns
    -------
    pair of arrays, of the shapes of `path1` and `path2`
        Derivatives with respect to the paths; None in place of one that is not wanted.

    Raises
    ------
    {raises}

    Notes
    -----
    The exact derivative of the finite differences: their adjoint, swept from the end to the start
    of both paths. Values of the grid are computed again in strips, from rows that the forward sweep
    leaves, and never stored whole. The cost is 3 to 6 times that of the forward call.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path1 = np.array([[0.0], [0.5]])
    >>> path2 = np.array([[0.0], [0.25]])
    >>> left, right = arraysig.sig_kernel_backprop(np.array(1.0), path1, path2, 0)
    >>> left
    array([[-0.265625],
           [ 0.265625]])
    >>> right is None
    True
    """
    name = "sig_kernel_backprop"
    left, right = (
        check.flag(name, "left_deriv", left_deriv),
        check.flag(name, "right_deriv", right_deriv),
    )
    flags = time_aug, lead_lag, end_time
    args = _Arguments(
        name, path1, path2, dyadic_order, static_kernel, flags, n_jobs, gram=False, derivs=derivs
    )
    check.shape(name, "derivs", args.derivs[0].shape, tuple(args.batch1))
    if not left and not right:
        return None, None
    return args.gradients(args.derivs[0].reshape(*args.batch1, 1, 1), left, right)


@documented
def sig_kernel_gram(
    path1: Any,
    path2: Any,
    dyadic_order: int | tuple[int, int],
    *,
    static_kernel: StaticKernel | None = None,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    n_jobs: int = 1,
    normalize: bool = False,
    max_batch: int = -1,
) -> Any:
    """Signature kernels of all pairs of two sets of paths.

    Parameters
    ----------
    path1 : array, shape (..., length1, dimension)
        The first paths, as for `sig_kernel`.
    path2 : array, shape (..., length2, dimension)
        The second paths, with leading axes of their own. The same object as `path1` halves the
        work where both have the same dyadic order.
    {dyadic_order}
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    {n_jobs}
    normalize : bool, default False
        Divide by the roots of the kernels of each path with itself; NaN where these are negative.
    max_batch : int, default -1
        For compatibility: -1 or a positive number, without effect. Memory does not grow with the
        number of pairs.

    Returns
    -------
    array
        Its shape is the leading axes of `path1`, then those of `path2`.

    Raises
    ------
    {raises}

    See Also
    --------
    sig_kernel : paths in pairs, and the definition

    Notes
    -----
    Memory is that of the result, and of a few paths per thread. Differentiable once in Torch.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> paths = np.array([[[0.0, 0.0], [0.25, 0.5]], [[0.0, 0.0], [0.5, -0.25]]])
    >>> arraysig.sig_kernel_gram(paths, paths, 3).round(4)
    array([[1.3378, 1.    ],
           [1.    , 1.3378]])
    """
    name = "sig_kernel_gram"
    flags = time_aug, lead_lag, end_time
    normalize = check.flag(name, "normalize", normalize)
    check.batch_size(name, "max_batch", max_batch)
    args = _Arguments(name, path1, path2, dyadic_order, static_kernel, flags, n_jobs, gram=True)
    result = args.normalized() if normalize else args.kernel()
    return args.restore(result.reshape((*args.batch1, *args.batch2)))


@documented
def sig_kernel_gram_backprop(
    derivs: Any,
    path1: Any,
    path2: Any,
    dyadic_order: int | tuple[int, int],
    *,
    static_kernel: StaticKernel | None = None,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    left_deriv: bool = True,
    right_deriv: bool = False,
    n_jobs: int = 1,
    max_batch: int = -1,
) -> tuple[Any, Any]:
    """Gradient of a function of `sig_kernel_gram` with respect to the paths.

    Parameters
    ----------
    derivs : array
        Derivatives with respect to the kernels, of the shape of the Gram matrix.
    path1 : array, shape (..., length1, dimension)
        The first paths.
    path2 : array, shape (..., length2, dimension)
        The second paths.
    {dyadic_order}
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    left_deriv : bool, default True
        Whether the gradient with respect to `path1` is wanted.
    right_deriv : bool, default False
        Whether the gradient with respect to `path2` is wanted.
    {n_jobs}
    max_batch : int, default -1
        For compatibility: -1 or a positive number, without effect.

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
    As `sig_kernel_backprop`. Every CPU thread sums its share of the gradients on its own, which
    takes the memory of both gradients once more per thread at most.

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> paths = np.array([[[0.0], [0.5]], [[0.0], [0.25]]])
    >>> left, _ = arraysig.sig_kernel_gram_backprop(np.ones((2, 2)), paths, paths, 0)
    >>> left[:, 1]
    array([[0.828125 ],
           [0.7890625]])
    """
    name = "sig_kernel_gram_backprop"
    left, right = (
        check.flag(name, "left_deriv", left_deriv),
        check.flag(name, "right_deriv", right_deriv),
    )
    check.batch_size(name, "max_batch", max_batch)
    flags = time_aug, lead_lag, end_time
    args = _Arguments(
        name, path1, path2, dyadic_order, static_kernel, flags, n_jobs, gram=True, derivs=derivs
    )
    shape = (*args.batch1, *args.batch2)
    check.shape(name, "derivs", args.derivs[0].shape, shape)
    if not left and not right:
        return None, None
    counts = math.prod(args.batch1), math.prod(args.batch2)
    return args.gradients(args.derivs[0].reshape(counts), left, right)
