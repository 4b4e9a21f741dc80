"""Identities that signatures satisfy, on shapes and values drawn by hypothesis."""

from __future__ import annotations

import itertools
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

import arraysig

#: Paths with coordinates of order 1: products of a few levels stay exact enough to compare.
coordinates = st.floats(-2, 2, allow_subnormal=False, width=32)


@st.composite
def problems(draw: Any, least: int = 2) -> tuple[np.ndarray, int]:
    """Paths (batch, length, dimension), and a degree that keeps signatures small."""
    dimension = draw(st.integers(1, 4))
    degree = draw(st.integers(0, {1: 6, 2: 5, 3: 4, 4: 3}[dimension]))
    shape = (draw(st.integers(1, 3)), draw(st.integers(least, 12)), dimension)
    return draw(arrays("float64", shape, elements=coordinates)), degree


def close(a: np.ndarray, b: np.ndarray) -> None:
    """Equal but for rounding, on the scale of the larger."""
    scale = max(1.0, np.abs(a).max(initial=0), np.abs(b).max(initial=0))
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * scale)


@given(problems(least=3), st.data())
def test_chen(problem: Any, data: Any) -> None:
    path, degree = problem
    d, cut = path.shape[-1], data.draw(st.integers(1, path.shape[1] - 1))
    parts = arraysig.sig(path[:, :cut], degree), arraysig.sig(path[:, cut - 1 :], degree)
    whole = arraysig.sig(path, degree)
    close(arraysig.sig_combine(*parts, d, degree), whole)
    step = path[:, 1] - path[:, 0]
    rest = arraysig.sig(path[:, 1:], degree)
    close(arraysig.sig_join(rest, step, d, degree, prepend=True), whole)
    close(arraysig.sig(path, degree, stream=True)[:, -1], whole)


@given(problems())
def test_a_path_run_backwards_has_the_inverse(problem: Any) -> None:
    path, degree = problem
    d = path.shape[-1]
    forth, back = arraysig.sig(path, degree), arraysig.sig(path[:, ::-1], degree)
    close(arraysig.sig_inverse(forth, d, degree), back)
    close(arraysig.sig_combine(forth, back, d, degree), np.zeros_like(forth))


