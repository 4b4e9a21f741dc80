"""Static kernels: kernels of points, which `sig_kernel` lifts to paths."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

from ._core import check

__all__ = [
    "Context",
    "LinearKernel",
    "Matern12Kernel",
    "Matern32Kernel",
    "Matern52Kernel",
    "PolynomialKernel",
    "RBFKernel",
    "RationalQuadraticKernel",
    "ScaledLinearKernel",
    "StaticKernel",
]


class Context:
    """What a static kernel remembers from its values to its gradients; a new one for every call.

    Attributes
    ----------
    saved_tensors : what `save_for_backward` was given, at first ``()``
    saved_for_y : what `save_for_grad_y` was given, at first ``()``

    Examples
    --------
    >>> import arraysig
    >>> ctx = arraysig.Context()
    >>> ctx.save_for_backward("anything")
    >>> ctx.saved_tensors
    ('anything',)
    """

    def __init__(self) -> None:
        self.saved_tensors: tuple[Any, ...] = ()
        self.saved_for_y: tuple[Any, ...] = ()

    def save_for_backward(self, *values: Any) -> None:
        """Keep `values` for `StaticKernel.grad_x` and `StaticKernel.grad_y`."""
        self.saved_tensors = values

    def save_for_grad_y(self, *values: Any) -> None:
        """Keep `values` of `StaticKernel.grad_x` for `StaticKernel.grad_y`."""
        self.saved_for_y = values


class StaticKernel(ABC):
    r"""A kernel of points k(x, y), which `sig_kernel` lifts to paths: derive from it for your own.

    The classes of this package are evaluated inside the kernels in C and CUDA C. Classes that you
    write are called with arrays of the library of the paths, for some pairs of paths at a time, and
    may compute with whatever that library offers; what is to be remembered is kept in a `Context`,
    not in the object, so that threads can share it.

    Notes
    -----
    Increments of the kernel between neighbouring points are what the signature kernel is made of:

    .. math:: p_{ij} = k(x_{i+1}, y_{j+1}) - k(x_{i+1}, y_j) - k(x_i, y_{j+1}) + k(x_i, y_j).

    Gradients are asked for after `__call__` with the same context, `grad_x` first; where only one
    of them is wanted, only that one. Memory is that of the increments of a tile of pairs, 16 MiB in
    float64 or those of one pair, and what your code takes for them. Tensors that the object holds
    count as constant: derivatives with respect to them are refused.

    Examples
    --------
    The linear kernel of the package, in NumPy:

    >>> import numpy as np
    >>> import arraysig
    >>> class Linear(arraysig.StaticKernel):
    ...     def __call__(self, ctx, x, y):
    ...         dx, dy = np.diff(x, axis=1), np.diff(y, axis=1)
    ...         ctx.save_for_backward(dx, dy)
    ...         return dx @ dy.swapaxes(1, 2)
    ...
    ...     def grad_x(self, ctx, derivs):
    ...         dx, dy = ctx.saved_tensors
    ...         return -np.diff(derivs @ dy, axis=1, prepend=0, append=0)
    ...
    ...     def grad_y(self, ctx, derivs):
    ...         dx, dy = ctx.saved_tensors
    ...         return -np.diff(derivs.swapaxes(1, 2) @ dx, axis=1, prepend=0, append=0)
    >>> path = np.array([[0.0, 0.0], [0.25, 0.5], [0.75, 0.25]])
    >>> float(arraysig.sig_kernel(path, path, 2, static_kernel=Linear()).round(6))
    1.789741
    >>> float(arraysig.sig_kernel(path, path, 2).round(6))
    1.789741
    """

    @abstractmethod
    def __call__(self, ctx: Context, x: Any, y: Any) -> Any:
        """Increments (pairs, length1 - 1, length2 - 1) of the kernel.

        Parameters
        ----------
        ctx : Context
            Where to keep what the gradients need.
        x : array, shape (pairs, length1, channels)
            The first path of each pair, augmented; not to be written to.
        y : array, shape (pairs, length2, channels)
            The second path of each pair.
        """

    @abstractmethod
    def grad_x(self, ctx: Context, derivs: Any) -> Any:
        """Gradient (pairs, length1, channels) with respect to x.

        Parameters
        ----------
        ctx : Context
            That of the call.
        derivs : array, shape (pairs, length1 - 1, length2 - 1)
            Derivatives with respect to the increments.
        """

    @abstractmethod
    def grad_y(self, ctx: Context, derivs: Any) -> Any:
        """Gradient (pairs, length2, channels) with respect to y, as `grad_x`."""


class BuiltInKernel(StaticKernel):
    """One that is evaluated where it is needed by the kernels in C and CUDA C.

    Objects are immutable, compare by value and can be pickled.
    """

    #: Which one it is, for the kernels in C and CUDA C.
    number: ClassVar[int]

    def parameters(self) -> tuple[float, float, float]:
        """Up to three numbers, as the kernels in C and CUDA C want them."""
        raise NotImplementedError

    def _check_factor(self, parameters: str) -> None:
        """Refuse parameters of which the factor overflows or vanishes in float64."""
        factor, *_ = self.parameters()
        if not 0 < factor < math.inf:
            raise ValueError(
                f"{type(self).__name__}: {parameters} must give a factor that float64 can hold, "
                f"got {self!r}, which gives {factor}"
            )

    def _refuse(self, *args: Any) -> Any:  # there is nothing in Python to call
        raise NotImplementedError(
            f"{type(self).__name__}: can not be called, only be passed to functions of kernels"
        )

    __call__ = grad_x = grad_y = _refuse  # type: ignore[assignment]

    def overridden(self) -> bool:
        """Whether a class of the user's replaces what would be evaluated in C and CUDA C."""
        kind = type(self)
        methods = (kind.__call__, kind.grad_x, kind.grad_y)
        return any([method is not BuiltInKernel._refuse for method in methods])


