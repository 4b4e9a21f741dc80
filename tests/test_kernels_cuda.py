"""The CUDA kernels of the signature kernel and of its gradient, in the emulator.

Values are compared with the slow definition of `reference`, in long double; gradients with its
derivatives along random directions, or in every coordinate, by imaginary steps.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from arraysig._ops import kernels_cuda
from arraysig._ops.kernels import Rows, branched, differences, polynomial

from . import reference
from .emulator import emulated, sanitizer_environment

sig_kernel, sig_kernel_vjp, of_increments, of_increments_vjp = differences

FORWARD, GRADIENT = 100, 200  # in units of eps
STEP = np.longdouble(1e-100)

#: By number: parameters, and the names of the slow definitions with theirs.
STATIC: list[tuple[tuple[float, float, float], Callable[[Any, Any], Any]]] = [
    ((1.3, 0.0, 0.0), lambda x, y: 1.3 * (x @ y)),
    ((0.7, 0.0, 0.0), lambda x, y: np.exp(-0.7 * _square(x - y))),
    ((0.7, 0.0, 0.0), lambda x, y: np.exp(-0.7 * _square(x - y) ** 0.5)),
    ((1.1, 0.0, 0.0), lambda x, y: _matern(1.1 * _square(x - y) ** 0.5, 0)),
    ((0.9, 0.0, 0.0), lambda x, y: _matern(0.9 * _square(x - y) ** 0.5, 1 / 3)),
    ((0.6, 1.4, 0.0), lambda x, y: (1 + 0.6 * _square(x - y)) ** -1.4),
    ((0.8, -0.3, 3.0), lambda x, y: 0.8 * (x @ y - 0.3) ** 3),
]
CLAMPED = (0.8, 0.1, 2.5)


def _square(x: Any) -> Any:
    return x @ x


def _matern(a: Any, square: float) -> Any:
    return (1 + a + a * a * np.longdouble(square)) * np.exp(-a)


def _clamped(x: Any, y: Any) -> Any:
    scale, gamma, degree = CLAMPED
    base = x @ y + gamma
    return scale * base**degree if base.real > 0 else 0 * base


class Case(NamedTuple):
    """A call; with a depth, of branched kernels."""

    length1: int
    length2: int
    channels: int
    orders: tuple[int, int] = (0, 0)
    kind: int = 0
    groups: tuple[int, ...] = ()
    counts: tuple[int, int] = (1, 1)
    symmetric: bool = False
    grid: bool = False
    depth: int | None = None

    @property
    def rows(self) -> Rows:
        return differences if self.depth is None else branched

    @property
    def attrs(self) -> tuple[Any, ...]:
        depth = () if self.depth is None else (self.depth,)
        return (
            *depth,
            *self.orders,
            self.kind,
            *STATIC[self.kind][0],
            self.symmetric,
            self.grid,
            1,
        )

    def arrays(
        self, rng: np.random.Generator, nodes: tuple[int, ...] = ()
    ) -> tuple[np.ndarray, ...]:
        """Derivatives and two sets of paths of variation around 2, exact in float32."""
        sizes = zip(self.counts, (self.length1, self.length2), strict=True)
        size = 1.5 if self.depth is None else 0.5  # exponentials of exponentials
        paths = [
            size
            * rng.normal(size=(*self.groups, count, length, self.channels))
            / (length * self.channels) ** 0.5
            for count, length in sizes
        ]
        derivs = rng.normal(size=(*self.groups, *self.counts, *nodes))
        grad, path1, path2 = (a.astype("float32").astype("float64") for a in (derivs, *paths))
        return grad, path1, path1 if self.symmetric else path2


def _wanted(case: Case, path1: np.ndarray, path2: np.ndarray, function: Any = None) -> np.ndarray:
    definition, numbers = reference.signature_kernel, (case.orders,)
    if case.depth is not None:
        definition, numbers = reference.branched_kernel, (case.depth, case.orders)
    function = function or STATIC[case.kind][1]
    values = [
        definition(path1[(*group, i)], path2[(*group, j)], *numbers, function, case.grid)
        for *group, i, j in np.ndindex(*case.groups, *case.counts)
    ]
    return np.reshape(values, (*case.groups, *case.counts, *values[0].shape))


def _nodes(orders: tuple[int, int], *steps: int) -> tuple[int, ...]:
    """Of the grid of a pair."""
    return tuple((n << order) + 1 for n, order in zip(steps, orders, strict=True))


def check(
    case: Case,
    rng: np.random.Generator,
    dtypes: tuple[str, ...] = ("float32", "float64"),
    **on: Any,
) -> None:
    """Compare the op and its gradient with the definition."""
    nodes = _nodes(case.orders, case.length1 - 1, case.length2 - 1) if case.grid else ()
    grad, path1, path2 = case.arrays(rng, nodes)
    x, y = path1.astype(np.longdouble), path2.astype(np.longdouble)
    wanted = _wanted(case, x, y)
    directions = [rng.normal(size=a.shape) for a in (x, y)]
    if case.symmetric:
        directions[1] = directions[0]
        pairs = [(directions[0], directions[1])]
    else:
        pairs = [(directions[0], 0 * y), (0 * x, directions[1])]
    slopes = [
        (_wanted(case, x + STEP * 1j * a, y + STEP * 1j * b).imag / STEP * grad).sum()
        for a, b in pairs
    ]
    for dtype in dtypes:
        eps = np.finfo(dtype).eps
        ins = [a.astype(dtype) for a in (grad, path1, path2)]
        with emulated(**on):
            got = case.rows.kernel(*ins[1:], *case.attrs)
            grads = case.rows.vjp(*ins, *case.attrs)
        assert got.dtype == grads[0].dtype == grads[1].dtype == dtype
        assert grads[0].shape == path1.shape
        assert grads[1].shape == path2.shape
        np.testing.assert_allclose(got, wanted, rtol=0, atol=FORWARD * eps * np.abs(wanted).max())
        for (a, b), slope in zip(pairs, slopes, strict=True):
            size = np.linalg.norm(grads[0] * (a != 0)) + np.linalg.norm(grads[1] * (b != 0))
            assert abs((grads[0] * a).sum() + (grads[1] * b).sum() - slope) <= GRADIENT * eps * size


class Given(NamedTuple):
    """A call with increments."""

    steps1: int
    steps2: int
    orders: tuple[int, int] = (0, 0)
    pairs: tuple[int, ...] = (2,)
    grid: bool = False


def of_sums(definition: Callable[..., Any], increments: np.ndarray, *args: Any) -> Any:
    """A slow definition, of the static kernel that has these increments."""
    sums = np.pad(increments.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    x, y = (np.arange(n)[:, None] for n in sums.shape)
    return definition(x, y, *args[:-1], lambda a, b: sums[a[0], b[0]], args[-1])


def _wanted_of_increments(case: Given, increments: np.ndarray) -> Any:
    return of_sums(reference.signature_kernel, increments, case.orders, case.grid)


def check_increments(
    case: Given,
    rng: np.random.Generator,
    dtypes: tuple[str, ...],
    rows: Rows = differences,
    wanted_of: Callable[[Any, np.ndarray], Any] = _wanted_of_increments,
    nodes: tuple[int, ...] | None = None,
    depth: tuple[int, ...] = (),
    **on: Any,
) -> None:
    """Compare ops of increments, and gradients along random directions, with the definition."""
    shape = *case.pairs, case.steps1, case.steps2
    numbers = *depth, *case.orders
    nodes = nodes or _nodes(case.orders, case.steps1, case.steps2)
    grad = rng.normal(size=(*case.pairs, *(nodes if case.grid else ()))).astype("float32")
    increments = (rng.normal(size=shape) / (shape[-1] * shape[-2]) ** 0.5).astype("float32")
    direction = rng.normal(size=shape)
    moved = increments + STEP * 1j * direction
    values = np.array([wanted_of(case, moved[pair]) for pair in np.ndindex(*case.pairs)])
    values = values.reshape(grad.shape)
    slopes = (values.imag / STEP * grad).reshape(*case.pairs, -1).sum(-1)  # of each pair
    for dtype in dtypes:
        eps = np.finfo(dtype).eps
        with emulated(**on):
            got = rows.of_increments(increments.astype(dtype), *numbers, case.grid, 1)
            ins = grad.astype(dtype), increments.astype(dtype)
            gradient = rows.of_increments_vjp(*ins, *numbers, case.grid, 1)
        assert got.dtype == gradient.dtype == dtype
        limit = FORWARD * eps * np.abs(values).max()
        np.testing.assert_allclose(got, values.real, rtol=0, atol=limit)
        errors = np.abs((gradient * direction).sum((-2, -1)) - slopes)
        sizes = np.linalg.norm(gradient.reshape(*case.pairs, -1), axis=-1)
        assert (errors <= GRADIENT * eps * sizes).all()


ORDERS = ((0, 0), (1, 1), (2, 2), (0, 2), (3, 1), (5, 0), (0, 5))
DTYPES = ("float32", "float64")
KINDS = range(1, 7)
#: With dtypes, for compilers take most of the time.
CASES = [
    # every order and static kernel; channels in registers or in blocks
    *[(Case(5, 4, 2, orders), DTYPES) for orders in ORDERS],
    *[(Case(4, 5, 3, (0, 1), kind), DTYPES[kind % 2 :][:1]) for kind in KINDS],
    *[(Case(3, 4, 20, (3, 0), kind), DTYPES[1 - kind % 2 :][:1]) for kind in KINDS],
    (Case(40, 9, 20, (1, 1)), DTYPES),
    (Case(70, 9, 2, kind=3), DTYPES),
    # strips, of the gradient and of both; rows of an increment in several lanes and strips
    (Case(130, 40, 1), DTYPES),
    (Case(40, 130, 5), DTYPES[:1]),
    (Case(300, 3, 2), DTYPES[1:]),
    (Case(140, 5, 9, kind=5), DTYPES[:1]),
    (Case(12, 7, 17, (5, 0), kind=1), DTYPES[:1]),
    (Case(2, 2, 3, (10, 0)), DTYPES[1:]),
    (Case(2, 3, 2, (0, 10), kind=4), DTYPES[1:]),
    (Case(3, 2, 2, (9, 1), kind=6), DTYPES[1:]),
    # groups and pairs
    (Case(3, 2, 2, (1, 1), groups=(2, 1), counts=(3, 2)), DTYPES),
    (Case(5, 5, 2, (1, 1), groups=(2,), counts=(4, 4), symmetric=True), DTYPES),
    (Case(4, 4, 3, (1, 1), 6, counts=(5, 5), symmetric=True), DTYPES[:1]),
    # grids
    (Case(5, 4, 2, groups=(2,), counts=(3, 2), grid=True), DTYPES),
    (Case(4, 5, 3, (1, 2), 1, counts=(1, 2), grid=True), DTYPES[1:]),
    (Case(2, 3, 20, (5, 0), 4, grid=True), DTYPES[:1]),
    (Case(140, 9, 1, grid=True), DTYPES),
    (Case(3, 20, 2, (8, 0), counts=(2, 1), grid=True), DTYPES[1:]),
    (Case(40, 3, 2, (1, 3), grid=True), DTYPES[:1]),
]
#: Increments of a lane, of several lanes, of several strips; several strips and warps.
GIVEN = [
    (Given(5, 4), DTYPES),
    (Given(5, 4, grid=True), DTYPES),
    (Given(1, 1, pairs=(2, 1)), DTYPES[:1]),
    (Given(3, 4, (1, 2), (2, 3), True), DTYPES[1:]),
    (Given(140, 9), DTYPES[1:]),
    (Given(140, 9, grid=True), DTYPES[:1]),
    (Given(5, 70, (4, 1)), DTYPES),
    (Given(3, 4, (6, 0), grid=True), DTYPES),
    (Given(2, 3, (9, 1)), DTYPES),
    (Given(1, 2, (10, 0), grid=True), DTYPES[1:]),
    (Given(2, 2, (0, 5), grid=True), DTYPES[1:]),
]


@pytest.mark.parametrize(("case", "dtypes"), CASES, ids=str)
def test_kernels(case: Case, dtypes: tuple[str, ...], rng: np.random.Generator) -> None:
    check(case, rng, dtypes)


@pytest.mark.parametrize(("case", "dtypes"), GIVEN, ids=str)
def test_increments(case: Given, dtypes: tuple[str, ...], rng: np.random.Generator) -> None:
    check_increments(case, rng, dtypes)


def test_every_increment(rng: np.random.Generator) -> None:
    for case in (Given(3, 4, (1, 1)), Given(2, 3, (6, 0), grid=True)):
        increments = rng.normal(size=(*case.pairs, case.steps1, case.steps2)) / 2
        nodes = _nodes(case.orders, case.steps1, case.steps2) if case.grid else ()
        grad = rng.normal(size=(*case.pairs, *nodes))
        with emulated():
            got = of_increments_vjp(grad, increments, *case.orders, case.grid, 1)
        for one, derivs, result in zip(increments, grad, got, strict=True):
            wanted = reference.gradient(
                lambda z, case=case: _wanted_of_increments(case, z), one, derivs
            )
            np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


@pytest.mark.parametrize("case", [Case(300, 40, 2), Case(150, 7, 3, (1, 1), kind=1)], ids=str)
def test_one_warp(case: Case, rng: np.random.Generator) -> None:
    """Warps that have many strips; few processors, or little shared memory."""
    check(case._replace(counts=(1, 9)), rng, ("float64",), processors=1, order=2)
    check(case, rng, ("float64",), shared_memory=99 * 1024, order=1)


@pytest.mark.parametrize("case", [Given(140, 9, grid=True), Given(2, 3, (9, 1))], ids=str)
def test_one_warp_of_increments(case: Given, rng: np.random.Generator) -> None:
    check_increments(case._replace(pairs=(9,)), rng, ("float64",), processors=1, order=2)
    check_increments(case, rng, ("float64",), shared_memory=99 * 1024, order=1)


@pytest.mark.parametrize(
    "case",
    [
        Case(3, 4, 3, (0, 1), 4, (2,), (3, 4)),
        Case(5, 5, 2, (1, 1), 0, (3,), (3, 3), True),
        Case(300, 3, 2, (0, 0), 0, (), (3, 2)),
        Case(5, 4, 2, (0, 0), 0, (2,), (3, 2), False, True),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [1, 20_000, 60_000])
def test_launches(
    case: Case, size: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any number of pairs in a launch."""
    monkeypatch.setattr(kernels_cuda, "_BYTES", size)
    check(case, rng, ("float64",))


