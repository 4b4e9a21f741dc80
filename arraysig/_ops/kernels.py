"""Rows of the signature kernel of all pairs of two sets of paths, and of its gradients.

Arrays of paths are (..., count, length, channels): leading axes are groups, and every path of a
group of the first array meets every path of the same group of the second. Paths arrive augmented.
"""

from __future__ import annotations

import math
from typing import Any

from .._core.op import Op, Plan, Shape, Spec
from . import kernels_cuda


def _plan(path1: Shape, path2: Shape, order1: int, order2: int, *attrs: Any) -> Plan:
    *groups, count1, length1, channels = path1
    count2, length2 = path2[-3], path2[-2]
    cells = ((length1 - 1) << order1) * ((length2 - 1) << order2)
    pairs = math.prod(groups) * count1 * count2
    ints = (math.prod(groups), count1, count2, length1, length2, channels)
    work = pairs * (4 * cells + length1 * length2 * (channels + 8))
    return Plan((Spec((*groups, count1, count2)),), ints, work)


def _plan_vjp(grad: Shape, path1: Shape, path2: Shape, *attrs: Any) -> Plan:
    forward = _plan(path1, path2, *attrs)
    return Plan((Spec(tuple(path1)), Spec(tuple(path2))), forward.ints, 4 * forward.work)


def _vjp(saved: Any, grads: Any, *attrs: Any) -> Any:
    return sig_kernel_vjp(grads[0], *saved, *attrs)


#: Dyadic orders of both paths; number and parameters of the static kernel (static_kernels.py);
#: whether both arrays are the same, so that pairs i <= j do, and of both gradients only the sum
#: is right.
_ATTRS = (
    "int order1, int order2, int static_kernel, float p0, float p1, float p2, bool symmetric, "
    "int n_jobs"
)

sig_kernel_vjp: Op = Op(
    "sig_kernel_vjp",
    f"(Tensor grad, Tensor path1, Tensor path2, {_ATTRS})",
    _plan_vjp,
    kernels_cuda.launch_vjp,
    outputs=2,
    function="sig_kernel_backprop",
)
sig_kernel: Op = Op(
    "sig_kernel",
    f"(Tensor path1, Tensor path2, {_ATTRS})",
    _plan,
    kernels_cuda.launch,
    saves=("path1", "path2"),
    vjp=_vjp,
)
