"""The CUDA kernels of the signature kernel on polynomial cells, and its gradient, in the emulator.

As in `test_kernels_cuda`, whose cases have order and fold here for the orders of the grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arraysig._ops import kernels, kernels_cuda, polynomial_cuda

from . import reference
from .emulator import emulated
from .test_kernels_cuda import STATIC, STEP, Case, Given, check_increments, of_sums

polynomial, polynomial_vjp = kernels.polynomial[:2]

FORWARD, GRADIENT = 100, 800  # in units of eps
DTYPES = ("float32", "float64")


def _wanted(case: Case, path1: np.ndarray, path2: np.ndarray) -> np.ndarray:
    function = STATIC[case.kind][1]
    values = [
        reference.polynomial_kernel(
            path1[(*group, i)], path2[(*group, j)], *case.orders, function, case.grid
        )
        for *group, i, j in np.ndindex(*case.groups, *case.counts)
    ]
    return np.reshape(values, (*case.groups, *case.counts, *values[0].shape))


def check(
    case: Case, rng: np.random.Generator, dtypes: tuple[str, ...] = DTYPES, **on: Any
) -> None:
    """Compare the op and its gradient along random directions with the definition."""
    grad, path1, path2 = case.arrays(rng, (case.length1, case.length2) if case.grid else ())
    directions = [rng.normal(size=a.shape) for a in (path1, path2)]
    if case.symmetric:
        directions[1] = directions[0]
        pairs = [(directions[0], directions[1])]
    else:
        pairs = [(directions[0], 0 * path2), (0 * path1, directions[1])]
    x, y = path1.astype(np.longdouble), path2.astype(np.longdouble)
    moved = [_wanted(case, x + STEP * 1j * a, y + STEP * 1j * b) for a, b in pairs]
    wanted = moved[0].real
    for dtype in dtypes:
        eps = np.finfo(dtype).eps
        ins = [a.astype(dtype) for a in (grad, path1, path2)]
        with emulated(**on):
            got = polynomial(*ins[1:], *case.attrs)
            grads = polynomial_vjp(*ins, *case.attrs)
        assert got.dtype == grads[0].dtype == grads[1].dtype == dtype
        assert grads[0].shape == path1.shape
        assert grads[1].shape == path2.shape
        np.testing.assert_allclose(got, wanted, rtol=0, atol=FORWARD * eps * np.abs(wanted).max())
        for (a, b), values in zip(pairs, moved, strict=True):
            slope = (values.imag / STEP * grad).sum()
            size = np.linalg.norm(grads[0] * (a != 0)) + np.linalg.norm(grads[1] * (b != 0))
            assert abs((grads[0] * a).sum() + (grads[1] * b).sum() - slope) <= GRADIENT * eps * size


#: With dtypes, for compilers take most of the time.
CASES = [
    # every order of note, and every fold
    *[(Case(4, 5, 2, (order, order % 3)), DTYPES) for order in (3, 2, 4, 8)],
    (Case(4, 5, 2, (6, 0)), DTYPES[:1]),
    *[(Case(5, 4, 3, (order, 2 - order % 2), 1), DTYPES[1:]) for order in (1, 4)],
    *[(Case(3, 4, 1, (order, fold)), DTYPES[1:]) for order, fold in ((12, 1), (16, 2))],
    # many terms: of float in other units, of both in memory
    (Case(3, 3, 2, (12, 2)), DTYPES[:1]),
    (Case(4, 3, 2, (20, 0), 1), DTYPES[:1]),
    # static kernels; channels in registers or in blocks
    (Case(4, 5, 5, (2, 0), 2), DTYPES[:1]),
    (Case(4, 5, 20, (2, 1), 6), DTYPES[:1]),
    (Case(40, 4, 20, (2, 2), 1), DTYPES[1:]),
    (Case(3, 4, 2, (1, 0), 5), DTYPES[1:]),
    # rows of a lane, and strips
    (Case(40, 9, 20, (2, 0)), DTYPES[:1]),
    (Case(40, 3, 5, (3, 1), 6), DTYPES[1:]),
    (Case(130, 3, 1, (3, 0)), DTYPES[1:]),
    (Case(130, 2, 2, (1, 1), 2), DTYPES[:1]),
    (Case(3, 130, 2, (2, 2)), DTYPES[1:]),
    (Case(40, 40, 2, (3, 0)), DTYPES[1:]),
    (Case(70, 2, 2, (12, 0)), DTYPES[1:]),
    (Case(2, 2, 2, (1, 1)), DTYPES[:1]),
    # groups and pairs
    (Case(3, 2, 2, (2, 0), groups=(2, 1), counts=(3, 2)), DTYPES[1:]),
    (Case(4, 4, 2, (2, 1), groups=(2,), counts=(3, 3), symmetric=True), DTYPES[1:]),
    # grids
    (Case(5, 4, 2, (2, 2), groups=(2,), counts=(3, 2), grid=True), DTYPES),
    (Case(3, 4, 20, (8, 1), 1, counts=(1, 2), grid=True), DTYPES[:1]),
    (Case(70, 4, 1, (3, 0), grid=True), DTYPES[1:]),
    (Case(40, 3, 2, (17, 0), counts=(2, 1), grid=True), DTYPES),
]
#: One strip, and several strips and warps; numbers in registers or not.
GIVEN = [
    (Given(5, 4, (3, 2)), DTYPES),
    (Given(5, 4, (2, 0), (2, 3), True), DTYPES),
    (Given(1, 1, (1, 1), grid=True), DTYPES[1:]),
    (Given(70, 3, (2, 1), grid=True), DTYPES[1:]),
    (Given(140, 3, (1, 0)), DTYPES[:1]),
    (Given(40, 2, (17, 0), grid=True), DTYPES),
]


@pytest.mark.parametrize(("case", "dtypes"), CASES, ids=str)
def test_kernels(case: Case, dtypes: tuple[str, ...], rng: np.random.Generator) -> None:
    check(case, rng, dtypes)


def _check_increments(case: Given, rng: np.random.Generator, *args: Any, **on: Any) -> None:
    def wanted_of(case: Given, increments: np.ndarray) -> Any:
        return of_sums(reference.polynomial_kernel, increments, *case.orders, case.grid)

    nodes = case.steps1 + 1, case.steps2 + 1
    check_increments(case, rng, *args, kernels.polynomial, wanted_of, nodes, **on)


@pytest.mark.parametrize(("case", "dtypes"), GIVEN, ids=str)
def test_increments(case: Given, dtypes: tuple[str, ...], rng: np.random.Generator) -> None:
    _check_increments(case, rng, dtypes)


@pytest.mark.parametrize("case", [Case(130, 3, 2, (2, 0)), Case(70, 2, 1, (17, 0))], ids=str)
def test_one_warp(case: Case, rng: np.random.Generator) -> None:
    """Warps that have many strips; few processors, or little shared memory."""
    check(case._replace(counts=(1, 9)), rng, ("float64",), processors=1, order=2)
    check(case, rng, ("float64",), shared_memory=99 * 1024, order=1)
    given = Given(case.length1, case.length2, case.orders, (9,), True)
    _check_increments(given, rng, ("float64",), processors=1, order=2)


@pytest.mark.parametrize(
    "case",
    [
        Case(3, 4, 3, (2, 0), 4, (2,), (3, 4)),
        Case(5, 5, 2, (2, 0), 0, (2,), (3, 3), True),
        Case(40, 2, 2, (17, 0), 0, (), (3, 2)),
        Case(5, 4, 2, (2, 0), 0, (2,), (3, 2), False, True),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [1, 150_000])
def test_launches(
    case: Case, size: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any number of pairs in a launch."""
    monkeypatch.setattr(kernels_cuda, "_BYTES", size)
    check(case, rng, ("float64",))
    _check_increments(Given(40, 2, (2, 0), (5,)), rng, ("float64",))


