"""The tensor algebra on sizes for which kernels take other ways than on small ones."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import arraysig

from . import reference
from .backends import Backend

#: Channels and degree: vectors that words of one length fill and do not, more words than are made
#: together, more channels than that, and tensors that do not fit the cache together.
SIZES = [(4, 4), (5, 3), (6, 3), (3, 7), (2, 10), (17, 2), (9, 4)]
CASES = [*itertools.product(SIZES, (1, 37)), ((1100, 2), 2)]


def levels(tensor: np.ndarray, dimension: int, degree: int) -> list[np.ndarray]:
    """Levels 0 to `degree` of a tensor without scalar term."""
    bounds = np.cumsum([0, *(dimension**k for k in range(1, degree + 1))])
    return [np.ones(1), *(tensor[a:b] for a, b in itertools.pairwise(bounds))]


def definitions(
    d: int, degree: int
) -> dict[str, tuple[Callable[..., Any], Callable[..., np.ndarray]]]:
    """Functions of two tensors and a displacement, and what they are."""

    def product(a: np.ndarray, b: list[np.ndarray] | np.ndarray) -> np.ndarray:
        split = b if isinstance(b, list) else levels(b, d, degree)
        return np.concatenate(reference.product(levels(a, d, degree), split)[1:])

    def before(v: np.ndarray, a: np.ndarray) -> np.ndarray:
        segment = reference.exponential(v, degree)
        return np.concatenate(reference.product(segment, levels(a, d, degree))[1:])

    return {
        "combine": (
            lambda a, b, v: arraysig.sig_combine(a, b, d, degree),
            lambda a, b, v: product(a, b),
        ),
        "join": (
            lambda a, b, v: arraysig.sig_join(a, v, d, degree),
            lambda a, b, v: product(a, reference.exponential(v, degree)),
        ),
        "join, prepend": (
            lambda a, b, v: arraysig.sig_join(a, v, d, degree, prepend=True),
            lambda a, b, v: before(v, a),
        ),
        "inverse": (
            lambda a, b, v: arraysig.sig_combine(
                a, arraysig.sig_combine(arraysig.sig_inverse(a, d, degree), b, d, degree), d, degree
            ),
            lambda a, b, v: b,
        ),
    }


@pytest.mark.parametrize(("size", "batch"), CASES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_tensors(
    size: tuple[int, int], dtype: str, batch: int, rng: np.random.Generator
) -> None:
    d, degree = size
    scale = d**-0.5  # so that levels of products do not grow
    count = arraysig.sig_length(d, degree)
    a, b = (scale * rng.normal(size=(batch, count)).astype(dtype) for _ in range(2))
    v = scale * rng.normal(size=(batch, d)).astype(dtype)
    for name, (function, definition) in definitions(d, degree).items():
        got = function(a, b, v)
        for i in {0, batch - 1, batch // 2}:
            expected = definition(*(x[i].astype("float64") for x in (a, b, v)))
            bound = 200 * np.finfo(dtype).eps * max(1.0, np.abs(expected).max())
            np.testing.assert_allclose(got[i], expected, rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize(("size", "batch"), CASES, ids=str)
@pytest.mark.parametrize("prepend", [False, True])
def test_gradients_of_large_tensors(
    size: tuple[int, int], batch: int, prepend: bool, rng: np.random.Generator
) -> None:
    d, degree = size
    count = arraysig.sig_length(d, degree)
    a, b, g, da, db = (d**-0.5 * rng.normal(size=(batch, count)) for _ in range(5))
    v, dv = (d**-0.5 * rng.normal(size=(batch, d)) for _ in range(2))
    for function, gradients, arrays, directions in (
        (
            lambda a, b: arraysig.sig_combine(a, b, d, degree),
            arraysig.sig_combine_backprop(g, a, b, d, degree),
            (a, b),
            (da, db),
        ),
        (
            lambda a, v: arraysig.sig_join(a, v, d, degree, prepend=prepend),
            arraysig.sig_join_backprop(g, a, v, d, degree, prepend=prepend),
            (a, v),
            (da, dv),
        ),
    ):

        def along(h: float, f: Any = function, x: Any = arrays, dx: Any = directions) -> np.ndarray:
            moved = f(*(y + h * dy for y, dy in zip(x, dx, strict=True)))
            return np.sum(g * moved, axis=1)

        step = 1e-3  # polynomials: the fourth-order difference is nearly exact
        slope = (8 * (along(step) - along(-step)) - along(2 * step) + along(-2 * step)) / (
            12 * step
        )
        terms = [np.sum(x * dx, axis=1) for x, dx in zip(gradients, directions, strict=True)]
        np.testing.assert_allclose(sum(terms), slope, rtol=1e-7, atol=1e-7 * np.abs(slope).max())


# More levels than tables of powers have, one row at a time and in lanes.
@pytest.mark.parametrize("batch", [1, 5, 40])
def test_one_channel_of_a_high_degree(batch: int, rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(2, batch, 1)) / 10
    sigs = [arraysig.linear_sig(a, 1, 100) for a in (x, y, x + y)]
    np.testing.assert_allclose(arraysig.sig_combine(*sigs[:2], 1, 100), sigs[2], atol=1e-14)
    np.testing.assert_allclose(arraysig.sig_join(sigs[0], y, 1, 100), sigs[2], atol=1e-14)
    logarithm = arraysig.sig_to_log_sig(sigs[0], 1, 100, method=0)
    np.testing.assert_allclose(logarithm, np.pad(x, ((0, 0), (0, 99))), atol=1e-13)
    np.testing.assert_allclose(
        arraysig.logsig_to_sig(logarithm, 1, 100, method=0), sigs[0], atol=1e-13
    )


@pytest.mark.parametrize("dimension", [1, 4])
def test_degree_0(dimension: int, xp: Backend) -> None:
    empty, v = xp.array(np.zeros((2, 0))), xp.array(np.ones((2, dimension)))
    assert arraysig.sig_join(empty, v, dimension, 0).shape == (2, 0)
    d_sig, d_v = arraysig.sig_join_backprop(empty, empty, v, dimension, 0)
    assert d_sig.shape == (2, 0)
    np.testing.assert_array_equal(xp.numpy(d_v), np.zeros((2, dimension)))
    joined = arraysig.sig_join(xp.array(np.full((2, 1), 7.0)), v, dimension, 0)
    np.testing.assert_array_equal(xp.numpy(joined), np.ones((2, 1)))


@pytest.mark.parametrize(
    ("dimension", "degree", "time_aug"), [(2, 4, True), (3, 3, False), (4, 3, True)]
)
def test_large_trees_of_words(
    dimension: int, degree: int, time_aug: bool, rng: np.random.Generator
) -> None:
    # numbers of words for which chunks would have an odd number of steps are among them
    path = rng.normal(size=(3, 46, dimension)).cumsum(axis=1) / 5
    flags: dict[str, Any] = {"time_aug": time_aug, "lead_lag": True}
    words = arraysig.words(2 * dimension + time_aug, degree)[1:]
    whole = arraysig.sig(path, degree, **flags)
    tolerance: dict[str, float] = {"rtol": 0, "atol": 1e-12 * np.abs(whole).max()}
    np.testing.assert_allclose(arraysig.sig_coef(path, words, **flags), whole, **tolerance)
    stream = arraysig.sig(path, degree, stream=True, **flags)
    for i in (0, 20, 44):  # time runs to 1 at the end of the whole path
        prefix = arraysig.sig(path[:, : i + 2], degree, end_time=(i + 1) / 45, **flags)
        np.testing.assert_allclose(stream[:, i], prefix, **tolerance)
    derivs = rng.normal(size=whole.shape)
    expected = arraysig.sig_backprop(path, None, derivs, degree, **flags)
    tolerance["atol"] = 1e-12 * np.abs(expected).max()
    got = arraysig.sig_coef_backprop(path, words, None, derivs, **flags)
    np.testing.assert_allclose(got, expected, **tolerance)
    rows = np.zeros((3, 45, derivs.shape[-1]))
    rows[:, -1] = derivs
    got = arraysig.sig_backprop(path, None, rows, degree, stream=True, **flags)
    np.testing.assert_allclose(got, expected, **tolerance)


@pytest.mark.parametrize("letters", [33, 150])
def test_large_words(letters: int, rng: np.random.Generator) -> None:
    path = rng.uniform(0.5, 1.5, size=(2, 30, 1)).cumsum(axis=1)  # monotone: nothing cancels
    word = (0,) * letters
    moved = path[:, -1] - path[:, 0]
    expected = np.prod(moved[:, :, None] / np.arange(1, letters + 1), axis=-1)
    np.testing.assert_allclose(arraysig.sig_coef(path, word), expected, rtol=1e-12)
    derivs = np.ones((2, 1))
    gradient = arraysig.sig_coef_backprop(path, word, None, derivs)
    slope = expected * letters / moved  # of the last point, and of the first one
    np.testing.assert_allclose(gradient[:, [0, -1], 0], slope * [[-1, 1]], rtol=1e-10)
    np.testing.assert_allclose(gradient[:, 1:-1], 0, atol=1e-10 * np.abs(slope).max())
