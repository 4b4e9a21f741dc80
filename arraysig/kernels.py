"""Signature kernels: inner products of signatures of all levels, without the signatures."""

from __future__ import annotations

import contextlib
import math
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from ._core import check
from ._core import progress as shown
from ._core.docs import documented
from ._core.namespace import (
    detached,
    hides_values,
    is_differentiated,
    over_roots,
)
from ._ops import kernels as ops
from ._ops import transforms
from .search import search
from .static_kernels import BuiltInKernel, LinearKernel, StaticKernel
from .user_kernels import UserKernel

__all__ = [
    "sig_kernel",
    "sig_kernel_backprop",
    "sig_kernel_gram",
    "sig_kernel_gram_backprop",
]


_LINEAR = LinearKernel()
_METHODS = ("finite_difference", "polynomial", "auto")
_REFINED = {"finite_difference": ops.differences, "branched": ops.branched}


class Scheme(NamedTuple):
    """How the Goursat problem is solved, or that it is a branched kernel.

    `numbers` are both dyadic orders of finite differences, order and fold of polynomial cells,
    depth and both dyadic orders of a branched kernel, or none for "auto", which alone has `tol`.
    """

    method: str
    numbers: tuple[int, ...]
    tol: float = 0.0

    @classmethod
    def of(
        cls, name: str, dyadic_order: Any, method: Any, order: Any, fold: Any, tol: Any
    ) -> Scheme:
        """Check what was asked for, and find the method where none was."""
        # Short calls see the time of every check.
        if type(tol) is not float or not 0 < tol < math.inf:
            tol = check.positive_real(name, "tol", tol)
        if type(fold) is not int or fold < 0:
            fold = check.non_negative_int(name, "fold", fold)
        if method is None:
            given = (dyadic_order is not None, order is not None)
            method = _METHODS[given.index(True) if any(given) else 2]
        elif not isinstance(method, str):
            raise TypeError(f"{name}: `method` must be a string or None, got {method!r}")
        elif method not in _METHODS:
            raise ValueError(f"{name}: `method` must be one of {_METHODS}, got {method!r}")
        if dyadic_order is not None and method != "finite_difference":
            raise ValueError(
                f"{name}: `dyadic_order` must be None for method {method!r}, got {dyadic_order!r}"
            )
        if order is not None and method != "polynomial":
            raise ValueError(f"{name}: `order` must be None for method {method!r}, got {order!r}")
        if fold and method != "polynomial":
            raise ValueError(f"{name}: `fold` must be 0 for method {method!r}, got {fold}")
        if method == "finite_difference":
            return cls(method, check.dyadic_order(name, dyadic_order))
        if method == "auto":
            return cls(method, (), tol)
        order = check.positive_int(name, "order", order)
        if not 2 <= order <= 64:
            raise ValueError(f"{name}: `order` must be between 2 and 64, got {order}")
        if fold > 2 or (fold and order > 16):
            raise ValueError(
                f"{name}: `fold` must be 0, 1 or 2, and 0 for orders above 16, got {fold} for "
                f"order {order}"
            )
        return cls(method, (order, fold))

    @property
    def orders(self) -> tuple[int, ...]:
        """Dyadic orders of the grid."""
        return self.numbers[-2:] if self.method in _REFINED else (0, 0)

    @property
    def rows(self) -> ops.Rows:
        """The ops."""
        return _REFINED.get(self.method, ops.polynomial)


class Wanted(NamedTuple):
    """What a function of kernels returns."""

    grid: bool
    normalize: bool
    error: bool

    @classmethod
    def of(
        cls, name: str, scheme: Scheme, return_grid: Any, normalize: Any, return_error: Any
    ) -> Wanted:
        """Check what was asked for."""
        if return_grid is normalize is return_error is False:
            return _VALUES
        grid = check.flag(name, "return_grid", return_grid)
        normalize = check.flag(name, "normalize", normalize)
        error = check.flag(name, "return_error", return_error)
        if grid and normalize:
            raise ValueError(f"{name}: `normalize` must be False with `return_grid`, got True")
        if error and scheme.method != "auto":
            raise ValueError(
                f"{name}: `return_error` must be False for method {scheme.method!r}, got True"
            )
        return cls(grid, normalize, error)


