"""Polynomial cells of signature kernels for `kernels_cuda`: numbers of polynomial.cuh."""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

from .kernels_cuda import Call, Cells

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
def _macros(itemsize: int, order: int, fold: int, in_registers: bool) -> dict[str, int | str]:
    unit = _FLOAT_UNIT if itemsize == 4 and order > _MOST_FLOAT else 1
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
        "IN_REGISTERS": int(in_registers),
    }


def cells(gpu: Any, call: Call, order: int, fold: int) -> Cells:
    """Without gradient."""
    size, terms = gpu.itemsize, order + 1
    in_registers, both = (order <= most for most in _FORWARD[size, fold > 0])
    points = (128 if (terms + fold) * size <= 112 else 32) // size
    strip = call.strip(1 + both, 1 + both, 16 if in_registers else 8, points, 8, terms)
    room = 0 if in_registers else 5 * terms
    return Cells(strip, _macros(size, order, fold, in_registers), room=room)


def cells_vjp(gpu: Any, call: Call, order: int, fold: int) -> Cells:
    """For the gradient."""
    size, terms = gpu.itemsize, order + 1
    in_registers, both = (order <= most for most in _GRADIENT[size, fold > 0])
    in_registers = in_registers and (terms + fold) * size <= 80  # the rest would spill
    step = 2 * terms * (1 + both)  # numbers that a lane keeps of it
    steps = 4
    while steps < 16 and 2 * steps * 32 * step * size <= _KEPT:
        steps *= 2
    points = (128 if (terms + fold) * size <= 56 - 8 * call.grid else 32) // size
    strip = call.strip(1 + both, 1 + both, steps, points, 4, terms)
    held = strip.steps * strip.rows * 2 * terms
    return Cells(
        strip,
        _macros(size, order, fold, in_registers),
        room=0 if in_registers else 7 * terms + held,
        saved=(strip.rows + 1) * terms,
        held=held if in_registers else 0,
    )
