"""Logarithm and exponential of the truncated tensor algebra, and changes of basis.

Formats of logarithms are numbered: 0 all words; 1 coefficients of Lyndon words; 2 coordinates in
the basis of their brackets. What is no op of its own is made of products and of sparse matrices, so
that everything can be differentiated for ever.
"""

from __future__ import annotations

import math
from typing import Any

from .._core import lie
from .._core.namespace import added, concat, contiguous, zeros
from .._core.op import Op, Plan, Shape, Spec
from .._core.sparse import transposed
from ..words import tensor_length
from . import lie_cuda, tensors
from .sparse import sparse

# ---- Changes of basis ---------------------------------------------------------------------------


def _change(array: Any, kind: int, size: tuple[int, int], n_jobs: int, adjoint: bool) -> Any:
    key = lie.key(kind, *size)
    return sparse(array, transposed(key) if adjoint else key, n_jobs)


def from_tensor(
    tensor: Any, dimension: int, degree: int, method: int, n_jobs: int, adjoint: bool = False
) -> Any:
    """From a Lie element, as a tensor, to a format; or the adjoint of that."""
    if method == 0:
        return tensor
    kind = lie.COEFFICIENTS if method == 1 else lie.COORDINATES
    return _change(tensor, kind, (dimension, degree), n_jobs, adjoint)


def to_tensor(
    array: Any, dimension: int, degree: int, method: int, n_jobs: int, adjoint: bool = False
) -> Any:
    """The tensor that is in a format; or the adjoint of that."""
    steps = [[], [lie.SOLVE, lie.EXPAND], [lie.EXPAND]][method]
    for kind in reversed(steps) if adjoint else steps:
        array = _change(array, kind, (dimension, degree), n_jobs, adjoint)
    return array


# ---- Series -------------------------------------------------------------------------------------

# Both series are t (1 + B_1) with B_j = c_j t (1 + B_(j+1)) and B_N = 0: c_j is 1 / (j + 1) for the
# exponential of t less 1, and -j / (j + 1) for the logarithm of 1 + t. Tensors have no scalar term,
# so B_j is wanted to level N - j only.


def _brackets(t: Any, dimension: int, degree: int, logarithm: bool, n_jobs: int) -> list[Any]:
    """B_1, B_2, and so on."""
    found: list[Any] = []
    for j in range(degree - 1, 0, -1):
        x = t if not found else tensors.product(t, found[0], dimension, degree, 0, 1, False, n_jobs)
        found.insert(0, x * _factor(j, logarithm))
    return found


def _factor(j: int, logarithm: bool) -> float:
    return (-j if logarithm else 1) / (j + 1)


def exp(t: Any, dimension: int, degree: int, n_jobs: int) -> Any:
    """The exponential of t, less 1."""
    inner = _brackets(t, dimension, degree, False, n_jobs)
    return tensors.product(t, inner[0], dimension, degree, 0, 1, False, n_jobs) if inner else t


def exp_vjp(grad: Any, t: Any, dimension: int, degree: int, n_jobs: int) -> Any:
    """The gradient of `exp`."""
    of_t: Any = 0.0
    size = dimension, degree, 0, 1, False, n_jobs
    for j, inner in enumerate(_brackets(t, dimension, degree, False, n_jobs), start=1):
        of_left, grad = tensors.product_vjp((t, inner), (grad,), *size)
        of_t = added(of_left, of_t)
        grad = grad * _factor(j, False)
    return contiguous(added(grad, of_t))


def _tangent(
    t: Any, h: Any, dimension: int, degree: int, logarithm: bool, n_jobs: int
) -> tuple[list[Any], list[Any], Any]:
    """B_1, B_2, ..., and their derivatives along h, and that of the whole series."""
    inner = _brackets(t, dimension, degree, logarithm, n_jobs)
    changes: list[Any] = []

    def moved(bracket: Any) -> Any:
        size = dimension, degree, 0
        change = tensors.product(h, bracket, *size, 1, False, n_jobs)
        return change + tensors.product(t, changes[0], *size, 0, False, n_jobs)

    for j in range(degree - 1, 0, -1):
        changes.insert(0, (moved(inner[j]) if changes else h) * _factor(j, logarithm))
    return inner, changes, moved(inner[0]) if changes else h


