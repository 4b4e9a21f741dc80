"""Rows of sparse matrices and bilinear maps of integers, which tables hold."""

from __future__ import annotations

import math
from typing import Any

from .._core import lie, trees
from .._core.op import OPS, Op, Plan, Shape, Spec
from .._core.sparse import Bilinear, Key, Sparse, adjoints, transposed


def matrix(key: Key) -> Sparse:
    """The matrix that a key stands for."""
    return trees.matrix(key) if key[0] >= trees.FIRST_KIND else lie.matrix(key)


def _plan_sparse(vector: Shape, key: tuple[int, ...], n_jobs: int) -> Plan:
    *batch, _ = vector
    found, count = matrix(tuple(key)), math.prod(batch)
    work = count * (len(found.table.array) + found.rows)
    return Plan((Spec((*batch, found.rows)),), (count, *found), work)


def _plan_bilinear(
    left: Shape, right: Shape, key: tuple[int, ...], s: int, t: int, scale: float, n_jobs: int
) -> Plan:
    *batch, _ = left
    found: Bilinear = trees.bilinear(tuple(key))
    count = math.prod(batch)
    work = count * (len(found.table.array) + found.rows)
    return Plan((Spec((*batch, found.rows)),), (count, *found), work)


def _launch(gpu: Any, name: str, ins: Any, outs: Any, plan: Plan, *factors: Any) -> None:
    """One thread per number of the result."""
    *sizes, table = plan.ints
    held: Any = table
    blocks = min(-(-sizes[0] * sizes[1] // 256), 32 * gpu.processors)
    args = (*ins, *outs, gpu.constant(held.array), *sizes[: 2 + len(ins)], *factors)
    gpu.launch(gpu.source("sparse.cu"), name, (blocks,), (256,), args)


def _launch_sparse(gpu: Any, ins: Any, outs: Any, plan: Plan, key: Any) -> None:
    _launch(gpu, "sparse", ins, outs, plan)


def _launch_bilinear(
    gpu: Any, ins: Any, outs: Any, plan: Plan, key: Any, s: int, t: int, scale: float
) -> None:
    _launch(gpu, "bilinear", ins, outs, plan, s, t, gpu.real(scale))


# In the rules below `end` is (scale, n_jobs).


def bilinear_vjp(
    saved: Any, grads: Any, key: tuple[int, ...], s: int, t: int, *end: Any
) -> tuple[Any, Any]:
    """Gradients of `bilinear` with respect to both factors."""
    (left, right), (g,), (of_left, of_right) = saved, grads, adjoints(tuple(key))
    return bilinear(g, right, of_left, 0, t, *end), bilinear(left, g, of_right, s, 0, *end)


def _bilinear_jvp(
    saved: Any, tangents: Any, key: tuple[int, ...], s: int, t: int, *end: Any
) -> tuple[Any]:
    (left, right), (dl, dr) = saved, tangents
    return (bilinear(dl, right, key, 0, t, *end) + bilinear(left, dr, key, s, 0, *end),)


sparse: Op = Op(
    "sparse",
    "(Tensor vector, int[] key, int n_jobs)",
    _plan_sparse,
    _launch_sparse,
    vjp=lambda saved, grads, key, n_jobs: (
        OPS["sparse"](grads[0], transposed(tuple(key)), n_jobs),
    ),
    jvp=lambda saved, tangents, *attrs: (OPS["sparse"](tangents[0], *attrs),),
    function="log_sig",
)
bilinear: Op = Op(
    "bilinear",
    "(Tensor left, Tensor right, int[] key, int s, int t, float scale, int n_jobs)",
    _plan_bilinear,
    _launch_bilinear,
    saves=("left", "right"),
    vjp=bilinear_vjp,
    jvp=_bilinear_jvp,
    function="branched_sig_combine",
)
