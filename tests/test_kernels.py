"""Signature kernels: Gram matrices, identities, and what the battery has no row for."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import re
import threading
from typing import Any

import numpy as np
import pytest

import arraysig
from arraysig import kernels, search
from arraysig._core import namespace

from . import reference
from .backends import Backend

ALL_KERNELS = [
    arraysig.LinearKernel(),
    arraysig.ScaledLinearKernel(0.5),
    arraysig.RBFKernel(0.8),
    arraysig.PolynomialKernel(2.0, 0.5, 0.3),
    arraysig.PolynomialKernel(6, -0.2, 0.1),
    arraysig.Matern12Kernel(0.8),
    arraysig.Matern32Kernel(0.8),
    arraysig.Matern52Kernel(0.8),
    arraysig.RationalQuadraticKernel(0.8, 1.5),
]


def definition(kernel: Any) -> Any:
    """The slow definition of a static kernel."""
    slow = reference.STATIC_KERNELS[type(kernel).__name__]
    return lambda x, y: slow(x, y, **vars(kernel))


def walks(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Brownian paths over a unit of time."""
    steps = rng.normal(size=shape) / math.sqrt(shape[-2] * shape[-1])
    return steps.cumsum(-2)


@pytest.mark.parametrize("kernel", ALL_KERNELS, ids=str)
def test_gram_matrices_of_all_static_kernels(
    xp: Backend, kernel: Any, rng: np.random.Generator
) -> None:
    x, y = walks(rng, 3, 6, 2), walks(rng, 2, 9, 2)
    expected = [
        [reference.signature_kernel(a, b, (1, 1), definition(kernel)) for b in y] for a in x
    ]
    one, two = xp.array(x), xp.array(y)
    got = arraysig.sig_kernel_gram(one, two, 1, static_kernel=kernel)
    np.testing.assert_allclose(xp.numpy(got), expected, rtol=1e-12)
    derivs = rng.normal(size=(3, 2))
    grads = arraysig.sig_kernel_gram_backprop(
        xp.array(derivs), one, two, 1, static_kernel=kernel, right_deriv=True
    )
    sums = np.zeros_like(x), np.zeros_like(y)
    for i, j in np.ndindex(3, 2):
        for side, at, path, other in ((0, i, x[i], y[j]), (1, j, y[j], x[i])):

            def value(path: np.ndarray, side: int = side, other: Any = other) -> Any:
                pair = (path, other + 0j)[:: 1 - 2 * side]
                return reference.signature_kernel(*pair, (1, 1), definition(kernel))

            sums[side][at] += reference.gradient(value, path, derivs[i, j])
    for got, wanted in zip(grads, sums, strict=True):
        np.testing.assert_allclose(
            xp.numpy(got), wanted, rtol=0, atol=1e-12 * np.max(np.abs(wanted))
        )


def test_shapes_of_gram_matrices(xp: Backend, rng: np.random.Generator) -> None:
    x, y = walks(rng, 2, 3, 5, 2), walks(rng, 4, 7, 2)
    full = arraysig.sig_kernel_gram(xp.array(x), xp.array(y), 0)
    assert full.shape == (2, 3, 4)
    single = arraysig.sig_kernel_gram(xp.array(x[1, 2]), xp.array(y[3]), 0)
    assert single.shape == ()
    assert float(single) == pytest.approx(float(full[1, 2, 3]), rel=1e-14)
    left, right = arraysig.sig_kernel_gram_backprop(
        xp.array(np.ones((2, 3, 4))), xp.array(x), xp.array(y), 0, right_deriv=True
    )
    assert left.shape == x.shape
    assert right.shape == y.shape
    for empty in (x[:0], x[:, :0]):
        none = arraysig.sig_kernel_gram(xp.array(empty), xp.array(y), 0)
        assert none.shape == (*empty.shape[:2], 4)
        derivs = xp.array(np.ones(none.shape))
        left, right = arraysig.sig_kernel_gram_backprop(
            derivs, xp.array(empty), xp.array(y), 0, right_deriv=True
        )
        assert left.shape == empty.shape
        assert not xp.numpy(right).any()
    both = arraysig.sig_kernel_gram(xp.array(x[:0]), xp.array(x[:0]), 0)
    assert both.shape == (0, 3, 0, 3)


@pytest.mark.parametrize(
    "options",
    [{"dyadic_order": 1}, {"dyadic_order": 30}, {"order": 3}, {"order": 5}, {}],
    ids=str,
)
def test_paths_of_one_point(xp: Backend, options: Any, rng: np.random.Generator) -> None:
    for lengths in ((1, 1), (1, 5), (5, 1)):
        x, y = [xp.array(walks(rng, 2, length, 2)) for length in lengths]
        for kernel in (None, arraysig.RBFKernel(1.0)):
            got = arraysig.sig_kernel(x, y, static_kernel=kernel, **options)
            np.testing.assert_array_equal(xp.numpy(got), 1)
            grads = arraysig.sig_kernel_backprop(
                xp.array(np.ones(2)), x, y, static_kernel=kernel, right_deriv=True, **options
            )
            for gradient, path in zip(grads, (x, y), strict=True):
                assert gradient.shape == path.shape
                assert not xp.numpy(gradient).any()