@pytest.mark.parametrize("size", [1, 60_000])
def test_launches_of_increments(
    size: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels_cuda, "_BYTES", size)
    for case in (Given(2, 3, (9, 1), (5,)), Given(5, 4, (0, 0), (3, 3), True)):
        check_increments(case, rng, ("float64",))


def test_every_coordinate(rng: np.random.Generator) -> None:
    for case in (Case(4, 5, 2, (1, 1)), Case(5, 4, 3, (0, 1), 4), Case(36, 2, 2, kind=3)):
        grad, path1, path2 = case.arrays(rng)
        with emulated():
            got = sig_kernel_vjp(grad, path1, path2, *case.attrs)

        def first(x: Any, y: Any = path2, case: Case = case) -> Any:
            return _wanted(case, x, y + 0j)

        def second(y: Any, x: Any = path1, case: Case = case) -> Any:
            return _wanted(case, x + 0j, y)

        for function, path, result in ((first, path1, got[0]), (second, path2, got[1])):
            wanted = reference.gradient(function, path, grad)
            np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


def test_bases_below_zero(rng: np.random.Generator) -> None:
    """Powers that are no integers: the polynomial kernel is 0, and so is its gradient."""
    case = Case(9, 8, 3, (0, 1), 6, counts=(2, 2))
    grad, path1, path2 = case.arrays(rng)
    bases = np.einsum("aid,bjd->abij", path1, path2) + CLAMPED[1]
    assert (bases < 0).any()
    assert (bases > 0).any()
    attrs = (*case.orders, 6, *CLAMPED, False, False, 1)
    with emulated():
        got = sig_kernel(path1, path2, *attrs)
        grads = sig_kernel_vjp(grad, path1, path2, *attrs)
    np.testing.assert_allclose(got, _wanted(case, path1, path2, _clamped), rtol=1e-12)
    wanted = reference.gradient(lambda x: _wanted(case, x, path2 + 0j, _clamped), path1, grad)
    np.testing.assert_allclose(grads[0], wanted, rtol=0, atol=1e-11)


