"""Host code of the CUDA kernels of signature kernels on polynomial cells.

Strips, pairs and launches are those of `kernels_cuda`; here are numbers of cells (polynomial.cuh).
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

from .._core.op import Plan
from .kernels_cuda import (
    Call,
    Strip,
    fill,
    given,
    launch_sums,
    pairs_of_a_launch,
    scratch_of_pairs,
    warps_of,
)

#: By bytes of a number and whether there is `fold`, the highest orders whose numbers stay in
#: registers, and of two rows.
_FORWARD = {(4, False): (16, 4), (8, False): (16, 4), (4, True): (8, 4), (8, True): (8, 4)}
_GRADIENT = {(4, False): (16, 2), (8, False): (8, 2), (4, True): (6, 2), (8, True): (3, 2)}
_KEPT = 32 * 1024  # bytes of edges that a warp of the gradient keeps in shared memory, about
_MOST_FLOAT = 16  # the highest order, and that of folds, for which exponents of float do
_FLOAT_UNIT = 16  # makes them do beyond


def _moments(order: int, powers: int) -> list[Fraction]:
    """Of n = 1 to `powers`: what n! (I^n h)[0] is, twice, of differences g[j-1] - g[j+1].

    See slopes.cuh.
    """
    mean = [Fraction(int(j == 0)) for j in range(order)]  # of coefficients
    numbers = []
    for n in range(1, powers + 1):
        numbers += [part / (2 * j + 1) for j, part in enumerate(mean)]
        parts = [part * (n + 1) / (2 * (2 * j + 1)) for j, part in enumerate(mean)]
        mean = [
            parts[0] * (i == 0) + sum(parts[i + 1 : i + 2]) - (parts[i - 1] if i else 0)
            for i in range(order)
        ]
    return numbers


def _literals(numbers: list[Fraction], least: float) -> str:
    """Those below `least` are 0: compilers reject constants that float has not got."""
    return ", ".join(f"REAL({float(n) if abs(n) > least else 0.0!r})" for n in numbers)


@functools.cache
def _macros(order: int, fold: int, unit: int) -> dict[str, int | str]:
    """Of polynomial.cuh, but for IN_REGISTERS."""
    factorials = [Fraction(unit**n, math.factorial(n)) for n in range(2 * order + 1)]
    powers = order + fold if fold else 0
    rates = [Fraction(1, 2 * (2 * j + 1)) for j in range(order)]
    rates += [Fraction(1, n + 1) for n in range(powers)]
    return {
        "ORDER": order,
        "FOLD": fold,
        "UNIT": unit,
        "FACTORIALS": _literals(factorials, 1e-37 if unit > 1 else 0.0),
        "RATES": _literals(rates * (fold > 0), 0.0),
        "MOMENTS": _literals(_moments(order, powers), 0.0),
    }


def _source(
    gpu: Any, file: str, call: Call, strip: Strip, order: int, fold: int, in_registers: bool
) -> Any:
    unit = _FLOAT_UNIT if gpu.itemsize == 4 and order > _MOST_FLOAT else 1
    macros = call.macros(strip) | _macros(order, fold, unit)
    return gpu.source(file, **macros, IN_REGISTERS=int(in_registers))


def launch(gpu: Any, ins: Any, outs: Any, plan: Plan, *attrs: Any) -> None:
    """Signature kernels."""
    order, fold, *rest = attrs
    _launch(gpu, ins, outs, Call._make((*plan.ints, 0, 0, *rest)), order, fold)


def launch_increments(
    gpu: Any, ins: Any, outs: Any, plan: Plan, order: int, fold: int, grid: bool
) -> None:
    """Signature kernels of given increments."""
    _launch(gpu, (*ins, None), outs, given(plan, 0, 0, grid), order, fold)


def _launch(gpu: Any, ins: Any, outs: Any, call: Call, order: int, fold: int) -> None:
    if call.constant:
        fill(gpu, outs[0], 1.0)
        return
    size = gpu.itemsize
    terms = order + 1
    in_registers, both = (order <= most for most in _FORWARD[size, fold > 0])
    held = (128 if (terms + fold) * size <= 112 else 32) // size
    strip = call.strip(1 + both, 1 + both, 16 if in_registers else 8, held, 8)
    strip = strip._replace(columns=terms, width=terms * (call.length2 - 1))
    entries = strip.steps + strip.points - strip.coarse
    shared = size * (entries * strip.points * 32 + 2 * strip.steps * terms)
    row = strip.width if strip.strips > 1 else 0
    lanes = 0 if in_registers else 32 * 5 * terms

    most = pairs_of_a_launch(call.pairs, (row + lanes) * size)
    warps = warps_of(gpu, min(call.active, most), strip.strips, shared)
    most = pairs_of_a_launch(call.pairs, (row + warps * lanes) * size)
    rows = gpu.scratch((most * row,)) if row else None
    room = gpu.scratch((most * warps * lanes,)) if lanes else None
    source = _source(gpu, "sig_kernel_polynomial.cu", call, strip, order, fold, in_registers)
    args = call.args(gpu, strip)
    for first, pairs in gpu.launches(call.pairs, most):
        gpu.launch(
            source,
            "sig_kernel_polynomial",
            (pairs,),
            (32 * warps,),
            (*ins, *outs, rows, room, first, *args),
            warps * shared,
        )


def launch_vjp(gpu: Any, ins: Any, outs: Any, plan: Plan, *attrs: Any) -> None:
    """Their gradients."""
    order, fold, *rest = attrs
    _launch_vjp(gpu, ins, outs, Call._make((*plan.ints, 0, 0, *rest)), order, fold)


def launch_increments_vjp(
    gpu: Any, ins: Any, outs: Any, plan: Plan, order: int, fold: int, grid: bool
) -> None:
    """Gradients of signature kernels of given increments."""
    _launch_vjp(gpu, (*ins, None), outs, given(plan, 0, 0, grid), order, fold)


def _launch_vjp(gpu: Any, ins: Any, outs: Any, call: Call, order: int, fold: int) -> None:
    if call.constant:
        for out in outs:
            fill(gpu, out, 0.0)
        return
    size = gpu.itemsize
    terms = order + 1
    in_registers, both = (order <= most for most in _GRADIENT[size, fold > 0])
    in_registers = in_registers and (terms + fold) * size <= 80  # the rest would spill
    step = 32 * 2 * terms * (1 + both)  # numbers that a warp keeps of it
    steps = 4
    while steps < 16 and 2 * steps * step * size <= _KEPT:
        steps *= 2
    held = (128 if (terms + fold) * size <= 56 - 8 * call.grid else 32) // size
    strip = call.strip(1 + both, 1 + both, steps, held, 4)
    strip = strip._replace(columns=terms, width=terms * (call.length2 - 1))
    entries = strip.steps + strip.points - strip.coarse
    kept = 32 * strip.steps * strip.rows * 2 * terms
    shared = 2 * strip.steps * terms + strip.steps * strip.block  # see the pointers there
    shared += 32 * entries * strip.points + 32 * strip.steps * strip.coarse * call.of_points
    shared = size * (shared + kept * in_registers)

    gradients = call.gradients(strip)
    row = strip.strips * strip.width
    front = strip.phases * (strip.rows + 1) * terms * 32
    lanes = 0 if in_registers else 32 * 7 * terms + kept
    alike = sum(gradients) + row
    most = pairs_of_a_launch(call.pairs, size * (alike + front + lanes))
    warps = warps_of(gpu, min(call.active, most), strip.strips, shared)
    most = pairs_of_a_launch(call.pairs, size * (alike + warps * (front + lanes)))
    sizes = *gradients, row, warps * front, warps * lanes
    room = scratch_of_pairs(gpu, call, most, sizes, outs)

    source = _source(gpu, "sig_kernel_polynomial_vjp.cu", call, strip, order, fold, in_registers)
    args = call.args(gpu, strip)
    for first, pairs in gpu.launches(call.pairs, most):
        gpu.launch(
            source,
            "sig_kernel_polynomial_vjp",
            (pairs,),
            (32 * warps,),
            (*ins, *room, first, *args),
            warps * shared,
        )
        launch_sums(gpu, source, call, strip, room[:2], outs, first, pairs)