_VALUES = Wanted(False, False, False)


def _optional(k_grid: Any) -> dict[str, Any]:
    return {} if k_grid is None else {"k_grid": k_grid}


class Arguments:
    """What functions of kernels do with their arguments: checks, and augmented paths.

    `names` are those of both arrays of paths in messages. `fewest` is for samples, of which pairs
    within each are wanted too: the least numbers of paths. With `grid` kernels are those of all
    nodes.
    """

    def __init__(
        self,
        name: str,
        path1: Any,
        path2: Any,
        scheme: Scheme,
        static_kernel: Any,
        flags: tuple[Any, Any, Any],
        n_jobs: Any,
        gram: bool,
        names: tuple[str, str] = ("path1", "path2"),
        fewest: tuple[int, int] | None = None,
        grid: Any = False,
        max_batch: Any = -1,
        progress: Any = False,
        **derivs: Any,
    ) -> None:
        first, second = names
        arrays, self.restore = check.arrays(name, **{first: path1, second: path2}, **derivs)
        one, two, *self.derivs = arrays
        check.path_shape(name, first, one.shape)
        check.path_shape(name, second, two.shape)
        self.shapes = one.shape, two.shape
        *self.batch1, _, channels = one.shape
        *self.batch2, _, channels2 = two.shape
        if channels != channels2:
            raise ValueError(
                f"{name}: `{second}` must have {channels} channels, as `{first}` has, got shape "
                f"{tuple(two.shape)}"
            )
        if not gram and self.batch1 != self.batch2:
            raise ValueError(
                f"{name}: `{second}` must have leading axes {tuple(self.batch1)}, as `{first}` "
                f"has, got shape {tuple(two.shape)}"
            )
        for which, least in enumerate(fewest or ()):
            if math.prod(self.shapes[which][:-2]) < least:
                raise ValueError(
                    f"{name}: `{names[which]}` must hold at least {least} "
                    f"path{'s' if least > 1 else ''}, got shape {tuple(self.shapes[which])}"
                )
        if static_kernel is None:
            static_kernel = _LINEAR
        elif not isinstance(static_kernel, StaticKernel):
            raise TypeError(
                f"{name}: `static_kernel` must be a StaticKernel or None, got {static_kernel!r}"
            )
        self.built_in = isinstance(static_kernel, BuiltInKernel) and not static_kernel.overridden()
        if self.built_in and static_kernel is not _LINEAR:
            parameters = static_kernel.parameters()
            check.within_range(name, "static_kernel", static_kernel, parameters, one)
        self.grid = grid is not False and check.flag(name, "return_grid", grid)
        self.progress = progress is not False and check.flag(name, "progress", progress)
        self.max_batch = check.batch_size(name, "max_batch", max_batch)
        self.time_aug = check.flag(name, "time_aug", flags[0])
        self.lead_lag = check.flag(name, "lead_lag", flags[1])
        end_time = check.end_time(name, flags[2], one)
        self.n_jobs = check.n_jobs(name, n_jobs)
        if scheme.method in _REFINED:
            steps = [(a.shape[-2] - 1) * (2 if self.lead_lag else 1) for a in (one, two)]
            cells = steps[0] * steps[1] if not fewest else max(steps) ** 2
            cells *= 2 ** sum(scheme.orders)
            if cells >= 2**62:
                raise ValueError(
                    f"{name}: `dyadic_order` must leave fewer than 2**62 cells, got "
                    f"{scheme.orders} for paths of {one.shape[-2]} and {two.shape[-2]} points"
                )
        if self.time_aug or self.lead_lag:
            rest = self.time_aug, self.lead_lag, end_time, self.n_jobs
            one, two = transforms.transform_path(one, *rest), transforms.transform_path(two, *rest)
        self.name = name
        #: Leading axes of the result.
        self.pairs = (*self.batch1, *self.batch2) if gram else tuple(self.batch1)
        self.same = gram and path1 is path2
        self.scheme, self.static_kernel = scheme, static_kernel
        self.paths = self._grouped(one, gram), self._grouped(two, gram)
        #: Largest change that "auto" has found on its last step.
        self.error = 0.0

    @property
    def nodes(self) -> tuple[int, ...]:
        """Shape of the grid of a pair."""
        rows, columns = (
            (path.shape[-2] - 1) * 2**order
            for path, order in zip(self.paths, self.scheme.orders, strict=True)
        )
        return (rows + 1, columns + 1)

    @staticmethod
    def _grouped(path: Any, gram: bool) -> Any:
        """(count, length, channels) for Gram matrices, else (..., 1, length, channels)."""
        *batch, length, channels = path.shape
        if gram:
            return path.reshape(math.prod(batch), length, channels)
        return path.reshape(*batch, 1, length, channels)

    def kernel(self, left: int = 0, right: int = 1) -> Any:
        """Of all pairs in every group; of the first array (0) or the second one (1) on each side.

        One array twice is a symmetric matrix, but for the errors of unequal orders.
        """
        orders = self.scheme.orders
        even = orders[0] == orders[1]
        symmetric = (self.same or left == right) and even and not self.grid
        return self._solve(self.paths[left], self.paths[right], symmetric)

    def _solve(self, one: Any, two: Any, symmetric: bool) -> Any:
        two = two[...]  # Torch's compiler wants two tensors
        numbers = self.scheme.numbers
        if self.scheme.method == "auto":
            numbers, value = self._choose(one, two, symmetric)
            if not is_differentiated(one, two):
                return value
        if not self.progress:
            return self._applied(numbers, one, two, symmetric)
        with self._bar(numbers, math.prod(one.shape[:-2]) * two.shape[-3]):
            return self._applied(numbers, one, two, symmetric)

    def _users(self, numbers: tuple[int, ...]) -> UserKernel:
        rest = self.grid, self.n_jobs, self.max_batch
        return UserKernel(self.name, self.static_kernel, self.scheme.rows, numbers, *rest)

    def _bar(self, numbers: tuple[int, ...], count: int) -> AbstractContextManager[None]:
        if not self.progress:
            return contextlib.nullcontext()
        name = f"{self.name}, order {numbers[0]}" if self.scheme.method == "auto" else self.name
        return shown.bar(name, count, "kernel")

    def _applied(self, numbers: tuple[int, ...], one: Any, two: Any, symmetric: bool) -> Any:
        kernel = self.static_kernel
        if not self.built_in:
            return self._users(numbers).kernel(one, two, symmetric)
        rest = symmetric, self.grid, self.n_jobs
        return self.scheme.rows.kernel(
            one, two, *numbers, kernel.number, *kernel.parameters(), *rest
        )

    def _choose(self, one: Any, two: Any, symmetric: bool) -> tuple[tuple[int, ...], Any]:
        """The highest order and fold that a pair needs for `tol`, and the kernels."""
        if hides_values(one, two):
            raise NotImplementedError(
                f"{self.name}: method 'auto' looks at values, which torch.compile, vmap, make_fx "
                "and meta and fake tensors hide; pass `order` or `dyadic_order`"
            )
        found = search(
            self._applied, self._bar, detached(one), detached(two), symmetric, self.scheme.tol
        )
        if found.met:
            self.error = max(self.error, found.error)
            return found.numbers, found.kernels
        if found.error == math.inf:
            raise ValueError(
                f"{self.name}: `tol` can not be met, for kernels overflow, got {self.scheme.tol}; "
                "scale the paths down"
            )
        enough = f"{1.05 * found.error:.2g}"  # of two digits, not below the least
        raise ValueError(
            f"{self.name}: `tol` must be at least {enough}, the least estimated error of orders up "
            f"to {found.numbers[0]}, got {self.scheme.tol}; scale the paths down"
        )

    def norms(self, which: int) -> Any:
        """Kernels of paths with themselves, one each in a group of its own."""
        *groups, count, length, channels = self.paths[which].shape
        path = self.paths[which].reshape(*groups, count, 1, length, channels)
        return self._solve(path, path, False)[..., 0, 0]

    def normalized(self) -> Any:
        """The kernel of all pairs, divided by the roots of both norms."""
        one, two = self.norms(0)[..., :, None], self.norms(1)[..., None, :]
        return over_roots(self.kernel(), one, two)

    def result(self, wanted: Wanted) -> Any:
        """What a function of kernels returns."""
        kernel = self.normalized() if wanted.normalize else self.kernel()
        kernel = self.restore(kernel.reshape((*self.pairs, *(self.nodes if self.grid else ()))))
        return (kernel, self.error) if wanted.error else kernel

    def checked_derivs(self, stored: str = "k_grid", stack: tuple[int, ...] = ()) -> Any:
        """Derivatives that were given, in groups; and of grids, `stack` of each pair, the shape."""
        nodes = self.nodes
        of_values = nodes if self.grid else ()
        derivs, *grids = self.derivs
        check.shape(self.name, "derivs", derivs.shape, (*self.pairs, *of_values))
        for grid in grids:
            check.shape(self.name, stored, grid.shape, (*self.pairs, *stack, *nodes))
        groups = [path.shape[:-2] for path in self.paths]
        return derivs.reshape(*groups[0], groups[1][-1], *of_values)

    def gradients(self, derivs: Any, left: bool, right: bool) -> tuple[Any, Any]:
        """With respect to the paths as they were given, None where not wanted."""
        if not left and not right:
            return None, None
        numbers = self.scheme.numbers
        if self.scheme.method == "auto":
            numbers, _ = self._choose(*self.paths, False)
        kernel = self.static_kernel
        with self._bar(numbers, math.prod(self.pairs)):
            if self.built_in:
                rest = kernel.number, *kernel.parameters(), False, self.grid, self.n_jobs
                both = self.scheme.rows.vjp(derivs, *self.paths, *numbers, *rest)
            else:
                both = self._users(numbers).gradients(derivs, *self.paths, False, (left, right))
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
    return_grid: bool = False,
    normalize: bool = False,
    return_error: bool = False,
) -> Any:
    r"""Signature kernels of pairs of paths: inner products of their signatures of all levels.

    Parameters
    ----------
    path1 : array, shape (..., length1, dimension)
        Points of piecewise linear paths; leading axes are batch. NumPy, CuPy or Torch, of any real
        dtype: half precision is computed in float32, integers in the default float.
    path2 : array, shape (..., length2, dimension)
        Paths of the same number, kind and dimension; they may be of another length.
    {scheme}
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    {n_jobs}
    {return_grid}
    normalize : bool, default False
        Divide by the roots of the kernels of both paths with themselves; NaN where one of these is
        negative, as happens when the scheme below blows up. Not with `return_grid`.
    {return_error}

    Returns
    -------
    array, shape (...), or (..., nodes1, nodes2) with `return_grid`
        Of the library, device and dtype of `path1`. A path of one point gives 1.
    error : float
        Only with `return_error`.

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

    where a static kernel replaces the inner product of increments by its second difference. There
    are two ways to solve it on the grid of the points.

    *Finite differences* of second order on the grid that `dyadic_order` refines: the error falls by
    a factor of about 4 with each order. The scheme needs increments p of a refined cell that are
    small against 1; when they are not, the result is meaningless, and may be huge. The cost is 4
    fused multiply-adds for each of the 4**dyadic_order cells in an increment.

    *Polynomial cells*: the equation is solved exactly in every cell of the grid for polynomials of
    degree `order` on its edges. The error falls faster than exponentially with the order, without
    refinement; it grows with increments that are summed along rows and columns, not with those of
    single cells. Both edges of a cell start from one value, the mean of what the cells before say;
    with one for each, as published, their difference could grow beyond all bounds. The cost is
    about 3 (order + 1)**2 fused multiply-adds for each increment. With `fold` slopes of edges are
    found by Galerkin's method: what terms above `order` do to those below is counted too, and
    values at the ends of edges have twice the digits, as long as single increments are small
    against 1, for their powers end with order + fold.

    Cells are divided, not segments: with a static kernel that is not linear, further points on a
    segment change the result. Both need ``(length1 - 1) (length2 - 1)`` static kernels too. Neither
    the grid nor the increments are stored: memory is a few times that of the paths, for finite
    differences of the second path refined. Differentiable once in Torch, in reverse mode; the
    gradient is that of the scheme, so exact for the value that is returned.

    "auto" computes orders in turn, the low ones with ``fold=2``, and looks at the values, for which
    it waits on a GPU; pairs that need a higher order go on alone if they are few. Gradients are
    those of the highest order that a pair needs, for all pairs. It is refused where Torch hides
    values: in compiled functions, under `vmap`, for meta and fake tensors.

    References
    ----------
    Salvi, Cass, Foster, Lyons, Yang, "The signature kernel is the solution of a Goursat PDE",
    SIAM J. Math. Data Sci. 3 (2021). Cass, Piatti, Pei, "Numerical schemes for signature kernels",
    arXiv 2502.08470 (2025).

    Examples
    --------
    >>> import numpy as np
    >>> import arraysig
    >>> path1 = np.array([[0.0, 0.0], [0.25, 0.5], [0.75, 0.25]])
    >>> path2 = np.array([[0.0, 0.25], [0.125, 0.125], [0.25, 0.5]])
    >>> float(arraysig.sig_kernel(path1, path2, 2).round(6))
    1.255994
    >>> float(arraysig.sig_kernel(path1, path2, order=6).round(6))
    1.255989
    >>> float(arraysig.sig_kernel(path1, path2, tol=1e-9).round(6))
    1.255989
    """
    name = "sig_kernel"
    scheme = Scheme.of(name, dyadic_order, method, order, fold, tol)
    flags = time_aug, lead_lag, end_time
    wanted = Wanted.of(name, scheme, return_grid, normalize, return_error)
    args = Arguments(
        name, path1, path2, scheme, static_kernel, flags, n_jobs, gram=False, grid=wanted.grid
    )
    return args.result(wanted)


