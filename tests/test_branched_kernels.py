"""Branched signature kernels: identities, accuracy, and what the battery has no row for."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest

import arraysig

from . import reference
from .backends import Backend
from .test_kernels import ALL_KERNELS, FEW, definition, walks

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())["branched kernels"]
X = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
Y = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 2.0], [-1.0, 0.0]])


@pytest.mark.parametrize("call", GOLDEN)
def test_golden_values(xp: Backend, call: str) -> None:
    names = {**vars(arraysig), "X": xp.array(X), "Y": xp.array(Y), "ones": xp.array(np.ones(()))}
    if "_backprop" in call:
        call_ = call.replace(",2,1)", ",2,1,right_deriv=True)")
        got = eval(call_, names)
    else:
        got = eval(call, names)
    np.testing.assert_allclose(xp.numpy(got), GOLDEN[call], rtol=1e-12, atol=1e-13)


def test_straight_lines(xp: Backend) -> None:
    for z in (-2.0, 0.0, 0.3, 1.5):
        x, y = (
            xp.array(np.array([[1.0, 0.0], [1 + z, 5.0]])),
            xp.array(np.array([[0, 3], [1, 3.0]])),
        )
        for order in (0, 1, (3, 2)):
            kernel = arraysig.branched_sig_kernel
            assert float(kernel(x, y, 0, order)) == 1
            assert float(kernel(x, y, 1, order)) == pytest.approx(np.exp(z), rel=1e-14)
        expected = np.exp(z * (3 + np.exp(z)) / 4)
        assert float(kernel(x, y, 2, 0)) == pytest.approx(expected, rel=1e-14)


def test_depth_0_is_constant(xp: Backend, rng: np.random.Generator) -> None:
    x, y = xp.array(walks(rng, 3, 5, 2)), xp.array(walks(rng, 3, 4, 2))
    for static_kernel in (None, arraysig.RBFKernel(1.0)):
        for grid, shape in ((False, (3,)), (True, (3, 9, 7))):
            options = {"static_kernel": static_kernel, "return_grid": grid}
            ones = arraysig.branched_sig_kernel(x, y, 0, 1, **options)
            assert ones.shape == shape
            np.testing.assert_array_equal(xp.numpy(ones), 1)
            for gradient in arraysig.branched_sig_kernel_backprop(
                ones, x, y, 0, 1, right_deriv=True, **options
            ):
                assert not xp.numpy(gradient).any()


def test_linear_trees_are_the_signature_kernel(rng: np.random.Generator) -> None:
    # To first order in the second path forests are single nodes, to second order of both trees of
    # two nodes and pairs of nodes: k = 1 + s + q where the signature kernel is 1 + s + p.
    x, y = walks(rng, 6, 2), walks(rng, 5, 2)
    scale = 1e-4
    flat = (x[-1] - x[0]) @ (y[-1] - y[0]) * scale
    for depth in (1, 2, 3):
        branched = float(arraysig.branched_sig_kernel(scale * x, y, depth, 5))
        plain = float(arraysig.sig_kernel(scale * x, y, order=6)) if depth > 1 else 1 + flat
        # a pair of nodes counts flat**2 / 2, a tree of two what a word of two counts
        assert branched - plain == pytest.approx(flat**2 / 2, rel=1e-2)


def test_orders_converge(xp: Backend, rng: np.random.Generator) -> None:
    x, y = xp.array(walks(rng, 4, 12, 2)), xp.array(walks(rng, 4, 10, 2))
    for depth in (2, 3):
        values = [
            xp.numpy(arraysig.branched_sig_kernel(x, y, depth, order)) for order in (0, 1, 2, 5)
        ]
        errors = [np.abs(v - values[-1]).max() for v in values[:-1]]
        assert errors[0] > 3 * errors[1] > 9 * errors[2] > 0


@pytest.mark.parametrize("kernel", ALL_KERNELS, ids=str)
def test_gram_matrices_of_all_static_kernels(
    xp: Backend, kernel: Any, rng: np.random.Generator
) -> None:
    x, y = walks(rng, 3, 6, 2), walks(rng, 2, 9, 2)
    numbers = 3, (1, 0)

    def slow(a: Any, b: Any) -> Any:
        return reference.branched_kernel(a, b, *numbers, definition(kernel))

    one, two = xp.array(x), xp.array(y)
    got = arraysig.branched_sig_kernel_gram(one, two, *numbers, static_kernel=kernel)
    np.testing.assert_allclose(xp.numpy(got), [[slow(a, b) for b in y] for a in x], rtol=1e-12)
    derivs = rng.normal(size=(3, 2))
    grads = arraysig.branched_sig_kernel_gram_backprop(
        xp.array(derivs), one, two, *numbers, static_kernel=kernel, right_deriv=True
    )
    sums = np.zeros_like(x), np.zeros_like(y)
    for i, j in np.ndindex(3, 2):
        sums[0][i] += reference.gradient(lambda a, b=y[j]: slow(a, b + 0j), x[i], derivs[i, j])
        sums[1][j] += reference.gradient(lambda b, a=x[i]: slow(a + 0j, b), y[j], derivs[i, j])
    for got, wanted in zip(grads, sums, strict=True):
        limit = 1e-12 * np.max(np.abs(wanted))
        np.testing.assert_allclose(xp.numpy(got), wanted, rtol=0, atol=limit)


def test_shapes_and_normalization(xp: Backend, rng: np.random.Generator) -> None:
    x, y = walks(rng, 2, 3, 5, 2), walks(rng, 4, 7, 2)
    one, two = xp.array(x), xp.array(y)
    gram = arraysig.branched_sig_kernel_gram
    full = gram(one, two, 2, 0)
    assert full.shape == (2, 3, 4)
    single = gram(one[1, 2], two[3], 2, 0)
    assert single.shape == ()
    assert float(single) == pytest.approx(float(full[1, 2, 3]), rel=1e-14)
    squares = [xp.numpy(arraysig.branched_sig_kernel(a, a, 2, 0)) for a in (one, two)]
    expected = xp.numpy(full) / np.sqrt(squares[0][..., None] * squares[1])
    got = xp.numpy(gram(one, two, 2, 0, normalize=True))
    np.testing.assert_allclose(got, expected, rtol=1e-13)
    same = xp.numpy(gram(two, two, 3, 1, normalize=True))
    np.testing.assert_allclose(np.diag(same), 1, rtol=1e-13)
    other = gram(two, xp.array(y.copy()), 3, 1, normalize=True)
    np.testing.assert_allclose(same, xp.numpy(other), rtol=1e-12)
    for empty in (x[:0], x[:, :0]):
        none = gram(xp.array(empty), two, 2, 0)
        assert none.shape == (*empty.shape[:2], 4)
        left, right = arraysig.branched_sig_kernel_gram_backprop(
            none, xp.array(empty), two, 2, 0, right_deriv=True
        )
        assert left.shape == empty.shape
        assert not xp.numpy(right).any()
    assert gram(one[:0], one[:0], 2, 0).shape == (0, 3, 0, 3)


def test_paths_of_one_point(xp: Backend, rng: np.random.Generator) -> None:
    for lengths in ((1, 1), (1, 5), (5, 1)):
        x, y = [xp.array(walks(rng, 2, length, 2)) for length in lengths]
        for static_kernel in (None, arraysig.RBFKernel(1.0)):
            options = {"static_kernel": static_kernel}
            got = arraysig.branched_sig_kernel(x, y, 2, 1, **options)
            np.testing.assert_array_equal(xp.numpy(got), 1)
            grid = arraysig.branched_sig_kernel(x, y, 2, 1, return_grid=True, **options)
            assert grid.shape == (2, 2 * lengths[0] - 1, 2 * lengths[1] - 1)
            np.testing.assert_array_equal(xp.numpy(grid), 1)
            for gradient, path in zip(
                arraysig.branched_sig_kernel_backprop(got, x, y, 2, 1, right_deriv=True, **options),
                (x, y),
                strict=True,
            ):
                assert gradient.shape == path.shape
                assert not xp.numpy(gradient).any()


def test_which_gradients(xp: Backend, rng: np.random.Generator) -> None:
    x, y = xp.array(walks(rng, 3, 5, 2)), xp.array(walks(rng, 3, 4, 2))
    ones = xp.array(np.ones(3))
    both = arraysig.branched_sig_kernel_backprop(ones, x, y, 2, 0, right_deriv=True)
    assert arraysig.branched_sig_kernel_backprop(ones, x, y, 2, 0)[1] is None
    left, right = arraysig.branched_sig_kernel_backprop(
        ones,
        x,
        y,
        2,
        0,
        left_deriv=False,
        right_deriv=True,
        k_stack=xp.array(np.ones((3, 3, 5, 4))),
    )
    assert left is None
    np.testing.assert_array_equal(xp.numpy(right), xp.numpy(both[1]))
    none = arraysig.branched_sig_kernel_backprop(ones, x, y, 2, 0, left_deriv=False)
    assert none == (None, None)


def test_grids_are_kernels_of_prefixes(xp: Backend, rng: np.random.Generator) -> None:
    x, y = xp.array(walks(rng, 5, 2)), xp.array(walks(rng, 4, 2))
    grid = xp.numpy(arraysig.branched_sig_kernel(x, y, 3, (1, 0), return_grid=True))
    assert grid.shape == (9, 4)
    for i, j in np.ndindex(5, 4):
        value = arraysig.branched_sig_kernel(x[: i + 1], y[: j + 1], 3, (1, 0))
        assert float(value) == pytest.approx(grid[2 * i, j], rel=1e-13)


@pytest.mark.parametrize("lengths", FEW, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_long_pairs(lengths: tuple[int, int], dtype: str, rng: np.random.Generator) -> None:
    # Alone a pair is swept by bands of all lanes; among many it is one lane.
    eps = float(np.finfo(dtype).eps)
    for dimension, depth, order, kernel in (
        (2, 2, 0, None),
        (1, 1, 1, arraysig.RBFKernel(1.0)),
        (5, 3, (2, 0), None),
        (3, 2, (0, 3), arraysig.Matern32Kernel(1.0)),
        (1, 4, (4, 0), None),
    ):
        x, y = (walks(rng, 20, length, dimension).astype(dtype) for length in lengths)
        many = arraysig.branched_sig_kernel(x, y, depth, order, static_kernel=kernel)
        for count, n_jobs in ((1, 1), (1, 2), (3, 2)):
            few = arraysig.branched_sig_kernel(
                x[:count], y[:count], depth, order, static_kernel=kernel, n_jobs=n_jobs
            )
            limit = 2000 * eps * np.max(np.abs(many[:count]))
            np.testing.assert_allclose(few, many[:count], rtol=0, atol=limit)


def test_long_gradients(rng: np.random.Generator) -> None:
    # Long enough for two layers of checkpoints.
    for depth, order, lengths in ((2, (0, 0), (3000, 600)), (3, (2, 1), (200, 500))):
        x, y = (walks(rng, length, 2) for length in lengths)
        both = arraysig.branched_sig_kernel_backprop(
            np.ones(()), x, y, depth, order, right_deriv=True
        )
        turns = [walks(rng, *path.shape) for path in (x, y)]
        step = 1e-5
        ends = [
            arraysig.branched_sig_kernel(x + h * turns[0], y + h * turns[1], depth, order)
            for h in (step, -step)
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        got = sum(np.sum(a * b) for a, b in zip(both, turns, strict=True))
        assert got == pytest.approx(slope, rel=1e-7)


@pytest.mark.parametrize("smooth", [False, True])
def test_float32_keeps_its_digits(smooth: bool, rng: np.random.Generator) -> None:
    x, y = (walks(rng, 16, 1000, 2).astype("float32") for _ in range(2))
    if smooth:  # increments that are alike, so that errors of rounding are
        times = np.linspace(0, 1, 1000)
        x, y = (
            np.stack([np.sin(times * a), np.cos(times + a)], -1).astype("float32")
            for a in rng.normal(size=(2, 16, 1))
        )
    for depth, order in ((2, 0), (3, 1)):
        options: dict[str, Any] = {"depth": depth, "dyadic_order": order, "n_jobs": -1}
        single = arraysig.branched_sig_kernel(x, y, **options)
        double = arraysig.branched_sig_kernel(x.astype(float), y.astype(float), **options)
        assert np.max(np.abs(single / double - 1)) < 2e-5
        ones = np.ones(16, "float32")
        grad = arraysig.branched_sig_kernel_backprop(ones, x, y, **options)[0]
        exact = arraysig.branched_sig_kernel_backprop(
            ones.astype(float), x.astype(float), y.astype(float), **options
        )[0]
        assert np.max(np.abs(grad - exact)) < 1e-4 * np.max(np.abs(exact))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponentials_of_any_size(xp: Backend, dtype: str) -> None:
    limits = np.finfo(dtype)
    bend = np.array([[0.0], [1.0]])
    for z in (-1000.0, -60.0, -1.0, 1e-3, 40.0, 60.0, 1000.0):
        x = xp.array(np.array([[0.0], [z]]), dtype)
        with np.errstate(over="ignore"):
            expected = np.exp(np.dtype(dtype).type(z))
        expected = 0 if expected < limits.tiny else expected
        got = arraysig.branched_sig_kernel(x, xp.array(bend, dtype), 1, 0)
        assert float(got) == pytest.approx(float(expected), rel=100 * float(limits.eps))
    # An exponential of an exponential that is too large is no finite number.
    x = xp.array(np.array([[0.0], [30.0], [20.0]]), dtype)
    for depth in (2, 3, 4):
        assert not np.isfinite(float(arraysig.branched_sig_kernel(x, x, depth, 0)))


@pytest.mark.parametrize(("dtype", "z", "last"), [("float32", 70, -50), ("float64", 600, -400)])
@pytest.mark.parametrize("count", [1, 20])
def test_an_exponential_that_overflows_on_the_way(
    xp: Backend, dtype: str, z: float, last: float, count: int
) -> None:
    # K_1 is infinite in the last node alone, where the increment is negative: K_2 is 0. Rows and
    # columns that only fill up lanes must not make NaN of it.
    steps = np.array([[[0, 0], [1, 0], [0, 1]], [[0, 0], [0, z], [z, last]]], dtype)
    x, y = np.repeat(steps.cumsum(1), [40, 1, 1], axis=1)
    x, y = (xp.array(np.repeat(path[None], count, axis=0), dtype) for path in (x, y))
    assert xp.numpy(arraysig.branched_sig_kernel(x, y, 1, 0)).min() == np.inf
    np.testing.assert_array_equal(xp.numpy(arraysig.branched_sig_kernel(x, y, 2, 0)), 0)


@pytest.mark.parametrize(
    ("dtype", "z"), [("float32", 80), ("float32", 95), ("float64", 190), ("float64", 750)]
)
def test_exponents_far_below_the_range(
    xp: Backend, dtype: str, z: float, rng: np.random.Generator
) -> None:
    # E_2 is -exp(z) / 4 in the last node, so that K_2 is 0 there and K_3 = exp((z - 79) / 4).
    steps = np.array([[[0, 0], [-z - 81, z + 41], [z + 41, -1]], [[0, 0], [1, 0], [0, 1]]])
    x, y = rng.normal(size=(2, 20, 3, 2)) / 4
    x[7], y[7] = steps.cumsum(1)
    x, y = x.astype(dtype), y.astype(dtype)

    def run(some: slice) -> tuple[Any, Any]:
        pair = (xp.array(x[some]), xp.array(y[some]))
        value = xp.numpy(arraysig.branched_sig_kernel(*pair, 3, 0))
        ones = xp.array(np.ones_like(value))
        return value, xp.numpy(arraysig.branched_sig_kernel_backprop(ones, *pair, 3, 0)[0])

    value, slope = run(slice(None))
    rtol = 1e-12 if dtype == "float64" else 2e-4
    np.testing.assert_allclose(value[7], np.exp((z - 79) / 4), rtol=rtol)
    if z < np.log(np.finfo(dtype).max):
        # E_3 is 3/4 p[0, 0] + 1/2 p[0, 1] + 1/2 p[1, 0] but for terms of the order of exp(-40).
        by_steps = np.array([[3 / 4, 1 / 2], [1 / 2, 0]]) * value[7]
        by_points = -np.diff(by_steps, axis=0, prepend=np.zeros((1, 2)), append=np.zeros((1, 2)))
        np.testing.assert_allclose(slope[7], by_points, rtol=rtol, atol=1e-8 * value[7])
    for some in (slice(0, 7), slice(8, None)):
        for got, expected in zip(run(some), (value, slope), strict=True):
            np.testing.assert_array_equal(got, expected[some])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponents_far_above_the_range(xp: Backend, dtype: str) -> None:
    # E_2 is z (3 + exp(z)) / 4 behind the first cell, in units of ln 2 around 2^26 and 2^55: there
    # fractions that are lost in rounding are greater than 1.
    log2 = np.linspace(*((25.98, 26.0) if dtype == "float32" else (54.99, 55.0)), 40)
    z = log2 * np.log(2) - 1
    for _ in range(50):  # of Newton's method
        z -= (np.log(z * (3 + np.exp(z)) / 4 / np.log(2)) - log2 * np.log(2)) / (1 + 1 / z)
    x = xp.array(np.stack([0 * z, z, z + 1], axis=1)[..., None], dtype)
    y = xp.array(np.repeat([[0.0, 1.0, 2.0]], len(z), axis=0)[..., None], dtype)
    np.testing.assert_array_equal(xp.numpy(arraysig.branched_sig_kernel(x, y, 3, 0)), np.inf)
    ones = xp.array(np.ones(len(z)), dtype)
    for slope in arraysig.branched_sig_kernel_backprop(ones, x, y, 3, 0, right_deriv=True):
        assert not np.isfinite(xp.numpy(slope)).any()


def test_nan_stays_in_its_pair(xp: Backend, rng: np.random.Generator) -> None:
    for count, length in ((3, 5), (3, 300) if xp.name == "numpy" else (4, 6)):
        x = walks(rng, count, length, 2)
        expected = xp.numpy(arraysig.branched_sig_kernel(xp.array(x), xp.array(x), 2, 0))
        spoilt = x.copy()
        spoilt[1, length // 2] = np.nan
        got = xp.numpy(arraysig.branched_sig_kernel(xp.array(spoilt), xp.array(x), 2, 0))
        assert np.isnan(got).tolist() == [k == 1 for k in range(count)]
        np.testing.assert_array_equal(np.delete(got, 1), np.delete(expected, 1))


def test_n_jobs_change_no_bit(rng: np.random.Generator) -> None:
    x, y = walks(rng, 40, 20, 3), walks(rng, 40, 25, 3)
    derivs = rng.normal(size=40)
    runs = [
        (
            arraysig.branched_sig_kernel(x, y, 3, 1, n_jobs=n_jobs),
            *arraysig.branched_sig_kernel_backprop(
                derivs, x, y, 3, 1, right_deriv=True, n_jobs=n_jobs
            ),
        )
        for n_jobs in (1, 2, 2)
    ]
    for other in runs[1:]:
        for a, b in zip(other, runs[0], strict=True):
            np.testing.assert_array_equal(a, b)


def test_orders_beyond_all_memory(rng: np.random.Generator) -> None:
    x = walks(rng, 2**12 + 1, 2)
    for numbers in ((2, (0, 30)), (2**20, (0, 22))):
        with pytest.raises(MemoryError, match="^branched_sig_kernel: no memory for scratch"):
            arraysig.branched_sig_kernel(x[:2], x, *numbers)
        with pytest.raises(MemoryError, match="^branched_sig_kernel_backprop: no memory for"):
            arraysig.branched_sig_kernel_backprop(np.ones(()), x[:2], x, *numbers)


@pytest.mark.parametrize("normalize", [False, True])
def test_torch_gradients(normalize: bool, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(walks(rng, 2, 4, 2)).requires_grad_()
    y = torch.from_numpy(walks(rng, 2, 3, 2)).requires_grad_()
    options = {"static_kernel": arraysig.Matern32Kernel(1.0), "normalize": normalize}
    for function in (arraysig.branched_sig_kernel, arraysig.branched_sig_kernel_gram):
        assert torch.autograd.gradcheck(
            lambda a, b, f=function: f(a, b, 3, 1, time_aug=True, **options), (x, y)
        )
    weights = torch.from_numpy(rng.normal(size=(2, 2)))
    (arraysig.branched_sig_kernel_gram(x, x, 2, 1) * weights).sum().backward()
    both = arraysig.branched_sig_kernel_gram_backprop(
        weights, x.detach(), x.detach(), 2, 1, right_deriv=True
    )
    torch.testing.assert_close(x.grad, both[0] + both[1])
    value = arraysig.branched_sig_kernel(x, y, 2, 0).sum()
    (grad,) = torch.autograd.grad(value, x, create_graph=True)
    with pytest.raises(
        NotImplementedError, match="^arraysig: branched_sig_kernel_vjp has no derivative"
    ):
        grad.sum().backward()
    with pytest.raises(
        NotImplementedError, match="^arraysig: branched_sig_kernel has no forward-mode"
    ):
        torch.func.jvp(
            lambda a: arraysig.branched_sig_kernel(a, y.detach(), 2, 0),
            (x.detach(),),
            (x.detach(),),
        )


def test_progress(
    xp: Backend, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = xp.array(walks(rng, 12, 6, 2)), xp.array(walks(rng, 3, 5, 2))
    for other, total in ((x, 144), (y, 36)):
        quiet = arraysig.branched_sig_kernel_gram(x, other, 2, 1)
        got = arraysig.branched_sig_kernel_gram(x, other, 2, 1, progress=True)
        np.testing.assert_array_equal(xp.numpy(got), xp.numpy(quiet))
        assert f"branched_sig_kernel_gram: 100%|██████████| {total}/{total} " in (
            capsys.readouterr().err
        )
    derivs = xp.array(np.ones((12, 3)))
    arraysig.branched_sig_kernel_gram_backprop(derivs, x, y, 2, 1, progress=True)
    assert "| 36/36 " in capsys.readouterr().err


def test_depth_0_is_1_whatever_the_paths(xp: Backend) -> None:
    path = np.random.default_rng(0).normal(size=(3, 4, 2))
    path[1, 2, 0] = np.inf
    given = xp.array(path)
    got = xp.numpy(arraysig.branched_sig_kernel_gram(given, given, 0, 1))
    np.testing.assert_array_equal(got, np.ones((3, 3)))
    grid = xp.numpy(arraysig.branched_sig_kernel(given, given, 0, 1, return_grid=True))
    np.testing.assert_array_equal(grid, np.ones((3, 7, 7)))
    derivs = xp.array(np.ones(3))
    both = arraysig.branched_sig_kernel_backprop(derivs, given, given, 0, 1, right_deriv=True)
    for gradient in both:
        np.testing.assert_array_equal(xp.numpy(gradient), 0)