def test_power_zero(rng: np.random.Generator) -> None:
    """A constant static kernel, also at 0."""
    grad, path1, path2 = Case(3, 3, 3, kind=6).arrays(rng)
    path1[0, 1] = 0
    attrs = (0, 1, 6, 2.0, 0.0, 0.0, False, False, 1)
    with emulated():
        assert (sig_kernel(path1, path2, *attrs) == 1).all()
        for got in sig_kernel_vjp(grad, path1, path2, *attrs):
            assert (got == 0).all()


@pytest.mark.parametrize("kind", [1, 2, 3, 4, 5])
def test_points_that_meet(kind: int, rng: np.random.Generator) -> None:
    """Radial kernels at distance 0, where the Matern 1/2 kernel has a cusp: what counts is 0."""
    case = Case(6, 6, 3, (0, 1), kind=kind)
    grad, path, _ = case.arrays(rng)
    with emulated():
        got = sig_kernel_vjp(grad, path, path, *case.attrs)
        near = sig_kernel_vjp(grad, path, path + 1e-9, *case.attrs)
    for a, b in zip(got, near, strict=True):
        assert np.isfinite(a).all()
        assert kind == 2 or np.abs(a - b).max() < 1e-7


def test_constant_paths() -> None:
    """One point, or no pairs."""
    attrs = (2, 0, 0, 1.0, 0.0, 0.0, False, False, 1)
    for shapes in (((2, 3, 1, 4), (2, 2, 5, 4)), ((1, 5, 4), (3, 1, 4)), ((2, 1, 1), (2, 1, 1))):
        path1, path2 = np.full(shapes[0], 2.0), np.full(shapes[1], 3.0)
        grad = np.ones((*path1.shape[:-2], path2.shape[-3]))
        with emulated():
            assert (sig_kernel(path1, path2, *attrs) == 1).all()
            for got in sig_kernel_vjp(grad, path1, path2, *attrs):
                assert (got == 0).all()
    path1, path2 = np.ones((0, 3, 2)), np.ones((4, 3, 2))
    with emulated():
        assert sig_kernel(path1, path2, *attrs).shape == (0, 4)
        got = sig_kernel_vjp(np.ones((0, 4)), path1, path2, *attrs)
    assert got[0].shape == (0, 3, 2)
    assert (got[1] == 0).all()