@documented
def sig_kernel_backprop(
    derivs: Any,
    path1: Any,
    path2: Any,
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
    left_deriv: bool = True,
    right_deriv: bool = False,
    k_grid: Any = None,
    n_jobs: int = 1,
    return_grid: bool = False,
) -> tuple[Any, Any]:
    """Gradient of a function of `sig_kernel` with respect to the paths.

    Parameters
    ----------
    derivs : array, shape (...), or (..., nodes1, nodes2) with `return_grid`
        Derivatives with respect to the kernels.
    path1 : array, shape (..., length1, dimension)
        The first paths.
    path2 : array, shape (..., length2, dimension)
        The second paths.
    {scheme}
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    left_deriv : bool, default True
        Whether the gradient with respect to `path1` is wanted.
    right_deriv : bool, default False
        Whether the gradient with respect to `path2` is wanted.
    k_grid : array or None, default None
        For compatibility: what `return_grid` gives, without effect; grids are computed again.
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
    The exact derivative of the scheme: its adjoint, swept from the end to the start of both paths.
    Values of the grid are computed again in strips, from rows that the forward sweep leaves, and
    never stored whole. The cost is 3 to 6 times that of the forward call.

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
    scheme = Scheme.of(name, dyadic_order, method, order, fold, tol)
    flags = time_aug, lead_lag, end_time
    args = Arguments(
        name,
        path1,
        path2,
        scheme,
        static_kernel,
        flags,
        n_jobs,
        gram=False,
        grid=return_grid,
        derivs=derivs,
        **_optional(k_grid),
    )
    return args.gradients(args.checked_derivs(), left, right)


@documented
def sig_kernel_gram(
    path1: Any,
    path2: Any,
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
    return_grid: bool = False,
    normalize: bool = False,
    max_batch: int = -1,
    progress: bool = False,
    return_error: bool = False,
) -> Any:
    """Signature kernels of all pairs of two sets of paths.

    Parameters
    ----------
    path1 : array, shape (..., length1, dimension)
        The first paths, as for `sig_kernel`.
    path2 : array, shape (..., length2, dimension)
        The second paths, with leading axes of their own. The very same object as `path1`, not a
        copy or a view, halves the work where both have the same dyadic order.
    {scheme}
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    {n_jobs}
    {return_grid}
    normalize : bool, default False
        Divide by the roots of the kernels of both paths with themselves; NaN where one of these is
        negative. Not with `return_grid`.
    {max_batch}
    {progress}
    {return_error}

    Returns
    -------
    array
        Its shape is the leading axes of `path1`, then those of `path2`, then with `return_grid`
        (nodes1, nodes2).
    error : float
        Only with `return_error`.

    Raises
    ------
    {raises}

    See Also
    --------
    sig_kernel : paths in pairs, and the definition

    Notes
    -----
    Memory is that of the result, three times that for "auto" and for `normalize`, and that of a few
    paths per thread. Differentiable once in Torch.

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
    scheme = Scheme.of(name, dyadic_order, method, order, fold, tol)
    flags = time_aug, lead_lag, end_time
    wanted = Wanted.of(name, scheme, return_grid, normalize, return_error)
    args = Arguments(
        name,
        path1,
        path2,
        scheme,
        static_kernel,
        flags,
        n_jobs,
        gram=True,
        grid=wanted.grid,
        max_batch=max_batch,
        progress=progress,
    )
    return args.result(wanted)


