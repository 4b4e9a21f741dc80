"""Logarithm and exponential of the truncated tensor algebra, and changes of basis.

Logarithm and exponential are made of products, and a change of basis is a sparse matrix: everything
can be differentiated for ever.
"""

from __future__ import annotations

import math
from typing import Any

from .._core.lie import matrix, transposed
from .._core.op import OPS, Op, Plan, Shape, Spec
from . import tensors


def _plan(vector: Shape, key: tuple[int, ...], n_jobs: int) -> Plan:
    *batch, _ = vector
    found, count = matrix(tuple(key)), math.prod(batch)
    work = count * (len(found.table.array) + found.rows)
    return Plan((Spec((*batch, found.rows)),), (count, *found), work)


def _launch(gpu: Any, ins: Any, outs: Any, plan: Plan, key: Any) -> None:
    batch, rows, columns = plan.ints[:3]
    table: Any = plan.ints[3]
    blocks = min(-(-batch * rows // 256), 32 * gpu.processors)
    args = (*ins, *outs, gpu.constant(table.array), batch, rows, columns)
    gpu.launch(gpu.source("sparse.cu"), "sparse", (blocks,), (256,), args)


sparse: Op = Op(
    "sparse",
    "(Tensor vector, int[] key, int n_jobs)",
    _plan,
    _launch,
    vjp=lambda saved, grads, key, n_jobs: (
        OPS["sparse"](grads[0], transposed(tuple(key)), n_jobs),
    ),
    jvp=lambda saved, tangents, *attrs: (OPS["sparse"](tangents[0], *attrs),),
    function="log_sig",
)


# Both series are t (1 + c_1 t / 2 (1 + c_2 t / 3 (...))), with c_k = -k (times 1 / k) for the
# logarithm of 1 + t and 1 for the exponential of t less 1. Tensors have no scalar terms.


def _series(t: Any, dimension: int, degree: int, logarithm: bool, n_jobs: int) -> list[Any]:
    """The sum, and before it the brackets less 1, the innermost one first."""
    if degree == 0:
        return [t]
    inner: list[Any] = []
    x = t * (1 / degree)
    for k in range(degree - 1, 0, -1):
        inner.append(x * -float(k) if logarithm else x)
        x = tensors.product(t, inner[-1], dimension, degree, 0, 1, False, n_jobs)
        x = x if k == 1 else x * (1 / k)
    return [*inner, x]


def log(t: Any, dimension: int, degree: int, n_jobs: int) -> Any:
    """The logarithm of 1 + t."""
    return _series(t, dimension, degree, True, n_jobs)[-1]


def exp(t: Any, dimension: int, degree: int, n_jobs: int) -> Any:
    """The exponential of t, less 1."""
    return _series(t, dimension, degree, False, n_jobs)[-1]


def _series_vjp(
    grad: Any, t: Any, dimension: int, degree: int, logarithm: bool, n_jobs: int
) -> Any:
    if degree == 0:
        return grad
    *inner, _ = _series(t, dimension, degree, logarithm, n_jobs)
    of_t: Any = 0.0
    for k, factor in enumerate(reversed(inner), start=1):
        if k > 1:
            grad = grad * (1 / k)
        size = dimension, degree, 0, 1, False, n_jobs
        of_left, grad = tensors.product_vjp((t, factor), (grad,), *size)
        of_t = of_t + of_left
        if logarithm:
            grad = grad * -float(k)
    return of_t + grad * (1 / degree)


def log_vjp(grad: Any, t: Any, dimension: int, degree: int, n_jobs: int) -> Any:
    """The gradient of `log`."""
    return _series_vjp(grad, t, dimension, degree, True, n_jobs)


def exp_vjp(grad: Any, t: Any, dimension: int, degree: int, n_jobs: int) -> Any:
    """The gradient of `exp`."""
    return _series_vjp(grad, t, dimension, degree, False, n_jobs)
