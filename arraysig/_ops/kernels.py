"""Rows of the signature kernel of all pairs of two sets of paths, and of its gradients.

Arrays of paths are (..., count, length, channels): leading axes are groups, and every path of a
group of the first array meets every path of the same group of the second. Paths arrive augmented.
"""

from __future__ import annotations

import math
from typing import Any

from .._core.op import Op, Plan, Shape, Spec
from . import kernels_cuda, polynomial_cuda


def _plan(path1: Shape, path2: Shape, cells: int, work: int) -> Plan:
    """`cells` in an increment of the static kernel, and multiply-adds in a cell."""
    *groups, count1, length1, channels = path1
    count2, length2 = path2[-3], path2[-2]
    count = math.prod(groups)
    increments = count * count1 * count2 * length1 * length2
    ints = (count, count1, count2, length1, length2, channels)
    return Plan(
        (Spec((*groups, count1, count2)),), ints, increments * (work * cells + channels + 8)
    )


def _plan_vjp(plan: Any) -> Any:
    """The plan of the gradient of an op."""

    def plan_vjp(grad: Shape, path1: Shape, path2: Shape, *attrs: Any) -> Plan:
        forward = plan(path1, path2, *attrs)
        return Plan((Spec(tuple(path1)), Spec(tuple(path2))), forward.ints, 4 * forward.work)

    return plan_vjp


def _plan_differences(path1: Shape, path2: Shape, order1: int, order2: int, *attrs: Any) -> Plan:
    return _plan(path1, path2, 1 << (order1 + order2), 4)


def _plan_polynomial(path1: Shape, path2: Shape, order: int, fold: int, *attrs: Any) -> Plan:
    return _plan(path1, path2, 1, 3 * (order + fold + 1) ** 2)


#: Number and parameters of the static kernel (static_kernels.py);
#: whether both arrays are the same, so that pairs i <= j do, and of both gradients only the sum
#: is right.
_REST = "int static_kernel, float p0, float p1, float p2, bool symmetric, int n_jobs"

differences_vjp: Op = Op(
    "sig_kernel_vjp",
    f"(Tensor grad, Tensor path1, Tensor path2, int order1, int order2, {_REST})",
    _plan_vjp(_plan_differences),
    kernels_cuda.launch_vjp,
    outputs=2,
    function="sig_kernel_backprop",
)
differences: Op = Op(
    "sig_kernel",
    f"(Tensor path1, Tensor path2, int order1, int order2, {_REST})",
    _plan_differences,
    kernels_cuda.launch,
    saves=("path1", "path2"),
    vjp=lambda saved, grads, *attrs: differences_vjp(grads[0], *saved, *attrs),
)
polynomial_vjp: Op = Op(
    "sig_kernel_polynomial_vjp",
    f"(Tensor grad, Tensor path1, Tensor path2, int order, int fold, {_REST})",
    _plan_vjp(_plan_polynomial),
    polynomial_cuda.launch_vjp,
    outputs=2,
    function="sig_kernel_backprop",
)
polynomial: Op = Op(
    "sig_kernel_polynomial",
    f"(Tensor path1, Tensor path2, int order, int fold, {_REST})",
    _plan_polynomial,
    polynomial_cuda.launch,
    saves=("path1", "path2"),
    vjp=lambda saved, grads, *attrs: polynomial_vjp(grads[0], *saved, *attrs),
    function="sig_kernel",
)
