"""Slow definitions: dense tensor algebra in any exact or floating type. The oracle of all tests."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np


def augment(
    path: np.ndarray, time_aug: bool = False, lead_lag: bool = False, end_time: Any = 1
) -> np.ndarray:
    """The augmented path of one path (length, dimension), by slicing."""
    if lead_lag:
        twice = np.repeat(path, 2, axis=0)
        path = np.concatenate([twice[:-1], twice[1:]], axis=1)
    if time_aug:
        n = len(path)
        times = [end_time * i / (n - 1) if n > 1 else 0 * end_time for i in range(n)]
        path = np.concatenate([path, np.array(times, dtype=path.dtype)[:, None]], axis=1)
    return path


def exponential(increment: np.ndarray, degree: int) -> list[np.ndarray]:
    """Levels 0 to `degree` of exp(increment)."""
    one = np.ones((), dtype=increment.dtype)
    levels = [one[None] if increment.dtype != object else np.array([1], dtype=object)]
    for k in range(1, degree + 1):
        levels.append(np.multiply.outer(levels[-1], increment).ravel() / k)
    return levels


def product(left: Sequence[np.ndarray], right: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Chen's product of two truncated tensors given by levels."""
    return [
        sum(
            (np.multiply.outer(left[i], right[k - i]).ravel() for i in range(1, k + 1)),
            start=left[0][0] * right[k],
        )
        for k in range(len(left))
    ]


def signature(
    path: np.ndarray,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: Any = 1,
    scalar_term: bool = False,
    correction: np.ndarray | None = None,
) -> np.ndarray:
    """exp(z_1) (x) ... (x) exp(z_m) of one path (length, dimension).

    Levels 2 and higher of z_t are row t of `correction`.
    """
    dimension = path.shape[1]
    path = augment(path, time_aug, lead_lag, end_time)
    levels = exponential(path[0] * 0, degree)
    for t, increment in enumerate(path[1:] - path[:-1]):
        factor = exponential(increment, degree)
        if correction is not None:
            row = correction[t] if correction.ndim > 1 else correction
            factor = exponential_of_tensor(increment, row, dimension, degree)
        levels = product(levels, factor)
    return np.concatenate(levels if scalar_term else [levels[0][:0], *levels[1:]])


def exponential_of_tensor(
    increment: np.ndarray, row: np.ndarray, dimension: int, degree: int
) -> list[np.ndarray]:
    """Exp of a tensor with first level `increment`, and in the first letters `row` above it."""
    channels = len(increment)
    tensor = [level * 0 for level in exponential(increment, degree)]
    if degree:
        tensor[1] = increment
    for level in range(2, degree + 1):
        block = tensor[level].reshape((channels,) * level)
        if len(row):
            block[(slice(dimension),) * level] = row[: dimension**level].reshape(
                (dimension,) * level
            )
        row = row[dimension**level :]
    power = total = exponential(increment * 0, degree)
    for k in range(1, degree + 1):
        power = [level / k for level in product(power, tensor)]
        total = [a + b for a, b in zip(total, power, strict=True)]
    return total


def batched(function: Any, *arrays: np.ndarray, ranks: Sequence[int], **options: Any) -> np.ndarray:
    """Apply a function of single items over the leading axes; `ranks` are those of the items."""
    batch = arrays[0].shape[: arrays[0].ndim - ranks[0]]
    results = [function(*[a[index] for a in arrays], **options) for index in np.ndindex(*batch)]
    if not results:
        item = [np.zeros(a.shape[len(batch) :]) for a in arrays]
        return np.zeros((*batch, *function(*item, **options).shape))
    return np.stack(results).reshape(*batch, *results[0].shape)


def linear_adjoint(function: Any, shape: tuple[int, ...], derivs: np.ndarray) -> np.ndarray:
    """Transpose of the linear part of an affine function of an array of `shape`, applied."""
    origin = function(np.zeros(shape))
    gradient = np.zeros(shape)
    for index in np.ndindex(*shape):
        unit = np.zeros(shape)
        unit[index] = 1
        gradient[index] = np.sum((function(unit) - origin) * derivs)
    return gradient


def gradient(function: Any, array: np.ndarray, derivs: np.ndarray) -> np.ndarray:
    """Gradient of <derivs, function> by imaginary steps, which cancel nothing."""
    result, step = np.zeros(array.shape), 1e-100
    for index in np.ndindex(*array.shape):
        moved = array.astype(complex)
        moved[index] += 1j * step
        result[index] = np.sum(function(moved).imag / step * derivs)
    return result


