"""Rows of the truncated tensor algebra: product, its adjoints, inverse.

The product of ``s + left`` and ``t + right``, with numbers s and t, and its two adjoints are
bilinear, and their derivatives are made of the same three: they can be differentiated for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .._core.namespace import contiguous, segment
from .._core.op import Op, Plan, Spec
from ..words import tensor_length
from . import signature

_SIZES = "int dimension, int degree"
_END = "bool scalar_term, int n_jobs"


def row_length(function: str, dimension: int, degree: int, scalar_term: bool) -> int:
    """Numbers of a tensor; ValueError where 64 bits can not count them."""
    words = tensor_length(dimension, degree)
    if words < 0:
        raise ValueError(
            f"{function}: `degree` is too large: 64 bits can not count the words of {dimension} "
            f"letters to degree {degree} (overflow)"
        )
    return words + (1 if scalar_term else 0)


def _plan(arrays: int, like: int = 0) -> Callable[..., Plan]:
    """The first array is a tensor, the result like array `like`; shapes have been checked."""

    def plan(*args: Any) -> Plan:
        *batch, row = args[0]
        count, degree = math.prod(batch), args[arrays + 1]
        return Plan((Spec(tuple(args[like])),), (count,), count * row * (degree + 1))

    return plan


def _elementwise(name: str) -> Any:
    def launch(
        gpu: Any, ins: Any, outs: Any, plan: Plan, dimension: int, degree: int, *attrs: Any
    ) -> None:
        blocks = min(-(-math.prod(outs[0].shape) // 256), 32 * gpu.processors)
        source = gpu.source("tensors.cu", CHANNELS=dimension, DEGREE=degree)
        args = (*ins, *outs, *plan.ints, *[int(a) for a in attrs])
        gpu.launch(source, name, (blocks,), (256,), args)

    return launch


def _block_per_tensor(name: str, scratch: bool = False) -> Any:
    """One block at a time per tensor; with `scratch` it has memory for one more."""

    def launch(
        gpu: Any, ins: Any, outs: Any, plan: Plan, dimension: int, degree: int, *attrs: Any
    ) -> None:
        source = gpu.source("tensors.cu", CHANNELS=dimension, DEGREE=degree)
        blocks, top = min(plan.ints[0], 32 * gpu.processors), dimension**degree
        threads = 32 if top <= 64 else 128 if top <= 4096 else 512
        room = [gpu.scratch((blocks * tensor_length(dimension, degree),))] if scratch else []
        args = (*ins, *outs, *room, *plan.ints, *[int(a) for a in attrs])
        gpu.launch(source, name, (blocks,), (threads,), args)

    return launch


# In the rules below `size` is (dimension, degree) and `end` (scalar_term, n_jobs).


def product_vjp(saved: Any, grads: Any, *attrs: Any) -> tuple[Any, Any]:
    (left, right), (g,), (*size, s, t), end = saved, grads, attrs[:4], attrs[4:]
    return contract_right(g, right, *size, t, *end), contract_left(g, left, *size, s, *end)


def _product_jvp(saved: Any, tangents: Any, *attrs: Any) -> tuple[Any]:
    (left, right), (dl, dr), (*size, s, t), end = saved, tangents, attrs[:4], attrs[4:]
    return (product(dl, right, *size, 0, t, *end) + product(left, dr, *size, s, 0, *end),)


def _right_vjp(saved: Any, grads: Any, *attrs: Any) -> tuple[Any, Any]:
    (g, right), (h,), (*size, t), end = saved, grads, attrs[:3], attrs[3:]
    return product(h, right, *size, 0, t, *end), contract_left(g, h, *size, 0, *end)


def _right_jvp(saved: Any, tangents: Any, *attrs: Any) -> tuple[Any]:
    (g, right), (dg, dr), (*size, t), end = saved, tangents, attrs[:3], attrs[3:]
    return (contract_right(dg, right, *size, t, *end) + contract_right(g, dr, *size, 0, *end),)


def _left_vjp(saved: Any, grads: Any, *attrs: Any) -> tuple[Any, Any]:
    (g, left), (h,), (*size, s), end = saved, grads, attrs[:3], attrs[3:]
    return product(left, h, *size, s, 0, *end), contract_right(g, h, *size, 0, *end)


def _left_jvp(saved: Any, tangents: Any, *attrs: Any) -> tuple[Any]:
    (g, left), (dg, dl), (*size, s), end = saved, tangents, attrs[:3], attrs[3:]
    return (contract_left(dg, left, *size, s, *end) + contract_left(g, dl, *size, 0, *end),)


def inverse_vjp(saved: Any, grads: Any, *attrs: Any) -> tuple[Any]:
    size, end = attrs[:2], attrs[2:]
    out = inverse(saved[0], *attrs)  # its differential is -out (x) d tensor (x) out
    return (-contract_left(contract_right(grads[0], out, *size, 1, *end), out, *size, 1, *end),)


def _inverse_jvp(saved: Any, tangents: Any, *attrs: Any) -> tuple[Any]:
    size, end = attrs[:2], attrs[2:]
    out = inverse(saved[0], *attrs)
    return (-product(product(out, tangents[0], *size, 1, 0, *end), out, *size, 0, 1, *end),)


# Exponentials of displacements are signatures of segments, which `signature` knows all about.


def _segment_attrs(dimension: int, degree: int, scalar_term: bool, n_jobs: int) -> tuple[Any, ...]:
    return (degree, False, False, 1.0, scalar_term, False, n_jobs)


def _displacement(path: Any) -> Any:
    """What a gradient with respect to the path of a segment is to its displacement."""
    return contiguous(path[..., 1, :])


def exponential(displacement: Any, *attrs: Any) -> Any:
    """The signatures of segments; `attrs` are dimension, degree, scalar_term, n_jobs."""
    return signature.sig(segment(displacement), *_segment_attrs(*attrs))


def exponential_vjp(grad: Any, displacement: Any, *attrs: Any) -> Any:
    """Its gradient."""
    return _displacement(signature.sig_vjp(grad, segment(displacement), *_segment_attrs(*attrs)))


def join_vjp(saved: Any, grads: Any, *attrs: Any) -> tuple[Any, Any]:
    """Gradient of `join` with respect to signature and displacement."""
    (sig, v), (g,) = saved, grads
    return join_vjp_sig(g, v, *attrs), join_vjp_segment(g, sig, v, *attrs)


def _join_jvp(saved: Any, tangents: Any, *attrs: Any) -> tuple[Any]:
    (sig, v), (d_sig, dv), (*size, prepend), end = saved, tangents, attrs[:3], attrs[3:]
    factor = exponential(v, *size, *end)
    change = signature.tangent(segment(v), segment(dv), _segment_attrs(*size, *end))
    if prepend:
        first, second = (factor, d_sig, *size, 1, 0), (change, sig, *size, 0, 1)
    else:
        first, second = (d_sig, factor, *size, 0, 1), (sig, change, *size, 1, 0)
    return (product(*first, *end) + product(*second, *end),)


# The gradients are contractions by the exponential, and the gradient of that of a contraction.


def _join_sig_vjp(saved: Any, grads: Any, *attrs: Any) -> tuple[Any, Any]:
    (g, v), (h,), (*size, prepend), end = saved, grads, attrs[:3], attrs[3:]
    rule = _left_vjp if prepend else _right_vjp
    d_g, d_factor = rule((g, exponential(v, *size, *end)), (h,), *size, 1, *end)
    return d_g, exponential_vjp(d_factor, v, *size, *end)


def _join_sig_jvp(saved: Any, tangents: Any, *attrs: Any) -> tuple[Any]:
    (g, v), (dg, dv), (*size, prepend), end = saved, tangents, attrs[:3], attrs[3:]
    rule = _left_jvp if prepend else _right_jvp
    change = signature.tangent(segment(v), segment(dv), _segment_attrs(*size, *end))
    return rule((g, exponential(v, *size, *end)), (dg, change), *size, 1, *end)


def _join_segment_vjp(saved: Any, grads: Any, *attrs: Any) -> tuple[Any, Any, Any]:
    (g, sig, v), (h,), (*size, prepend), end = saved, grads, attrs[:3], attrs[3:]
    contract, rule = (contract_right, _right_vjp) if prepend else (contract_left, _left_vjp)
    inner = contract(g, sig, *size, 1, *end)
    d_inner, d_path = signature.vjp_of_vjp(
        (inner, segment(v)), (segment(h),), *_segment_attrs(*size, *end)
    )
    return (*rule((g, sig), (d_inner,), *size, 1, *end), _displacement(d_path))


def _join_segment_jvp(saved: Any, tangents: Any, *attrs: Any) -> tuple[Any]:
    (g, sig, v), (dg, d_sig, dv), (*size, prepend), end = saved, tangents, attrs[:3], attrs[3:]
    contract, rule = (contract_right, _right_jvp) if prepend else (contract_left, _left_jvp)
    inner = contract(g, sig, *size, 1, *end)
    (d_inner,) = rule((g, sig), (dg, d_sig), *size, 1, *end)
    (d_path,) = signature.jvp_of_vjp(
        (inner, segment(v)), (d_inner, segment(dv)), *_segment_attrs(*size, *end)
    )
    return (_displacement(d_path),)


product: Op = Op(
    "tensor_product",
    f"(Tensor left, Tensor right, {_SIZES}, int s, int t, {_END})",
    _plan(2),
    _elementwise("tensor_product"),
    saves=("left", "right"),
    vjp=product_vjp,
    jvp=_product_jvp,
    function="sig_combine",
)
contract_right: Op = Op(
    "tensor_contract_right",
    f"(Tensor grad, Tensor right, {_SIZES}, int t, {_END})",
    _plan(2),
    _elementwise("tensor_contract_right"),
    saves=("grad", "right"),
    vjp=_right_vjp,
    jvp=_right_jvp,
    function="sig_combine_backprop",
)
contract_left: Op = Op(
    "tensor_contract_left",
    f"(Tensor grad, Tensor left, {_SIZES}, int s, {_END})",
    _plan(2),
    _elementwise("tensor_contract_left"),
    saves=("grad", "left"),
    vjp=_left_vjp,
    jvp=_left_jvp,
    function="sig_combine_backprop",
)
inverse: Op = Op(
    "tensor_inverse",
    f"(Tensor tensor, {_SIZES}, {_END})",
    _plan(1),
    _block_per_tensor("tensor_inverse"),
    saves=("tensor",),
    vjp=inverse_vjp,
    jvp=_inverse_jvp,
    function="sig_inverse",
)
join_vjp_sig: Op = Op(
    "sig_join_vjp_sig",
    f"(Tensor grad, Tensor displacement, {_SIZES}, bool prepend, {_END})",
    _plan(2),
    _block_per_tensor("sig_join_vjp_sig", scratch=True),
    saves=("grad", "displacement"),
    vjp=_join_sig_vjp,
    jvp=_join_sig_jvp,
    function="sig_join_backprop",
)
join_vjp_segment: Op = Op(
    "sig_join_vjp_segment",
    f"(Tensor grad, Tensor sig, Tensor displacement, {_SIZES}, bool prepend, {_END})",
    _plan(3, like=2),
    _block_per_tensor("sig_join_vjp_segment", scratch=True),
    saves=("grad", "sig", "displacement"),
    vjp=_join_segment_vjp,
    jvp=_join_segment_jvp,
    function="sig_join_backprop",
)
join: Op = Op(
    "sig_join",
    f"(Tensor sig, Tensor displacement, {_SIZES}, bool prepend, {_END})",
    _plan(2),
    _elementwise("sig_join"),
    saves=("sig", "displacement"),
    vjp=join_vjp,
    jvp=_join_jvp,
)
