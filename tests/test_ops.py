"""The battery: every row of cases.py, in every library, on every device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from array_api_compat import array_namespace

import arraysig

from .backends import Backend
from .cases import CASES, Case
from .emulator import emulated

each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
each_case_with_adjoint = pytest.mark.parametrize(
    "case", [case for case in CASES if case.adjoint], ids=lambda case: case.name
)


def assert_close(got: np.ndarray, expected: np.ndarray, case: Case, dtype: str) -> None:
    """Equal within the tolerance of the case."""
    assert got.shape == expected.shape
    if expected.size:
        scale = max(1.0, float(np.max(np.abs(expected))))
        eps = float(np.finfo(dtype).eps)
        np.testing.assert_allclose(got, expected, rtol=0, atol=case.tolerance * eps * scale)


@each_case
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equals_the_definition(
    case: Case, xp: Backend, dtype: str, rng: np.random.Generator
) -> None:
    for length in case.lengths:
        arrays = [a.astype(dtype) for a in case.sample(rng, length=length)]
        given = [xp.array(a) for a in arrays]
        result = case.call(*given)
        assert xp.dtype(result) == dtype
        assert xp.contiguous(result)
        expected = case.reference(*[a.astype("float64") for a in arrays])
        assert_close(xp.numpy(result), expected, case, dtype)
        for before, after in zip(arrays, given, strict=True):
            np.testing.assert_array_equal(xp.numpy(after), before)


@each_case
def test_leading_axes_are_batch(case: Case, xp: Backend, rng: np.random.Generator) -> None:
    arrays = case.sample(rng, (2, 3), length=4)
    expected = case.reference(*arrays)
    for pick in (
        np.s_[:, :],
        np.s_[0],
        np.s_[0, 0],
        np.s_[:, :0],
        np.s_[0, :0],
        np.s_[1:, None, 2:],
    ):
        result = xp.numpy(case.call(*[xp.array(a[pick]) for a in arrays]))
        assert_close(result, expected[pick], case, "float64")


@each_case
def test_any_memory_layout(case: Case, xp: Backend, rng: np.random.Generator) -> None:
    arrays = case.sample(rng, (2,), length=5)
    expected = case.reference(*arrays)

    def check(*views: Any) -> None:
        result = case.call(*views)
        assert xp.contiguous(result)
        assert_close(xp.numpy(result), expected, case, "float64")

    # Every second item of a larger array; axes in the opposite order.
    check(*[xp.array(np.repeat(a, 2, axis=0))[::2] for a in arrays])
    reversed_axes = [xp.array(np.ascontiguousarray(a.T)) for a in arrays]
    check(*[_transpose(xp, a) for a in reversed_axes])
    if xp.library != "torch":  # Torch has no negative strides
        check(*[xp.array(a[:, ::-1])[:, ::-1] for a in arrays])
    # One item broadcast over the batch.
    first = [a[:1] for a in arrays]
    expected = np.repeat(case.reference(*first), 2, axis=0)
    check(*[_broadcast(xp, xp.array(a), (2, *a.shape[1:])) for a in first])


def _transpose(xp: Backend, array: Any) -> Any:
    return array.permute(*reversed(range(array.ndim))) if xp.library == "torch" else array.T


def _broadcast(xp: Backend, array: Any, shape: tuple[int, ...]) -> Any:
    return array_namespace(array).broadcast_to(array, shape)


@each_case
def test_other_types_are_promoted(case: Case, xp: Backend, rng: np.random.Generator) -> None:
    arrays = [rng.integers(0, 2, size=a.shape) for a in case.sample(rng, length=3)]
    expected = case.reference(*[a.astype("float64") for a in arrays])
    scale = max(1.0, float(np.max(np.abs(expected), initial=0)))
    torch = xp.library == "torch"
    precision = {"float16": 1e-3, "int16": 1e-6, "bool": 1e-6}
    for dtype, error in {**precision, "bfloat16": 8e-3}.items() if torch else precision.items():
        result = case.call(*[xp.array(a, dtype) for a in arrays])
        default = "float32" if torch else "float64"
        assert xp.dtype(result) == (dtype if "float" in dtype else default)
        np.testing.assert_allclose(xp.numpy(result), expected, rtol=0, atol=error * scale)


def test_infinities_raise_no_warning(xp: Backend) -> None:
    path = xp.array([[0.0, 0.0], [1000.0, -2000.0]], "float16")
    assert not np.isfinite(xp.numpy(arraysig.sig(path, 3))).all()
    path = xp.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]], "float32")
    for rows in ([[np.inf, 0, 0, 0], [-np.inf, 0, 0, 0]], [[3e38, 0, 0, 0]] * 2):
        result = arraysig.sig(path, 2, correction=xp.array(rows, "float32"))
        np.testing.assert_array_equal(np.isfinite(xp.numpy(result)), [1, 1, 0, 1, 1, 1])


@each_case_with_adjoint
def test_gradient_is_the_adjoint(case: Case, xp: Backend, rng: np.random.Generator) -> None:
    assert case.adjoint is not None
    first, *others = case.sample(rng, length=6)
    others = [xp.array(a) for a in others]

    def value(array: np.ndarray) -> np.ndarray:
        return xp.numpy(case.call(xp.array(array), *others))

    direction = rng.normal(size=first.shape)
    derivs = rng.normal(size=value(first).shape)
    step = 1e-4

    def difference(h: float) -> float:
        change = (value(first + h * direction) - value(first - h * direction)) / (2 * h)
        return float(np.sum(change * derivs))

    left = (4 * difference(step / 2) - difference(step)) / 3  # error of fourth order
    right = np.sum(direction * xp.numpy(case.adjoint(xp.array(first), *others, xp.array(derivs))))
    assert left == pytest.approx(float(right), rel=1e-8, abs=1e-8)


@each_case
def test_nan_stays_in_its_path(case: Case, xp: Backend, rng: np.random.Generator) -> None:
    arrays = case.sample(rng, (11,), length=4)  # the lanes of a vector, and more
    expected = case.reference(*arrays)
    for bad in (np.nan, np.inf):
        spoilt = [a.copy() for a in arrays]
        for a in spoilt:
            a[7] = bad
        result = xp.numpy(case.call(*[xp.array(a) for a in spoilt]))
        with np.errstate(all="ignore"):
            wrong = case.reference(*[a[7:8] for a in spoilt])[0]
        others = np.delete(np.arange(11), 7)
        assert_close(result[others], expected[others], case, "float64")
        assert np.isfinite(result[7]).all() == np.isfinite(wrong).all()


@each_case
@pytest.mark.parametrize("n_jobs", [2, -1, 1000])
def test_threads_change_nothing(case: Case, n_jobs: int, rng: np.random.Generator) -> None:
    arrays = case.sample(rng, (70,), length=60)
    serial = case.call(*arrays)
    parallel = case.call(*arrays, n_jobs=n_jobs)
    assert_close(parallel, serial, case, "float64")
    np.testing.assert_array_equal(case.call(*arrays, n_jobs=n_jobs), parallel)


#: Of every kernel whose threads or blocks take one item after another, and points of the paths.
LOOPING = [
    ("sig[d=2,N=1]", 4),
    ("sig_combine[d=2,N=4,scalar_term]", 2),
    ("sig_combine[d=2,N=4,scalar_term,second]", 2),
    ("sig_inverse[d=2,N=4,scalar_term]", 2),
    ("sig_join[d=2,N=4,scalar_term]", 2),
    ("sig_join_backprop[d=2,N=4,scalar_term]", 2),
    ("sig_coef[6 words,d=3]", 4),
    ("branched_sig[d=2,N=3]", 3),
    ("branched_sig_combine[d=2,N=3]", 2),
    ("sig_kernel[d=2,dyadic_order=(0, 0),ScaledLinearKernel(scale=0.3)]", 1),
    ("sig_kernel_backprop[d=2,dyadic_order=(0, 0),ScaledLinearKernel(scale=0.3),first]", 60),
    ("sig_kernel_backprop[d=2,dyadic_order=(0, 0),ScaledLinearKernel(scale=0.3),second]", 60),
]


@pytest.mark.parametrize(
    ("name", "length"), LOOPING, ids=lambda x: f"emulated-numpy-{x}" if isinstance(x, str) else ""
)
def test_few_blocks_take_many_items(name: str, length: int, rng: np.random.Generator) -> None:
    """A device with one processor gets 32 blocks, whose threads are 8192."""
    (case,) = [case for case in CASES if case.name == name]
    row = case.call(*case.sample(rng, (1,), length)).size
    arrays = case.sample(rng, (8192 // row + 33,), length)
    expected = case.call(*arrays)
    derivs = rng.normal(size=expected.shape)
    with emulated(processors=1):
        got = case.call(*arrays)
        gradient = case.adjoint(*arrays, derivs) if case.adjoint else None
    assert_close(got, expected, case, "float64")
    if case.adjoint:
        assert_close(gradient, case.adjoint(*arrays, derivs), case, "float64")
