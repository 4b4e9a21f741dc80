"""Torch: gradients in every mode that is claimed, and loud refusals where there are none."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from .backends import Backend, have_torch
from .cases import CASES, Case

if not have_torch():
    pytest.skip("no Torch", allow_module_level=True)

import torch

import arraysig

DIFFERENTIABLE = [c for c in CASES if c.adjoint]
each_case = pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)


def square_sum(function: Callable[..., Any]) -> Callable[..., Any]:
    """A scalar function whose gradient differs from entry to entry."""

    def value(*args: Any) -> Any:
        out = function(*args)
        weights = torch.arange(1, out.shape[-1] + 1, dtype=out.dtype, device=out.device)
        return (out * out * weights).sum()

    return value


def sample(case: Case, xp: Backend, rng: np.random.Generator, **shape: Any) -> Any:
    """The arrays of a differentiable case; gradients are with respect to the first."""
    return [xp.array(array) for array in case.sample(rng, **shape)]


def eager_gradient(function: Callable[..., Any], x: Any, *others: Any) -> Any:
    """The gradient by loss.backward()."""
    leaf = x.clone().requires_grad_()
    square_sum(function)(leaf, *others).backward()
    return leaf.grad


@each_case
def test_backward_is_the_backprop_function(
    case: Case, torch_xp: Backend, rng: np.random.Generator
) -> None:
    x, *others = sample(case, torch_xp, rng)
    with torch.no_grad():
        out = case.call(x, *others)
    weights = torch.arange(1, out.shape[-1] + 1, dtype=out.dtype, device=out.device)
    assert case.adjoint is not None
    expected = case.adjoint(x, *others, 2 * out * weights)
    torch.testing.assert_close(eager_gradient(case.call, x, *others), expected)


@each_case
def test_gradcheck(case: Case, torch_xp: Backend, rng: np.random.Generator) -> None:
    x, *others = sample(case, torch_xp, rng, length=4)
    assert torch.autograd.gradcheck(case.call, (x.requires_grad_(), *others))


@each_case
def test_func_transforms(case: Case, torch_xp: Backend, rng: np.random.Generator) -> None:
    x, *others = sample(case, torch_xp, rng, batch=(3,), length=4)
    expected = eager_gradient(case.call, x, *others)
    loss = square_sum(case.call)
    torch.testing.assert_close(torch.func.grad(loss)(x, *others), expected)
    whole = case.call(x, *others)
    torch.testing.assert_close(torch.vmap(case.call)(x, *others), whole)
    moved = [a.movedim(0, 1) for a in (x, *others)]
    torch.testing.assert_close(torch.vmap(case.call, in_dims=1)(*moved), whole)
    torch.testing.assert_close(torch.vmap(torch.func.grad(loss))(x, *others), expected)
    first = [a[0] for a in (x, *others)]
    if case.call(*first).numel():  # torch's own jacobian fails on no rows
        jacobian, one = torch.autograd.functional.jacobian, lambda x: case.call(x, *first[1:])
        rows = jacobian(one, first[0])
        torch.testing.assert_close(torch.func.jacrev(case.call)(*first), rows)
        torch.testing.assert_close(jacobian(one, first[0], vectorize=True), rows)


def _unlike(case: Case) -> bool:
    return case.name in {
        "sig[d=3,N=3]",
        "sig[d=2,N=2,time_aug,lead_lag,end_time=-0.5,scalar_term]",
        "transform_path[d=2,time_aug,lead_lag,end_time=-0.5]",
        "transform_path_backprop[d=2,lead_lag]",
        "sig_coef[2 words,d=2,time_aug,lead_lag,end_time=-0.5]",
        "sig[stream,d=3,N=3]",
        "sig[correction to 2,d=2,N=3,time_aug,end_time=2.5,scalar_term]",
        "sig_combine[d=2,N=4,scalar_term,second]",
        "sig_join[d=3,N=3,prepend]",
        "sig_inverse[d=3,N=3]",
        "linear_sig[d=2,N=4,scalar_term]",
        "sig_kernel[d=1,dyadic_order=(1, 2),ScaledLinearKernel(scale=0.3),time_aug,end_time]",
        "sig_kernel[d=2,order=3,fold=0,ScaledLinearKernel(scale=0.3)]",
        "branched_sig_combine[d=1,N=4]",
        "branched_log_sig[d=1,N=4,method=2,planar]",
        "branched_sig_kernel[d=2,depth=2,dyadic_order=(0, 0),ScaledLinearKernel(scale=0.3)]",
    }


COMPILED = [case for case in DIFFERENTIABLE if _unlike(case)]
SLOWER = [pytest.param(name, marks=pytest.mark.slow) for name in ("eager", "inductor")]


@pytest.mark.parametrize("case", COMPILED, ids=lambda case: case.name)
@pytest.mark.parametrize("backend", ["aot_eager", *SLOWER])
def test_compile(case: Case, torch_xp: Backend, rng: np.random.Generator, backend: str) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(square_sum(case.call), fullgraph=True, backend=backend)
    for length in (4, 5, 6):  # sizes become symbolic at the second
        x, *others = sample(case, torch_xp, rng, length=2 * length - 1)
        leaf = x.clone().requires_grad_()
        value = compiled(leaf, *others)
        torch.testing.assert_close(value, square_sum(case.call)(x, *others))
        value.backward()
        torch.testing.assert_close(leaf.grad, eager_gradient(case.call, x, *others))
        with torch.no_grad():
            torch.testing.assert_close(compiled(x, *others), value)


def test_compile_with_symbolic_numbers(torch_xp: Backend, rng: np.random.Generator) -> None:
    torch._dynamo.reset()

    def value(x: Any, end_time: float) -> Any:
        return arraysig.sig(x, 2, time_aug=True, end_time=end_time)

    compiled = torch.compile(value, fullgraph=True, dynamic=True, backend="aot_eager")
    x = torch_xp.array(rng.normal(size=(2, 5, 2)))
    for end_time in (2.0, 3.0):
        torch.testing.assert_close(compiled(x, end_time), value(x, end_time))


@pytest.mark.parametrize("mode", ["real", "fake", "symbolic"])
def test_make_fx_records_operators(mode: str, torch_xp: Backend, rng: np.random.Generator) -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    def value(x: Any) -> Any:
        return arraysig.sig(x, 2)

    x, other = (torch_xp.array(rng.normal(size=(3, 4, 2))) for _ in range(2))
    traced = make_fx(value, tracing_mode=mode)(x)
    torch.testing.assert_close(traced(other), value(other))


@pytest.mark.parametrize("name", ["sig", "branched_sig"])
def test_corrections_of_symbolic_shapes(
    name: str, torch_xp: Backend, rng: np.random.Generator
) -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    def value(x: Any, correction: Any) -> Any:
        return getattr(arraysig, name)(x, 3, correction=correction)

    x, correction = (torch_xp.array(rng.normal(size=size)) for size in ((3, 4, 2), (3, 3, 4)))
    traced = make_fx(value, tracing_mode="symbolic")(x, correction)
    torch.testing.assert_close(traced(x, correction), value(x, correction))


FIRST_CALL = """
import warnings, torch, arraysig
warnings.simplefilter("error")
warnings.filterwarnings("ignore", ".*should not be instantiated")
warnings.filterwarnings("ignore", ".*torch.jit.*")
for dtype in (torch.float32, torch.bfloat16):
    x = torch.arange(8, dtype=dtype).reshape(4, 2).requires_grad_()
    f = torch.compile(lambda x: arraysig.sig(x, 2).sum(), fullgraph=True, backend="aot_eager")
    f(x).backward()
    compiled, x.grad = x.grad, None
    arraysig.sig(x, 2).sum().backward()
    assert torch.equal(compiled, x.grad)
