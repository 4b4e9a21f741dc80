"""Mathematics of the signature: golden values, exact rationals, identities, accuracy."""

from __future__ import annotations

import functools
import itertools
import json
import pathlib
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest

import arraysig

from . import reference
from .backends import Backend

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())


@pytest.mark.parametrize("call", GOLDEN["expected"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_golden_values(xp: Backend, call: str, dtype: str) -> None:
    def arange(*args: int) -> object:
        return xp.array(np.arange(*args), dtype)

    names = {
        "X": xp.array(np.array(GOLDEN["inputs"]["X"]), dtype),
        "sig": arraysig.sig,
        "sig_backprop": arraysig.sig_backprop,
        "transform_path": arraysig.transform_path,
        "transform_path_backprop": arraysig.transform_path_backprop,
        "arange": arange,
        "ones": xp.array(np.ones(6), dtype),
    }
    result = xp.numpy(eval(call, names))
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(result, GOLDEN["expected"][call], rtol=tolerance, atol=tolerance)


def levels(signature: np.ndarray, channels: int, degree: int) -> list[np.ndarray]:
    """A signature cut into its levels."""
    bounds = np.cumsum([0, *(channels**k for k in range(1, degree + 1))])
    return [signature[..., a:b] for a, b in itertools.pairwise(bounds)]


def relative_errors(
    got: np.ndarray, expected: np.ndarray, channels: int, degree: int
) -> list[float]:
    """Error of each level relative to its norm, or to 1 where that is smaller than 1e-3."""
    return [
        float(np.linalg.norm(a - b) / (np.linalg.norm(b) if np.linalg.norm(b) > 1e-3 else 1))
        for a, b in zip(
            levels(got.astype(float), channels, degree),
            levels(expected, channels, degree),
            strict=True,
        )
    ]


@functools.cache
def exactly(points: tuple[tuple[int, ...], ...], degree: int, augmented: bool) -> np.ndarray:
    """The signature in rational numbers, once for all backends."""
    path = np.array([[Fraction(v) for v in point] for point in points], dtype=object)
    flags = {"time_aug": augmented, "lead_lag": augmented, "end_time": Fraction(1)}
    return reference.signature(path, degree, **flags).astype(float)


@pytest.mark.parametrize(("dimension", "degree"), [(1, 6), (2, 5), (3, 3), (5, 2)])
@pytest.mark.parametrize("flags", [{}, {"time_aug": True, "lead_lag": True}], ids=str)
def test_exact_rationals(
    xp: Backend, dimension: int, degree: int, flags: dict[str, bool], rng: np.random.Generator
) -> None:
    path = rng.integers(-8, 9, size=(12, dimension))
    expected = exactly(tuple(map(tuple, path.tolist())), degree, bool(flags))
    channels = dimension * (2 if flags else 1) + (1 if flags else 0)
    for dtype, bar in (("float64", 1e-13), ("float32", 1e-5)):
        got = xp.numpy(arraysig.sig(xp.array(path, dtype), degree, **flags))
        assert max(relative_errors(got, expected, channels, degree)) < bar


@pytest.mark.parametrize("batch", [1, 40])
@pytest.mark.parametrize("flags", [{}, {"time_aug": True}, {"lead_lag": True}], ids=str)
def test_accuracy_of_long_paths(
    batch: int, flags: dict[str, bool], rng: np.random.Generator
) -> None:
    length, dimension, degree = 100_000, 2, 4
    path = np.cumsum(rng.normal(size=(batch, length, dimension)), axis=1) / np.sqrt(length)
    path = path.astype("float32")
    got = arraysig.sig(path, degree, n_jobs=-1, **flags)
    expected = arraysig.sig(path.astype("float64"), degree, n_jobs=-1, **flags)
    channels = dimension * (2 if flags.get("lead_lag") else 1) + bool(flags.get("time_aug"))
    assert max(relative_errors(got, expected, channels, degree)) < 1e-5
    derivs = rng.normal(size=got.shape)
    gradient = arraysig.sig_backprop(
        path, None, derivs.astype("float32"), degree, n_jobs=-1, **flags
    )
    exact = arraysig.sig_backprop(path.astype("float64"), None, derivs, degree, n_jobs=-1, **flags)
    assert np.linalg.norm(gradient - exact) < 1e-4 * np.linalg.norm(exact)


def test_accuracy_of_chosen_coefficients_of_long_paths(xp: Backend) -> None:
    t = np.linspace(0, 1, 50_000)  # a smooth path, where roundings have one sign for long
    path = np.stack([np.cos(7 * t), np.sin(5 * t)], axis=1).astype("float32")
    expected = arraysig.sig(path.astype("float64"), 3)
    words = arraysig.words(2, 3)[1:]
    for got in (
        arraysig.sig_coef(xp.array(path), words),
        arraysig.sig(xp.array(path), 3, stream=True)[-1],
    ):
        assert max(relative_errors(xp.numpy(got), expected, 2, 3)) < 1e-6
    derivs = np.ones(expected.shape)
    exact = arraysig.sig_backprop(path.astype("float64"), None, derivs, 3)
    single = xp.array(derivs.astype("float32"))
    gradient = xp.numpy(arraysig.sig_coef_backprop(xp.array(path), words, None, single))
    assert np.abs(gradient - exact).max() < 2e-6 * np.abs(exact).max()


PLANS = [
    (1, 700, 2, 3),  # one path: stretches of time fill the lanes
    (3, 300, 3, 4),
    (40, 33, 4, 3),
    (70, 90, 7, 2),
    (5, 25, 6, 3),
    (1, 2000, 1, 4),
    (3, 1000, 1, 4),
]
PLANS_WITHOUT_FLAGS = [
    (1, 40, 33, 2),
    (2, 9, 17, 3),
    (1, 12, 2, 11),  # many words, few paths
    (1, 6, 300, 2),
    (5, 25, 12, 3),
    (1, 3, 1, 300),
]
FLAGS: list[dict[str, bool]] = [{}, {"time_aug": True}, {"lead_lag": True}]


@pytest.mark.parametrize(
    ("shape", "flags"),
    [*itertools.product(PLANS, FLAGS), *itertools.product(PLANS_WITHOUT_FLAGS, FLAGS[:1])],
    ids=str,
)
def test_every_plan_of_the_cpu(
    shape: tuple[int, int, int, int], flags: dict[str, bool], rng: np.random.Generator
) -> None:
    batch, length, dimension, degree = shape
    path = np.cumsum(rng.normal(size=(batch, length, dimension)), axis=1) / np.sqrt(length)
    expected = reference.batched(reference.signature, path, ranks=(2,), degree=degree, **flags)
    channels = dimension * (2 if flags.get("lead_lag") else 1) + bool(flags.get("time_aug"))
    derivs = rng.normal(size=expected.shape)
    wanted = reference.batched(
        reference.signature_gradient, path, derivs, ranks=(2, 1), degree=degree, **flags
    )
    for n_jobs in (1, 2):
        got = arraysig.sig(path, degree, n_jobs=n_jobs, **flags)
        for a, b in zip(*(levels(s, channels, degree) for s in (got, expected)), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-13 * np.abs(b).max() + 1e-300)
        gradient = arraysig.sig_backprop(path, None, derivs, degree, n_jobs=n_jobs, **flags)
        assert np.linalg.norm(gradient - wanted) <= 1e-12 * np.linalg.norm(wanted)


# All that the walk over Lyndon words takes apart: every number of letters that it has code for and
# more, rows of tiles left over, levels to the highest that is filled and one more.
FILLED = [(d, n) for n in range(2, 7) for d in range(2, 22) if d**n < 9000]


@pytest.mark.parametrize(("dimension", "degree"), FILLED)
def test_words_that_follow_from_lyndon_words(
    dimension: int, degree: int, rng: np.random.Generator
) -> None:
    path = np.cumsum(rng.normal(size=(2, 52, dimension)), axis=1) / 7
    derivs = rng.normal(size=(2, arraysig.sig_length(dimension, degree)))
    many, many_derivs = (np.repeat(a, 20, axis=0) for a in (path, derivs))  # full lanes, and not
    got = arraysig.sig(many, degree)
    gradient = arraysig.sig_backprop(many, None, many_derivs, degree)
    for rows in (slice(20), slice(20, 40)):
        np.testing.assert_array_equal(got[rows], np.repeat(got[rows][:1], 20, axis=0))
        np.testing.assert_array_equal(gradient[rows], np.repeat(gradient[rows][:1], 20, axis=0))
    cuts = [arraysig.sig(path[:, a : a + 4], degree) for a in range(0, 51, 3)]  # walked whole
    expected = functools.reduce(lambda x, y: arraysig.sig_combine(x, y, dimension, degree), cuts)
    assert max(relative_errors(got[::20], expected, dimension, degree)) < 1e-13
    if dimension**degree < 1500:
        options = {"ranks": (2, 1), "degree": degree}
        wanted = reference.batched(reference.signature_gradient, path, derivs, **options)
        assert np.linalg.norm(gradient[::20] - wanted) <= 1e-12 * np.linalg.norm(wanted)
    direction = rng.normal(size=path.shape)
    moved = [arraysig.sig(path + direction * h, degree) for h in (1e-4, -1e-4)]
    change = np.sum((moved[0] - moved[1]) * derivs) / 2e-4
    assert np.sum(gradient[::20] * direction) == pytest.approx(change, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("flags", [*FLAGS, {"time_aug": True, "lead_lag": True}], ids=str)
@pytest.mark.parametrize("size", [(3, 5), (5, 4), (7, 3)])
def test_long_paths_in_segments(
    size: tuple[int, int], flags: dict[str, bool], rng: np.random.Generator
) -> None:
    dimension, degree = size
    if flags.get("lead_lag"):
        dimension = (dimension + 1) // 2
    path = np.cumsum(rng.normal(size=(20, 1301, dimension)), axis=1) / 36
    got = arraysig.sig(path, degree, **flags)
    explicit = arraysig.transform_path(path[::19], **flags)
    cuts = [arraysig.sig(explicit[:, a : a + 11], degree) for a in range(0, explicit.shape[1], 10)]
    channels = explicit.shape[2]
    expected = functools.reduce(lambda x, y: arraysig.sig_combine(x, y, channels, degree), cuts)
    assert max(relative_errors(got[::19], expected, channels, degree)) < 1e-13
    derivs, direction = rng.normal(size=got.shape), rng.normal(size=path.shape) / 100
    gradient = arraysig.sig_backprop(path, None, derivs, degree, **flags)
    moved = [arraysig.sig(path + direction * h, degree, **flags) for h in (1e-3, -1e-3)]
    change = np.sum((moved[0] - moved[1]) * derivs) / 2e-3
    assert np.sum(gradient * direction) == pytest.approx(change, rel=1e-6)


@pytest.mark.parametrize("length", [17, 49, 100, 514, 1000])
@pytest.mark.parametrize(("drift", "bar"), [(0, 1e-6), (2, 5e-7)])
@pytest.mark.parametrize("size", [(8, 3), (6, 4), (5, 5)])
def test_words_that_follow_are_as_exact_as_others(
    size: tuple[int, int], drift: float, bar: float, length: int, rng: np.random.Generator
) -> None:
    dimension, degree = size
    steps = rng.normal(size=(32, length, dimension)) / np.sqrt(length) / (10 if drift else 1)
    steps += drift * rng.normal(size=(32, 1, dimension)) / length
    path = np.cumsum(steps, axis=1).astype("float32")
    got, exact = (arraysig.sig(x, degree) for x in (path, path.astype(float)))
    assert max(relative_errors(got, exact, dimension, degree)) < bar


@pytest.mark.parametrize(("dimension", "degree"), [(4, 3), (3, 4), (3, 5)])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_in_its_words(
    dimension: int, degree: int, bad: float, rng: np.random.Generator
) -> None:
    path = np.cumsum(rng.normal(size=(20, 70, dimension)), axis=1) / 8
    clean = arraysig.sig(path, degree)
    path[3, 40, 1] = bad
    got = arraysig.sig(path, degree)
    with_it = np.array([1 in word for word in arraysig.words(dimension, degree)[1:]])
    np.testing.assert_array_equal(np.delete(got, 3, axis=0), np.delete(clean, 3, axis=0))
    np.testing.assert_array_equal(got[3, ~with_it], clean[3, ~with_it])
    assert not np.isfinite(got[3, with_it]).any()


def test_threads_that_need_a_table_at_once() -> None:
    path = np.cumsum(np.random.default_rng(3).normal(size=(40, 60, 11)), axis=1)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: arraysig.sig(path, 4), range(8)))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


@pytest.mark.parametrize("dimension", [*range(1, 10), 12, 15, 16, 17, 20, 31, 33, 48])
@pytest.mark.parametrize("flags", [*FLAGS, {"time_aug": True, "lead_lag": True}], ids=str)
def test_degree_two_of_every_width(
    dimension: int, flags: dict[str, bool], rng: np.random.Generator
) -> None:
    for length in (2, 3, 10, 70):
        path = rng.normal(size=(3, length, dimension)) + 100
        got = arraysig.sig(path, 2, end_time=3.0, scalar_term=True, **flags)
        options = {"ranks": (2,), "degree": 2, "end_time": 3.0, "scalar_term": True, **flags}
        expected = reference.batched(reference.signature, path, **options)
        assert np.linalg.norm(got - expected) <= 1e-12 * np.linalg.norm(expected)
        if length == 70 and dimension > 8:
            continue  # the reference takes long
        derivs = rng.normal(size=got.shape)
        gradient = arraysig.sig_backprop(path, None, derivs, 2, end_time=3.0, **flags)
        options["ranks"] = (2, 1)
        wanted = reference.batched(reference.signature_gradient, path, derivs, **options)
        assert np.linalg.norm(gradient - wanted) <= 1e-12 * np.linalg.norm(wanted)


@pytest.mark.parametrize("dimension", [2, 5, 16, 33])
@pytest.mark.parametrize("flags", [{}, {"time_aug": True, "lead_lag": True}], ids=str)
def test_degree_two_in_parts(
    dimension: int, flags: dict[str, bool], rng: np.random.Generator
) -> None:
    path = np.cumsum(rng.normal(size=(2, 20_000, dimension)), axis=1) / 100
    whole = arraysig.sig(path, 2, n_jobs=1, **flags)
    expected = arraysig.sig(arraysig.transform_path(path, **flags), 2)
    for got in (whole, arraysig.sig(path, 2, n_jobs=2, **flags)):
        assert np.linalg.norm(got - expected) <= 1e-13 * np.linalg.norm(expected)
    derivs = rng.normal(size=whole.shape)
    gradient = arraysig.sig_backprop(path, None, derivs, 2, n_jobs=1, **flags)
    through = arraysig.sig_backprop(arraysig.transform_path(path, **flags), None, derivs, 2)
    wanted = arraysig.transform_path_backprop(through, **flags)
    for got in (gradient, arraysig.sig_backprop(path, None, derivs, 2, n_jobs=2, **flags)):
        assert np.linalg.norm(got - wanted) <= 1e-12 * np.linalg.norm(wanted)
    direction = rng.normal(size=path.shape)  # and a derivative of the signature, which is quadratic
    change = arraysig.sig(path + direction, 2, **flags) - arraysig.sig(path - direction, 2, **flags)
    assert np.sum(change * derivs) / 2 == pytest.approx(np.sum(gradient * direction), rel=1e-9)


def test_degree_two_keeps_nan_near(rng: np.random.Generator) -> None:
    for dimension in (3, 16):
        path = rng.normal(size=(2, 50, dimension))
        derivs = rng.normal(size=(2, dimension + dimension**2))
        clean = arraysig.sig_backprop(path, None, derivs, 2)
        path[1, 20, 1] = np.nan
        sig = arraysig.sig(path, 2)
        assert np.isfinite(sig[0]).all()
        assert np.isnan(sig[1, 1])
        assert np.isfinite(sig[1, [0, 2]]).all()
        assert np.isnan(sig[1, dimension:].reshape(dimension, dimension)[1]).all()
        gradient = arraysig.sig_backprop(path, None, derivs, 2)
        np.testing.assert_array_equal(gradient[0], clean[0])
        assert np.isnan(gradient[1, [19, 21]]).any(axis=1).all()
        np.testing.assert_array_equal(gradient[1, :15], clean[1, :15])


def test_flags_equal_the_explicit_transform(xp: Backend, rng: np.random.Generator) -> None:
    path = xp.array(rng.normal(size=(3, 9, 2)))
    for flags in ({"time_aug": True}, {"lead_lag": True}, {"time_aug": True, "lead_lag": True}):
        direct = arraysig.sig(path, 3, end_time=2.0, **flags)
        through = arraysig.sig(arraysig.transform_path(path, end_time=2.0, **flags), 3)
        np.testing.assert_allclose(xp.numpy(direct), xp.numpy(through), rtol=0, atol=1e-12)


def test_only_increments_matter(xp: Backend, rng: np.random.Generator) -> None:
    path = rng.integers(-4, 5, size=(6, 3)).astype(float)
    np.testing.assert_array_equal(
        xp.numpy(arraysig.sig(xp.array(path + 1024.0), 3)),
        xp.numpy(arraysig.sig(xp.array(path), 3)),
    )


def test_collinear_points_change_nothing(xp: Backend, rng: np.random.Generator) -> None:
    path = rng.normal(size=(5, 2))
    finer = np.repeat(path, 2, axis=0)[:-1]
    finer[1::2] = (path[1:] + path[:-1]) / 2
    np.testing.assert_allclose(
        xp.numpy(arraysig.sig(xp.array(finer), 4)),
        xp.numpy(arraysig.sig(xp.array(path), 4)),
        rtol=0,
        atol=1e-12,
    )


def test_one_point_has_the_trivial_signature(xp: Backend) -> None:
    point = xp.array(np.ones((2, 1, 3)))
    for flags in ({}, {"time_aug": True}, {"lead_lag": True}):
        assert not xp.numpy(arraysig.sig(point, 2, **flags)).any()
        out = xp.numpy(arraysig.sig(point, 2, scalar_term=True, **flags))
        assert (out[:, 0] == 1).all()
        assert not out[:, 1:].any()
    assert (xp.numpy(arraysig.transform_path(point, time_aug=True))[..., -1] == 0).all()


def test_the_given_signature_does_not_matter(xp: Backend, rng: np.random.Generator) -> None:
    path, derivs = xp.array(rng.normal(size=(5, 2))), xp.array(rng.normal(size=6))
    expected = xp.numpy(arraysig.sig_backprop(path, None, derivs, 2))
    for given in (np.zeros(6), np.full(6, np.nan)):
        got = arraysig.sig_backprop(path, xp.array(given), derivs, 2)
        np.testing.assert_array_equal(xp.numpy(got), expected)


def test_the_scalar_term_has_no_gradient(xp: Backend, rng: np.random.Generator) -> None:
    path, derivs = xp.array(rng.normal(size=(5, 2))), rng.normal(size=7)
    expected = xp.numpy(arraysig.sig_backprop(path, None, xp.array(derivs[1:]), 2))
    derivs[0] = np.nan
    got = arraysig.sig_backprop(path, None, xp.array(derivs), 2)
    np.testing.assert_array_equal(xp.numpy(got), expected)