@dataclass(frozen=True)
class LinearKernel(BuiltInKernel):
    r"""The inner product :math:`\langle x, y \rangle`, the default.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.LinearKernel()
    LinearKernel()
    """

    number = 0

    def parameters(self) -> tuple[float, float, float]:
        """The factor of inner products."""
        return 1.0, 0.0, 0.0


@dataclass(frozen=True)
class ScaledLinearKernel(BuiltInKernel):
    r"""The inner product of scaled points, :math:`s^2 \langle x, y \rangle`.

    Parameters
    ----------
    scale : float, default 1.0
        The factor s of points, at least 0.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.ScaledLinearKernel(0.5)
    ScaledLinearKernel(scale=0.5)
    """

    scale: float = 1.0
    number = 0

    def __post_init__(self) -> None:
        """Check the parameters."""
        if check.non_negative_real("ScaledLinearKernel", "scale", self.scale):
            self._check_factor("`scale`")

    def parameters(self) -> tuple[float, float, float]:
        """The factor of inner products."""
        return float(self.scale) * float(self.scale), 0.0, 0.0


@dataclass(frozen=True)
class _WithBandwidth(BuiltInKernel):
    sigma: float

    def __post_init__(self) -> None:
        """Check the parameters."""
        check.positive_real(type(self).__name__, "sigma", self.sigma)
        self._check_factor("`sigma`")


@dataclass(frozen=True)
class RBFKernel(_WithBandwidth):
    r"""The Gaussian kernel :math:`\exp(-|x - y|^2 / \sigma)`.

    Parameters
    ----------
    sigma : float
        Bandwidth, greater than 0, in units of points squared: it is neither squared nor doubled, so
        that ``exp(-r**2 / (2 * length**2))`` is ``RBFKernel(2 * length**2)``.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.RBFKernel(0.5)
    RBFKernel(sigma=0.5)
    """

    number = 1

    def parameters(self) -> tuple[float, float, float]:
        """The factor of squared distances."""
        return 1 / float(self.sigma), 0.0, 0.0