def test_orders_beyond_all_memory(rng: np.random.Generator) -> None:
    x = walks(rng, 2**12 + 1, 2)
    one, two = x[None, :2], x[None]
    for function, *arrays in (
        (arraysig.sig_kernel, x[:2], x),
        (arraysig.sig_kernel_backprop, np.ones(()), x[:2], x),
        (arraysig.sig_kernel_gram, one, two),
        (arraysig.sig_kernel_gram_backprop, np.ones((1, 1)), one, two),
        (arraysig.sig_score, np.concatenate([one, one]), x),
    ):
        name = function.__name__
        with pytest.raises(MemoryError, match=f"^{name}: no memory for scratch"):
            function(*arrays, dyadic_order=(0, 30))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rational_quadratic_kernels_become_gaussian(
    xp: Backend, dtype: str, rng: np.random.Generator
) -> None:
    x, y = [xp.array(walks(rng, 3, 6, 2).astype(dtype)) for _ in "xy"]
    alpha = {"float32": 1e7, "float64": 1e15}[dtype]
    derivs = xp.array(rng.normal(size=3).astype(dtype))
    got, expected = [
        (
            arraysig.sig_kernel(x, y, 1, static_kernel=kernel),
            *arraysig.sig_kernel_backprop(derivs, x, y, 1, static_kernel=kernel, right_deriv=True),
        )
        for kernel in (arraysig.RationalQuadraticKernel(0.8, alpha), arraysig.RBFKernel(2 * 0.8**2))
    ]
    for a, b in zip(got, expected, strict=True):
        error = np.abs(xp.numpy(a) - xp.numpy(b)).max() / np.abs(xp.numpy(b)).max()
        assert error <= 10 * np.finfo(dtype).eps


@pytest.mark.parametrize("count", [1, 2, 9, 40])
def test_one_set_of_paths_twice(xp: Backend, count: int, rng: np.random.Generator) -> None:
    paths = xp.array(walks(rng, count, 5, 2))
    other = xp.array(xp.numpy(paths).copy())
    for order, options in ((1, {}), ((0, 2), {}), (0, {"normalize": True})):
        same = xp.numpy(arraysig.sig_kernel_gram(paths, paths, order, **options))
        np.testing.assert_allclose(
            same, xp.numpy(arraysig.sig_kernel_gram(paths, other, order, **options)), rtol=1e-13
        )
        if order == 1:
            np.testing.assert_array_equal(same, same.T)
        if options:
            np.testing.assert_allclose(np.diag(same), 1, rtol=1e-14)