def test_every_coordinate(rng: np.random.Generator) -> None:
    for case in (Case(4, 5, 2, (3, 1)), Case(5, 4, 3, (2, 0), 4), Case(36, 2, 2, (2, 2), kind=3)):
        grad, path1, path2 = case.arrays(rng)
        with emulated():
            got = polynomial_vjp(grad, path1, path2, *case.attrs)

        def first(x: Any, y: Any = path2, case: Case = case) -> Any:
            return _wanted(case, x, y + 0j)

        def second(y: Any, x: Any = path1, case: Case = case) -> Any:
            return _wanted(case, x + 0j, y)

        for function, path, result in ((first, path1, got[0]), (second, path2, got[1])):
            wanted = reference.gradient(function, path, grad)
            np.testing.assert_allclose(result, wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())


@pytest.mark.parametrize("orders", [(3, 1), (17, 0)])
def test_constant_paths(orders: tuple[int, int]) -> None:
    """One point, or no pairs, or no steps."""
    attrs = (*orders, 0, 1.0, 0.0, 0.0, False, False, 1)
    for lengths in ((1, 5), (5, 1), (1, 1), (3, 4)):
        path1, path2 = (np.full((2, 3, n, 4), 2.0) for n in lengths)
        with emulated():
            assert (polynomial(path1, path2, *attrs) == 1).all()
            for got in polynomial_vjp(np.ones((2, 3, 3)), path1, path2, *attrs):
                assert (got == 0).all()
    path1, path2 = np.ones((0, 3, 2)), np.ones((4, 3, 2))
    with emulated():
        assert polynomial(path1, path2, *attrs).shape == (0, 4)
        got = polynomial_vjp(np.ones((0, 4)), path1, path2, *attrs)
    assert got[0].shape == (0, 3, 2)
    assert (got[1] == 0).all()