@pytest.mark.parametrize("rows", [differences, polynomial], ids=["differences", "polynomial"])
def test_constant_grids(rows: Rows) -> None:
    """One point, no increments, or no pairs: ones, and no gradient."""
    steps = 4 if rows is differences else 1  # of an increment of the first path
    path1, path2 = np.full((2, 3, 1, 4), 2.0), np.full((2, 2, 5, 4), 3.0)
    attrs = (2, 0, 0, 1.0, 0.0, 0.0, False, True, 1)
    with emulated():
        ones = rows.kernel(path1, path2, *attrs)
        assert ones.shape == (2, 3, 2, 1, 5)
        assert (ones == 1).all()
        for got in rows.vjp(ones, path1, path2, *attrs):
            assert (got == 0).all()
        for shape, nodes in (((2, 0, 3), (1, 4)), ((2, 3, 0), (3 * steps + 1, 1))):
            for grid in (False, True):
                ones = rows.of_increments(np.ones(shape), 2, 0, grid, 1)
                assert ones.shape == (2, *(nodes if grid else ()))
                assert (ones == 1).all()
                got = rows.of_increments_vjp(ones, np.ones(shape), 2, 0, grid, 1)
                assert got.shape == shape
        none = np.ones((0, 3, 4))
        ones = rows.of_increments(none, 2, 0, False, 1)
        assert ones.shape == (0,)
        assert rows.of_increments_vjp(ones, none, 2, 0, False, 1).shape == none.shape


