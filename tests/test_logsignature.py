"""Log-signatures: their bases, identities, and what the battery has no row for."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import arraysig
from arraysig._core import dispatch, lie
from arraysig._ops import lie as ops

from . import reference
from .backends import Backend
from .emulator.device import EmulatedDevice


def expanded(text: str) -> dict[str, int]:
    """The polynomial of words that a bracket of letters stands for."""
    if not text.startswith("["):
        return {text: 1}
    depths = itertools.accumulate({"[": 1, "]": -1}.get(c, 0) for c in text)
    comma = next(i for i, d in enumerate(depths) if text[i] == "," and d == 1)
    left, right = expanded(text[1:comma]), expanded(text[comma + 1 : -1])
    result: dict[str, int] = {}
    for (u, a), (v, b) in itertools.product(left.items(), right.items()):
        result[u + v] = result.get(u + v, 0) + a * b
        result[v + u] = result.get(v + u, 0) - a * b
    return {word: number for word, number in result.items() if number}


def moebius(n: int) -> int:
    """Moebius function by its definition."""
    primes = [p for p in range(2, n + 1) if n % p == 0 and all(p % q for q in range(2, p))]
    return 0 if any(n % p**2 == 0 for p in primes) else (-1) ** len(primes)


@pytest.mark.parametrize(("dimension", "degree"), [(1, 1), (1, 6), (2, 1), (2, 9), (3, 6), (7, 3)])
def test_lengths(dimension: int, degree: int) -> None:
    counted = arraysig.log_sig_length(dimension, degree)
    assert counted == len(arraysig.lyndon_words(dimension, degree))
    formula = [
        sum(moebius(n // m) * dimension**m for m in range(1, n + 1) if n % m == 0) / n
        for n in range(1, degree + 1)
    ]
    assert counted == sum(formula)


def test_lengths_of_augmented_paths() -> None:
    assert arraysig.log_sig_length(5, 7) == 14569
    assert arraysig.log_sig_length(2, 3, time_aug=True) == arraysig.log_sig_length(3, 3)
    assert arraysig.log_sig_length(2, 3, time_aug=True, lead_lag=True) == 5 + 10 + 40
    assert arraysig.log_sig_length(4, 0) == 0
    assert arraysig.log_sig_length(2, 40) > 10**10
    with pytest.raises(ValueError, match="^log_sig_length: `degree` is too large"):
        arraysig.log_sig_length(2, 64)


@pytest.mark.parametrize(("dimension", "degree"), [(1, 3), (2, 7), (3, 5), (4, 4)])
def test_brackets_are_a_basis(dimension: int, degree: int) -> None:
    texts = arraysig.log_sig_basis(dimension, degree, method=2)
    assert texts == arraysig.log_sig_basis(dimension, degree, method=3)
    words = ["".join(map(str, w)) for w in arraysig.lyndon_words(dimension, degree)]
    assert len(texts) == len(words) == arraysig.log_sig_length(dimension, degree)
    for text, word in zip(texts, words, strict=True):
        assert re.sub(r"[\[\],]", "", text) == word
        polynomial = expanded(text)
        # Unit triangular: the word itself once, and else only greater words.
        assert polynomial[word] == 1
        assert min(polynomial) == word
        assert sum(map(abs, polynomial.values())) <= 2 ** (len(word) - 1)


def test_names() -> None:
    assert arraysig.log_sig_basis(3, 3, method=2)[6:] == [
        *("[0,[0,1]]", "[0,[0,2]]", "[[0,1],1]", "[0,[1,2]]", "[[0,2],1]", "[[0,2],2]"),
        *("[1,[1,2]]", "[[1,2],2]"),
    ]
    assert arraysig.log_sig_basis(2, 2, method=0) == [
        *("(0)", "(1)", "(0,0)", "(0,1)", "(1,0)", "(1,1)")
    ]
    assert arraysig.log_sig_basis(2, 0) == []
    named = arraysig.log_sig_basis(1, 2, lead_lag=True, time_aug=True, names=("lag", "lead", "t"))
    assert named == ["(lag)", "(lead)", "(t)", "(lag,lead)", "(lag,t)", "(lead,t)"]
    assert len(arraysig.log_sig_basis(3, 5, method=0)) == math.fsum(3**k for k in range(1, 6))


@pytest.mark.parametrize(
    ("names", "error"),
    [("xy", TypeError), (2, TypeError), ([0, 1], TypeError), (["x"], ValueError)],
)
def test_bad_names(names: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="^log_sig_basis: `names` must be "):
        arraysig.log_sig_basis(2, 2, names=names)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "error"), [(4, ValueError), (-1, ValueError), ("1", TypeError), (True, TypeError)]
)
def test_bad_methods(method: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="^log_sig_basis: `method` must be "):
        arraysig.log_sig_basis(2, 2, method=method)  # type: ignore[arg-type]


def dense(key: lie.Key) -> np.ndarray:
    """A table as a matrix."""
    rows, columns, table = lie.matrix(key)
    starts, entries = table.array[: rows + 1], table.array[rows + 1 :].reshape(2, -1)
    matrix = np.zeros((rows, columns), dtype=np.int64)
    for row, (start, end) in enumerate(itertools.pairwise(starts)):
        matrix[row, entries[0, start:end]] = entries[1, start:end]
    return matrix


@pytest.mark.parametrize(("channels", "degree"), [(1, 4), (2, 7), (3, 5), (5, 3)])
def test_tables(channels: int, degree: int) -> None:
    coefficients, coordinates, solve, expand = (
        dense(lie.key(kind, channels, degree)) for kind in range(4)
    )
    count = arraysig.log_sig_length(channels, degree)
    np.testing.assert_array_equal(coordinates @ expand, np.eye(count))
    np.testing.assert_array_equal(solve @ coefficients, coordinates)
    basis = reference.lyndon_basis(channels, degree)
    np.testing.assert_array_equal(coefficients.argmax(1), [place for place, _ in basis])
    np.testing.assert_array_equal(expand.T, [bracket for _, bracket in basis])
    transposed = dense(lie.transposed(lie.key(lie.EXPAND, channels, degree)))
    np.testing.assert_array_equal(transposed, expand.T)


def test_a_large_basis_is_made_soon() -> None:
    import time
    import tracemalloc

    start = time.perf_counter()
    lie.matrix(lie.key(lie.COORDINATES, 5, 7))
    assert time.perf_counter() - start < 10  # 2 where nothing else runs
    lie._matrix.cache_clear()
    lie._brackets.cache_clear()
    tracemalloc.start()
    lie.matrix(lie.key(lie.COORDINATES, 4, 7))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6


def test_coefficients_need_no_brackets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lie, "_brackets", None)  # those of words of 16 letters have 2**15 terms
    lie.matrix(lie.key(lie.COEFFICIENTS, 2, 16))
    with pytest.raises(TypeError):
        lie.matrix(lie.key(lie.COORDINATES, 2, 16))


def test_golden_values(xp: Backend) -> None:
    path = xp.array(np.array([[0.0, 0, 0], [1, 2, 3], [0, 1, -1], [2, 0, 1]]))
    at = arraysig.log_sig_basis(3, 3).index("(0,2,1)")
    expected = {1: -4 / 3, 2: -5 / 12, 3: -5 / 12}
    for method, value in expected.items():
        got = xp.numpy(arraysig.log_sig(path, 3, method=method))
        assert got[at] == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize("method", [0, 1, 2])
def test_logarithm_and_exponential_are_inverse(
    xp: Backend, method: int, rng: np.random.Generator
) -> None:
    size, options = (3, 4), {"method": method}
    path = xp.array(rng.normal(size=(5, 6, 3)) / 2)
    sig = arraysig.sig(path, 4)
    log = arraysig.sig_to_log_sig(sig, *size, **options)
    back = arraysig.logsig_to_sig(log, *size, **options)
    np.testing.assert_allclose(xp.numpy(back), xp.numpy(sig), atol=1e-12)
    numbers = xp.array(rng.normal(size=xp.numpy(log).shape))
    tensor = arraysig.logsig_to_sig(numbers, *size, **options)
    again = arraysig.sig_to_log_sig(tensor, *size, **options)
    np.testing.assert_allclose(xp.numpy(again), xp.numpy(numbers), atol=1e-11)


def test_logarithms_of_signatures_are_lie_elements(rng: np.random.Generator) -> None:
    path = rng.normal(size=(4, 7, 3))
    tensor = arraysig.log_sig(path, 4, method=0)
    for method in (1, 2):
        numbers = arraysig.log_sig(path, 4, method=method)
        rebuilt = [reference.to_tensor(row, 3, 4, method) for row in numbers]
        np.testing.assert_allclose(tensor, rebuilt, atol=1e-12 * np.abs(tensor).max())


# Degrees around the highest that is filled from Lyndon words, and paths long enough for that.
@pytest.mark.parametrize(
    "size", [(2, 2), (6, 2), (2, 3), (17, 3), (5, 4), (4, 5), (2, 6), (3, 6), (2, 7), (3, 7)]
)
def test_words_of_log_signatures(size: tuple[int, int], rng: np.random.Generator) -> None:
    path = np.cumsum(rng.normal(size=(20, 60, size[0])), axis=1) / 7
    got = arraysig.log_sig(path, size[1], method=1)
    for row in (0, 19):
        logarithm = reference.logarithm(reference.signature(path[row], size[1]), *size)
        expected = reference.from_tensor(logarithm, *size, 1)
        np.testing.assert_allclose(got[row], expected, atol=1e-12 * np.abs(expected).max())
    derivs, direction = rng.normal(size=got.shape), rng.normal(size=path.shape)
    gradient = arraysig.log_sig_backprop(path, derivs, size[1], method=1)
    moved = [arraysig.log_sig(path + direction * h, size[1], method=1) for h in (1e-5, -1e-5)]
    change = np.sum((moved[0] - moved[1]) * derivs) / 2e-5
    assert np.sum(gradient * direction) == pytest.approx(change, rel=1e-6)


def test_exact_arithmetic(xp: Backend) -> None:
    points = [[0, 0], [1, -2], [3, 1], [2, 2]]
    exact = np.array([[Fraction(x, 4) for x in point] for point in points])
    sig = reference.signature(exact, 5)
    powers = reference.power_series(sig, 2, 5, lambda k: Fraction((-1) ** (k + 1), k))
    path = xp.array(np.array(points) / 4)
    for method in (0, 1, 2):
        expected = reference.from_tensor(powers, 2, 5, method).astype(float)
        got = xp.numpy(arraysig.log_sig(path, 5, method=method))
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-15)


def test_baker_campbell_hausdorff() -> None:
    terms = {
        "[0,1]": Fraction(1, 2),
        "[0,[0,1]]": Fraction(1, 12),
        "[1,[1,0]]": Fraction(1, 12),
        "[1,[0,[0,1]]]": Fraction(-1, 24),
        "[1,[1,[1,[1,0]]]]": Fraction(-1, 720),
        "[0,[0,[0,[0,1]]]]": Fraction(-1, 720),
        "[0,[1,[1,[1,0]]]]": Fraction(1, 360),
        "[1,[0,[0,[0,1]]]]": Fraction(1, 360),
        "[1,[0,[1,[0,1]]]]": Fraction(1, 120),
        "[0,[1,[0,[1,0]]]]": Fraction(1, 120),
    }
    expected: dict[str, Fraction] = {"0": Fraction(1), "1": Fraction(1)}
    for text, factor in terms.items():
        for word, number in expanded(text).items():
            expected[word] = expected.get(word, Fraction()) + factor * number
    one, two = (arraysig.linear_log_sig(np.eye(2)[i], 2, 5, method=2) for i in (0, 1))
    product = arraysig.log_sig_combine(one, two, 2, 5)
    tensor = reference.to_tensor(product, 2, 5, 2)
    for word, number in zip(arraysig.words(2, 5)[1:], tensor, strict=True):
        text = "".join(map(str, word))
        assert number == pytest.approx(float(expected.get(text, 0)), abs=1e-15), text


# In batches of one, where rows go one at a time, and of many, where they go together.
@pytest.mark.parametrize("batch", [1, 19])
@pytest.mark.parametrize("size", [(1, 3), (2, 1), (2, 2), (3, 3), (4, 4), (3, 5), (2, 7)])
def test_combine_and_join_are_those_of_paths(
    size: tuple[int, int], batch: int, xp: Backend, rng: np.random.Generator
) -> None:
    path = xp.array(rng.normal(size=(batch, 9, size[0])) / 2)

    def coordinates(of: Any) -> Any:
        return arraysig.log_sig(of, size[1], method=2)

    whole = xp.numpy(coordinates(path))
    first, second = coordinates(path[:, :5]), coordinates(path[:, 4:])
    both = xp.numpy(arraysig.log_sig_combine(first, second, *size))
    np.testing.assert_allclose(both, whole, atol=1e-11)
    step = path[:, 8] - path[:, 7]
    joined = xp.numpy(arraysig.log_sig_join(coordinates(path[:, :8]), step, *size))
    np.testing.assert_allclose(joined, whole, atol=1e-11)


@pytest.mark.parametrize("size", [(1, 4), (2, 4), (4, 3), (3, 4), (5, 2)])
def test_structure_constants(size: tuple[int, int]) -> None:
    basis = dense(lie.key(lie.EXPAND, *size)).T.astype(float)  # a row for each bracket
    solve = dense(lie.key(lie.COORDINATES, *size))
    lengths = [len(word) for word in arraysig.lyndon_words(*size)]
    table = lie.structure(*size)
    assert table is not None
    numbers = iter(table.array.tolist())
    got = np.zeros((len(lengths), len(lengths), len(lengths)))
    for a, b in ((1, 1), (1, 2), (1, 3), (2, 2)):
        for k in [k for k, length in enumerate(lengths) if length == a + b]:
            plus, minus = next(numbers), next(numbers)
            for sign in [1] * plus + [-1] * minus:
                i, j = next(numbers), next(numbers)
                assert (lengths[i], lengths[j]) == (a, b)
                got[i, j, k] += sign
    assert next(numbers, None) is None
    for i, j in itertools.combinations(range(len(lengths)), 2):
        x, y = (reference.levels_of(basis[n], *size, 0) for n in (i, j))
        levels = zip(reference.product(x, y), reference.product(y, x), strict=True)
        bracket = np.concatenate([np.ravel(left - right) for left, right in levels][1:])
        np.testing.assert_array_equal(got[i, j], solve @ bracket)


def test_large_structures_are_left_alone() -> None:
    assert lie.structure(2, 5) is None
    assert lie.structure(30, 3) is None
    assert lie.structure(200, 4) is None


@pytest.mark.parametrize("batch", [1, 19])
@pytest.mark.parametrize(
    "size", [(1, 3), (2, 1), (2, 5), (3, 3), (5, 3)], ids=lambda size: f"cpu-{size}"
)
def test_gradients_of_many_and_of_one(
    size: tuple[int, int], batch: int, rng: np.random.Generator
) -> None:
    tensors = rng.normal(size=(batch, arraysig.sig_length(*size)))
    for method in (0, 1, 2):
        logs = arraysig.sig_to_log_sig(tensors, *size, method=method)
        expected = [
            reference.from_tensor(reference.logarithm(t, *size), *size, method) for t in tensors
        ]
        np.testing.assert_allclose(logs, expected, atol=1e-11)
        derivs, change = rng.normal(size=logs.shape), rng.normal(size=tensors.shape)
        gradient = arraysig.sig_to_log_sig_backprop(tensors, derivs, *size, method=method)
        step = 1e-5
        ends = [
            arraysig.sig_to_log_sig(tensors + sign * step * change, *size, method=method)
            for sign in (1, -1)
        ]
        slope = ((ends[0] - ends[1]) * derivs).sum(-1) / (2 * step)
        np.testing.assert_allclose((gradient * change).sum(-1), slope, rtol=1e-5, atol=1e-5)


# More tensors than blocks, and sums long enough for a warp.
@pytest.mark.parametrize("size", [(2, 7), (3, 5)], ids=lambda size: f"emulated-numpy-{size}")
def test_blocks_take_many_tensors(size: tuple[int, int], rng: np.random.Generator) -> None:
    tensors = rng.normal(size=(40, arraysig.sig_length(*size)))
    one, two, derivs = rng.normal(size=(3, 40, arraysig.log_sig_length(*size))) / 2
    calls: list[tuple[Callable[[], Any], float]] = [
        (lambda: ops.log(tensors, *size, 2, 1), 1e-13),
        (lambda: ops.log_vjp(derivs, tensors, *size, 2, 1), 1e-13),
        (lambda: ops.combine(one, two, *size, 1), 1e-11),
    ]
    expected = [call() for call, _ in calls]
    before = dispatch.emulate(EmulatedDevice(processors=1))
    try:
        got = [call() for call, _ in calls]
    finally:
        dispatch.emulate(before)
    for values, wanted, (_, tolerance) in zip(got, expected, calls, strict=True):
        np.testing.assert_allclose(values, wanted, atol=tolerance * np.abs(wanted).max())


def test_products_of_degree_zero() -> None:
    none, step = np.zeros((4, 0)), np.ones((4, 3))
    assert arraysig.log_sig_join(none, step, 3, 0).shape == (4, 0)
    gradients = arraysig.log_sig_join_backprop(none, none, step, 3, 0)
    assert [g.shape for g in gradients] == [(4, 0), (4, 3)]
    assert not gradients[1].any()
    assert [g.shape for g in arraysig.log_sig_combine_backprop(none, none, none, 3, 0)] == [
        (4, 0),
        (4, 0),
    ]


def test_n_jobs_may_be_any_integer(rng: np.random.Generator) -> None:
    path = rng.normal(size=(3, 5, 2))
    for n_jobs in (np.int8(2), np.array(2)):
        got = arraysig.log_sig(path, 3, n_jobs=n_jobs)
        np.testing.assert_array_equal(got, arraysig.log_sig(path, 3))


@pytest.mark.parametrize("flags", [{}, {"time_aug": True}, {"lead_lag": True}], ids=str)
@pytest.mark.parametrize(
    "shape",
    [(19, 30, 5, 3), (3, 40, 7, 3), (40, 20, 3, 4), (33, 9, 4, 5), (1, 700, 3, 5), (20, 5, 8, 3)],
    ids=lambda shape: f"cpu-{shape}",
)
def test_walks_over_lyndon_words(
    shape: tuple[int, int, int, int], flags: dict[str, bool], rng: np.random.Generator
) -> None:
    *path_shape, degree = shape
    path = np.cumsum(rng.normal(size=path_shape), axis=1) / np.sqrt(path_shape[1])
    whole = arraysig.sig(path, degree, **flags)
    options = {"method": 1, "n_jobs": 2, **flags}
    got = arraysig.log_sig(path, degree, **options)
    channels = path_shape[2] * (1 + flags.get("lead_lag", False)) + flags.get("time_aug", False)
    expected = arraysig.sig_to_log_sig(whole, channels, degree)
    np.testing.assert_allclose(got, expected, atol=1e-12 * np.abs(whole).max())
    derivs = rng.normal(size=got.shape)
    of_sig = arraysig.sig_to_log_sig_backprop(whole, derivs, channels, degree)
    gradient = arraysig.log_sig_backprop(path, derivs, degree, **options)
    expected = arraysig.sig_backprop(path, None, of_sig, degree, **flags)
    np.testing.assert_allclose(gradient, expected, atol=1e-12 * np.abs(expected).max())


def test_scalar_terms(xp: Backend, rng: np.random.Generator) -> None:
    path = xp.array(rng.normal(size=(2, 5, 2)))
    with_term = arraysig.log_sig(path, 3, method=0, scalar_term=True)
    without = arraysig.log_sig(path, 3, method=0)
    np.testing.assert_array_equal(xp.numpy(with_term)[:, 1:], xp.numpy(without))
    assert not xp.numpy(with_term)[:, 0].any()
    sig = arraysig.sig(path, 3, scalar_term=True)
    for method in (0, 1, 2):
        log = arraysig.sig_to_log_sig(sig, 2, 3, method=method)
        assert log.shape[-1] == (15 if method == 0 else 5)
        back = arraysig.logsig_to_sig(log, 2, 3, method=method, scalar_term=method > 0)
        np.testing.assert_allclose(xp.numpy(back), xp.numpy(sig), atol=1e-12)
        grad = arraysig.sig_to_log_sig_backprop(sig, log, 2, 3, method=method)
        plain = arraysig.sig_to_log_sig_backprop(
            xp.array(xp.numpy(sig)[:, 1:].copy()),
            xp.array(xp.numpy(log)[:, (1 if method == 0 else 0) :].copy()),
            2,
            3,
            method=method,
        )
        assert not xp.numpy(grad)[:, 0].any()
        np.testing.assert_allclose(xp.numpy(grad)[:, 1:], xp.numpy(plain))


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 2), (4, 3), (3, 5), (2, 10)])
def test_last_level_is_read_at_lyndon_words_only(
    size: tuple[int, int], xp: Backend, rng: np.random.Generator
) -> None:
    tensors = rng.normal(size=(2, arraysig.sig_length(*size)))
    last = tensors.shape[1] - size[0] ** size[1]
    positions = lie._positions(*size)
    elsewhere = np.setdiff1d(np.arange(last, tensors.shape[1]), positions)
    spoilt, without = tensors.copy(), tensors.copy()
    spoilt[:, elsewhere] = np.nan
    without[:, last:] = np.nan
    every = xp.numpy(ops.log(xp.array(tensors), *size, 0, 1))
    solve = dense(lie.key(lie.SOLVE, *size))
    for method, matrix in ((1, np.eye(len(solve))), (2, solve)):
        got = xp.numpy(ops.log(xp.array(spoilt), *size, method, 1))
        expected = every[:, positions] @ matrix.T
        np.testing.assert_allclose(got, expected, atol=1e-13 * np.abs(expected).max())
        grad = rng.normal(size=got.shape)
        got = xp.numpy(ops.log_vjp(xp.array(grad), xp.array(without), *size, method, 1))
        bar = np.zeros(tensors.shape)
        bar[:, positions] = grad @ matrix
        expected = xp.numpy(ops.log_vjp(xp.array(bar), xp.array(tensors), *size, 0, 1))
        np.testing.assert_allclose(got, expected, atol=1e-13 * np.abs(expected).max())
        assert not got[:, elsewhere].any()


@pytest.mark.parametrize("flags", [{}, {"lead_lag": True}, {"time_aug": True}], ids=str)
def test_streams_and_corrections(flags: Any, rng: np.random.Generator) -> None:
    path = rng.normal(size=(2, 6, 2))
    stream = arraysig.log_sig(path, 3, stream=True, **flags)
    assert stream.shape[:2] == (2, 5)
    if not flags.get("time_aug"):  # time would end elsewhere
        for i in range(5):
            np.testing.assert_allclose(
                stream[:, i], arraysig.log_sig(path[:, : i + 2], 3, **flags), atol=1e-12
            )
    derivs = rng.normal(size=stream.shape)
    change = rng.normal(size=path.shape)
    ends = [arraysig.log_sig(path + h * change, 3, stream=True, **flags) for h in (1e-6, -1e-6)]
    grad = arraysig.log_sig_backprop(path, derivs, 3, stream=True, **flags)
    wanted = ((ends[0] - ends[1]) * derivs).sum() / 2e-6
    assert (grad * change).sum() == pytest.approx(wanted, rel=1e-6)
    if flags:
        return
    correction = rng.normal(size=4)
    got = arraysig.log_sig(path, 2, method=0, correction=correction)
    # The logarithm of a product to level 2: sums of both levels, and half the brackets.
    plain = arraysig.log_sig(path, 2, method=0)
    np.testing.assert_allclose(got[:, 2:] - plain[:, 2:], np.tile(5 * correction, (2, 1)))


def test_torch(torch_xp: Backend, rng: np.random.Generator) -> None:
    import torch

    path = torch_xp.array(rng.normal(size=(2, 3, 2))).requires_grad_()
    for method in (0, 1, 2):
        assert torch.autograd.gradcheck(lambda p, m=method: arraysig.log_sig(p, 3, method=m), path)
    assert torch.autograd.gradgradcheck(lambda p: arraysig.log_sig(p, 2, method=2), path[:1])
    wide = torch_xp.array(rng.normal(size=(3, 5))).requires_grad_()  # walks Lyndon words only
    assert torch.autograd.gradgradcheck(lambda p: arraysig.log_sig(p, 3), wide)
    assert torch.autograd.gradcheck(lambda p: arraysig.log_sig(p, 3), wide, check_forward_ad=True)
    log = arraysig.log_sig(path, 3, method=2).detach().requires_grad_()
    log = log.detach()[:1].requires_grad_()
    assert torch.autograd.gradcheck(lambda a: arraysig.logsig_to_sig(a, 2, 3, method=2), log)
    assert torch.autograd.gradcheck(lambda a: arraysig.log_sig_combine(a, a * 2, 2, 3), log)
    step = torch_xp.array(rng.normal(size=(1, 2))).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, v: arraysig.log_sig_join(a, v, 2, 3), (log, step))
    longer = arraysig.log_sig(path, 5, method=2).detach()[:1].requires_grad_()  # no constants
    product = [lambda a: arraysig.log_sig_combine(a, a * 2, 2, 5), longer]
    assert torch.autograd.gradcheck(*product, check_forward_ad=True)
    one = path.detach()[0]
    jacobian = torch.func.jacrev(lambda p: arraysig.log_sig(p, 3))(one)
    forward = torch.func.jacfwd(lambda p: arraysig.log_sig(p, 3))(one)
    torch.testing.assert_close(jacobian, forward)
    compiled = torch.compile(lambda p: arraysig.log_sig(p, 3, method=2), backend="eager")
    torch.testing.assert_close(compiled(one), arraysig.log_sig(one, 3, method=2))
    mapped = torch.func.vmap(lambda p: arraysig.log_sig(p, 3))(path.detach())
    torch.testing.assert_close(mapped, arraysig.log_sig(path.detach(), 3))


def test_degree_zero_and_points(xp: Backend) -> None:
    path = xp.array(np.ones((2, 4, 3)))
    for method in (0, 1, 2):
        assert arraysig.log_sig(path, 0, method=method).shape == (2, 0)
        assert arraysig.linear_log_sig(path, 3, 0, method=method).shape == (2, 4, 0)
        assert not xp.numpy(arraysig.log_sig(path[:, :1], 3, method=method)).any()
    empty = arraysig.log_sig(path, 0, method=0, scalar_term=True)
    np.testing.assert_array_equal(xp.numpy(empty), np.zeros((2, 1)))
    assert arraysig.log_sig(path[:0], 3).shape == (0, 14)


@pytest.mark.parametrize("degree", [0, 1, 2])
@pytest.mark.parametrize("method", [0, 1, 2])
def test_results_are_new_and_in_c_order(xp: Backend, degree: int, method: int) -> None:
    size = 2, degree
    lengths = arraysig.log_sig_length(*size), arraysig.sig_length(*size)
    rng = np.random.default_rng(0)
    given = [
        xp.array(np.asfortranarray(rng.normal(size=(3, n))))
        for n in (lengths[0] if method else lengths[1], lengths[1], 2)
    ]
    log, sig, v = given
    found = {
        "exp": arraysig.logsig_to_sig(log, *size, method=method),
        "of_exp": arraysig.logsig_to_sig_backprop(log, sig, *size, method=method),
        "log": arraysig.sig_to_log_sig(sig, *size, method=method),
        "of_log": arraysig.sig_to_log_sig_backprop(sig, log, *size, method=method),
        "linear": arraysig.linear_log_sig(v, *size, method=method),
        "of_linear": arraysig.linear_log_sig_backprop(log, v, *size, method=method),
    }
    for name, result in found.items():
        assert xp.contiguous(result), name
        for array in given:
            assert not np.shares_memory(xp.numpy(result), xp.numpy(array)), name


@pytest.mark.parametrize(
    "call",
    [
        lambda a: a.logsig_to_sig_backprop(np.full(5, 0.5), np.full(14, 1e308), 2, 3),
        lambda a: a.log_sig_combine_backprop(
            np.full(5, 1.7e308), np.full(5, 0.1), 0.1 * np.arange(5), 2, 3
        ),
        lambda a: a.log_sig_join_backprop(
            np.full(5, 1.7e308), 0.1 * np.arange(5), np.full(2, 0.1), 2, 3
        ),
        lambda a: a.branched_sig_combine_backprop(
            np.full(20, 1e307), np.ones(20), np.ones(20), 2, 3
        ),
        lambda a: a.branched_sig_to_log_sig_backprop(np.full(20, -0.1), np.full(20, 1e308), 2, 3),
        lambda a: a.log_sig(np.array([[0, 0], [400, 0], [400, 400]], "float16"), 2),
    ],
)
def test_infinities_raise_no_warning(call: Callable[[Any], Any]) -> None:
    with np.errstate(all="raise"):
        results = call(arraysig)
    every = results if isinstance(results, tuple) else (results,)
    assert not all(np.isfinite(result).all() for result in every)


HAVING_METHOD = [
    ("log_sig", (np.ones((4, 2)), 2)),
    ("log_sig_backprop", (np.ones((4, 2)), np.ones(3), 2)),
    ("sig_to_log_sig", (np.ones(6), 2, 2)),
    ("logsig_to_sig", (np.ones(3), 2, 2)),
    ("linear_log_sig", (np.ones(2), 2, 2)),
]


@pytest.mark.parametrize(("name", "args"), HAVING_METHOD)
def test_bad_methods_of_functions(name: str, args: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: `method` must be 0, 1, 2 or 3, got 4"):
        getattr(arraysig, name)(*args, method=4)
    with pytest.raises(TypeError, match=rf"^{name}: `method` must be an integer"):
        getattr(arraysig, name)(*args, method=1.0)


def test_lengths_that_fit_nothing() -> None:
    for name, argument, args in (
        ("sig_to_log_sig", "sig", (np.ones(8), 2, 2)),
        ("logsig_to_sig", "log_sig", (np.ones(4), 2, 2)),
        ("log_sig_combine", "log_sig1", (np.ones(4), np.ones(4), 2, 2)),
        ("log_sig_join", "log_sig", (np.ones(4), np.ones(2), 2, 2)),
        ("log_sig_backprop", "log_sig_derivs", (np.ones((4, 2)), np.ones(4), 2)),
    ):
        with pytest.raises(ValueError, match=rf"^{name}: `{argument}` must have shape \(\.\.\., "):
            getattr(arraysig, name)(*args)
    with pytest.raises(ValueError, match="^log_sig: `scalar_term` must be False for method 1"):
        arraysig.log_sig(np.ones((3, 2)), 2, scalar_term=True)


@pytest.mark.parametrize("size", [(2, 5), (3, 4)])
def test_iisignature(size: tuple[int, int], rng: np.random.Generator) -> None:
    iisignature = pytest.importorskip("iisignature")
    path, prepared = rng.normal(size=(7, size[0])), iisignature.prepare(*size)
    letters = [str(i + 1) for i in range(size[0])]
    names = arraysig.log_sig_basis(*size, method=2, names=letters)
    assert list(iisignature.basis(prepared)) == names
    expected = iisignature.logsig(path, prepared)
    got = arraysig.log_sig(path, size[1], method=2)
    np.testing.assert_allclose(got, expected, atol=1e-12)


@pytest.mark.parametrize("size", [(2, 5), (3, 4), (5, 3)])
def test_pysiglib(size: tuple[int, int], rng: np.random.Generator) -> None:
    pysiglib = pytest.importorskip("pysiglib")
    pysiglib.prepare_log_sig(*size, 3)
    path = rng.normal(size=(20, 7, size[0]))
    for method in range(4):
        expected = pysiglib.log_sig(path, size[1], method=method)
        got = arraysig.log_sig(path, size[1], method=method)
        np.testing.assert_allclose(got, expected, atol=1e-11)
    for name, second in (
        ("log_sig_combine", got[::-1].copy()),
        ("log_sig_join", path[:, 0].copy()),
    ):
        expected = getattr(pysiglib, name)(got, second, *size)
        found = getattr(arraysig, name)(got, second, *size)
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_long_paths_in_single_precision() -> None:
    rng = np.random.default_rng(7)
    steps = rng.normal(size=(100_000, 2)) / np.sqrt(100_000)
    path = np.cumsum(steps, axis=0, dtype=np.float32)
    for method in (0, 1, 2):
        got = arraysig.log_sig(path, 5, method=method)
        exact = arraysig.log_sig(path.astype(float), 5, method=method)
        counts = [2**k for k in range(1, 6)] if method == 0 else [2, 1, 2, 3, 6]
        for level in np.split(np.arange(len(exact)), np.cumsum(counts)[:-1]):
            error = np.linalg.norm(got[level] - exact[level]) / np.linalg.norm(exact[level])
            assert error < 1e-5