def test_gradient_of_one_set_of_paths_twice(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    values = walks(rng, 5, 4, 2)
    weights = torch.from_numpy(rng.normal(size=(5, 5)))
    leaf = torch.from_numpy(values).requires_grad_()
    (arraysig.sig_kernel_gram(leaf, leaf, 1) * weights).sum().backward()
    one, two = (torch.from_numpy(values).requires_grad_() for _ in range(2))
    (arraysig.sig_kernel_gram(one, two, 1) * weights).sum().backward()
    torch.testing.assert_close(leaf.grad, one.grad + two.grad)
    left, right = arraysig.sig_kernel_gram_backprop(
        weights.numpy(), values, values, 1, right_deriv=True
    )
    np.testing.assert_allclose(one.grad, left, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(two.grad, right, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("normalize", [False, True])
def test_torch_gradients(normalize: bool, rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(walks(rng, 2, 4, 2)).requires_grad_()
    y = torch.from_numpy(walks(rng, 2, 3, 2)).requires_grad_()
    options = {"static_kernel": arraysig.Matern32Kernel(1.0), "normalize": normalize}
    for function in (arraysig.sig_kernel, arraysig.sig_kernel_gram):
        assert torch.autograd.gradcheck(
            lambda a, b, f=function: f(a, b, 1, time_aug=True, **options), (x, y)
        )
    (grad,) = torch.autograd.grad(arraysig.sig_kernel(x, y, 0).sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="^arraysig: sig_kernel_vjp has no derivative"):
        grad.sum().backward()
    with pytest.raises(NotImplementedError, match="^arraysig: sig_kernel has no forward-mode"):
        torch.func.jvp(
            lambda a: arraysig.sig_kernel(a, y.detach(), 0), (x.detach(),), (x.detach(),)
        )


def test_straight_lines_give_a_hypergeometric_function(xp: Backend) -> None:
    # The signature of a line is exp(v): the kernel is the sum of <v, w>^n / n!^2.
    v, w = np.array([0.5, -1.0, 2.0]), np.array([1.0, 0.5, 0.25])
    exact = sum((v @ w) ** n / math.factorial(n) ** 2 for n in range(30))
    lines = [xp.array(np.linspace(0, 1, 9)[:, None] * u) for u in (v, w)]
    errors = [float(arraysig.sig_kernel(*lines, order)) - exact for order in (2, 3, 4)]
    assert abs(errors[2]) < 1e-6
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine == pytest.approx(4, rel=0.05)  # second order


def test_kernels_are_inner_products_of_signatures(xp: Backend, rng: np.random.Generator) -> None:
    x, y = walks(rng, 4, 6, 2) / 2, walks(rng, 4, 5, 2) / 2
    one, two = [arraysig.sig(p, 9, scalar_term=True) for p in (x, y)]
    kernel = arraysig.sig_kernel(xp.array(x), xp.array(y), 6)
    np.testing.assert_allclose(xp.numpy(kernel), (one * two).sum(-1), rtol=2e-5)


def test_points_far_from_the_origin(xp: Backend, rng: np.random.Generator) -> None:
    x, y = (walks(rng, 8, 2).astype("float32") for _ in range(2))
    for kernel in (arraysig.RBFKernel(1.0), arraysig.Matern52Kernel(1.0)):
        near, far = (
            xp.numpy(
                arraysig.sig_kernel(
                    xp.array(x + shift), xp.array(y + shift), 0, static_kernel=kernel
                )
            )
            for shift in (np.float32(0), np.float32(1024))
        )
        np.testing.assert_allclose(far, near, rtol=2e-4)  # of the points, rounded by 6e-5


def test_coinciding_points_have_gradients(xp: Backend, rng: np.random.Generator) -> None:
    x = xp.array(walks(rng, 5, 2))
    for kernel in ALL_KERNELS:
        grads = arraysig.sig_kernel_backprop(
            xp.array(np.ones(())), x, x, 0, static_kernel=kernel, right_deriv=True
        )
        np.testing.assert_allclose(xp.numpy(grads[0]), xp.numpy(grads[1]), rtol=1e-9, atol=1e-12)
        assert np.isfinite(xp.numpy(grads[0])).all()


def test_negative_bases_of_polynomials(xp: Backend) -> None:
    x, y = np.array([[0.0], [1.0], [0.5]]), np.array([[0.0], [-2.0], [-3.0]])
    for degree in (0, 1, 6, 7, 2.5):
        kernel = arraysig.PolynomialKernel(degree, 0.5, 0.01)

        def slow(a: np.ndarray, b: np.ndarray, degree: float = degree) -> Any:
            base = a @ b + 0.5
            return 0.01 * (base if degree == int(degree) else max(base, 0.0)) ** degree

        got = arraysig.sig_kernel(xp.array(x), xp.array(y), 0, static_kernel=kernel)
        expected = reference.signature_kernel(x, y, (0, 0), slow)
        assert float(got) == pytest.approx(float(expected), rel=1e-12)


def test_bases_of_roots_that_are_zero(xp: Backend) -> None:
    """Slopes are infinite there, and count as 0."""
    path = xp.array(np.array([[0.0], [1.0], [0.5]]))
    left, _ = arraysig.sig_kernel_backprop(
        xp.array(np.ones(())), path, path, 0, static_kernel=arraysig.PolynomialKernel(0.5, 0.0)
    )
    assert np.isfinite(xp.numpy(left)).all()


def test_normalized_kernels(xp: Backend, rng: np.random.Generator) -> None:
    x, y = xp.array(walks(rng, 2, 3, 5, 2)), xp.array(walks(rng, 2, 3, 7, 2))
    got = arraysig.sig_kernel(x, y, 1, normalize=True)
    k = [xp.numpy(arraysig.sig_kernel(a, b, 1)) for a, b in ((x, y), (x, x), (y, y))]
    np.testing.assert_allclose(xp.numpy(got), k[0] / np.sqrt(k[1] * k[2]), rtol=1e-13)
    gram = xp.numpy(arraysig.sig_kernel_gram(x, y, 1, normalize=True))
    for index in np.ndindex(2, 3):
        assert gram[index + index] == pytest.approx(xp.numpy(got)[index], rel=1e-13)
    wild = xp.array(np.array([[0.0], [5.0], [-5.0], [5.0]]))
    norm = float(arraysig.sig_kernel(wild, wild, 0))
    normalized = float(arraysig.sig_kernel(wild, wild, 0, normalize=True))
    assert math.isnan(normalized) if norm < 0 else normalized == pytest.approx(1)


def test_normalized_kernels_of_large_norms(xp: Backend) -> None:
    """Of which the product overflows, not they themselves: about 3e20 in float32."""
    x = xp.array(np.linspace(0, 25, 200, dtype="f")[:, None])
    for function in (arraysig.sig_kernel, arraysig.sig_kernel_gram):
        got = xp.numpy(function(x, x, order=4, normalize=True))
        assert float(got) == pytest.approx(1, rel=1e-6)
    y = 0.3 * x
    got = xp.numpy(arraysig.branched_sig_kernel(y, y, 1, 0, normalize=True))
    assert float(got) == pytest.approx(1, rel=1e-6)
    if xp.library == "torch":
        x.requires_grad_()
        arraysig.sig_kernel(x, x[:100] * 1.5, order=4, normalize=True).backward()
        assert np.isfinite(xp.numpy(x.grad)).all()


def test_gradients_that_are_not_wanted(xp: Backend, rng: np.random.Generator) -> None:
    x, derivs = xp.array(walks(rng, 2, 4, 2)), xp.array(np.ones(2))
    for left in (False, True):
        for right in (False, True):
            got = arraysig.sig_kernel_backprop(derivs, x, x, 0, left_deriv=left, right_deriv=right)
            assert [g is not None for g in got] == [left, right]


def test_brownian_paths_in_single_precision(rng: np.random.Generator) -> None:
    x, y = (walks(rng, 16, 1000, 2).astype("float32") for _ in range(2))
    for order in (0, 1, 2):
        for kernel in (None, arraysig.RBFKernel(1.0)):
            args = {"static_kernel": kernel, "n_jobs": -1}
            single = arraysig.sig_kernel(x, y, order, **args)
            double = arraysig.sig_kernel(x.astype(float), y.astype(float), order, **args)
            worst = np.max(np.abs(single - double) / np.maximum(np.abs(double), 0.5))
            assert worst < 2e-5
            ones = np.ones(16, dtype="float32")
            grad = arraysig.sig_kernel_backprop(ones, x, y, order, **args)[0]
            exact = arraysig.sig_kernel_backprop(
                ones.astype(float), x.astype(float), y.astype(float), order, **args
            )[0]
            assert np.max(np.abs(grad - exact)) < 1e-4 * np.max(np.abs(exact))


@pytest.mark.parametrize("kernel", ALL_KERNELS, ids=str)
def test_static_kernels_are_values(kernel: Any) -> None:
    assert pickle.loads(pickle.dumps(kernel)) == kernel
    assert copy.deepcopy(kernel) == kernel
    assert hash(kernel) == hash(copy.copy(kernel))
    assert type(kernel).__name__ in repr(kernel)


FEW = [(1000, 40), (40, 1000), (400, 300), (2, 3000), (3000, 2), (129, 129), (257, 33)]


@pytest.mark.parametrize("lengths", FEW, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_long_pairs(lengths: tuple[int, int], dtype: str, rng: np.random.Generator) -> None:
    # Alone a pair is swept by bands of all lanes; among many it is one lane.
    eps = float(np.finfo(dtype).eps)
    for dimension, dyadic_order, cells, kernel in (
        (2, 0, (3, 2), None),
        (1, 1, (4, 1), arraysig.RBFKernel(1.0)),
        (5, (2, 0), (6, 0), None),
        (3, (0, 3), (9, 1), arraysig.Matern32Kernel(1.0)),
        (1, (4, 0), (9, 0), arraysig.PolynomialKernel(2, 1.0, 0.3)),
    ):
        x, y = (walks(rng, 40, length, dimension).astype(dtype) for length in lengths)
        order, fold = cells
        for scheme in ({"dyadic_order": dyadic_order}, {"order": order, "fold": fold}):
            options: Any = {**scheme, "static_kernel": kernel}
            many = arraysig.sig_kernel(x, y, **options)
            for count, n_jobs in ((1, 1), (1, 2), (3, 2)):
                few = arraysig.sig_kernel(x[:count], y[:count], n_jobs=n_jobs, **options)
                np.testing.assert_allclose(few, many[:count], rtol=0, atol=2000 * eps)


def test_nan_stays_in_its_pair_where_pairs_are_few(rng: np.random.Generator) -> None:
    x = walks(rng, 3, 300, 2)
    expected = arraysig.sig_kernel(x, x, 0)
    for where in (0, 150, 299):
        spoilt = x.copy()
        spoilt[1, where] = np.nan
        got = arraysig.sig_kernel(spoilt, x, 0)
        assert np.isnan(got[1])
        np.testing.assert_array_equal(got[[0, 2]], expected[[0, 2]])


def test_long_gradients(rng: np.random.Generator) -> None:
    # Long enough for two layers of checkpoints, against a gradient that needs none.
    for dtype, error in (("float32", 1e-4), ("float64", 1e-10)):
        for order, lengths in (((0, 0), (3000, 900)), ((2, 1), (300, 700)), ((5, 0), (60, 2500))):
            x, y = (walks(rng, length, 2).astype(dtype) for length in lengths)
            left, right = arraysig.sig_kernel_backprop(
                np.ones((), dtype), x, y, order, right_deriv=True
            )
            step = 1e-5
            for gradient, path in ((left, x), (right, y)):
                direction = walks(rng, *path.shape)
                ends = [path + sign * step * direction for sign in (1, -1)]
                if path is x:
                    values = [arraysig.sig_kernel(e, y.astype(float), order) for e in ends]
                else:
                    values = [arraysig.sig_kernel(x.astype(float), e, order) for e in ends]
                slope = (values[0] - values[1]) / (2 * step)
                assert np.sum(gradient * direction) == pytest.approx(slope, abs=max(error, 1e-8))


# ---------------------------------------------------------------- polynomial cells


GOLDEN_X = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]]) / 4
GOLDEN_Y = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 2.0], [-1.0, 0.0]]) / 4


