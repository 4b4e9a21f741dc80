"""The CUDA kernels of branched signature kernels and of their gradients, in the emulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from arraysig._ops import kernels_cuda
from arraysig._ops.kernels import branched

from . import reference
from .emulator import emulated
from .test_kernels_cuda import DTYPES, Case, Given, check, check_increments, of_sums

#: Depths in registers and in memory; every static kernel; channels in registers or in blocks.
CASES = [
    *[(Case(5, 4, 2, (1, 0), depth=depth), DTYPES) for depth in (0, 1, 2, 3, 4, 5, 9)],
    *[(Case(4, 5, 3, (0, 1), kind, depth=2), DTYPES[kind % 2 :][:1]) for kind in range(1, 7)],
    *[(Case(3, 4, 20, (3, 0), kind, depth=3), DTYPES[kind % 2 :][:1]) for kind in (0, 1, 6)],
    (Case(5, 4, 2, (0, 3), depth=2), DTYPES),
    (Case(2, 3, 2, (5, 5), depth=1), DTYPES),
    # strips, of the gradient and of both; rows of an increment in several lanes and strips
    (Case(300, 9, 2, depth=2), DTYPES),
    (Case(130, 40, 1, depth=3), DTYPES[:1]),
    (Case(140, 5, 9, kind=5, depth=6), DTYPES[:1]),
    (Case(40, 70, 5, depth=1), DTYPES[1:]),
    (Case(2, 2, 3, (10, 0), depth=2), DTYPES[1:]),
    (Case(2, 3, 2, (0, 10), 4, depth=2), DTYPES[:1]),
    (Case(3, 2, 2, (9, 1), 1, depth=3), DTYPES[1:]),
    # groups and pairs
    (Case(3, 2, 2, (1, 1), groups=(2, 1), counts=(3, 2), depth=2), DTYPES),
    (Case(5, 5, 2, (1, 1), groups=(2,), counts=(4, 4), symmetric=True, depth=3), DTYPES),
    (Case(4, 4, 3, (1, 1), 1, counts=(5, 5), symmetric=True, depth=6), DTYPES[:1]),
    # grids
    (Case(5, 4, 2, groups=(2,), counts=(3, 2), grid=True, depth=2), DTYPES),
    (Case(4, 5, 3, (1, 2), 1, counts=(1, 2), grid=True, depth=5), DTYPES[1:]),
    (Case(140, 9, 1, grid=True, depth=3), DTYPES),
    (Case(3, 20, 2, (8, 0), counts=(2, 1), grid=True, depth=1), DTYPES[1:]),
    (Case(2, 3, 2, grid=True, depth=0), DTYPES[:1]),
]
GIVEN = [
    (Given(5, 4), DTYPES),
    (Given(3, 4, (1, 2), (2, 3), True), DTYPES[1:]),
    (Given(140, 9, grid=True), DTYPES[:1]),
    (Given(2, 3, (9, 1)), DTYPES),
    (Given(1, 1, pairs=(2, 1)), DTYPES[:1]),
]


def _check_increments(case: Given, depth: int, *args: Any, **on: Any) -> None:
    def wanted(case: Given, increments: np.ndarray) -> Any:
        return of_sums(reference.branched_kernel, increments, depth, case.orders, case.grid)

    check_increments(case, *args, rows=branched, wanted_of=wanted, depth=(depth,), **on)


@pytest.mark.parametrize(("case", "dtypes"), CASES, ids=str)
def test_kernels(case: Case, dtypes: tuple[str, ...], rng: np.random.Generator) -> None:
    check(case, rng, dtypes)


@pytest.mark.parametrize(("case", "dtypes"), GIVEN, ids=str)
@pytest.mark.parametrize("depth", [2, 5])
def test_increments(
    case: Given, dtypes: tuple[str, ...], depth: int, rng: np.random.Generator
) -> None:
    _check_increments(case, depth, rng, dtypes)


@pytest.mark.parametrize(
    "case", [Case(300, 40, 2, depth=2), Case(150, 7, 3, (1, 1), kind=1, depth=5)], ids=str
)
def test_one_warp(case: Case, rng: np.random.Generator) -> None:
    """Warps that have many strips; few processors, or little shared memory."""
    check(case._replace(counts=(1, 9)), rng, ("float64",), processors=1, order=2)
    check(case, rng, ("float64",), shared_memory=99 * 1024, order=1)


@pytest.mark.parametrize(
    "case",
    [
        Case(5, 5, 2, (1, 1), 0, (3,), (3, 3), True, depth=2),
        Case(300, 3, 2, (0, 0), 0, (), (3, 2), depth=5),
        Case(5, 4, 2, (0, 0), 0, (2,), (3, 2), False, True, depth=3),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [1, 60_000])
def test_launches(
    case: Case, size: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any number of pairs in a launch."""
    monkeypatch.setattr(kernels_cuda, "_BYTES", size)
    check(case, rng, ("float64",))


def test_the_order_of_threads_does_not_matter(rng: np.random.Generator) -> None:
    """Not in a single bit."""
    case = Case(130, 20, 1, counts=(3, 2), depth=3)
    ins = [a.astype("float32") for a in case.arrays(rng)]
    results = []
    for order in (0, 1, 2):
        with emulated(order=order):
            kernel = branched.kernel(*ins[1:], *case.attrs)
            results.append((kernel, *branched.vjp(*ins, *case.attrs)))
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "case",
    [
        Case(70, 9, 2, counts=(2, 1), depth=2),
        Case(40, 5, 3, (2, 1), 1, depth=5),
        Case(6, 6, 2, (1, 1), 6, (), (3, 3), True, depth=1),
        Case(70, 4, 2, (2, 1), 0, (), (1, 2), False, True, depth=3),
    ],
    ids=str,
)
def test_races(case: Case, rng: np.random.Generator) -> None:
    """None, and no reads of shared memory that nothing wrote."""
    check(case, rng, ("float32",), flavor="race", order=2)


def test_races_of_increments(rng: np.random.Generator) -> None:
    _check_increments(Given(70, 4, grid=True), 3, rng, ("float32",), flavor="race", order=2)