def test_float32_keeps_its_digits(rng: np.random.Generator) -> None:
    """Small increments of a large grid: the textbook form of the scheme loses three digits."""
    case = Case(32, 32, 2, (2, 2))
    _, path1, path2 = case.arrays(rng)
    grad = np.ones((1, 1))
    with emulated():
        exact = sig_kernel(path1, path2, *case.attrs)
        wanted = sig_kernel_vjp(grad, path1, path2, *case.attrs)
        ins = [a.astype("float32") for a in (grad, path1, path2)]
        np.testing.assert_allclose(sig_kernel(*ins[1:], *case.attrs), exact, rtol=2e-6)
        for a, b in zip(sig_kernel_vjp(*ins, *case.attrs), wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())


REPEATED = [Case(130, 20, 1, counts=(3, 2)), Case(5, 6, 20, (3, 0), 2, (2,), (3, 3))]


@pytest.mark.parametrize("case", REPEATED, ids=str)
def test_the_order_of_threads_does_not_matter(case: Case, rng: np.random.Generator) -> None:
    """Not in a single bit: nothing is summed in an order that varies."""
    ins = [a.astype("float32") for a in case.arrays(rng)]
    results = []
    for order in (0, 1, 2):
        with emulated(order=order):
            results.append((sig_kernel(*ins[1:], *case.attrs), *sig_kernel_vjp(*ins, *case.attrs)))
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