print("ok")
"""


def test_compile_as_the_first_call_of_a_process() -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_CALL], capture_output=True, text=True)
    assert done.stdout == "ok\n", done.stderr


@pytest.mark.parametrize("case", COMPILED, ids=lambda case: case.name)
def test_compiled_func_grad_is_right_or_refused(
    case: Case, torch_xp: Backend, rng: np.random.Generator
) -> None:
    torch._dynamo.reset()
    x, *others = sample(case, torch_xp, rng)
    compiled = torch.compile(torch.func.grad(square_sum(case.call)), fullgraph=True)
    expected = eager_gradient(case.call, x, *others)
    if case.name.startswith(("sig[d=", "sig[stream", "transform")):
        with pytest.raises(Exception, match="arraysig") as refusal:
            torch.testing.assert_close(compiled(x, *others), expected)
        assert not isinstance(refusal.value, AssertionError)
        return
    # Which of the others Dynamo traces is its affair; what it must not do is return zeros.
    with contextlib.suppress(torch._dynamo.exc.TorchDynamoException):
        torch.testing.assert_close(compiled(x, *others), expected)


@pytest.mark.parametrize("case", COMPILED, ids=lambda case: case.name)
def test_export(case: Case, torch_xp: Backend, rng: np.random.Generator) -> None:
    class Module(torch.nn.Module):
        def forward(self, *arrays: Any) -> Any:
            return case.call(*arrays)

    x, *others = sample(case, torch_xp, rng)
    program = torch.export.export(Module(), (x, *others))
    torch.testing.assert_close(program.module()(x, *others), case.call(x, *others))


@each_case
def test_fake_and_meta_tensors(case: Case, rng: np.random.Generator) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    arrays = [torch.from_numpy(a) for a in case.sample(rng)]
    expected = case.call(*arrays)
    on_meta = case.call(*[a.to("meta") for a in arrays])
    assert on_meta.device.type == "meta"
    with FakeTensorMode() as mode:
        fake = case.call(*[mode.from_tensor(a) for a in arrays])
    for result in (on_meta, fake):
        assert result.shape == expected.shape
        assert result.dtype == expected.dtype
        assert result.stride() == expected.stride()


@pytest.mark.parametrize("case", COMPILED, ids=lambda case: case.name)
def test_the_default_device_does_not_matter(case: Case, rng: np.random.Generator) -> None:
    x, *others = (torch.from_numpy(a) for a in case.sample(rng))
    expected = case.call(x, *others)
    with torch.device("meta"):
        result = case.call(x.requires_grad_(), *others)
        (gradient,) = torch.autograd.grad(result, x, torch.ones_like(result))
    assert gradient.device.type == "cpu"
    torch.testing.assert_close(result.detach(), expected, rtol=0, atol=0)


def test_auto_is_refused_where_there_are_no_values(torch_xp: Backend) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.proxy_tensor import make_fx

    x = torch_xp.array(np.ones((2, 3, 4, 2)))
    mode = FakeTensorMode()

    def gram(a: Any) -> Any:
        return arraysig.sig_kernel_gram(a, x, normalize=True)

    for value in (
        lambda: torch.func.vmap(gram)(x),
        lambda: torch.func.vmap(torch.func.grad(lambda a: gram(a).sum()))(x),
        lambda: torch.func.grad(lambda a: torch.func.vmap(gram)(a).sum())(x),
        lambda: arraysig.sig_kernel_gram(x.to("meta"), x.to("meta")),
        lambda: arraysig.sig_kernel_gram(mode.from_tensor(x), mode.from_tensor(x)),
        lambda: make_fx(gram)(x),
    ):
        with pytest.raises(NotImplementedError, match="^sig_kernel_gram: method 'auto' looks at"):
            value()
    torch.testing.assert_close(torch.func.vmap(lambda a: a * gram(x))(x[:, 0, 0, 0])[1], gram(x))


OPCHECKS: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "bilinear": lambda a: (a(2, 23), a(2, 20), [21, 2, 3, 0, 0, 0, 1, 2], 1, 0, 0.5, 1),
    "branched_sig_kernel": lambda a: (
        *(a(2, 3, 4, 2), a(2, 2, 5, 2), 2, 1, 0),
        *(1, 0.5, 0.0, 0.0, False, True, 1),
    ),
    "branched_sig_kernel_vjp": lambda a: (
        *(a(2, 3, 2), a(2, 3, 4, 2), a(2, 2, 5, 2)),
        *(3, 0, 1, 1, 0.5, 0.0, 0.0, False, False, 1),
    ),
    "branched_sig_kernel_increments": lambda a: (a(2, 3, 4), 2, 1, 0, False, 1),
    "branched_sig_kernel_increments_vjp": lambda a: (a(2, 7, 5), a(2, 3, 4), 2, 1, 0, True, 1),
    "lie_combine": lambda a: (a(2, 14), a(2, 14), 3, 3, 1),
    "lie_log": lambda a: (a(2, 39), 3, 3, 2, 1),
    "lie_log_vjp": lambda a: (a(2, 14), a(2, 39), 3, 3, 1, 1),
    "sig": lambda a: (a(2, 5, 3), 3, True, True, 1.5, True, False, 1),
    "sig_vjp": lambda a: (a(2, 13), a(2, 5, 3), 2, False, False, 1.0, True, False, 1),
    "sig_coef": lambda a: (a(2, 5, 3), [2, 0, 1, 1, 2, 0], True, True, True, 1.5, 1),
    "sig_coef_vjp": lambda a: (a(2, 2), a(2, 5, 3), [2, 0, 1, 0], False, False, True, 1.0, 1),
    "sig_kernel": lambda a: (
        *(a(2, 3, 4, 2), a(2, 2, 5, 2), 1, 0),
        *(1, 0.5, 0.0, 0.0, False, True, 1),
    ),
    "sig_kernel_vjp": lambda a: (
        *(a(2, 3, 2), a(2, 3, 4, 2), a(2, 2, 5, 2)),
        *(0, 1, 0, 1.0, 0.0, 0.0, False, False, 1),
    ),
    "sig_kernel_polynomial": lambda a: (
        *(a(3, 4, 2), a(2, 5, 2), 3, 2),
        *(0, 1.0, 0.0, 0.0, False, False, 1),
    ),
    "sig_kernel_polynomial_vjp": lambda a: (
        *(a(2, 3, 2, 4, 5), a(2, 3, 4, 2), a(2, 2, 5, 2), 2, 0),
        *(1, 0.5, 0.0, 0.0, False, True, 1),
    ),
    "sig_kernel_increments": lambda a: (a(2, 3, 4), 1, 0, False, 1),
    "sig_kernel_increments_vjp": lambda a: (a(2, 7, 5), a(2, 3, 4), 1, 0, True, 1),
    "sig_kernel_polynomial_increments": lambda a: (a(2, 3, 4), 3, 2, True, 1),
    "sig_kernel_polynomial_increments_vjp": lambda a: (a(2), a(2, 3, 4), 3, 2, False, 1),
    "sparse": lambda a: (a(2, 14), [1, 2, 3, 0], 1),
    "tensor_product": lambda a: (a(2, 13), a(2, 13), 3, 2, 1, 0, True, 1),
    "tensor_contract_right": lambda a: (a(2, 12), a(2, 12), 3, 2, 1, False, 1),
    "tensor_contract_left": lambda a: (a(2, 12), a(2, 12), 3, 2, 0, False, 1),
    "sig_join": lambda a: (a(2, 13), a(2, 3), 3, 2, True, True, 1),
    "sig_join_vjp_sig": lambda a: (a(2, 12), a(2, 3), 3, 2, False, False, 1),
    "sig_join_vjp_segment": lambda a: (a(2, 12), a(2, 12), a(2, 3), 3, 2, False, False, 1),
    "tensor_inverse": lambda a: (a(2, 13), 3, 2, True, 1),
    "transform_path": lambda a: (a(2, 5, 3), True, True, 1.5, 1),
    "transform_path_vjp": lambda a: (a(2, 9, 7), True, True, 1),
}


@pytest.mark.parametrize("name", OPCHECKS)
def test_opcheck(name: str, torch_xp: Backend, rng: np.random.Generator) -> None:
    args = OPCHECKS[name](lambda *shape: torch_xp.array(rng.normal(size=shape)))
    arraysig.sig(torch_xp.array(np.ones((2, 2))), 1)  # registers the operators
    torch.library.opcheck(getattr(torch.ops.arraysig, name).default, args)


def test_every_operator_is_checked() -> None:
    from arraysig._core.op import OPS

    assert set(OPCHECKS) == set(OPS)


def test_half_precision_and_integers(torch_xp: Backend) -> None:
    x = torch_xp.array(np.arange(8.0).reshape(4, 2)).to(torch.bfloat16).requires_grad_()
    arraysig.sig(x, 2).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16
    wide = x.detach().double().requires_grad_()
    arraysig.sig(wide, 2).sum().backward()
    torch.testing.assert_close(x.grad.double(), wide.grad, rtol=1e-2, atol=1e-2)


def test_integers_where_half_precision_is_the_default(torch_xp: Backend) -> None:
    x = torch_xp.array(np.arange(8).reshape(4, 2))
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float16)
    try:
        assert arraysig.sig(x, 2).dtype == torch.float32
    finally:
        torch.set_default_dtype(before)


def test_a_leaf_that_is_not_contiguous(torch_xp: Backend, rng: np.random.Generator) -> None:
    values = rng.normal(size=(3, 2, 5))
    leaf = torch_xp.array(values).requires_grad_()
    arraysig.sig(leaf.transpose(1, 2), 3).sum().backward()
    straight = torch_xp.array(values.transpose(0, 2, 1).copy()).requires_grad_()
    arraysig.sig(straight, 3).sum().backward()
    torch.testing.assert_close(leaf.grad, straight.grad.transpose(1, 2))


def test_a_view_that_is_negated_lazily(torch_xp: Backend, rng: np.random.Generator) -> None:
    values = torch_xp.array(rng.normal(size=(4, 2)))
    view = torch._neg_view(values)  # as the imaginary part of a conjugate is
    assert view.is_neg()
    assert view.is_contiguous()
    torch.testing.assert_close(arraysig.sig(view, 3), arraysig.sig(-values, 3))


def test_parameters_and_subclasses(torch_xp: Backend, rng: np.random.Generator) -> None:
    parameter = torch.nn.Parameter(torch_xp.array(rng.normal(size=(4, 2))))
    arraysig.sig(parameter, 2).sum().backward()
    assert parameter.grad is not None


# ---------------------------------------------------------------- what has no derivative


SECOND: dict[str, Callable[[Any], Any]] = {
    "sig": lambda x: arraysig.sig(x, 3),
    "sig, degree 0": lambda x: arraysig.sig(x, 0, scalar_term=True),
    "sig, degree 1": lambda x: arraysig.sig(x, 1),
    "sig, augmented": lambda x: arraysig.sig(
        x, 2, time_aug=True, lead_lag=True, end_time=2.0, scalar_term=True
    ),
    "sig_coef": lambda x: arraysig.sig_coef(x, [(0, 1, 1), (), (1,), (0, 1, 1), (1, 0)]),
    "sig_coef, augmented": lambda x: arraysig.sig_coef(x, [(2, 0), (1, 2, 1)], time_aug=True),
    "sig, stream": lambda x: arraysig.sig(x, 3, stream=True),
    "sig, stream, augmented": lambda x: arraysig.sig(
        x, 2, stream=True, time_aug=True, lead_lag=True, scalar_term=True
    ),
    "sig, correction": lambda x: arraysig.sig(
        x, 3, time_aug=True, correction=x.new_tensor([[0.5, 1.0, -1.0, 2.0], [1.0, 0.0, 2.0, 0.0]])
    ),
    "linear_sig": lambda x: arraysig.linear_sig(x, 2, 3),
    "sig_join": lambda x: arraysig.sig_join(arraysig.sig(x, 2), x[..., 0, :], 2, 2),
    "sig_join, prepend": lambda x: arraysig.sig_join(
        arraysig.sig(x, 2), x[..., 0, :], 2, 2, prepend=True
    ),
    "sig_combine": lambda x: arraysig.sig_combine(arraysig.sig(x, 3), arraysig.sig(2 * x, 3), 2, 3),
}


@pytest.mark.parametrize("name", SECOND)
def test_second_and_forward_mode_derivatives(
    torch_xp: Backend, name: str, rng: np.random.Generator
) -> None:
    function = SECOND[name]
    x = torch_xp.array(rng.normal(size=(2, 3, 2))).requires_grad_()
    assert torch.autograd.gradcheck(function, (x,), check_forward_ad=True)
    if "degree 0" not in name:  # gradgradcheck wants a gradient that depends on something
        assert torch.autograd.gradgradcheck(function, (x,), check_fwd_over_rev=True)
    loss = square_sum(function)
    point = x.detach()
    reverse = torch.func.jacrev(torch.func.jacrev(loss))(point)
    torch.testing.assert_close(torch.func.hessian(loss)(point), reverse)
    torch.testing.assert_close(torch.func.jacfwd(torch.func.jacfwd(loss))(point), reverse)
    torch.testing.assert_close(
        torch.func.jacfwd(function)(point), torch.func.jacrev(function)(point)
    )


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_gradients_that_autograd_batches(
    torch_xp: Backend, strategy: str, rng: np.random.Generator
) -> None:
    def inverse(x: Any) -> Any:
        return arraysig.sig_inverse(arraysig.sig(x, 2, lead_lag=True), 4, 2)

    jacobian = torch.autograd.functional.jacobian
    x = torch_xp.array(rng.normal(size=(3, 2)))
    batched = jacobian(inverse, x, vectorize=True, strategy=strategy)
    torch.testing.assert_close(batched, jacobian(inverse, x))


def test_third_derivatives(torch_xp: Backend, rng: np.random.Generator) -> None:
    def cubic(x: Any) -> Any:
        return arraysig.sig(x, 3)[..., -3]  # of degree 3 in the path

    x = torch_xp.array(rng.normal(size=(3, 2)))
    third = torch.func.jacrev(torch.func.jacrev(torch.func.jacrev(cubic)))(x)
    expected = cubic(x)
    for _ in range(3):
        third = (third * x).sum((-1, -2))
    torch.testing.assert_close(third, 6 * expected)


def test_tensors_as_integers(torch_xp: Backend) -> None:
    x = torch_xp.array(np.ones((3, 2)))
    assert arraysig.sig(x, torch.tensor(2)).shape == (6,)
    with pytest.raises(TypeError, match=r"^sig: `degree` must be an integer, got tensor\(True\)"):
        arraysig.sig(x, torch.tensor(True))


def test_tensors_of_zeros_without_memory(torch_xp: Backend) -> None:
    ones = torch_xp.array(np.ones((2, 6)))
    zeros = torch._efficientzerotensor((2, 6), dtype=ones.dtype, device=ones.device)
    torch.testing.assert_close(arraysig.sig_combine(zeros, ones, 2, 2), ones)


def test_what_has_no_derivative_says_so_by_name() -> None:
    from arraysig._core import torch_bridge
    from arraysig._core.op import OPS

    with pytest.raises(NotImplementedError, match="^arraysig: sig has no derivative$"):
        torch_bridge._refusing(OPS["sig"], "derivative")()


def test_raw_operators_refuse_what_they_would_detach(torch_xp: Backend) -> None:
    x = torch_xp.array(np.ones((4, 2)))
    expected = arraysig.sig(x, 2)
    raw = torch.ops.arraysig.sig
    args = (2, False, False, 1.0, False, False, 1)
    torch.testing.assert_close(raw(x, *args), expected)
    leaf = x.clone().requires_grad_()
    with pytest.raises(NotImplementedError, match="arraysig: sig has no derivative"):
        raw(leaf, *args)
    with torch.no_grad():
        torch.testing.assert_close(raw(leaf, *args), expected)
    with torch.autograd.forward_ad.dual_level():
        with pytest.raises(NotImplementedError, match="arraysig: sig has no derivative"):
            raw(torch.autograd.forward_ad.make_dual(x, x), *args)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.* is deprecated:DeprecationWarning")
@pytest.mark.parametrize("function", [arraysig.sig, arraysig.log_sig, arraysig.sig_kernel_gram])
def test_torch_jit_trace_is_refused(torch_xp: Backend, function: Any) -> None:
    x = torch_xp.array(np.ones((3, 4, 2)))
    gram = function is arraysig.sig_kernel_gram
    with pytest.raises(NotImplementedError, match=f"^{function.__name__}: torch.jit.trace does"):
        torch.jit.trace(lambda x: function(x, *([x] if gram else []), 2), (x,))


def test_augmentation_has_derivatives_of_any_order(torch_xp: Backend) -> None:
    def augment(x: Any) -> Any:
        return arraysig.transform_path(x, time_aug=True, lead_lag=True, end_time=2.0)

    x = torch_xp.array(np.random.default_rng(0).normal(size=(2, 4, 2))).requires_grad_()
    assert torch.autograd.gradcheck(augment, (x,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(augment, (x,))
    out, tangent = torch.func.jvp(augment, (x.detach(),), (x.detach(),))
    linear = augment(torch.zeros_like(x))
    torch.testing.assert_close(tangent, out - linear)


@pytest.mark.parametrize("scalar_term", [False, True])
def test_the_tensor_algebra_has_derivatives_of_any_order(
    torch_xp: Backend, scalar_term: bool, rng: np.random.Generator
) -> None:
    count = arraysig.sig_length(2, 3, scalar_term=scalar_term)
    a, b = (torch_xp.array(rng.normal(size=(2, count))).requires_grad_() for _ in range(2))
    for function, arrays in (
        (lambda a, b: arraysig.sig_combine(a, b, 2, 3), (a, b)),
        (lambda a: arraysig.sig_inverse(a, 2, 3), (a,)),
    ):
        assert torch.autograd.gradcheck(function, arrays, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(function, arrays, check_fwd_over_rev=True)
    third = torch.func.jacrev(
        torch.func.jacrev(torch.func.jacfwd(lambda x: arraysig.sig_inverse(x, 2, 3)[..., -1]))
    )
    step, x = 1e-4, a.detach()[0]
    hessian = torch.func.jacrev(torch.func.jacrev(lambda x: arraysig.sig_inverse(x, 2, 3)[..., -1]))
    slopes = third(x)
    for i in range(int(scalar_term), count):
        unit = torch.zeros_like(x)
        unit[i] = step
        difference = (hessian(x + unit) - hessian(x - unit)) / (2 * step)
        torch.testing.assert_close(slopes[i], difference, rtol=1e-6, atol=1e-6)