def shuffles(u: tuple[int, ...], v: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All interleavings of two words, with repetitions."""
    found = []
    for places in itertools.combinations(range(len(u) + len(v)), len(u)):
        letters = iter(u), iter(v)
        found.append(tuple(next(letters[i not in places]) for i in range(len(u) + len(v))))
    return found


@given(problems(), st.data())
def test_products_are_sums_over_shuffles(problem: Any, data: Any) -> None:
    path, _ = problem
    letter = st.integers(0, path.shape[-1] - 1)
    u, v = (tuple(data.draw(st.lists(letter, max_size=3))) for _ in range(2))
    both = shuffles(u, v)
    coefficients = arraysig.sig_coef(path, [u, v, *both])
    close(coefficients[:, 0] * coefficients[:, 1], coefficients[:, 2:].sum(axis=1))


@given(problems(), st.data())
def test_points_on_the_way_change_nothing(problem: Any, data: Any) -> None:
    path, degree = problem
    at = data.draw(st.integers(0, path.shape[1] - 2))
    share = data.draw(st.floats(0, 1))
    point = path[:, at : at + 1] + share * (path[:, at + 1 : at + 2] - path[:, at : at + 1])
    finer = np.concatenate([path[:, : at + 1], point, path[:, at + 1 :]], axis=1)
    close(arraysig.sig(finer, degree), arraysig.sig(path, degree))
    close(arraysig.sig(np.repeat(path, 2, axis=1), degree), arraysig.sig(path, degree))


@given(problems(), st.floats(-2, 2, allow_subnormal=False))
def test_levels_scale_by_powers(problem: Any, factor: float) -> None:
    path, degree = problem
    d = path.shape[-1]
    powers = [factor**k for k in range(1, degree + 1) for _ in range(d**k)]
    close(arraysig.sig(factor * path, degree), arraysig.sig(path, degree) * np.array(powers))


@given(problems())
def test_straight_paths_give_exponentials(problem: Any) -> None:
    path, degree = problem
    d, end = path.shape[-1], path[:, -1]
    times = np.linspace(0, 1, path.shape[1])[:, None]
    straight = arraysig.sig(times * end[:, None], degree)
    close(straight, arraysig.linear_sig(end, d, degree))
    level, levels = np.ones((len(end), 1)), []
    for k in range(1, degree + 1):
        level = (level[:, :, None] * end[:, None] / k).reshape(len(end), -1)
        levels.append(level)
    close(straight, np.concatenate([np.zeros((len(end), 0)), *levels], axis=1))


@given(problems())
def test_channels_that_repeat_and_rotations(problem: Any) -> None:
    path, _ = problem
    d = path.shape[-1]
    matrix = np.linalg.qr(np.random.default_rng(d).normal(size=(d, d)))[0]
    level2 = arraysig.sig(path, 2)[:, d:].reshape(-1, d, d)
    turned = arraysig.sig(path @ matrix, 2)[:, d:].reshape(-1, d, d)
    close(turned, matrix.T @ level2 @ matrix)
    close(
        arraysig.sig(np.tile(path, 2), 2)[:, 2 * d :].reshape(-1, 2 * d, 2 * d)[:, d:, :d], level2
    )


@given(problems(), st.data())
def test_zero_is_no_correction(problem: Any, data: Any) -> None:
    path, degree = problem
    d, degree = path.shape[-1], degree + 2
    path = path[..., :2]
    levels = data.draw(st.integers(2, degree))
    zero = np.zeros(
        (*path.shape[:-2], path.shape[-2] - 1, sum(min(d, 2) ** k for k in range(2, levels + 1)))
    )
    plain = arraysig.sig(path, degree)
    for correction in (zero, zero[0], zero[0, 0], zero[:0]):
        close(arraysig.sig(path, degree, correction=correction), plain)


def hermite(x: np.ndarray, variance: np.ndarray, degree: int) -> list[np.ndarray]:
    """Iterated Ito integrals of a martingale x against itself: H_k(x, <x>) / k!."""
    levels = [np.ones_like(x), x]
    for k in range(2, degree + 1):
        levels.append((x * levels[-1] - variance * levels[-2]) / k)
    return levels[1:]


@given(problems())
def test_ito_lift_of_one_channel_is_made_of_hermite_polynomials(problem: Any) -> None:
    path, _ = problem
    path, degree = path[..., :1], 5
    squares = np.diff(path, axis=-2) ** 2  # any variance of the steps will do
    ito = arraysig.sig(path, degree, correction=-squares / 2)
    expected = hermite(path[:, -1, 0] - path[:, 0, 0], squares.sum(axis=(-2, -1)), degree)
    close(ito, np.stack(expected, axis=-1))


@given(problems(least=3))
def test_ito_lift_to_degree_2_is_a_sum_over_left_points(problem: Any) -> None:
    path, _ = problem
    d, steps = path.shape[-1], np.diff(path, axis=-2)
    squares = steps[..., :, None] * steps[..., None, :]
    ito = arraysig.sig(path, 2, correction=-squares.reshape(*squares.shape[:-2], -1) / 2)
    left = path[:, :-1] - path[:, :1]
    close(ito[:, d:], np.einsum("bti,btj->bij", left, steps).reshape(len(path), -1))


@given(problems())
def test_logarithms_of_steps_give_iterated_sums(problem: Any) -> None:
    path, _ = problem
    degree = 4 if path.shape[-1] < 3 else 3
    steps = np.diff(path, axis=-2)
    power, rows = steps, []
    for k in range(2, degree + 1):
        power = (power[..., :, None] * steps[..., None, :]).reshape(*steps.shape[:-1], -1)
        rows.append(power * (-1) ** (k + 1) / k)  # log(1 + z)
    got = arraysig.sig(path, degree, correction=np.concatenate(rows, axis=-1))
    sums = [np.full((len(path), path.shape[-1] ** k), float(k == 0)) for k in range(degree + 1)]
    for t in range(steps.shape[1]):
        for k in range(degree, 0, -1):
            term = sums[k - 1][:, :, None] * steps[:, t, None, :]
            sums[k] = sums[k] + term.reshape(sums[k].shape)
    close(got, np.concatenate(sums[1:], axis=-1))


@given(problems(), st.floats(-1, 1, allow_subnormal=False))
def test_corrections_of_segments_in_a_row_add_up(problem: Any, value: float) -> None:
    path, _ = problem
    d, count = path.shape[-1], path.shape[-2] - 1
    straight = path[:, :1] + np.linspace(0, 1, count + 1)[:, None] * (path[:, -1:] - path[:, :1])
    row = np.linspace(value, 1, d * d + d**3)
    ends = straight[:, [0, -1]]  # increments and corrections of all segments commute
    close(
        arraysig.sig(straight, 4, time_aug=True, correction=row / count),
        arraysig.sig(ends, 4, time_aug=True, correction=row),
    )


@pytest.mark.parametrize("dimension", [1, 2])
def test_expected_signature_of_brownian_motion(dimension: int, rng: np.random.Generator) -> None:
    count, steps, degree = 20_000, 100, 4
    increments = rng.normal(scale=steps**-0.5, size=(count, steps + 1, dimension))
    signatures = arraysig.sig(increments.cumsum(axis=1), degree)
    expected = np.zeros(signatures.shape[1])
    for i, j in itertools.product(range(dimension), repeat=2):
        expected[arraysig.word_to_idx((i, i), dimension)] = 1 / 2
        expected[arraysig.word_to_idx((i, i, j, j), dimension)] = 1 / 8
    error = signatures.std(axis=0) / count**0.5
    # sums of squares of steps vary, which adds terms of the order of a step at even levels
    assert np.all(np.abs(signatures.mean(axis=0) - expected) < 5 * error + 2 / steps)
    # Ito integrals have expectation 0
    correction = -np.eye(dimension).ravel() / (2 * steps)
    ito = arraysig.sig(increments.cumsum(axis=1), degree, correction=correction)
    error = ito.std(axis=0) / count**0.5
    assert np.all(np.abs(ito.mean(axis=0)) < 5 * error + 2 / steps)
    assert np.abs(ito.mean(axis=0)).max() < np.abs(signatures.mean(axis=0)).max() / 4