def signature_gradient(
    path: np.ndarray, derivs: np.ndarray, degree: int, *, scalar_term: bool = False, **flags: Any
) -> np.ndarray:
    """Gradient of <derivs, signature>, level by level through every step."""
    augmented = augment(path, **flags)
    channels = augmented.shape[1]
    sizes = [channels**k for k in range(degree + 1)]
    prefixes = [exponential(augmented[0] * 0, degree)]
    increments = augmented[1:] - augmented[:-1]
    for increment in increments:
        prefixes.append(product(prefixes[-1], exponential(increment, degree)))
    derivs = derivs if scalar_term else np.concatenate([[0], derivs])
    bounds = np.cumsum([0, *sizes])
    adjoint = [derivs[a:b].copy() for a, b in itertools.pairwise(bounds)]
    wanted = np.zeros_like(augmented)
    for t in range(len(increments) - 1, -1, -1):
        step = exponential(increments[t], degree)
        step_adjoint = [np.zeros(s) for s in sizes]
        before = [np.zeros(s) for s in sizes]
        for k in range(degree + 1):
            for i in range(k + 1):  # level k has the term before_i (x) step_(k-i)
                block = adjoint[k].reshape(sizes[i], sizes[k - i])
                before[i] += block @ step[k - i]
                step_adjoint[k - i] += prefixes[t][i] @ block
        gradient = np.zeros(channels)
        for k in range(degree, 0, -1):  # step_k = step_(k-1) (x) z / k
            block = step_adjoint[k].reshape(sizes[k - 1], channels)
            gradient += step[k - 1] @ block / k
            step_adjoint[k - 1] += block @ increments[t] / k
        wanted[t + 1] += gradient
        wanted[t] -= gradient
        adjoint = before
    return linear_adjoint(lambda x: augment(x, **flags), path.shape, wanted)


def levels_of(tensor: np.ndarray, channels: int, degree: int, scalar: Any = 0) -> list[np.ndarray]:
    """The levels of a tensor without scalar term, `scalar` in its place."""
    bounds = np.cumsum([0, *(channels**k for k in range(1, degree + 1))])
    return [tensor[:1] * 0 + scalar, *(tensor[a:b] for a, b in itertools.pairwise(bounds))]


def power_series(tensor: np.ndarray, channels: int, degree: int, terms: Any) -> np.ndarray:
    """Sum of terms(k) tensor^k over k = 1 .. degree, without scalar terms."""
    if degree == 0:
        return tensor
    base = levels_of(tensor, channels, degree)
    power, total = levels_of(tensor * 0, channels, degree, 1), tensor * 0
    for k in range(1, degree + 1):
        power = product(power, base)
        total = total + np.concatenate(power[1:]) * terms(k)
    return total


def logarithm(tensor: np.ndarray, channels: int, degree: int) -> np.ndarray:
    """log(1 + tensor)."""
    return power_series(tensor, channels, degree, lambda k: (-1.0) ** (k + 1) / k)


def exponential_less_one(tensor: np.ndarray, channels: int, degree: int) -> np.ndarray:
    """exp(tensor) - 1."""
    return power_series(tensor, channels, degree, lambda k: 1 / math.factorial(k))


def is_lyndon(word: tuple[int, ...]) -> bool:
    """Whether a word is smaller than all its proper suffixes."""
    return all(word < word[i:] for i in range(1, len(word)))


def lyndon_basis(channels: int, degree: int) -> list[tuple[int, np.ndarray]]:
    """For every Lyndon word its place in a tensor without scalar term, and its bracket as one."""

    def bracket(word: tuple[int, ...]) -> dict[tuple[int, ...], int]:
        if len(word) == 1:
            return {word: 1}
        cut = next(i for i in range(1, len(word)) if is_lyndon(word[i:]))
        result: dict[tuple[int, ...], int] = {}
        for u, a in bracket(word[:cut]).items():
            for v, b in bracket(word[cut:]).items():
                result[u + v] = result.get(u + v, 0) + a * b
                result[v + u] = result.get(v + u, 0) - a * b
        return result

    words = [w for k in range(1, degree + 1) for w in itertools.product(range(channels), repeat=k)]
    place = {word: i for i, word in enumerate(words)}
    basis = []
    for word in words:
        if is_lyndon(word):
            tensor = np.zeros(len(words))
            for other, number in bracket(word).items():
                tensor[place[other]] = number
            basis.append((place[word], tensor))
    return basis