def test_golden_values(xp: Backend) -> None:
    x, y = xp.array(GOLDEN_X), xp.array(GOLDEN_Y)
    for options, expected in (
        ({"dyadic_order": 0}, 0.755708),
        ({"dyadic_order": 1}, 0.755479),
        ({"dyadic_order": 2}, 0.755651),
        ({"dyadic_order": (1, 3)}, 0.755696),
        ({"order": 2}, 0.758069),
        ({"order": 3}, 0.755661),
        ({"order": 4}, 0.755738),
        ({"order": 8}, 0.755737),
        ({"order": 16}, 0.755737),
        ({"order": 64}, 0.755737),
        ({"dyadic_order": 1, "time_aug": True}, 1.917018),
        ({"dyadic_order": 1, "lead_lag": True}, 0.603537),
        ({"dyadic_order": 1, "normalize": True}, 0.530847),
        ({"dyadic_order": 1, "static_kernel": arraysig.RBFKernel(1.0)}, 0.780331),
        ({"dyadic_order": 1, "static_kernel": arraysig.PolynomialKernel()}, 0.315890),
        ({"dyadic_order": 1, "static_kernel": arraysig.Matern12Kernel(1.0)}, 0.876027),
        ({"dyadic_order": 1, "static_kernel": arraysig.Matern32Kernel(1.0)}, 0.839902),
        ({"dyadic_order": 1, "static_kernel": arraysig.Matern52Kernel(1.0)}, 0.832342),
        (
            {"dyadic_order": 1, "static_kernel": arraysig.RationalQuadraticKernel(0.8, 1.5)},
            0.838458,
        ),
    ):
        assert float(arraysig.sig_kernel(x, y, **options)) == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(
    ("order", "fold"),
    [
        (2, 0),
        (3, 0),
        (6, 0),
        (7, 0),
        (20, 0),
        (2, 2),
        (3, 1),
        (3, 2),
        (4, 1),
        (4, 2),
        (9, 1),
        (16, 2),
    ],
)
def test_polynomial_gram_matrices(
    xp: Backend, order: int, fold: int, rng: np.random.Generator
) -> None:
    x, y = walks(rng, 3, 6, 2), walks(rng, 2, 5, 2)
    for kernel in (arraysig.LinearKernel(), arraysig.PolynomialKernel(2.0, 0.5, 0.3)):
        options: Any = {"order": order, "fold": fold, "static_kernel": kernel}
        got = arraysig.sig_kernel_gram(xp.array(x), xp.array(y), **options)
        expected = [
            [reference.polynomial_kernel(a, b, order, fold, definition(kernel)) for b in y]
            for a in x
        ]
        np.testing.assert_allclose(xp.numpy(got), expected, rtol=1e-12)
        same = arraysig.sig_kernel_gram(*[xp.array(x)] * 2, **options)
        other = arraysig.sig_kernel_gram(xp.array(x), xp.array(x), **options)
        np.testing.assert_allclose(xp.numpy(same), xp.numpy(other), rtol=1e-12)


