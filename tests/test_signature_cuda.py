"""The CUDA kernels of the signature and of its gradient, in the emulator: every kernel and plan.

Values are compared with the slow definitions of `reference`. Which kernels ran is part of every
case, so that a change of plans can not leave one untested.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from arraysig._core.cuda import KernelSource
from arraysig._ops import signature_cuda
from arraysig._ops.signature import sig, sig_vjp
from arraysig.words import tensor_length

from . import reference
from .emulator import emulated, sanitizer_environment

FORWARD = {"float32": 1e-5, "float64": 1e-13}
GRADIENT = {"float32": 1e-4, "float64": 1e-12}
END_TIME = 0.7


class Launch(NamedTuple):
    """What a test may ask about a launch."""

    source: KernelSource
    name: str
    grid: tuple[int, ...]
    block: tuple[int, ...]


@contextmanager
def recorded(**options: Any) -> Iterator[list[Launch]]:
    """An emulated device, and the launches on it so far."""
    launches: list[Launch] = []
    with emulated(**options) as device:
        run = device.launch

        def launch(source: Any, name: Any, grid: Any, block: Any, *rest: Any) -> None:
            launches.append(Launch(source, name, grid, block))
            run(source, name, grid, block, *rest)

        device.launch = launch  # type: ignore[method-assign]
        yield launches


class Case(NamedTuple):
    """A call, and the kernels that it is meant to reach."""

    batch: int
    length: int
    dimension: int
    degree: int
    kernels: str
    time_aug: bool = False
    lead_lag: bool = False
    scalar_term: bool = False

    @property
    def attrs(self) -> tuple[Any, ...]:
        flags = (self.time_aug, self.lead_lag, END_TIME, self.scalar_term, False)
        return (self.degree, *flags, 1)

    @property
    def options(self) -> dict[str, Any]:
        """Of the slow definitions."""
        return {
            "time_aug": self.time_aug,
            "lead_lag": self.lead_lag,
            "end_time": END_TIME,
            "scalar_term": self.scalar_term,
        }

    def path(self, rng: np.random.Generator) -> np.ndarray:
        """Random paths of total variation around 1 to 3."""
        shape = (self.batch, self.length, self.dimension)
        return rng.normal(size=shape) / math.sqrt(self.length * self.dimension)

    def derivs(self, rng: np.random.Generator) -> np.ndarray:
        """Random derivatives of the signature."""
        channels = self.dimension * (1 + self.lead_lag) + self.time_aug
        words = tensor_length(channels, self.degree) + self.scalar_term
        return rng.normal(size=(self.batch, words))


def check_sig(case: Case, dtype: str, rng: np.random.Generator, **options: Any) -> list[Launch]:
    """Compare with the definition; the launches."""
    path = case.path(rng).astype(dtype)
    with recorded(**options) as launches:
        got = sig(path, *case.attrs)
    wanted = reference.batched(
        reference.signature, path.astype(float), ranks=(2,), degree=case.degree, **case.options
    )
    assert got.dtype == dtype
    np.testing.assert_allclose(got, wanted, rtol=0, atol=FORWARD[dtype])
    return launches


def check_vjp(case: Case, dtype: str, rng: np.random.Generator, **options: Any) -> list[Launch]:
    """Compare with the definition; the launches."""
    path, derivs = case.path(rng).astype(dtype), case.derivs(rng).astype(dtype)
    with recorded(**options) as launches:
        got = sig_vjp(derivs, path, *case.attrs)
    wanted = reference.batched(
        reference.signature_gradient,
        path.astype(float),
        derivs.astype(float),
        ranks=(2, 1),
        degree=case.degree,
        **case.options,
    )
    assert got.dtype == dtype
    assert got.shape == path.shape
    assert np.linalg.norm(got - wanted) <= GRADIENT[dtype] * np.linalg.norm(wanted)
    return launches


def names(launches: list[Launch]) -> str:
    """The kernels, each once, in order of their first launch."""
    return " ".join(dict.fromkeys(launch.name for launch in launches))


SUMS = "sums_parts sums_total sums_write"
LEVELS = "levels_walk levels_top"
SIG = [
    # degree 0 and 1, one channel
    Case(3, 7, 2, 0, "sums_write", scalar_term=True),
    Case(3, 40, 3, 1, SUMS, time_aug=True, lead_lag=True, scalar_term=True),
    Case(2, 300, 1, 5, SUMS),
    Case(1, 3, 1, 100, SUMS, scalar_term=True),
    # tiles: all words in one thread, a prefix, more than one, several blocks for a stretch
    Case(3, 300, 2, 3, "sig_tile"),
    Case(2, 40, 3, 2, "sig_tile", time_aug=True, scalar_term=True),
    Case(2, 40, 2, 3, "sig_tile", lead_lag=True),
    Case(3, 40, 1, 3, "sig_tile", time_aug=True, lead_lag=True, scalar_term=True),
    Case(1, 40, 7, 3, "sig_tile"),
    Case(1, 3, 5, 5, "sig_tile"),
    Case(2, 9, 3, 8, "sig_tile"),
    Case(1, 2, 2, 12, "sig_tile"),
    # levels: a large alphabet, whole and cut
    Case(2, 40, 33, 2, LEVELS, time_aug=True),
    Case(2, 9, 17, 3, LEVELS + " levels_one", lead_lag=True, scalar_term=True),
    Case(1, 300, 33, 2, LEVELS + " levels_pairs", scalar_term=True),
]


@pytest.mark.parametrize("dtype", FORWARD)
@pytest.mark.parametrize("case", SIG, ids=str)
def test_sig(case: Case, dtype: str, rng: np.random.Generator) -> None:
    assert names(check_sig(case, dtype, rng)) == case.kernels
    check_sig(case, dtype, rng, processors=1)


SUMS_VJP = "sums_slope sums_vjp"
TILES_VJP = "sig_tile scan_products scan_adjoint vjp_tile scan_edges"
ONE_STRETCH = "sig_tile vjp_tile scan_edges"
LEVELS_VJP = "levels_walk levels_dz levels_lift levels_suffix levels_dpath"
STRETCHES_VJP = f"sig_tile scan_products scan_adjoint {LEVELS_VJP} scan_edges"
VJP = [
    Case(3, 7, 2, 0, SUMS_VJP, scalar_term=True),
    Case(3, 40, 3, 1, SUMS_VJP, time_aug=True, lead_lag=True, scalar_term=True),
    Case(2, 300, 1, 5, "sums_parts sums_total " + SUMS_VJP),
    Case(2, 1, 3, 3, SUMS_VJP),
    # tiles: one thread per stretch, no prefix, a prefix; the top level in registers or shared
    Case(3, 300, 2, 2, TILES_VJP),
    Case(3, 2, 4, 3, ONE_STRETCH),
    Case(2, 40, 2, 3, TILES_VJP, lead_lag=True, time_aug=True, scalar_term=True),
    Case(1, 40, 1, 4, TILES_VJP, lead_lag=True),
    Case(1, 20, 16, 2, TILES_VJP),
    Case(1, 40, 7, 3, TILES_VJP, scalar_term=True),
    Case(2, 40, 13, 3, TILES_VJP),
    Case(1, 9, 10, 4, ONE_STRETCH),
    Case(1, 800, 2, 3, TILES_VJP.replace("scan_adj", "scan_combine scan_adj"), time_aug=True),
    # levels
    Case(2, 40, 33, 2, LEVELS_VJP, time_aug=True, scalar_term=True),
    Case(1, 70, 3, 7, STRETCHES_VJP, scalar_term=True),
    Case(2, 40, 1, 8, STRETCHES_VJP, time_aug=True, lead_lag=True),
    Case(1, 40, 2, 9, LEVELS_VJP),
    Case(2, 9, 17, 2, LEVELS_VJP, lead_lag=True),
]


@pytest.mark.parametrize("dtype", GRADIENT)
@pytest.mark.parametrize("case", VJP, ids=str)
def test_vjp(case: Case, dtype: str, rng: np.random.Generator) -> None:
    assert names(check_vjp(case, dtype, rng)) == case.kernels
    check_vjp(case, dtype, rng, processors=1)


def test_cases_cover_the_tiles() -> None:
    """Every shape that code depends on is among the cases, in one dtype at least."""
    forward, backward = set(), set()
    for itemsize in (4, 8):
        for case in SIG:
            if case.kernels == "sig_tile":
                augmentation = signature_cuda.Augmentation(*_alphabet(case))
                tile = signature_cuda.tile_of(augmentation, case.degree, itemsize)
                forward.add((min(tile.prefix, 2), tile.lanes > 1, tile.lane_blocks > 1))
        for case in VJP:
            if "vjp_tile" in case.kernels:
                augmentation = signature_cuda.Augmentation(*_alphabet(case))
                found = signature_cuda.vjp_tile_of(augmentation, case.degree, itemsize, 2**18)
                assert found is not None
                whole = found.tile == augmentation.channels
                backward.add((found.prefix, found.lanes > 1, whole, found.top_shared))
    assert {(0, False, False), (0, True, False), (1, True, False), (2, True, True)} <= forward
    assert {(0, False, True, 0), (0, True, False, 0), (0, True, False, 1)} <= backward
    assert {(1, True, True, 0), (1, True, True, 1), (1, True, False, 1)} <= backward


def _alphabet(case: Case) -> tuple[int, bool, bool]:
    return case.dimension, case.time_aug, case.lead_lag


@pytest.mark.parametrize(
    ("case", "stretches", "wanted"),
    [
        (Case(3, 40, 2, 3, "", time_aug=True), (1, 39, 1), "sig_tile"),
        (Case(3, 40, 2, 3, "", time_aug=True, scalar_term=True), (8, 5, 8), "sig_tile"),
        (Case(3, 40, 2, 3, "", time_aug=True), (64, 1, 64), "sig_tile"),  # some are empty
        (Case(2, 300, 2, 2, "", scalar_term=True), (256, 2, 128), "sig_tile sig_fold"),
        (Case(1, 300, 7, 3, ""), (48, 7, 8), "sig_tile sig_fold"),
        (Case(1, 80, 5, 5, "", scalar_term=True), (70, 2, 1), "sig_tile sig_fold"),  # two rounds
        (Case(2, 20, 3, 8, "", scalar_term=True), (5, 4, 1), "sig_tile levels_pairs"),
    ],
    ids=str,
)
def test_cuts(
    case: Case,
    stretches: tuple[int, int, int],
    wanted: str,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any cut of the paths gives the same signature."""
    cut = signature_cuda.Stretches(*stretches)
    monkeypatch.setattr(signature_cuda, "cut", lambda *_: cut)
    for dtype in FORWARD:
        assert names(check_sig(case, dtype, rng)) == wanted