def from_tensor(tensor: np.ndarray, channels: int, degree: int, method: int) -> np.ndarray:
    """A tensor, its coefficients of Lyndon words, or coordinates that have these coefficients."""
    if method == 0:
        return tensor
    basis = lyndon_basis(channels, degree)
    places = [place for place, _ in basis]
    numbers = tensor[places].copy()
    for i, (_, bracket) in enumerate(basis if method > 1 else []):
        numbers[i + 1 :] -= bracket[places][i + 1 :] * numbers[i]
    return numbers


def to_tensor(numbers: np.ndarray, channels: int, degree: int, method: int) -> np.ndarray:
    """The tensor that `from_tensor` makes them of, if it is a Lie polynomial."""
    if method == 0:
        return numbers
    basis = lyndon_basis(channels, degree)
    brackets = np.array([bracket for _, bracket in basis]).reshape(len(basis), -1)
    if method == 1:
        triangle = brackets[:, [place for place, _ in basis]]
        numbers = np.linalg.solve(triangle.T, numbers)
    return numbers @ brackets


#: Static kernels of two points, by the names of their classes, with their parameters.
STATIC_KERNELS: dict[str, Any] = {
    "LinearKernel": lambda x, y: x @ y,
    "ScaledLinearKernel": lambda x, y, scale=1.0: scale**2 * (x @ y),
    "RBFKernel": lambda x, y, sigma: np.exp(-((x - y) @ (x - y)) / sigma),
    "PolynomialKernel": lambda x, y, degree=3.0, gamma=1.0, scale=1.0: (
        scale * (x @ y + gamma) ** degree
    ),
    "Matern12Kernel": lambda x, y, sigma: np.exp(-_distance(x, y) / sigma),
    "Matern32Kernel": lambda x, y, sigma: (
        (1 + 3**0.5 * _distance(x, y) / sigma) * np.exp(-(3**0.5) * _distance(x, y) / sigma)
    ),
    "Matern52Kernel": lambda x, y, sigma: (
        (1 + 5**0.5 * _distance(x, y) / sigma + 5 / 3 * (x - y) @ (x - y) / sigma**2)
        * np.exp(-(5**0.5) * _distance(x, y) / sigma)
    ),
    "RationalQuadraticKernel": lambda x, y, sigma, alpha=1.0: (
        (1 + (x - y) @ (x - y) / (2 * alpha * sigma**2)) ** -alpha
    ),
}


def _distance(x: np.ndarray, y: np.ndarray) -> Any:
    return ((x - y) @ (x - y)) ** 0.5


def kernel_increments(
    path1: np.ndarray, path2: np.ndarray, orders: tuple[int, int], static_kernel: Any, **flags: Any
) -> np.ndarray:
    """Those of a static kernel along two paths (length, dimension), refined."""
    x, y = augment(path1, **flags), augment(path2, **flags)
    values = np.array([[static_kernel(a, b) for b in y] for a in x])
    increments = np.diff(np.diff(values, axis=0), axis=1) / 2 ** sum(orders)
    return increments.repeat(2 ** orders[0], axis=0).repeat(2 ** orders[1], axis=1)


def branched_kernel(
    path1: np.ndarray,
    path2: np.ndarray,
    depth: int,
    orders: tuple[int, int] = (0, 0),
    static_kernel: Any = STATIC_KERNELS["LinearKernel"],
    grid: bool = False,
    **flags: Any,
) -> np.ndarray:
    """The branched kernel of two paths (length, dimension), depth by depth on the whole grid."""
    increments = kernel_increments(path1, path2, orders, static_kernel, **flags)
    k = np.ones(np.add(increments.shape, 1), dtype=increments.dtype)
    for _ in range(depth):
        means = (k[1:, 1:] + k[1:, :-1] + k[:-1, 1:] + k[:-1, :-1]) / 4
        integrals = (increments * means).cumsum(0).cumsum(1)
        k = np.exp(np.pad(integrals, ((1, 0), (1, 0))))
    return k if grid else k[-1, -1]


