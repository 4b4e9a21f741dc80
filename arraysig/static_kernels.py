"""Static kernels: kernels of points, which `sig_kernel` lifts to paths."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from ._core import check

__all__ = [
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


class StaticKernel:
    """A kernel of points, evaluated where it is needed by the kernels in C and CUDA C.

    The classes that derive from it are all there are; their objects are immutable, compare by
    value and can be pickled.
    """

    #: Which one it is, for the kernels in C and CUDA C.
    number: ClassVar[int]

    def parameters(self) -> tuple[float, float, float]:
        """Up to three numbers, as the kernels in C and CUDA C want them."""
        raise NotImplementedError


@dataclass(frozen=True)
class LinearKernel(StaticKernel):
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
class ScaledLinearKernel(StaticKernel):
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
        check.non_negative_real("ScaledLinearKernel", "scale", self.scale)

    def parameters(self) -> tuple[float, float, float]:
        """The factor of inner products."""
        return float(self.scale) ** 2, 0.0, 0.0


@dataclass(frozen=True)
class _WithBandwidth(StaticKernel):
    sigma: float

    def __post_init__(self) -> None:
        """Check the parameters."""
        check.positive_real(type(self).__name__, "sigma", self.sigma)


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
        Exponent, greater than 0.

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
        super().__post_init__()
        check.positive_real("RationalQuadraticKernel", "alpha", self.alpha)

    def parameters(self) -> tuple[float, float, float]:
        """The factor of squared distances, and the exponent."""
        sigma, alpha = float(self.sigma), float(self.alpha)
        return 1 / (2 * alpha * sigma**2), alpha, 0.0


@dataclass(frozen=True)
class PolynomialKernel(StaticKernel):
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