@pytest.mark.parametrize("fold", [0, 1, 2])
@pytest.mark.parametrize("order", [*range(2, 10), 12])
def test_every_degree(order: int, fold: int, rng: np.random.Generator) -> None:
    # Orders to 8 have code of their own in C, 12 with two powers more; 9 has that of all others.
    # 7 rows are a strip and 3.
    options: Any = {"order": order, "fold": fold}
    x, y = walks(rng, 3, 8, 2), walks(rng, 3, 6, 2)
    step, move_x, move_y = 1e-5, walks(rng, *x.shape), walks(rng, *y.shape)
    for grid in (False, True):

        def value(x: Any, y: Any, grid: bool = grid) -> Any:
            return arraysig.sig_kernel(x, y, **options, return_grid=grid)

        expected = np.array(
            [reference.polynomial_kernel(x[i], y[i], order, fold, grid=grid) for i in range(3)]
        )
        np.testing.assert_allclose(value(x, y), expected, rtol=1e-12)
        derivs = rng.normal(size=expected.shape)
        left, right = arraysig.sig_kernel_backprop(
            derivs, x, y, right_deriv=True, **options, return_grid=grid
        )
        ends = [value(x + s * move_x, y + s * move_y) for s in (step, -step)]
        slope = np.sum(left * move_x) + np.sum(right * move_y)
        assert slope == pytest.approx(np.sum(derivs * (ends[0] - ends[1])) / (2 * step), rel=1e-6)
    x, y = walks(rng, 40, 100, 2), walks(rng, 40, 90, 2)
    many = arraysig.sig_kernel(x, y, **options)
    np.testing.assert_allclose(arraysig.sig_kernel(x[:1], y[:1], **options), many[:1], rtol=1e-12)


def test_orders_converge(xp: Backend, rng: np.random.Generator) -> None:
    x, y = xp.array(walks(rng, 4, 30, 2)), xp.array(walks(rng, 4, 30, 2))
    exact = xp.numpy(arraysig.sig_kernel(x, y, order=20))

    def error(**options: Any) -> float:
        return float(np.max(np.abs(xp.numpy(arraysig.sig_kernel(x, y, **options)) - exact)))

    plain = [error(order=order) for order in (2, 3, 4, 6, 8)]
    assert all(a > b for a, b in itertools.pairwise(plain))
    for fold in (1, 2):
        folded = [error(order=order, fold=fold) for order in (2, 3, 4, 6)]
        assert all(100 * f < p for f, p in zip(folded, plain, strict=False))
        assert folded[-1] < 1e-13


def test_auto_meets_its_tolerance(xp: Backend, rng: np.random.Generator) -> None:
    x, y = walks(rng, 4, 40, 3), walks(rng, 4, 30, 3)
    exact = arraysig.sig_kernel(x, y, order=24)
    for scale, tol in ((1, 1e-3), (1, 1e-6), (1, 1e-11), (2, 1e-6), (3, 1e-9)):
        a, b = xp.array(scale * x), xp.array(scale * y)
        exact = arraysig.sig_kernel(scale * x, scale * y, order=32)
        for options in ({"tol": tol}, {"tol": tol, "method": "auto"}):
            got = xp.numpy(arraysig.sig_kernel(a, b, **options))
            assert np.max(np.abs(got - exact) / np.maximum(1, np.abs(exact))) < tol
    left, right = arraysig.sig_kernel_backprop(xp.array(np.ones(4)), a, b, tol=1e-9)
    assert right is None
    wanted, _ = arraysig.sig_kernel_backprop(np.ones(4), 3 * x, 3 * y, order=32)
    np.testing.assert_allclose(xp.numpy(left), wanted, rtol=1e-6, atol=1e-6)
    single = arraysig.sig_kernel(xp.array(x.astype("f")), xp.array(y.astype("f")))
    exact = arraysig.sig_kernel(x, y, order=32)
    np.testing.assert_allclose(xp.numpy(single), exact, rtol=3e-5, atol=3e-5)


def test_auto_with_large_increments(xp: Backend) -> None:
    """Of single cells up to 16, where `fold` does harm."""
    path = np.array([[0.0], [2.0], [-2.0], [2.0], [-2.0]])
    got = xp.numpy(arraysig.sig_kernel(xp.array(path), xp.array(path), tol=1e-8))
    assert abs(got / np.i0(4.0) - 1) < 1e-8  # that of a path straight to the end