@documented
def sig_kernel_gram_backprop(
    derivs: Any,
    path1: Any,
    path2: Any,
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
    left_deriv: bool = True,
    right_deriv: bool = False,
    k_grid: Any = None,
    n_jobs: int = 1,
    return_grid: bool = False,
    max_batch: int = -1,
    progress: bool = False,
) -> tuple[Any, Any]:
    """Gradient of a function of `sig_kernel_gram` with respect to the paths.

    Parameters
    ----------
    derivs : array
        Derivatives with respect to the kernels, of the shape of what `sig_kernel_gram` returns.
    path1 : array, shape (..., length1, dimension)
        The first paths.
    path2 : array, shape (..., length2, dimension)
        The second paths.
    {scheme}
    {static_kernel}
    {time_aug}
    {lead_lag}
    {end_time}
    left_deriv : bool, default True
        Whether the gradient with respect to `path1` is wanted.
    right_deriv : bool, default False
        Whether the gradient with respect to `path2` is wanted.
    k_grid : array or None, default None
        For compatibility: what `return_grid` gives, without effect; grids are computed again.
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
    scheme = Scheme.of(name, dyadic_order, method, order, fold, tol)
    flags = time_aug, lead_lag, end_time
    args = Arguments(
        name,
        path1,
        path2,
        scheme,
        static_kernel,
        flags,
        n_jobs,
        gram=True,
        grid=return_grid,
        max_batch=max_batch,
        progress=progress,
        derivs=derivs,
        **_optional(k_grid),
    )
    return args.gradients(args.checked_derivs(), left, right)
