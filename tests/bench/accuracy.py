"""Accuracy of the signature and its gradient, on one long path and against exact rationals.

The reference multiplies the exponentials of the increments pairwise in a binary tree, vectorised
over the nodes of a layer, and differentiates by going back down; it works in any arithmetic that
NumPy arrays hold: extended precision for long paths, fractions (object arrays) for short ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from .rows import brownian

#: Levels 1 to N of a row of tensors; level k has shape (nodes, d**k). Level 0 is 1.
Levels = list[np.ndarray]


def exponentials(increments: np.ndarray, degree: int) -> Levels:
    """exp(z) for every row z."""
    levels = [increments]
    for k in range(2, degree + 1):
        levels.append(_outer(levels[-1], increments) / _scalar(k, increments))
    return levels


def product(left: Levels, right: Levels) -> Levels:
    """Chen's product, node by node."""
    return [
        left[k] + right[k] + sum(_outer(left[i], right[k - 1 - i]) for i in range(k))
        for k in range(len(left))
    ]


def signature(path: np.ndarray, degree: int) -> Levels:
    """Levels of the signature of one path (length, d), each of shape (d**k,)."""
    return [level[0] for level in _layers(path, degree)[-1]]


def gradient(path: np.ndarray, derivs: Levels, degree: int) -> np.ndarray:
    """Gradient of the inner product of `derivs` with the signature of one path."""
    layers = _layers(path, degree)
    adjoint = [level[None] for level in derivs]
    for layer in reversed(layers[:-1]):
        even = len(layer[0]) // 2 * 2
        left, right = [a[0:even:2] for a in layer], [a[1:even:2] for a in layer]
        paired = [a[: even // 2] for a in adjoint]
        below = [np.empty_like(a) for a in layer]
        for k, (to_left, to_right) in enumerate(zip(*_factors(paired, left, right), strict=True)):
            below[k][0:even:2], below[k][1:even:2] = to_left, to_right
            below[k][even:] = adjoint[k][even // 2 :]
        adjoint = below
    increments = path[1:] - path[:-1]
    by_increment = _exponential_adjoint(adjoint, layers[0], increments)
    zero = increments[:1] - increments[:1]
    result: np.ndarray = np.concatenate([zero, by_increment]) - np.concatenate([by_increment, zero])
    return result


def _layers(path: np.ndarray, degree: int) -> list[Levels]:
    """The tree, leaves first; an odd node at the end of a layer moves up alone."""
    layers = [exponentials(path[1:] - path[:-1], degree)]
    while len(layers[-1][0]) > 1:
        layer = layers[-1]
        even = len(layer[0]) // 2 * 2
        pairs = product([a[0:even:2] for a in layer], [a[1:even:2] for a in layer])
        layers.append([np.concatenate([p, a[even:]]) for p, a in zip(pairs, layer, strict=True)])
    return layers


def _factors(adjoint: Levels, left: Levels, right: Levels) -> tuple[Levels, Levels]:
    """Adjoints of the factors of a product."""
    to_left, to_right = [a.copy() for a in adjoint], [a.copy() for a in adjoint]
    for k, level in enumerate(adjoint):
        for i in range(k):
            a, b = left[i], right[k - 1 - i]
            block = level.reshape(len(level), a.shape[1], b.shape[1])
            to_left[i] += (block * b[:, None, :]).sum(axis=2)
            to_right[k - 1 - i] += (block * a[:, :, None]).sum(axis=1)
    return to_left, to_right


def _exponential_adjoint(adjoint: Levels, powers: Levels, increments: np.ndarray) -> np.ndarray:
    """Adjoint of the increments under exp: level k is level k - 1 (x) z / k."""
    d = increments.shape[1]
    total = increments - increments
    carried = adjoint[-1]
    for k in range(len(adjoint) - 1, 0, -1):
        block = carried.reshape(len(carried), -1, d) / _scalar(k + 1, increments)
        total += (block * powers[k - 1][:, :, None]).sum(axis=1)
        carried = adjoint[k - 1] + (block * increments[:, None, :]).sum(axis=2)
    return np.asarray(total + carried)


def _outer(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    pairs: np.ndarray = left[:, :, None] * right[:, None, :]
    return pairs.reshape(len(left), -1)


def _scalar(value: int, like: np.ndarray) -> Any:
    return value if like.dtype == object else like.dtype.type(value)


@dataclass(frozen=True)
class AccuracyRow:
    """One path.

    Attributes
    ----------
    op : "sig": error per level relative to the norm of the level; "sig_backprop": relative to the
        norm of the gradient
    length, d, degree : of the path and the signature
    dtype : in which arraysig computes
    exact : whether the reference is in fractions, else in extended precision
    most : bar for the greatest error
    """

    op: str
    length: int
    d: int
    degree: int
    dtype: str
    exact: bool
    most: float | None


ROWS: tuple[AccuracyRow, ...] = (
    AccuracyRow("sig", 100000, 2, 5, "float32", False, 1e-5),
    AccuracyRow("sig", 100000, 2, 5, "float64", False, None),
    AccuracyRow("sig", 20, 2, 4, "float64", True, 1e-13),
    AccuracyRow("sig_backprop", 100000, 2, 5, "float32", False, 1e-4),
    AccuracyRow("sig_backprop", 100000, 2, 5, "float64", False, None),
    AccuracyRow("sig_backprop", 20, 2, 4, "float64", True, 1e-12),
)


@dataclass
class Accuracy:
    """Relative errors of both libraries, per level for the signature."""

    op: str
    length: int
    d: int
    degree: int
    dtype: str
    reference: str
    most: float | None
    ours: list[float]
    peer: list[float] | None


def run(row: AccuracyRow, ours: Any, peer: Any, n_jobs: int) -> Accuracy:
    """Compute a row."""
    rng = np.random.default_rng(7)
    path = brownian((1, row.length, row.d, row.degree), rng)[0].astype(row.dtype)
    size = sum(row.d**k for k in range(1, row.degree + 1))
    derivs = rng.standard_normal(size).astype(row.dtype)
    raised = _raise(path, row.exact)
    if row.op == "sig":
        wanted = signature(raised, row.degree)

        def errors(lib: Any) -> list[float]:
            return _errors(_split(lib.sig(path, row.degree, n_jobs=n_jobs), row.d), wanted)

    else:
        expected = gradient(raised, _split(_raise(derivs, row.exact), row.d), row.degree)

        def errors(lib: Any) -> list[float]:
            given = lib.sig(path, row.degree, n_jobs=n_jobs)
            got = lib.sig_backprop(path, given, derivs, row.degree, n_jobs=n_jobs)
            return _errors([got.ravel()], [expected.ravel()])

    return Accuracy(
        row.op, row.length, row.d, row.degree, row.dtype,
        "exact rationals" if row.exact else "extended precision", row.most,
        errors(ours), None if peer is None else errors(peer),
    )  # fmt: skip


def _raise(array: np.ndarray, exact: bool) -> np.ndarray:
    """The same numbers in the arithmetic of the reference."""
    if exact:
        fraction: Callable[[float], Fraction] = Fraction
        return np.array([fraction(float(v)) for v in array.flat], dtype=object).reshape(array.shape)
    if np.finfo(np.longdouble).nmant <= np.finfo(np.float64).nmant:
        raise RuntimeError("--accuracy needs a platform whose long double is wider than double")
    return array.astype(np.longdouble)


def _split(array: np.ndarray, d: int) -> Levels:
    """Levels of a flat signature."""
    levels, start, width = [], 0, d
    while start < len(array):
        levels.append(array[start : start + width])
        start, width = start + width, width * d
    return levels


def _errors(got: Levels, wanted: Levels) -> list[float]:
    """Norm of the difference by the norm of `wanted`, level by level."""
    errors = []
    for a, b in zip(got, wanted, strict=True):
        difference = (_raise(a, exact=b.dtype == object) - b).astype(np.float64)
        norm = np.linalg.norm(b.astype(np.float64))
        errors.append(float(np.linalg.norm(difference) / norm))
    return errors