@dataclass(frozen=True)
class Matern12Kernel(_WithBandwidth):
    r"""The Matern kernel of order 1/2, :math:`\exp(-|x - y| / \sigma)`.

    Its gradient at x = y, where it has none, is taken as 0.

    Parameters
    ----------
    sigma : float
        Length scale, greater than 0, in units of points.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.Matern12Kernel(0.5)
    Matern12Kernel(sigma=0.5)
    """

    number = 2

    def parameters(self) -> tuple[float, float, float]:
        """The factor of distances."""
        return 1 / float(self.sigma), 0.0, 0.0


@dataclass(frozen=True)
class Matern32Kernel(_WithBandwidth):
    r"""The Matern kernel of order 3/2, :math:`(1 + a) e^{-a}`.

    Here :math:`a = \sqrt3 |x - y| / \sigma`.

    Parameters
    ----------
    sigma : float
        Length scale, greater than 0, in units of points.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.Matern32Kernel(0.5)
    Matern32Kernel(sigma=0.5)
    """

    number = 3

    def parameters(self) -> tuple[float, float, float]:
        """The factor of distances."""
        return math.sqrt(3) / float(self.sigma), 0.0, 0.0


@dataclass(frozen=True)
class Matern52Kernel(_WithBandwidth):
    r"""The Matern kernel of order 5/2, :math:`(1 + a + a^2/3) e^{-a}`.

    Here :math:`a = \sqrt5 |x - y| / \sigma`.

    Parameters
    ----------
    sigma : float
        Length scale, greater than 0, in units of points.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.Matern52Kernel(0.5)
    Matern52Kernel(sigma=0.5)
    """

    number = 4

    def parameters(self) -> tuple[float, float, float]:
        """The factor of distances."""
        return math.sqrt(5) / float(self.sigma), 0.0, 0.0


@dataclass(frozen=True)
class RationalQuadraticKernel(_WithBandwidth):
    r"""The rational quadratic kernel :math:`(1 + |x - y|^2 / (2 \alpha \sigma^2))^{-\alpha}`.

    Parameters
    ----------
    sigma : float
        Length scale, greater than 0, in units of points.
    alpha : float, default 1.0
        Exponent, greater than 0. For ever larger ones it becomes ``RBFKernel(2 * sigma**2)``.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.RationalQuadraticKernel(0.5)
    RationalQuadraticKernel(sigma=0.5, alpha=1.0)
    """

    alpha: float = 1.0
    number = 5

    def __post_init__(self) -> None:
        """Check the parameters."""
        check.positive_real("RationalQuadraticKernel", "sigma", self.sigma)
        check.positive_real("RationalQuadraticKernel", "alpha", self.alpha)
        self._check_factor("`sigma` and `alpha`")

    def parameters(self) -> tuple[float, float, float]:
        """The factor of squared distances, and the exponent."""
        sigma, alpha = float(self.sigma), float(self.alpha)
        return 0.5 / alpha / sigma / sigma, alpha, 0.0


@dataclass(frozen=True)
class PolynomialKernel(BuiltInKernel):
    r"""The polynomial kernel :math:`s (\langle x, y \rangle + \gamma)^n`.

    Parameters
    ----------
    degree : float, default 3.0
        The exponent n, at least 0. Where it is not a whole number, negative bases count as 0.
    gamma : float, default 1.0
        The constant that is added to inner products; finite.
    scale : float, default 1.0
        The factor s, at least 0.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.PolynomialKernel(2)
    PolynomialKernel(degree=2, gamma=1.0, scale=1.0)
    """

    degree: float = 3.0
    gamma: float = 1.0
    scale: float = 1.0
    number = 6

    def __post_init__(self) -> None:
        """Check the parameters."""
        check.non_negative_real("PolynomialKernel", "degree", self.degree)
        check.finite_real("PolynomialKernel", "gamma", self.gamma)
        check.non_negative_real("PolynomialKernel", "scale", self.scale)

    def parameters(self) -> tuple[float, float, float]:
        """Factor, constant and exponent."""
        return float(self.scale), float(self.gamma), float(self.degree)