def test_plans() -> None:
    """Plans fill the chip, and never cut a path into more stretches than it has increments."""
    cut = signature_cuda.cut
    for dimension, degree in ((2, 2), (4, 3), (8, 3), (16, 3), (5, 5), (3, 8)):
        augmentation = signature_cuda.Augmentation(dimension, False, False)
        for itemsize in (4, 8):
            tile = signature_cuda.tile_of(augmentation, degree, itemsize)
            words = tensor_length(dimension, degree)
            for batch, increments, processors in (
                (1, 0, 132),
                (1, 1, 132),
                (1, 10**6, 132),
                (256, 9999, 132),
                (10**5, 9, 132),
                (7, 10**4, 1),
                (1, 2**33, 132),
            ):
                plan = cut(tile, words, degree, batch, increments, processors)
                assert plan.per_path * plan.steps >= increments
                assert plan.per_path <= max(1, increments)
                assert plan.per_path % plan.run == 0
                assert plan.run == 1 or tile.stretches % plan.run == 0
            plan = cut(tile, words, degree, 1, 10**6, 132)
            blocks = -(-plan.per_path // tile.stretches) * tile.lane_blocks
            assert blocks >= 132


@pytest.mark.parametrize(
    "case", [Case(5, 40, 33, 2, ""), Case(3, 40, 2, 3, ""), Case(3, 40, 3, 7, "")]
)
def test_rounds(case: Case, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Little scratch at a time: more launches, the same values."""
    once = len(check_vjp(case, "float64", rng)), len(check_sig(case, "float64", rng))
    monkeypatch.setattr(signature_cuda, "_ROUND", 200)
    assert len(check_vjp(case, "float64", rng)) > once[0]
    more = len(check_sig(case, "float64", rng))
    assert more > once[1] or case.dimension < 33


REPEATED = [Case(2, 40, 2, 3, "", time_aug=True), Case(1, 20, 13, 3, ""), Case(2, 20, 33, 2, "")]


@pytest.mark.parametrize("case", REPEATED, ids=str)
def test_the_order_of_threads_does_not_matter(case: Case, rng: np.random.Generator) -> None:
    """Not in a single bit: nothing is summed in an order that varies."""
    path, derivs = case.path(rng).astype("float32"), case.derivs(rng).astype("float32")
    results = []
    for order in (0, 1, 2):
        with emulated(order=order):
            results.append((sig(path, *case.attrs), sig_vjp(derivs, path, *case.attrs)))
    for other in results[1:]:
        np.testing.assert_array_equal(other[0], results[0][0])
        np.testing.assert_array_equal(other[1], results[0][1])


@pytest.mark.parametrize("case", [Case(3, 40, 1, 3, ""), Case(3, 40, 3, 1, ""), *REPEATED], ids=str)
def test_nan_stays_in_its_path(case: Case, rng: np.random.Generator) -> None:
    case = case._replace(batch=3)
    path, derivs = case.path(rng), case.derivs(rng)
    with emulated():
        clean = sig(path, *case.attrs), sig_vjp(derivs, path, *case.attrs)
        path[1, case.length // 2] = np.nan
        dirty = sig(path, *case.attrs), sig_vjp(derivs, path, *case.attrs)
    for before, after in zip(clean, dirty, strict=True):
        np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    assert np.isnan(dirty[0][1]).any()
    assert np.isnan(dirty[1][1]).any() or case.degree == 1  # constant there


def test_nan_in_derivs_stays_in_its_path(rng: np.random.Generator) -> None:
    for case in (Case(3, 70, 4, 3, ""), Case(3, 70, 13, 3, ""), Case(3, 20, 33, 2, "")):
        path, derivs = case.path(rng), case.derivs(rng)
        with emulated():
            clean = sig_vjp(derivs, path, *case.attrs)
            derivs[1, -1] = np.nan
            dirty = sig_vjp(derivs, path, *case.attrs)
        np.testing.assert_array_equal(dirty[[0, 2]], clean[[0, 2]])
        assert np.isnan(dirty[1]).any()


def test_batches(rng: np.random.Generator) -> None:
    """None, empty, several axes, more than 65535."""
    case = Case(6, 5, 2, 2, "")
    path, derivs = case.path(rng), case.derivs(rng)
    with emulated():
        whole, gradient = sig(path, *case.attrs), sig_vjp(derivs, path, *case.attrs)
        for shape in ((2, 3), (3, 1, 2)):
            got = sig(path.reshape(*shape, 5, 2), *case.attrs)
            np.testing.assert_array_equal(got, whole.reshape(*shape, 6))
            got = sig_vjp(derivs.reshape(*shape, 6), path.reshape(*shape, 5, 2), *case.attrs)
            np.testing.assert_array_equal(got, gradient.reshape(*shape, 5, 2))
        np.testing.assert_array_equal(sig(path[4], *case.attrs), whole[4])
        empty = path[:0]
        assert sig(empty, *case.attrs).shape == (0, 6)
        assert sig_vjp(derivs[:0], empty, *case.attrs).shape == (0, 5, 2)
        many = np.broadcast_to(path[0], (70_000, 5, 2))
        assert (sig(many, *case.attrs) == whole[0]).all()
        got = sig_vjp(np.broadcast_to(derivs[0], (70_000, 6)), many, *case.attrs)
        assert (got == gradient[0]).all()


def test_alignment(rng: np.random.Generator) -> None:
    """Vector loads where points and the path are aligned, else single numbers: the same values."""
    case = Case(2, 30, 4, 2, "")
    path, derivs = case.path(rng).astype("float32"), case.derivs(rng).astype("float32")
    buffer = np.empty(path.size + 1, "float32")
    shifted = buffer[1:].reshape(path.shape)
    shifted[...] = path
    results = []
    for array, vector in ((path, 4), (shifted, 1)):
        with recorded() as launches:
            results.append((sig(array, *case.attrs), sig_vjp(derivs, array, *case.attrs)))
        assert {dict(launch.source.macros).get("VECTOR", vector) for launch in launches} == {vector}
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_small_shared_memory(rng: np.random.Generator) -> None:
    """Where the top level of a gradient does not fit, it goes level by level."""
    case = Case(1, 9, 10, 4, "")
    launches = check_vjp(case, "float64", rng, shared_memory=48 * 1024)
    assert names(launches) == f"sig_tile {LEVELS_VJP} scan_edges"


CHECKED = [
    Case(2, 20, 2, 3, "", time_aug=True, scalar_term=True),
    Case(1, 40, 13, 3, ""),
    Case(1, 9, 10, 4, ""),
    Case(1, 600, 2, 3, ""),
    Case(2, 9, 17, 2, "", lead_lag=True),
    Case(2, 9, 1, 3, ""),
]


@pytest.mark.parametrize("case", CHECKED, ids=str)
def test_races(case: Case, rng: np.random.Generator) -> None:
    """None, and no reads of shared memory that nothing wrote."""
    check_sig(case, "float32", rng, flavor="race", order=2)
    check_vjp(case, "float32", rng, flavor="race", order=2)


@pytest.mark.parametrize("case", CHECKED, ids=str)
def test_checked(case: Case, rng: np.random.Generator) -> None:
    """What `test_sanitizers` runs."""
    check_sig(case, "float64", rng)
    check_vjp(case, "float64", rng)


@pytest.mark.slow
def test_sanitizers() -> None:
    """Nothing out of bounds, overflowing or misaligned."""
    environment = {**os.environ, **sanitizer_environment(), "ARRAYSIG_EMULATOR": "asan"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", __file__, "-k", "test_checked"]
    done = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[1], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(CHECKED)} passed" in done.stdout