# ---- Logarithm ----------------------------------------------------------------------------------


def _tables(dimension: int, degree: int, method: int) -> tuple[int, ...]:
    """Lyndon words, 0 for all words; where they stand; what makes coordinates of coefficients."""
    if method == 0:
        return 0, 0, 0
    words = lie.matrix(lie.key(lie.COEFFICIENTS, dimension, degree))
    solve = lie.matrix(lie.key(lie.SOLVE, dimension, degree)).table if method == 2 else 0
    return words.rows, words.table, solve


def _log_work(count: int, dimension: int, degree: int) -> int:
    return count * tensor_length(dimension, degree) * (degree + 1)


def _plan_log(tensor: Shape, dimension: int, degree: int, method: int, n_jobs: int) -> Plan:
    *batch, words = tensor
    count, tables = math.prod(batch), _tables(dimension, degree, method)
    out = Spec((*batch, tables[0] if method else words))
    return Plan((out,), (count, *tables), _log_work(count, dimension, degree))


def _plan_log_vjp(
    grad: Shape, tensor: Shape, dimension: int, degree: int, method: int, n_jobs: int
) -> Plan:
    forward = _plan_log(tensor, dimension, degree, method, n_jobs)
    return Plan((Spec(tuple(tensor)),), forward.ints, 3 * forward.work)


def _gradient_of_tangent(
    g: Any, t: Any, h: Any, dimension: int, degree: int, method: int, n_jobs: int
) -> Any:
    """The gradient in t of <g, derivative of the logarithm along h>."""
    inner, changes, _ = _tangent(t, h, dimension, degree, True, n_jobs)
    size, end = (dimension, degree), (False, n_jobs)
    of_t, of_inner = t * 0.0, t * 0.0
    of_change = from_tensor(g, dimension, degree, method, n_jobs, adjoint=True)
    for j, (bracket, change) in enumerate(zip(inner, changes, strict=True), start=1):
        of_t = of_t + tensors.contract_right(of_change, change, *size, 0, *end)
        of_t = of_t + tensors.contract_right(of_inner, bracket, *size, 1, *end)
        of_inner = tensors.contract_left(of_inner, t, *size, 0, *end)
        of_inner = of_inner + tensors.contract_left(of_change, h, *size, 0, *end)
        of_change = tensors.contract_left(of_change, t, *size, 0, *end) * _factor(j, True)
        of_inner = of_inner * _factor(j, True)
    return of_t + of_inner


def _log_jvp(saved: Any, tangents: Any, *attrs: Any) -> tuple[Any]:
    dimension, degree, method, n_jobs = attrs
    change = _tangent(saved[0], tangents[0], dimension, degree, True, n_jobs)[2]
    return (from_tensor(change, dimension, degree, method, n_jobs),)


def _log_vjp_vjp(saved: Any, grads: Any, *attrs: Any) -> tuple[Any, Any]:
    (g, t), (h,) = saved, grads
    return _log_jvp((t,), (h,), *attrs)[0], _gradient_of_tangent(g, t, h, *attrs)


def _log_vjp_jvp(saved: Any, tangents: Any, *attrs: Any) -> tuple[Any]:
    (g, t), (dg, dt) = saved, tangents
    return (log_vjp(dg, t, *attrs) + _gradient_of_tangent(g, t, dt, *attrs),)


_SIZES = "int dimension, int degree"