@pytest.mark.parametrize(
    ("options", "tolerances"),
    [
        ({"order": 12}, (1e-11, 1e-6)),
        ({"order": 12, "fold": 2}, (1e-9, 1e-5)),
        ({"order": 32}, (1e-11, 1e-11)),
        ({}, (1e-6, 1e-6)),
    ],
)
def test_differences_of_corners_do_not_grow(
    xp: Backend, options: dict[str, Any], tolerances: tuple[float, float]
) -> None:
    """Both edges of a cell start from one number, also where increments change sign all the time.

    With two, as other libraries have it, errors grow to 1e15, and "auto" does not see it.
    """
    zigzag = np.array([0.0, *[1.0, -1.0] * 16])[:, None]
    noise = np.random.default_rng(0).normal(size=(2, 40, 1))
    for (x, y), tolerance in zip(((zigzag, zigzag), noise), tolerances, strict=True):
        got = xp.numpy(arraysig.sig_kernel(xp.array(x), xp.array(y), **options))
        exact = np.i0(2 * np.sqrt((x[-1] - x[0]) * (y[-1] - y[0])))  # of segments to the ends
        assert abs(got / exact - 1) < tolerance


@pytest.mark.parametrize("order", [4, 6, 8])
def test_polynomial_cells_do_not_drift(order: int, rng: np.random.Generator) -> None:
    """As they would if a corner were rounded alike in all cells."""
    x, y = (walks(rng, 16, 1000, 2).astype("float32") for _ in range(2))
    exact = arraysig.sig_kernel(x.astype(float), y.astype(float), order=order)
    got = arraysig.sig_kernel(x, y, order=order)
    assert np.linalg.norm(got - exact) < 2e-6 * np.linalg.norm(exact)


class _Inner(arraysig.StaticKernel):
    """The inner product, as a user would write it; nobody asks for gradients."""

    def __call__(self, ctx: Any, x: Any, y: Any) -> Any:
        return (x[:, 1:] - x[:, :-1]) @ (y[:, 1:] - y[:, :-1]).swapaxes(1, 2)

    def grad_x(self, ctx: Any, derivs: Any) -> Any:
        raise NotImplementedError

    grad_y = grad_x


