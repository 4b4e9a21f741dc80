"""Rows of signature kernels of all pairs of two sets of paths, and of their gradients.

Arrays of paths are (..., count, length, channels): leading axes are groups, and every path of a
group of the first array meets every path of the same group of the second. Paths arrive augmented.
For static kernels that users wrote, increments come instead of paths: an array (..., steps1,
steps2), one pair each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from .._core.op import OPS, Op, Plan, Shape, Spec
from . import branched_kernels_cuda, differences_cuda, kernels_cuda, polynomial_cuda

#: Fused multiply-adds in whose time a node of a grid is written, to memory that is fresh.
_WORK_OF_NODE = 64


class Scheme(NamedTuple):
    """Numbers that describe how a kernel is computed on a grid, and what follows from them.

    Attributes
    ----------
    name : of the op, and of the CUDA C with the cells; gradients of both end in ``_vjp``
    function : the public one
    numbers : their names
    orders : both dyadic orders of the grid
    work : multiply-adds of an increment of the static kernel; if 0, K = 1
    cuda : module with the cells of the GPU
    """

    name: str
    function: str
    numbers: tuple[str, ...]
    orders: Callable[..., tuple[int, int]]
    work: Callable[..., int]
    cuda: Any

    def _plan_of(
        self, pairs: Shape, steps: tuple[int, int], ints: tuple[int, ...], work: int, *attrs: Any
    ) -> Plan:
        """A number for each pair, or with grids for each node; `work` is that of the increments."""
        numbers, grid = attrs[: len(self.numbers)], attrs[-2]
        nodes = [s * 2**o + 1 for s, o in zip(steps, self.orders(*numbers), strict=True)]
        result = (*pairs, *nodes) if grid else tuple(pairs)
        work = math.prod(pairs) * math.prod(steps) * (self.work(*numbers) + work)
        work += math.prod(result) * _WORK_OF_NODE if grid else 0
        return Plan((Spec(result),), ints, work)

    def plan(self, path1: Shape, path2: Shape, *attrs: Any) -> Plan:
        """Of paths."""
        *groups, count1, length1, channels = path1
        count2, length2 = path2[-3], path2[-2]
        ints = math.prod(groups), count1, count2, length1, length2, channels
        pairs, steps = (*groups, count1, count2), (length1 - 1, length2 - 1)
        return self._plan_of(pairs, steps, ints, channels + 8, *attrs)

    def plan_of_increments(self, increments: Shape, *attrs: Any) -> Plan:
        """Of increments."""
        *pairs, steps1, steps2 = increments
        ints = math.prod(pairs), steps1, steps2
        return self._plan_of(tuple(pairs), (steps1, steps2), ints, 8, *attrs)

    def _call(self, plan: Plan, attrs: tuple[Any, ...]) -> tuple[kernels_cuda.Call, Any]:
        """A call of the GPU, and the numbers."""
        count = len(self.numbers)
        numbers, rest = attrs[:count], attrs[count:]
        ints = plan.ints
        if len(ints) == 3:
            pairs, steps1, steps2 = ints
            ints = pairs, 1, 1, steps1 + 1, steps2 + 1, 0
            rest = kernels_cuda.GIVEN, 1.0, 0.0, 0.0, False, *rest
        return kernels_cuda.Call._make((*ints, *self.orders(*numbers), *rest)), numbers

    def launch(self, gpu: Any, ins: Any, outs: Any, plan: Plan, *attrs: Any) -> None:
        """Kernels, of paths or of increments."""
        call, numbers = self._call(plan, attrs)
        if call.constant or not self.work(*numbers):
            kernels_cuda.fill(gpu, outs[0], 1.0)
            return
        paths = (*ins, None)[:2]
        cells = self.cuda.cells(gpu, call, *numbers)
        kernels_cuda.launch(gpu, paths, outs[0], call, cells, f"{self.name}.cu")

    def launch_vjp(self, gpu: Any, ins: Any, outs: Any, plan: Plan, *attrs: Any) -> None:
        """Their gradients."""
        call, numbers = self._call(plan, attrs)
        if call.constant or not self.work(*numbers):
            for out in outs:
                kernels_cuda.fill(gpu, out, 0.0)
            return
        arrays = (*ins, None)[:3]
        cells = self.cuda.cells_vjp(gpu, call, *numbers)
        kernels_cuda.launch_vjp(gpu, arrays, outs, call, cells, f"{self.name}_vjp.cu")


def _plan_vjp(plan: Callable[..., Plan], arrays: int) -> Callable[..., Plan]:
    """The plan of the gradient of an op of so many arrays."""

    def plan_vjp(grad: Shape, *args: Any) -> Plan:
        forward = plan(*args)
        outs = tuple(Spec(tuple(shape)) for shape in args[:arrays])
        return Plan(outs, forward.ints, 4 * forward.work)

    return plan_vjp


class Rows(NamedTuple):
    """The ops of a scheme: kernels, their gradients, and both of increments."""

    kernel: Op
    vjp: Op
    of_increments: Op
    of_increments_vjp: Op


#: Number and parameters of the static kernel (static_kernels.py); whether both arrays are the same,
#: so that pairs i <= j do, and of both gradients only the sum is right; whether all nodes of the
#: grid are wanted, not only the last one.
_REST = "int static_kernel, float p0, float p1, float p2, bool symmetric, bool grid, int n_jobs"


def _rows(scheme: Scheme) -> Rows:
    name = scheme.name
    numbers = ", ".join(f"int {number}" for number in scheme.numbers)
    # Torch's compiler follows names from closures, not rows.
    name_vjp, increments_vjp = f"{name}_vjp", f"{name}_increments_vjp"
    vjp = Op(
        name_vjp,
        f"(Tensor grad, Tensor path1, Tensor path2, {numbers}, {_REST})",
        _plan_vjp(scheme.plan, 2),
        scheme.launch_vjp,
        outputs=2,
        function=f"{scheme.function}_backprop",
    )
    kernel = Op(
        name,
        f"(Tensor path1, Tensor path2, {numbers}, {_REST})",
        scheme.plan,
        scheme.launch,
        saves=("path1", "path2"),
        vjp=lambda saved, grads, *attrs: OPS[name_vjp](grads[0], *saved, *attrs),
        function=scheme.function,
    )
    of_increments_vjp = Op(
        increments_vjp,
        f"(Tensor grad, Tensor increments, {numbers}, bool grid, int n_jobs)",
        _plan_vjp(scheme.plan_of_increments, 1),
        scheme.launch_vjp,
        function=f"{scheme.function}_backprop",
    )
    of_increments = Op(
        f"{name}_increments",
        f"(Tensor increments, {numbers}, bool grid, int n_jobs)",
        scheme.plan_of_increments,
        scheme.launch,
        saves=("increments",),
        vjp=lambda saved, grads, *attrs: (OPS[increments_vjp](grads[0], *saved, *attrs),),
        function=scheme.function,
    )
    return Rows(kernel, vjp, of_increments, of_increments_vjp)


differences = _rows(
    Scheme(
        "sig_kernel",
        "sig_kernel",
        ("order1", "order2"),
        lambda order1, order2: (order1, order2),
        lambda order1, order2: 4 << (order1 + order2),
        differences_cuda,
    ),
)
polynomial = _rows(
    Scheme(
        "sig_kernel_polynomial",
        "sig_kernel",
        ("order", "fold"),
        lambda order, fold: (0, 0),
        lambda order, fold: 3 * (order + fold + 1) ** 2,
        polynomial_cuda,
    ),
)
branched = _rows(
    Scheme(
        "branched_sig_kernel",
        "branched_sig_kernel",
        ("depth", "order1", "order2"),
        lambda depth, order1, order2: (order1, order2),
        lambda depth, order1, order2: 25 * depth << (order1 + order2),
        branched_kernels_cuda,
    ),
)