def test_the_order_of_threads_does_not_matter_to_increments(rng: np.random.Generator) -> None:
    increments = rng.normal(size=(3, 2, 4)).astype("float32")
    grad = rng.normal(size=(3, 1025, 5)).astype("float32")
    results = []
    for order in (0, 1, 2):
        with emulated(order=order):
            results.append(of_increments_vjp(grad, increments, 9, 0, True, 1))
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_nan_stays_in_its_pairs(rng: np.random.Generator) -> None:
    for kind in (2, 6):
        case = Case(4, 5, 3, (0, 1), kind=kind, counts=(3, 2))
        grad, path1, path2 = case.arrays(rng)
        with emulated():
            clean = sig_kernel(path1, path2, *case.attrs)
            before = sig_kernel_vjp(grad, path1, path2, *case.attrs)
            path1[1, 2] = np.nan
            dirty = sig_kernel(path1, path2, *case.attrs)
            after = sig_kernel_vjp(grad, path1, path2, *case.attrs)
        np.testing.assert_array_equal(dirty[[0, 2]], clean[[0, 2]])
        np.testing.assert_array_equal(after[0][[0, 2]], before[0][[0, 2]])
        assert np.isnan(dirty[1]).all()
        assert np.isnan(after[0][1]).any()
        assert np.isnan(after[1]).any()


RACES = [
    Case(70, 9, 2, counts=(2, 1)),
    Case(40, 5, 3, (2, 1), 1),
    Case(4, 5, 20, (0, 3), 5, (2,), (2, 2)),
    Case(6, 6, 2, (1, 1), 6, (), (3, 3), True),
    Case(70, 4, 2, (2, 1), 0, (), (1, 2), False, True),
]


@pytest.mark.parametrize("case", RACES, ids=str)
def test_races(case: Case, rng: np.random.Generator) -> None:
    """None, and no reads of shared memory that nothing wrote."""
    check(case, rng, ("float32",), flavor="race", order=2)


@pytest.mark.parametrize("case", [Given(70, 4, grid=True), Given(3, 2, (9, 1))], ids=str)
def test_races_of_increments(case: Given, rng: np.random.Generator) -> None:
    check_increments(case, rng, ("float32",), flavor="race", order=2)


@pytest.mark.slow
def test_sanitizers() -> None:
    """Nothing out of bounds, overflowing or misaligned."""
    environment = {**os.environ, **sanitizer_environment(), "ARRAYSIG_EMULATOR": "asan"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", __file__]
    done = subprocess.run(
        [*command, "-k", "launches or constant or coordinate"],
        env=environment,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "18 passed" in done.stdout