@pytest.mark.parametrize("tile", [2**24, 700])
@pytest.mark.parametrize("what", ["gram", "same", "pairs", "grid", "user"])
def test_auto_goes_on_with_pairs_that_need_it(
    xp: Backend, what: str, tile: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = walks(rng, 2, 6, 9, 2), walks(rng, 2, 6, 8, 2)
    for path in (x, y):
        path[0, 3] *= 4
        path[1, 2] *= 3
    x[0, 1, 4] = np.nan
    options: dict[str, Any] = {"return_grid": what == "grid"}
    if what == "user":
        options["static_kernel"] = _Inner()
    one, two = xp.array(x), xp.array(y)
    function = arraysig.sig_kernel_gram
    if what == "same":
        y, two = x, one
    elif what != "gram":
        function = arraysig.sig_kernel
    counts = []
    solve = search.search

    def counted(applied: Any, *rest: Any) -> Any:
        def noted(numbers: Any, one: Any, two: Any, symmetric: bool) -> Any:
            counts.append(math.prod(one.shape[:-2]) * two.shape[-3])
            return applied(numbers, one, two, symmetric)

        return solve(noted, *rest)

    monkeypatch.setattr(search, "_TILE_BYTES", tile)
    monkeypatch.setattr(kernels, "search", counted)
    got, error = function(one, two, **options, return_error=True)
    assert error <= 1e-6
    assert counts[0] == counts[1] == (144 if function is arraysig.sig_kernel_gram else 12)
    assert 0 < min(counts) <= counts[0] / 4
    exact = function(x, y, **options, order=16)
    wrong = np.abs(xp.numpy(got) - exact) / np.maximum(1, np.abs(exact))
    assert np.isnan(exact).any()
    np.testing.assert_array_equal(np.isnan(wrong), np.isnan(exact))
    assert np.nanmax(wrong) < 1e-6


def test_auto_does_not_take_two_equal_errors_for_none() -> None:
    """With `tol` for every single pair 28 of these are off by up to 36 times as much."""
    x = np.random.default_rng(2).normal(size=(80, 20, 2)).cumsum(1)
    x = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    got = arraysig.sig_kernel_gram(x, x, tol=1e-2)
    exact = arraysig.sig_kernel_gram(x, x, order=24)
    assert np.max(np.abs(got - exact) / np.maximum(1, np.abs(exact))) < 1e-2


@pytest.mark.parametrize(
    ("dtype", "changes", "error"),
    [
        ("float32", [0.3, 0.2, 3e-4, 2e-4, 0.0], 2e-4),
        ("float64", [0.3, 0.2, 3e-4, 2e-4, 0.0], 0.0),
        ("float32", [9e-4, 8e-4, 2e-6], 2e-6),
        ("float32", [0.3, 0.2, 3e-4, math.inf, 2e-6], 2e-6),
    ],
)
def test_auto_ends_where_changes_are_rounding(
    dtype: str,
    changes: list[float],
    error: float,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are small in units of the dtype, and do not fall; of low orders that may be chance."""
    each = iter(changes)
    monkeypatch.setattr(search, "relative_change", lambda new, *_: np.full(len(new), next(each)))
    x = walks(rng, 3, 5, 2).astype(dtype)
    assert arraysig.sig_kernel(x, x, return_error=True)[1] == error


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_auto_names_a_tolerance_that_is_met(dtype: str) -> None:
    """Of two digits; order 32 may overflow, or change kernels more than lower ones did."""
    walk = np.random.default_rng(0).normal(size=(10, 2)).cumsum(0)
    for scale in (3, 3.5, 4):
        path = (scale * walk).astype(dtype)
        with pytest.raises(ValueError, match="`tol` must be at least") as caught:
            arraysig.sig_kernel(path, path, tol=1e-15)
        named = float(re.findall("at least ([^,]+),", str(caught.value))[0])
        assert arraysig.sig_kernel(path, path, tol=named, return_error=True)[1] <= named


def test_auto_has_three_matrices_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import tracemalloc

    monkeypatch.setattr(namespace, "_SLICE", 2**12)
    paths = np.linspace(0, 1, 1000).reshape(500, 2, 1)
    tracemalloc.start()
    matrix = arraysig.sig_kernel_gram(paths, paths)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3.3 * matrix.nbytes


def test_tolerances_are_relative_to_large_kernels(xp: Backend) -> None:
    line = xp.array(np.linspace(0, 12, 30)[:, None])
    got, error = arraysig.sig_kernel(line, line, tol=1e-9, return_error=True)
    assert 0 < error <= 1e-9
    assert abs(xp.numpy(got) / np.i0(24.0) - 1) < 1e-9


def test_auto_in_torch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch")
    x, y = (torch.from_numpy(walks(rng, 2, 5, 2)).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(lambda a, b: arraysig.sig_kernel(a, b, tol=1e-9), (x, y))
    assert torch.autograd.gradcheck(
        lambda a, b: arraysig.sig_kernel_gram(a, b, tol=1e-9, normalize=True), (x, y)
    )
    one, two = x.detach(), y.detach()
    grad = torch.func.grad(lambda a: arraysig.sig_kernel(a, two, tol=1e-9).sum())(one)
    expected, _ = arraysig.sig_kernel_backprop(torch.ones(2, dtype=one.dtype), one, two, tol=1e-9)
    torch.testing.assert_close(grad, expected)
    leaf = two.clone().requires_grad_()
    (grad,) = torch.autograd.grad(arraysig.sig_kernel(one, leaf, tol=1e-9).sum(), leaf)
    _, expected = arraysig.sig_kernel_backprop(
        torch.ones(2, dtype=one.dtype), one, two, tol=1e-9, right_deriv=True
    )
    torch.testing.assert_close(grad, expected)
    with pytest.raises(
        NotImplementedError, match="^arraysig: sig_kernel_polynomial has no forward"
    ):
        torch.func.jvp(lambda a: arraysig.sig_kernel(a, two), (one,), (one,))
    compiled = torch.compile(lambda a: arraysig.sig_kernel(a, a), fullgraph=True, backend="eager")
    with pytest.raises(Exception, match="sig_kernel: method 'auto' looks at values"):
        compiled(x.detach())


@pytest.mark.parametrize("kernel", [k for k in ALL_KERNELS if "Matern" in repr(k)], ids=repr)
@pytest.mark.parametrize(("dtype", "far"), [("float32", 9.97e36), ("float64", 1e200)])
def test_points_far_away(xp: Backend, kernel: Any, dtype: str, far: float) -> None:
    """Of which the squared distance overflows: kernels are 0."""
    results = []
    for distance in (far, 1e5):
        x = np.array([[0.0, 0.0], [distance, 0.0], [0.5, 0.25]])
        x, y = xp.array(x, dtype), xp.array(x[::2], dtype)
        one = xp.array(np.array(1.0), dtype)
        value = arraysig.sig_kernel(x, y, 1, static_kernel=kernel)
        gradient, _ = arraysig.sig_kernel_backprop(one, x, y, 1, static_kernel=kernel)
        results.append((xp.numpy(value), xp.numpy(gradient)))
    assert np.isfinite(results[0][0])
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)


def test_auto_leaves_bad_paths_alone(xp: Backend, rng: np.random.Generator) -> None:
    x = walks(rng, 3, 5, 2)
    x[1, 2] = np.nan
    got = xp.numpy(arraysig.sig_kernel(xp.array(x), xp.array(x)))
    assert np.isnan(got).tolist() == [False, True, False]
    grids = xp.numpy(arraysig.sig_kernel(xp.array(x), xp.array(x), return_grid=True))
    assert np.isnan(grids).any((1, 2)).tolist() == [False, True, False]


def test_auto_does_not_take_an_overflow_for_an_answer(
    xp: Backend, rng: np.random.Generator
) -> None:
    x = xp.array(rng.normal(size=(3, 40, 2)) * 7)
    for function in (arraysig.sig_kernel, arraysig.sig_kernel_gram):
        with pytest.raises(ValueError, match=r"`tol` can not be met, for kernels overflow, got"):
            function(x, x)


def test_long_polynomial_gradients(rng: np.random.Generator) -> None:
    x, y = walks(rng, 700, 2), walks(rng, 600, 2)
    left, _ = arraysig.sig_kernel_backprop(np.ones(()), x, y, order=3, fold=2)
    direction, step = walks(rng, *x.shape), 1e-5
    ends = [arraysig.sig_kernel(x + s * direction, y, order=3, fold=2) for s in (step, -step)]
    assert np.sum(left * direction) == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-8)


def test_grids(xp: Backend) -> None:
    x = xp.array(np.array([[0, 0], [1, 2], [3, 1]]) / 4)
    y = xp.array(np.array([[0, 1], [0.5, 0.5], [1, 2], [-1, 0]]) / 4)
    golden = {
        "dyadic_order": [[0.968994, 1.196192, 0.821861], [1.063465, 1.255619, 0.755708]],
        "order": [[0.968993, 1.196474, 0.821108], [1.063483, 1.255989, 0.755737]],
    }
    for scheme, expected in golden.items():
        options: dict[str, Any] = {scheme: 0 if scheme == "dyadic_order" else 8}
        grid = xp.numpy(arraysig.sig_kernel(x, y, return_grid=True, **options))
        assert grid.shape == (3, 4)
        assert (grid[0] == 1).all()
        assert (grid[:, 0] == 1).all()
        np.testing.assert_allclose(grid[1:, 1:], expected, atol=6e-7)


@pytest.mark.parametrize(
    "options", [{"dyadic_order": (2, 0)}, {"order": 3, "fold": 1}, {}], ids=str
)
def test_grids_of_all_pairs(xp: Backend, options: Any, rng: np.random.Generator) -> None:
    x, y = xp.array(walks(rng, 2, 3, 5, 2)), xp.array(walks(rng, 2, 7, 2))
    grids = arraysig.sig_kernel_gram(x, y, return_grid=True, **options)
    assert grids.shape == (2, 3, 2, *((17, 7) if "dyadic_order" in options else (5, 7)))
    single = arraysig.sig_kernel(x[1, 2], y[0], return_grid=True, **options)
    np.testing.assert_allclose(xp.numpy(grids[1, 2, 0]), xp.numpy(single), rtol=1e-6)
    values = arraysig.sig_kernel_gram(x, y, **options)
    np.testing.assert_allclose(xp.numpy(grids[..., -1, -1]), xp.numpy(values), rtol=1e-6)
    same = xp.numpy(arraysig.sig_kernel_gram(y, y, return_grid=True, **options))
    assert same.shape == (2, 2, *((25, 7) if "dyadic_order" in options else (7, 7)))
    other = xp.numpy(
        arraysig.sig_kernel_gram(y, xp.array(xp.numpy(y)), return_grid=True, **options)
    )
    np.testing.assert_array_equal(same, other)
    derivs = xp.array(rng.normal(size=grids.shape))
    both = arraysig.sig_kernel_gram_backprop(
        derivs, x, y, return_grid=True, right_deriv=True, k_grid=grids, **options
    )
    change = xp.array(rng.normal(size=x.shape)), xp.array(rng.normal(size=y.shape))
    steps = [
        arraysig.sig_kernel_gram(x + h * change[0], y + h * change[1], return_grid=True, **options)
        for h in (1e-5, -1e-5)
    ]
    wanted = xp.numpy((steps[0] - steps[1]) * derivs).sum() / 2e-5
    got = sum(xp.numpy(a * b).sum() for a, b in zip(both, change, strict=True))
    assert got == pytest.approx(wanted, rel=2e-4)


def test_estimated_errors(xp: Backend, rng: np.random.Generator) -> None:
    x, y = xp.array(walks(rng, 3, 20, 2)), xp.array(walks(rng, 3, 30, 2))
    exact = xp.numpy(arraysig.sig_kernel(x, y, order=24))
    for tol in (1e-3, 1e-6, 1e-10):
        value, error = arraysig.sig_kernel(x, y, tol=tol, return_error=True)
        assert isinstance(error, float)
        assert 0 < error <= tol
        np.testing.assert_allclose(xp.numpy(value), exact, rtol=error)
    gram, error = arraysig.sig_kernel_gram(x, y, tol=1e-8, return_error=True, normalize=True)
    exact = xp.numpy(arraysig.sig_kernel_gram(x, y, order=24, normalize=True))
    assert 0 < error <= 1e-8
    np.testing.assert_allclose(xp.numpy(gram), exact, rtol=2 * error)
    grid, error = arraysig.sig_kernel(x, y, tol=1e-8, return_error=True, return_grid=True)
    assert grid.shape == (3, 20, 30)
    _, error = arraysig.sig_kernel(x[:, :1], y, return_error=True)
    assert error == 0


@pytest.mark.parametrize("options", [{"dyadic_order": 2}, {"order": 3}, {}], ids=str)
def test_progress(
    xp: Backend, options: Any, rng: np.random.Generator, capsys: pytest.CaptureFixture[str]
) -> None:
    x = xp.array(walks(rng, 12, 6, 2))
    y = xp.array(walks(rng, 3, 5, 2))
    quiet = arraysig.sig_kernel_gram(x, x, **options), arraysig.sig_kernel_gram(x, y, **options)
    derivs = xp.array(np.ones((12, 3)))
    arraysig.sig_kernel_gram_backprop(derivs, x, y, **options)
    assert capsys.readouterr().err == ""
    for other, expected, total in ((x, quiet[0], 144), (y, quiet[1], 36)):
        got = arraysig.sig_kernel_gram(x, other, progress=True, **options)
        np.testing.assert_array_equal(xp.numpy(got), xp.numpy(expected))
        shown = capsys.readouterr().err
        assert "sig_kernel_gram: " in shown or "sig_kernel_gram, order 3: " in shown
        assert f"100%|██████████| {total}/{total} " in shown
    arraysig.sig_kernel_gram_backprop(derivs, x, y, progress=True, **options)
    assert "| 36/36 " in capsys.readouterr().err


def test_progress_in_a_thread(rng: np.random.Generator, capsys: pytest.CaptureFixture[str]) -> None:
    x = walks(rng, 12, 6, 2)
    thread = threading.Thread(target=lambda: arraysig.sig_kernel_gram(x, x, 2, progress=True))
    thread.start()
    thread.join()
    assert "| 144/144 " in capsys.readouterr().err