log_vjp: Op = Op(
    "lie_log_vjp",
    f"(Tensor grad, Tensor tensor, {_SIZES}, int method, int n_jobs)",
    _plan_log_vjp,
    lie_cuda.launch_log_vjp,
    saves=("grad", "tensor"),
    vjp=_log_vjp_vjp,
    jvp=_log_vjp_jvp,
    function="log_sig_backprop",
)
log: Op = Op(
    "lie_log",
    f"(Tensor tensor, {_SIZES}, int method, int n_jobs)",
    _plan_log,
    lie_cuda.launch_log,
    saves=("tensor",),
    vjp=lambda saved, grads, *attrs: (log_vjp(grads[0], saved[0], *attrs),),
    jvp=_log_jvp,
    function="log_sig",
)


# ---- The Baker-Campbell-Hausdorff product -------------------------------------------------------

# Of coordinates of brackets. The second factor may be that of a segment: its displacement.


def _plan_combine(left: Shape, right: Shape, dimension: int, degree: int, n_jobs: int) -> Plan:
    *batch, _ = left
    count = math.prod(batch)
    expand = lie.matrix(lie.key(lie.EXPAND, dimension, degree)).table
    structure = lie.structure(dimension, degree) or 0  # only C uses it
    ints = (count, *_tables(dimension, degree, 2), expand, right[-1], structure)
    return Plan((Spec(tuple(left)),), ints, 4 * _log_work(count, dimension, degree))


def _both(left: Any, right: Any) -> list[Any]:
    """Coordinates of both factors."""
    missing = left.shape[-1] - right.shape[-1]
    if missing:
        right = concat([right, zeros(right, (*right.shape[:-1], missing))])
    return [left, right]


def _combined(left: Any, right: Any, attrs: tuple[Any, ...]) -> tuple[list[Any], list[Any], Any]:
    """Both factors as tensors, their exponentials, and the product of these."""
    dimension, degree, n_jobs = attrs
    size = dimension, degree
    elements = [to_tensor(x, *size, 2, n_jobs) for x in _both(left, right)]
    factors = [exp(x, *size, n_jobs) for x in elements]
    return elements, factors, tensors.product(*factors, *size, 1, 1, False, n_jobs)


def combine_vjp(saved: Any, grads: Any, *attrs: Any) -> tuple[Any, Any]:
    """Gradient of `combine` with respect to both factors."""
    (left, right), (g,), (dimension, degree, n_jobs) = saved, grads, attrs
    size = dimension, degree
    if degree == 0:
        return zeros(left, tuple(left.shape)), zeros(right, tuple(right.shape))
    elements, factors, product = _combined(left, right, attrs)
    grad = log_vjp(g, product, *size, 2, n_jobs)
    of_factors = tensors.product_vjp(factors, (grad,), *size, 1, 1, False, n_jobs)
    of_left, of_right = [
        to_tensor(exp_vjp(of, x, *size, n_jobs), *size, 2, n_jobs, adjoint=True)
        for of, x in zip(of_factors, elements, strict=True)
    ]
    if right.shape[-1] < left.shape[-1]:
        of_right = contiguous(of_right[..., : right.shape[-1]])
    return of_left, of_right


def _combine_jvp(saved: Any, tangents: Any, *attrs: Any) -> tuple[Any]:
    dimension, degree, n_jobs = attrs
    size = dimension, degree
    left, right = saved
    if degree == 0:
        return (zeros(left, tuple(left.shape)),)
    elements, factors, product = _combined(left, right, attrs)
    changes = [
        _tangent(x, to_tensor(h, *size, 2, n_jobs), *size, False, n_jobs)[2]
        for x, h in zip(elements, _both(*tangents), strict=True)
    ]
    pairs = (changes[0], factors[1], *size, 0, 1), (factors[0], changes[1], *size, 1, 0)
    change = sum(tensors.product(*pair, False, n_jobs) for pair in pairs)
    return _log_jvp((product,), (change,), *size, 2, n_jobs)


combine: Op = Op(
    "lie_combine",
    f"(Tensor left, Tensor right, {_SIZES}, int n_jobs)",
    _plan_combine,
    lie_cuda.launch_combine,
    saves=("left", "right"),
    vjp=combine_vjp,
    jvp=_combine_jvp,
    function="log_sig_combine",
)
