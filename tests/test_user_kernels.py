"""Static kernels that users write: the protocol, tiles, gradients, errors."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import arraysig
from arraysig import user_kernels
from arraysig._core.namespace import library

from .backends import Backend
from .test_kernels import walks

SIGMA = 1.5
OURS = arraysig.RBFKernel(SIGMA)
OPTIONS: list[dict[str, Any]] = [
    {"dyadic_order": (1, 2)},
    {"order": 4, "fold": 1},
    {"tol": 1e-8},
    {"dyadic_order": 0, "return_grid": True},
    {"order": 3, "return_grid": True},
    {"dyadic_order": 1, "lead_lag": True, "time_aug": True, "end_time": 0.5},
]
BRANCHED: list[dict[str, Any]] = [
    {"depth": 2, "dyadic_order": (1, 0)},
    {"depth": 3, "dyadic_order": 0, "return_grid": True},
]


class Yours(arraysig.StaticKernel):
    """The Gaussian kernel, as a user would write it; remembers how many pairs it was called for."""

    def __init__(self) -> None:
        self.pairs: list[int] = []
        self.asked: list[str] = []

    def __call__(self, ctx: Any, x: Any, y: Any) -> Any:
        """Increments."""
        self.pairs.append(x.shape[0])
        gaps = x[:, :, None, :] - y[:, None, :, :]
        values = np.e ** (-(gaps**2).sum(-1) / SIGMA)
        ctx.save_for_backward(gaps, values)
        rows = values[:, 1:] - values[:, :-1]
        return rows[:, :, 1:] - rows[:, :, :-1]

    @staticmethod
    def _forces(ctx: Any, derivs: Any) -> Any:
        gaps, values = ctx.saved_tensors
        weights = values * 0
        weights[:, 1:, 1:] += derivs
        weights[:, 1:, :-1] -= derivs
        weights[:, :-1, 1:] -= derivs
        weights[:, :-1, :-1] += derivs
        return (weights * values)[..., None] * gaps * (-2 / SIGMA)

    def grad_x(self, ctx: Any, derivs: Any) -> Any:
        """Gradient in x."""
        self.asked.append("x")
        forces = self._forces(ctx, derivs)
        ctx.save_for_grad_y(forces)
        return forces.sum(2)

    def grad_y(self, ctx: Any, derivs: Any) -> Any:
        """Gradient in y."""
        self.asked.append("y")
        return -(ctx.saved_for_y or (self._forces(ctx, derivs),))[0].sum(1)


@pytest.mark.parametrize("options", OPTIONS + BRANCHED, ids=str)
@pytest.mark.parametrize("max_batch", [-1, 2])
def test_results_and_gradients(
    xp: Backend, options: dict[str, Any], max_batch: int, rng: np.random.Generator
) -> None:
    family = "branched_sig_kernel" if "depth" in options else "sig_kernel"
    gram, gram_backprop, pairwise = (
        getattr(arraysig, family + end) for end in ("_gram", "_gram_backprop", "")
    )
    x, y = xp.array(walks(rng, 5, 6, 2)), xp.array(walks(rng, 3, 9, 2))
    for one, two in ((x, y), (x, x)):
        yours = gram(one, two, static_kernel=Yours(), max_batch=max_batch, **options)
        ours = gram(one, two, static_kernel=OURS, **options)
        assert type(yours) is type(ours)
        np.testing.assert_allclose(xp.numpy(yours), xp.numpy(ours), rtol=1e-12)
        derivs = xp.array(rng.normal(size=ours.shape))
        pairs = [
            gram_backprop(derivs, one, two, static_kernel=kernel, right_deriv=True, **options)
            for kernel in (Yours(), OURS)
        ]
        for got, wanted in zip(*pairs, strict=True):
            np.testing.assert_allclose(xp.numpy(got), xp.numpy(wanted), rtol=1e-10, atol=1e-12)
    one = xp.array(walks(rng, 2, 3, 6, 2))
    two = xp.array(walks(rng, 2, 3, 4, 2))
    yours = pairwise(one, two, static_kernel=Yours(), **options)
    ours = pairwise(one, two, static_kernel=OURS, **options)
    np.testing.assert_allclose(xp.numpy(yours), xp.numpy(ours), rtol=1e-12)


def test_kernels_get_arrays_of_the_callers_library(xp: Backend) -> None:
    seen = []

    class Looking(Yours):
        def __call__(self, ctx: Any, x: Any, y: Any) -> Any:
            seen.extend([x, y])
            return super().__call__(ctx, x, y)

    path = xp.array(np.arange(8.0).reshape(4, 2) / 8)
    arraysig.sig_kernel(path, path[:3], 0, static_kernel=Looking(), time_aug=True)
    assert [library(array) for array in seen] == [library(path)] * 2
    assert [tuple(array.shape) for array in seen] == [(1, 4, 3), (1, 3, 3)]
    assert [array.dtype for array in seen] == [path.dtype] * 2


def test_only_the_gradients_that_are_wanted(rng: np.random.Generator) -> None:
    x = walks(rng, 4, 2)
    for wanted in ("x", "y", "xy"):
        kernel = Yours()
        got = arraysig.sig_kernel_backprop(
            np.array(1.0),
            x,
            x / 2,
            1,
            static_kernel=kernel,
            left_deriv="x" in wanted,
            right_deriv="y" in wanted,
        )
        assert kernel.asked == list(wanted)  # the first one first
        assert [g is not None for g in got] == ["x" in wanted, "y" in wanted]


def test_torch(torch_xp: Backend, rng: np.random.Generator) -> None:
    import torch

    x, y = walks(rng, 4, 5, 2), walks(rng, 3, 4, 2)
    totals = []
    for kernel in (Yours(), OURS):
        leaves = [torch_xp.array(a).requires_grad_() for a in (x, y)]
        both = arraysig.sig_kernel_gram(*leaves, 1, static_kernel=kernel)
        same = arraysig.sig_kernel_gram(leaves[0], leaves[0], static_kernel=kernel, normalize=True)
        mmd = arraysig.sig_mmd(*leaves, 1, static_kernel=kernel, max_batch=2)
        ((both**2).sum() + (same**2).sum() + mmd).backward()
        totals.append([leaf.grad for leaf in leaves])
    for got, wanted in zip(*totals, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-11)

    one, two = torch_xp.array(x), torch_xp.array(y)[0]

    def kernel_of(path: Any) -> Any:
        return arraysig.sig_kernel(path, two, 1, static_kernel=Yours())

    expected = arraysig.sig_kernel_gram(one, two, 1, static_kernel=OURS)
    torch.testing.assert_close(torch.func.vmap(kernel_of)(one), expected)
    torch.testing.assert_close(torch.compile(kernel_of, backend="eager")(one[1]), expected[1])
    grads = torch.func.vmap(torch.func.grad(kernel_of))(one)
    wanted, _ = arraysig.sig_kernel_gram_backprop(
        torch.ones_like(expected), one, two, 1, static_kernel=OURS
    )
    torch.testing.assert_close(grads, wanted)
    unused = Yours()
    ones = torch.func.vmap(lambda path: arraysig.sig_kernel(path, two[:1], 1, static_kernel=unused))
    torch.testing.assert_close(ones(one), torch.ones_like(expected))
    assert unused.pairs == []
    with pytest.raises(NotImplementedError, match=r"of your own has no forward-mode derivative$"):
        torch.func.jvp(kernel_of, (one[0],), (one[0],))
    leaf = one[0].clone().requires_grad_()
    (first,) = torch.autograd.grad(kernel_of(leaf), leaf, create_graph=True)
    with pytest.raises(NotImplementedError, match=r"of your own has no second derivative$"):
        first.sum().backward()


def test_what_kernels_hold_is_constant(torch_xp: Backend, rng: np.random.Generator) -> None:
    import torch

    class Scaled(Yours):
        def __init__(self, scale: Any) -> None:
            super().__init__()
            self.scale = scale

        def __call__(self, ctx: Any, x: Any, y: Any) -> Any:
            return self.scale * super().__call__(ctx, x, y)

    x = torch_xp.array(walks(rng, 2, 4, 2))
    scale = torch_xp.array(np.array(0.5)).requires_grad_()
    constant = scale.detach()

    def kernel(scale: Any, path: Any = x, **options: Any) -> Any:
        return arraysig.sig_kernel(path, x, static_kernel=Scaled(scale), **options).sum()

    for value in (
        lambda: kernel(scale),
        lambda: kernel(scale, x.clone().requires_grad_(), order=3),
        lambda: torch.func.grad(kernel)(constant),
        lambda: torch.func.grad(lambda a: kernel(scale, a, order=3))(x),
        lambda: torch.func.jvp(kernel, (constant,), (constant,)),
    ):
        with pytest.raises(NotImplementedError, match="^sig_kernel: derivatives with respect to w"):
            value()
    with torch.no_grad():
        torch.testing.assert_close(kernel(scale), kernel(constant))
    torch.func.grad(lambda a: kernel(constant, a, order=3))(x)


def test_tiles_are_bounded(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    x, y = walks(rng, 7, 5, 2), walks(rng, 6, 5, 2)
    for max_batch in (1, 2, 3, 100):
        kernel = Yours()
        arraysig.sig_kernel_gram(x, y, 0, static_kernel=kernel, max_batch=max_batch)
        assert sum(kernel.pairs) == 42
        assert max(kernel.pairs) <= max_batch**2
    kernel = Yours()
    arraysig.sig_kernel_gram(x, x, 0, static_kernel=kernel, max_batch=1)
    assert sum(kernel.pairs) == 28  # those above the diagonal
    monkeypatch.setattr(user_kernels, "_TILE", 200)
    kernel = Yours()
    arraysig.sig_kernel(x, x, 0, static_kernel=kernel)
    assert kernel.pairs == [4, 3]  # of 5 * 5 + 2 * 5 * 2 numbers
    monkeypatch.setattr(user_kernels, "_TILE", 1)
    kernel = Yours()
    arraysig.sig_kernel_gram(x[:2], y[:3], 0, static_kernel=kernel)
    assert kernel.pairs == [1] * 6


def test_progress(rng: np.random.Generator, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = walks(rng, 5, 4, 2), walks(rng, 3, 4, 2)
    for other, total in ((x, 25), (y, 15)):
        arraysig.sig_kernel_gram(x, other, 0, static_kernel=Yours(), max_batch=2, progress=True)
        assert f"| {total}/{total} " in capsys.readouterr().err


def test_memory_is_that_of_tiles(rng: np.random.Generator) -> None:
    import tracemalloc

    x = walks(rng, 40, 100, 2)
    arraysig.sig_kernel_gram(x[:2], x[:2], 0, static_kernel=Yours())  # imports what it needs
    tracemalloc.start()
    arraysig.sig_kernel_gram(x, x[:], 0, static_kernel=Yours(), max_batch=2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5e6  # increments of all pairs would take 128 MB


def test_nothing_to_compute(xp: Backend) -> None:
    kernel = Yours()
    point, paths = xp.array(np.ones((3, 1, 2))), xp.array(np.ones((2, 4, 2)))
    for options in ({"dyadic_order": 2}, {"order": 3}, {}):
        got = arraysig.sig_kernel_gram(point, paths, static_kernel=kernel, **options)
        np.testing.assert_array_equal(xp.numpy(got), np.ones((3, 2)))
    grid = arraysig.sig_kernel_gram(point, paths, 1, static_kernel=kernel, return_grid=True)
    np.testing.assert_array_equal(xp.numpy(grid), np.ones((3, 2, 1, 7)))
    left, right = arraysig.sig_kernel_gram_backprop(
        xp.array(np.ones((3, 2))), point, paths, 1, static_kernel=kernel, right_deriv=True
    )
    assert not xp.numpy(left).any()
    assert not xp.numpy(right).any()
    assert arraysig.sig_kernel_gram(paths[:0], paths, 1, static_kernel=kernel).shape == (0, 2)
    assert arraysig.sig_kernel_gram(paths, paths[:0], 1, static_kernel=kernel).shape == (2, 0)
    assert kernel.pairs == []


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda a: a[:, 1:], ValueError, r"return an array of shape \(2, 3, 4\), got \(2, 2, 4\)"),
        (
            lambda a: a.astype("f"),
            ValueError,
            "of the dtype of its arguments, float64, got float32",
        ),
        (lambda a: a.tolist(), TypeError, "of the library of its arguments, got .*list"),
    ],
)
@pytest.mark.parametrize("method", ["__call__", "grad_x", "grad_y"])
def test_what_kernels_return_is_checked(
    spoil: Any, error: type[Exception], message: str, method: str, rng: np.random.Generator
) -> None:
    class Spoilt(Yours):
        pass

    setattr(Spoilt, method, lambda self, *args: spoil(getattr(Yours, method)(self, *args)))
    x, y = walks(rng, 2, 4, 2), walks(rng, 2, 5, 2)
    if method == "__call__":
        with pytest.raises(error, match=rf"^sig_kernel: `static_kernel.__call__` must .*{message}"):
            arraysig.sig_kernel(x, y, 0, static_kernel=Spoilt())
        return
    with pytest.raises(error, match=rf"^sig_kernel_backprop: `static_kernel.{method}` must "):
        arraysig.sig_kernel_backprop(np.ones(2), x, y, 0, static_kernel=Spoilt(), right_deriv=True)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda a: a.to("meta"), ValueError, r"of the device of its arguments, \w+.*, got meta$"),
        (lambda a: a.tolist(), TypeError, "of the library of its arguments, got list"),
    ],
)
def test_what_kernels_return_in_torch_is_checked(
    torch_xp: Backend,
    change: Any,
    error: type[Exception],
    message: str,
    rng: np.random.Generator,
) -> None:
    class Spoilt(Yours):
        def __call__(self, ctx: Any, x: Any, y: Any) -> Any:
            return change(super().__call__(ctx, x, y))

    x = torch_xp.array(walks(rng, 2, 4, 2))
    with pytest.raises(error, match=message):
        arraysig.sig_kernel(x, x, 0, static_kernel=Spoilt())


@pytest.mark.parametrize("change", [np.asfortranarray, lambda a: a.astype(">f8")])
def test_results_of_any_layout(change: Any, rng: np.random.Generator) -> None:
    class Changed(Yours):
        def __call__(self, ctx: Any, x: Any, y: Any) -> Any:
            return change(super().__call__(ctx, x, y))

        def grad_x(self, ctx: Any, derivs: Any) -> Any:
            return change(super().grad_x(ctx, derivs))

    x = walks(rng, 3, 4, 2)
    for function, first in (
        (arraysig.sig_kernel, ()),
        (arraysig.sig_kernel_backprop, (np.ones(3),)),
    ):
        results = [function(*first, x, x, 1, static_kernel=kernel()) for kernel in (Changed, Yours)]
        np.testing.assert_array_equal(*[r[0] if first else r for r in results])


def test_one_object_in_two_threads(rng: np.random.Generator) -> None:
    kernel, x = Yours(), walks(rng, 6, 30, 2)
    expected = arraysig.sig_kernel_gram(x, x, 0, static_kernel=OURS)
    results: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: results.append(arraysig.sig_kernel_gram(x, x, 0, static_kernel=kernel))
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_allclose(result, expected, rtol=1e-12)
    assert len(results) == 2


def test_classes_without_a_method_can_not_be_made() -> None:
    class Lacking(arraysig.StaticKernel):
        def __call__(self, ctx: Any, x: Any, y: Any) -> Any:
            raise NotImplementedError

    with pytest.raises(TypeError, match=r"abstract methods '?grad_x'?, '?grad_y'?"):
        Lacking()  # type: ignore[abstract]


def test_classes_derived_from_those_of_the_package(rng: np.random.Generator) -> None:
    class Same(arraysig.RBFKernel):
        pass

    class Doubled(arraysig.RBFKernel):
        def __call__(self, ctx: Any, x: Any, y: Any) -> Any:
            return 2 * Yours()(ctx, x, y)

    class Sloped(arraysig.RBFKernel):
        def grad_x(self, ctx: Any, derivs: Any) -> Any:
            return derivs

    class SlopedToo(arraysig.RBFKernel):
        def grad_y(self, ctx: Any, derivs: Any) -> Any:
            return derivs

    x = walks(rng, 4, 2)
    for kind in (Sloped, SlopedToo):  # which values belong to these gradients nobody knows
        with pytest.raises(NotImplementedError, match=f"^{kind.__name__}: can not be called"):
            arraysig.sig_kernel(x, x, 1, static_kernel=kind(SIGMA))
    plain = arraysig.sig_kernel(x, x, 1, static_kernel=OURS)
    assert arraysig.sig_kernel(x, x, 1, static_kernel=Same(SIGMA)) == plain
    doubled = arraysig.sig_kernel(x[:2], x[:2], order=30, static_kernel=Doubled(SIGMA))
    increment = 2 * Yours()(arraysig.Context(), x[None, :2], x[None, :2]).item()
    assert doubled == pytest.approx(np.i0(2 * increment**0.5), rel=1e-12)
    with pytest.raises(NotImplementedError, match="^Doubled: can not be called"):
        arraysig.sig_kernel_backprop(np.ones(()), x, x, 1, static_kernel=Doubled(SIGMA))


def test_kernels_of_the_package_are_not_called() -> None:
    with pytest.raises(NotImplementedError, match="^RBFKernel: can not be called"):
        OURS(arraysig.Context(), np.ones((1, 2, 1)), np.ones((1, 2, 1)))
    with pytest.raises(NotImplementedError, match="^RBFKernel: can not be called"):
        OURS.grad_x(arraysig.Context(), np.ones((1, 1, 1)))
