"""Rows of the truncated tensor algebra: product, its adjoints, inverse.

The product of ``s + left`` and ``t + right``, with numbers s and t, and its two adjoints are
bilinear, and their derivatives are made of the same three: they can be differentiated for ever.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .._core.op import Op, Plan, Shape, Spec
from ..words import tensor_length

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


def _plan(arrays: int) -> Callable[..., Plan]:
    """All arrays and the result have one shape, which the public functions have checked."""

    def plan(first: Shape, *rest: Any) -> Plan:
        *batch, row = first
        count, degree = math.prod(batch), rest[arrays]
        return Plan((Spec(tuple(first)),), (count,), count * row * (degree + 1))

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


def _launch_inverse(
    gpu: Any, ins: Any, outs: Any, plan: Plan, dimension: int, degree: int, scalar_term: bool
) -> None:
    source = gpu.source("tensors.cu", CHANNELS=dimension, DEGREE=degree)
    blocks = min(plan.ints[0], 64 * gpu.processors)
    threads = 32 if dimension**degree <= 64 else 128 if dimension**degree <= 4096 else 512
    args = (*ins, *outs, *plan.ints, int(scalar_term))
    gpu.launch(source, "tensor_inverse", (blocks,), (threads,), args)


# In the rules below `size` is (dimension, degree) and `end` (scalar_term, n_jobs).


def _product_vjp(saved: Any, grads: Any, *attrs: Any) -> tuple[Any, Any]:
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


product: Op = Op(
    "tensor_product",
    f"(Tensor left, Tensor right, {_SIZES}, int s, int t, {_END})",
    _plan(2),
    _elementwise("tensor_product"),
    saves=("left", "right"),
    vjp=_product_vjp,
    jvp=_product_jvp,
)
contract_right: Op = Op(
    "tensor_contract_right",
    f"(Tensor grad, Tensor right, {_SIZES}, int t, {_END})",
    _plan(2),
    _elementwise("tensor_contract_right"),
    saves=("grad", "right"),
    vjp=_right_vjp,
    jvp=_right_jvp,
)
contract_left: Op = Op(
    "tensor_contract_left",
    f"(Tensor grad, Tensor left, {_SIZES}, int s, {_END})",
    _plan(2),
    _elementwise("tensor_contract_left"),
    saves=("grad", "left"),
    vjp=_left_vjp,
    jvp=_left_jvp,
)
inverse: Op = Op(
    "tensor_inverse",
    f"(Tensor tensor, {_SIZES}, {_END})",
    _plan(1),
    _launch_inverse,
    saves=("tensor",),
    vjp=inverse_vjp,
    jvp=_inverse_jvp,
)