def signature_kernel(
    path1: np.ndarray,
    path2: np.ndarray,
    orders: tuple[int, int] = (0, 0),
    static_kernel: Any = STATIC_KERNELS["LinearKernel"],
    grid: bool = False,
    **flags: Any,
) -> np.ndarray:
    """The Goursat problem of two paths (length, dimension) by finite differences, node by node."""
    increments = kernel_increments(path1, path2, orders, static_kernel, **flags)
    k = np.ones(np.add(increments.shape, 1), dtype=increments.dtype)
    for (i, j), p in np.ndenumerate(increments):
        k[i + 1, j + 1] = (k[i + 1, j] + k[i, j + 1]) * (1 + p / 2 + p * p / 12)
        k[i + 1, j + 1] -= k[i, j] * (1 - p * p / 12)
    return k if grid else k[-1, -1]


@functools.cache
def integrals(order: int, powers: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Integration of coefficients as a matrix I; (n + 1)! times row 0 of I^n for n < powers."""
    integral = np.zeros((order, order))
    for j, basis in enumerate(np.eye(order)):
        integral[:, j] = np.polynomial.legendre.legint(basis, lbnd=-1)[:order] / 2
    rows = [np.linalg.matrix_power(integral, n)[0] for n in range(powers)]
    return integral, [math.factorial(n + 1) * row for n, row in enumerate(rows)]


def opposite_slopes(value: Any, slopes: Any, others: Any, p: Any, order: int, fold: int) -> Any:
    """Slopes of the edge of a cell that is opposite to the one of `slopes`.

    Slopes are polynomials of degree below `order` in s, from 0 to 1, by coefficients of Legendre
    polynomials in 2 s - 1; `value` is that in the corner where the edges of `slopes` and `others`
    begin. What integration brings of degree `order` is dropped, and terms p^n times coefficient j
    with n + j above order + fold + 1.
    """
    integral, moments = integrals(order, order + fold)
    powers, current = order + fold, slopes
    for n in reversed(range(powers)):
        used = np.arange(order) <= powers - n
        step = integral @ current
        step[0] += value + (moments[n] * used) @ (integral @ others)
        current = slopes + p / (n + 1) * step * used
    return current


def polynomial_kernel(
    path1: np.ndarray,
    path2: np.ndarray,
    order: int,
    fold: int = 0,
    static_kernel: Any = STATIC_KERNELS["LinearKernel"],
    grid: bool = False,
    **flags: Any,
) -> Any:
    """The Goursat problem solved on every cell with edges that are polynomials.

    Without `fold` an edge is k(s) = sum_m edge[m] s^m / m!, and terms above `order` are dropped.
    With it edge[0] is where the edge begins, and the rest its slopes: see `opposite_slopes`. Both
    edges of a cell begin from the mean of what they say there.
    """
    x, y = augment(path1, **flags), augment(path2, **flags)
    values = np.array([[static_kernel(a, b) for b in y] for a in x])
    increments = np.diff(np.diff(values, axis=0), axis=1)
    one = np.zeros(order + 1, dtype=increments.dtype)
    one[0] = 1
    below, left = [one] * increments.shape[1], one

    def opposite(edge: np.ndarray, side: np.ndarray, p: Any) -> np.ndarray:
        if fold:
            slopes = opposite_slopes(edge[0], edge[1:], side[1:], p, order, fold)
            return np.array([edge[0] + side[1], *slopes])
        out = np.zeros(order + 1, dtype=edge.dtype)
        for m in range(len(out)):
            for k in range(1, m + 1):
                out[m] += edge[k] * p ** (m - k) / math.factorial(m - k)
            for k in range(order + 1):
                out[m] += side[k] * p**m / math.factorial(m + k)
        return out

    ends = np.array([k < 2 if fold else 1 / math.factorial(k) for k in range(order + 1)], float)
    nodes = np.ones(np.add(increments.shape, 1), dtype=increments.dtype)
    for i, row in enumerate(increments):
        left = one
        for j, p in enumerate(row):
            corner = [(below[j][0] + left[0]) / 2]
            below[j], left = (np.array([*corner, *edge[1:]]) for edge in (below[j], left))
            below[j], left = opposite(below[j], left, p), opposite(left, below[j], p)
            nodes[i + 1, j + 1] = (below[j] + left) @ ends / 2
    return nodes if grid else nodes[-1, -1]
