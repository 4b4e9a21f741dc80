"""Work of an operation: fused multiply-adds per step of a path, and bytes that must be moved.

Counts are those of the recurrences per word, without special treatment of the first level or of
degree 2, and an addition or a multiplication that stands alone counts as one fused multiply-add.
They depend on the mathematics, not on the code: recomputation and checkpoints are overhead, not
useful work.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

#: Written into every report, so that a figure can be read without this file.
DEFINITIONS = {
    "useful_flops": "2 * batch * (length - 1) * fused multiply-adds per step, an addition or "
    "multiplication alone counting as one",
    "sig_fmas_per_step": "F(d, N) = sum_{i=1..N} (N - i + 1) d^i + d (N - 1): Horner's form, and "
    "the walk over words in chunks of time, which does the same operations in another order",
    "sig_backprop_fmas_per_step": "G(d, N) = 2 d^N + sum_{i<N} (4 (N - i) + 3) d^i + 2 d (N - 1): "
    "one forward walk of the levels below N and the adjoint of every operation; the walk that "
    "stores checkpoints is not counted; at degree 2, where products of matrices do, arraysig needs "
    "half of F and G or less, so that its fractions of the FMA peak say more than is done",
    "bytes": "every input that the result depends on read once, the result written once",
    "ratio": "time of the peer by time of arraysig, each the minimum of its repetitions",
    "noise": "median by minimum of the repetitions",
    "error": "largest over the batch of the norm of the difference to the peer by the peer's norm",
    "extra_mb": "peak resident size during the call less the size before it, with inputs in "
    "place, and less the size of the result, in 10^6 bytes",
    "fma_gflops": "measured: independent chains of multiply-adds in registers on all threads, with "
    "the compiler flags of the instruction set in use",
    "bandwidth_gbs": "measured: a = b + s c and a = b on arrays larger than the last cache where "
    "memory allows; the traffic that a write may cause to read its line is not counted; "
    "bandwidth_fraction refers to the greater of the two, and exceeds 1 for data in a cache",
    "moves_ms": "measured in the same seconds, on all threads, in touched memory: a copy of all "
    "inputs and results, or for sig[stream] a fill of the result",
    "floor_ms": "GPU: the greatest of bytes by bandwidth, fused multiply-adds by rate, and, where "
    "known, instructions by issue rate; without the launch (3 to 5 us)",
}


def signature_length(d: int, degree: int) -> int:
    """Coefficients of levels 1 to `degree`."""
    return sum(int(d**i) for i in range(1, degree + 1))


def sig_fmas(d: int, degree: int) -> int:
    """F(d, N) per step: see `DEFINITIONS`."""
    words: int = sum((degree - i + 1) * d**i for i in range(1, degree + 1))
    return words + d * max(degree - 1, 0)


def sig_backprop_fmas(d: int, degree: int) -> int:
    """G(d, N) per step: see `DEFINITIONS`."""
    if degree == 0:
        return 0
    inner: int = sum((4 * (degree - i) + 3) * d**i for i in range(1, degree))
    top: int = d**degree
    return 2 * top + inner + 2 * d * (degree - 1)


def sig_flops(batch: int, length: int, d: int, degree: int) -> int:
    """Useful floating point operations of `arraysig.sig`."""
    return 2 * batch * (length - 1) * sig_fmas(d, degree)


def sig_backprop_flops(batch: int, length: int, d: int, degree: int) -> int:
    """Useful floating point operations of `arraysig.sig_backprop`."""
    return 2 * batch * (length - 1) * sig_backprop_fmas(d, degree)


def sig_correction_flops(batch: int, length: int, d: int, degree: int) -> int:
    """Useful floating point operations of `arraysig.sig` with corrections of level 2."""
    words = sum((degree - k + 1) * min(2, k) * int(d**k) for k in range(1, degree + 1))
    return 2 * batch * (length - 1) * words


def sig_backprop_correction_flops(batch: int, length: int, d: int, degree: int) -> int:
    """Useful floating point operations of the gradient with them: one walk, and its adjoint."""
    return 3 * sig_correction_flops(batch, length, d, degree)


def sig_stream_numbers(batch: int, length: int, d: int, degree: int) -> int:
    """Numbers that `arraysig.sig` of all prefixes must read or write."""
    return batch * (length * d + (length - 1) * signature_length(d, degree))


def sig_numbers(batch: int, length: int, d: int, degree: int) -> int:
    """Numbers that `arraysig.sig` must read or write."""
    return batch * (length * d + signature_length(d, degree))


def sig_backprop_numbers(batch: int, length: int, d: int, degree: int) -> int:
    """Numbers that `arraysig.sig_backprop` must read or write; it needs no signature."""
    return batch * (2 * length * d + signature_length(d, degree))


def sig_coef_flops(batch: int, length: int, d: int, words: int, letters: int) -> int:
    """Useful floating point operations of `arraysig.sig_coef`, as if words shared no prefix."""
    return 2 * batch * (length - 1) * words * letters * (letters + 1) // 2


def sig_coef_backprop_flops(batch: int, length: int, d: int, words: int, letters: int) -> int:
    """Useful floating point operations of its gradient: one walk, and its adjoint."""
    return 3 * sig_coef_flops(batch, length, d, words, letters)


def sig_coef_numbers(batch: int, length: int, d: int, words: int, letters: int) -> int:
    """Numbers that `arraysig.sig_coef` must read or write."""
    return batch * (length * d + words)


def sig_coef_backprop_numbers(batch: int, length: int, d: int, words: int, letters: int) -> int:
    """Numbers that its gradient must read or write."""
    return batch * (2 * length * d + words)


def sig_combine_flops(batch: int, d: int, degree: int) -> int:
    """Useful floating point operations of a product of tensors: pairs of words, and two sums."""
    return 2 * batch * sum((k + 1) * int(d**k) for k in range(1, degree + 1))


def sig_combine_backprop_flops(batch: int, d: int, degree: int) -> int:
    """Useful floating point operations of both adjoints of a product."""
    return 2 * sig_combine_flops(batch, d, degree)


def sig_combine_numbers(batch: int, d: int, degree: int) -> int:
    """Numbers that a product must read or write."""
    return 3 * batch * signature_length(d, degree)


def sig_combine_backprop_numbers(batch: int, d: int, degree: int) -> int:
    """Numbers that the adjoints of a product must read or write."""
    return 5 * batch * signature_length(d, degree)


def sig_join_flops(batch: int, d: int, degree: int) -> int:
    """Useful floating point operations of a path and one segment: Horner's form by levels."""
    return 2 * batch * sum((degree - k + 1) * int(d**k) for k in range(1, degree + 1))


def sig_join_backprop_flops(batch: int, d: int, degree: int) -> int:
    """Useful floating point operations of its gradient."""
    return 3 * sig_join_flops(batch, d, degree)


def sig_join_numbers(batch: int, d: int, degree: int) -> int:
    """Numbers that it must read or write."""
    return batch * (2 * signature_length(d, degree) + d)


def sig_join_backprop_numbers(batch: int, d: int, degree: int) -> int:
    """Numbers that its gradient must read or write."""
    return batch * (3 * signature_length(d, degree) + 2 * d)


def geometric_mean(values: Iterable[float]) -> float:
    """Geometric mean of positive numbers; ValueError if there are none."""
    logs = [math.log(v) for v in values]
    if not logs:
        raise ValueError("geometric mean of no values")
    return math.exp(math.fsum(logs) / len(logs))