def test_moments_are_exact() -> None:
    """The mean of n integrals times n!, which no truncation changes for small n."""
    for order, powers in ((2, 4), (3, 4), (8, 10)):
        numbers = np.array(polynomial_cuda._moments(order, powers), dtype=float)
        nodes, weights = np.polynomial.legendre.leggauss(20)
        s = (1 + nodes) / 2
        values = np.polynomial.legendre.legval(nodes, np.eye(order))
        for n, row in enumerate(numbers.reshape(powers, order), 1):
            # twice I h is the sum of differences times Legendre polynomials
            wanted = [(weights / 2 * n * (1 - s) ** (n - 1) * of).sum() for of in values]
            exact = n + np.arange(order) <= 2 * order
            np.testing.assert_allclose(row[exact], np.array(wanted)[exact], rtol=0, atol=1e-14)


def test_large_increments() -> None:
    """Powers that overflow float but for its units; and terms that nothing may leave out."""
    case = Case(2, 3, 1, (64, 0))
    path1, path2 = np.array([[[0.0], [200.0]]]), np.array([[[0.0], [1.0], [3.0]]])
    with emulated():
        wanted = polynomial(path1, path2, *case.attrs)
        grads = polynomial_vjp(np.ones((1, 1)), path1, path2, *case.attrs)
        ins = [a.astype("float32") for a in (np.ones((1, 1)), path1, path2)]
        np.testing.assert_allclose(polynomial(*ins[1:], *case.attrs), wanted, rtol=1e-5)
        for a, b in zip(polynomial_vjp(*ins, *case.attrs), grads, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * np.abs(b).max())
    np.testing.assert_allclose(wanted, _wanted(case, path1, path2), rtol=1e-12)


REPEATED = [Case(130, 20, 1, (2, 1), counts=(3, 2)), Case(40, 6, 20, (17, 0), 2, (2,), (2, 2))]


@pytest.mark.parametrize("case", REPEATED, ids=str)
def test_the_order_of_threads_does_not_matter(case: Case, rng: np.random.Generator) -> None:
    """Not in a single bit: nothing is summed in an order that varies."""
    ins = [a.astype("float32") for a in case.arrays(rng)]
    results = []
    for order in (0, 1, 2):
        with emulated(order=order):
            results.append((polynomial(*ins[1:], *case.attrs), *polynomial_vjp(*ins, *case.attrs)))
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("orders", [(2, 0), (3, 1)])
def test_nan_stays_in_its_pairs(orders: tuple[int, int], rng: np.random.Generator) -> None:
    case = Case(4, 5, 3, orders, 2, counts=(3, 2))
    grad, path1, path2 = case.arrays(rng)
    with emulated():
        clean = polynomial(path1, path2, *case.attrs)
        before = polynomial_vjp(grad, path1, path2, *case.attrs)
        path1[1, 2] = np.nan
        dirty = polynomial(path1, path2, *case.attrs)
        after = polynomial_vjp(grad, path1, path2, *case.attrs)
    np.testing.assert_array_equal(dirty[[0, 2]], clean[[0, 2]])
    np.testing.assert_array_equal(after[0][[0, 2]], before[0][[0, 2]])
    assert np.isnan(dirty[1]).all()
    assert np.isnan(after[0][1]).any()
    assert np.isnan(after[1]).any()


RACES = [
    Case(40, 3, 2, (2, 1), counts=(2, 1)),
    Case(70, 2, 3, (17, 0), 1),
    Case(4, 4, 20, (2, 0), 6, (), (3, 3), True),
    Case(70, 3, 2, (2, 1), 0, (), (1, 2), False, True),
]


@pytest.mark.parametrize("case", RACES, ids=str)
def test_races(case: Case, rng: np.random.Generator) -> None:
    """None, and no reads of shared memory that nothing wrote."""
    check(case, rng, ("float32",), flavor="race", order=2)


@pytest.mark.parametrize("case", [Given(70, 3, (2, 1), grid=True), Given(40, 2, (17, 0))], ids=str)
def test_races_of_increments(case: Given, rng: np.random.Generator) -> None:
    _check_increments(case, rng, ("float32",), flavor="race", order=2)
