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
    "stores checkpoints is not counted; to degree 5 arraysig walks Lyndon words and needs a half "
    "to a quarter of F and G, so that its fractions of the FMA peak say more than is done",
    "log_sig_fmas": "those of the signature and its gradient, of the last level Lyndon words only; "
    "logarithms and changes of basis are not counted; of log_sig_combine and log_sig_join those of "
    "exponentials, product and logarithm of tensors, though to degree 4 there is a shorter way",
    "branched_sig_fmas": "those of the signature of words and its gradient, not the matrix from "
    "words to trees; of branched_sig_combine one per number",
    "sig_kernel_fmas": "per increment of two segments d for the inner product and 3 for what the "
    "scheme needs of it, per cell of the refined grid 4; with RBF, instead of d, 2 d and 20 per "
    "pair of points; gradients three times as many",
    "sig_kernel_polynomial_fmas": "of order M: per increment d for the inner product and "
    "3 M^2 + 4 M for both edges of the cell",
    "branched_sig_kernel_fmas": "per increment d for the inner product, per cell of the refined "
    "grid and depth 4, and 10 for the exponential of each depth but the last; gradients three "
    "times as many",
    "gcells": "10^9 cells of refined grids per second",
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


def lyndon_words(d: int, degree: int) -> int:
    """Lyndon words of exactly `degree` letters."""
    shorter = sum(m * lyndon_words(d, m) for m in range(1, degree) if degree % m == 0)
    return int(d**degree - shorter) // degree


def log_sig_length(d: int, degree: int) -> int:
    """Lyndon words of 1 to `degree` letters."""
    return sum(lyndon_words(d, k) for k in range(1, degree + 1))


def log_sig_flops(batch: int, length: int, d: int, degree: int, method: int) -> int:
    """Useful floating point operations of `arraysig.log_sig`: those of the walk.

    Of the last level Lyndon words are enough.
    """
    fmas = sig_fmas(d, degree) - int(d**degree) + lyndon_words(d, degree)
    return 2 * batch * (length - 1) * fmas


def log_sig_backprop_flops(batch: int, length: int, d: int, degree: int, method: int) -> int:
    """Useful floating point operations of its gradient, likewise."""
    fmas = sig_backprop_fmas(d, degree) - 2 * (int(d**degree) - lyndon_words(d, degree))
    return 2 * batch * (length - 1) * fmas


def log_sig_numbers(batch: int, length: int, d: int, degree: int, method: int) -> int:
    """Numbers that `arraysig.log_sig` must read or write."""
    return batch * (length * d + log_sig_length(d, degree))


def log_sig_backprop_numbers(batch: int, length: int, d: int, degree: int, method: int) -> int:
    """Numbers that its gradient must read or write."""
    return batch * (2 * length * d + log_sig_length(d, degree))


def log_sig_combine_flops(batch: int, d: int, degree: int) -> int:
    """Useful floating point operations of two exponentials, a product and a logarithm of tensors.

    Of the last level Lyndon words are enough.
    """

    def product(top: int) -> int:
        return sum((k - 1) * int(d**k) for k in range(2, top + 1))

    series = sum(product(k) for k in range(2, degree))
    last = (degree - 1) * lyndon_words(d, degree)
    return 2 * batch * (3 * (series + last) + 2 * product(degree - 1) + product(degree - 1) + last)


def log_sig_combine_numbers(batch: int, d: int, degree: int) -> int:
    """Numbers that it must read or write."""
    return 3 * batch * log_sig_length(d, degree)


def log_sig_join_flops(batch: int, d: int, degree: int) -> int:
    """The same where one factor is that of a segment."""
    return log_sig_combine_flops(batch, d, degree)


def log_sig_join_numbers(batch: int, d: int, degree: int) -> int:
    """Numbers that it must read or write."""
    return batch * (2 * log_sig_length(d, degree) + d)


def branched_sig_length(d: int, degree: int, planar: bool) -> int:
    """Trees, or ordered forests, of 1 to `degree` nodes with d labels."""
    if planar:
        return sum(d**n * math.comb(2 * n, n) // (n + 1) for n in range(1, degree + 1))
    forests, trees = [1], [0]  # of so many nodes; a forest marked at a node has it in a tree
    for n in range(1, degree + 1):
        trees.append(d * forests[n - 1])
        marked = [sum(s * trees[s] for s in range(1, k + 1) if k % s == 0) for k in range(n + 1)]
        forests.append(sum(marked[k] * forests[n - k] for k in range(1, n + 1)) // n)
    return sum(trees)


def branched_sig_flops(batch: int, length: int, d: int, degree: int) -> int:
    """Useful floating point operations of `arraysig.branched_sig`: those of the signature."""
    return sig_flops(batch, length, d, degree)


def branched_sig_backprop_flops(batch: int, length: int, d: int, degree: int) -> int:
    """Useful floating point operations of its gradient, likewise."""
    return sig_backprop_flops(batch, length, d, degree)


def branched_sig_ito_flops(batch: int, length: int, d: int, degree: int) -> int:
    """Useful floating point operations with corrections of level 2, likewise."""
    return sig_correction_flops(batch, length, d, degree)


def branched_sig_numbers(planar: bool, batch: int, length: int, d: int, degree: int) -> int:
    """Numbers that `arraysig.branched_sig` must read or write."""
    return batch * (length * d + branched_sig_length(d, degree, planar))


def branched_sig_backprop_numbers(
    planar: bool, batch: int, length: int, d: int, degree: int
) -> int:
    """Numbers that its gradient must read or write."""
    return batch * (2 * length * d + branched_sig_length(d, degree, planar))


def branched_sig_combine_numbers(planar: bool, batch: int, d: int, degree: int) -> int:
    """Numbers that `arraysig.branched_sig_combine` must read or write."""
    return 3 * batch * branched_sig_length(d, degree, planar)


def pde_cells(pairs: int, length: int, d: int, order: int) -> int:
    """Cells of the refined grids of pairs of paths of one length."""
    return int(pairs * ((length - 1) << order) ** 2)


def sig_kernel_flops(pairs: int, length: int, d: int, order: int) -> int:
    """Useful floating point operations of `arraysig.sig_kernel`."""
    cells = pde_cells(pairs, length, d, order)
    return 2 * (pairs * (length - 1) ** 2 * (d + 3) + 4 * cells)


def sig_kernel_backprop_flops(pairs: int, length: int, d: int, order: int) -> int:
    """Useful floating point operations of both its gradients."""
    return 3 * sig_kernel_flops(pairs, length, d, order)


def sig_kernel_numbers(pairs: int, length: int, d: int, order: int) -> int:
    """Numbers that it must read or write."""
    return pairs * (2 * length * d + 1)


def sig_kernel_backprop_numbers(pairs: int, length: int, d: int, order: int) -> int:
    """Numbers that its gradients must read or write."""
    return pairs * (4 * length * d + 1)


def branched_sig_kernel_flops(pairs: int, length: int, d: int, order: int, depth: int) -> int:
    """Useful operations of `arraysig.branched_sig_kernel`."""
    cells = pde_cells(pairs, length, d, order)
    return 2 * (pairs * (length - 1) ** 2 * d + (14 * depth - 10) * cells)


def branched_sig_kernel_backprop_flops(
    pairs: int, length: int, d: int, order: int, depth: int
) -> int:
    """Useful operations of both its gradients."""
    return 3 * branched_sig_kernel_flops(pairs, length, d, order, depth)


def branched_sig_kernel_numbers(pairs: int, length: int, d: int, order: int, depth: int) -> int:
    """Numbers that it must read or write."""
    return sig_kernel_numbers(pairs, length, d, order)


def branched_sig_kernel_backprop_numbers(
    pairs: int, length: int, d: int, order: int, depth: int
) -> int:
    """Numbers that its gradients must read or write."""
    return sig_kernel_backprop_numbers(pairs, length, d, order)


def sig_kernel_gram_flops(paths: int, length: int, d: int, order: int) -> int:
    """Useful floating point operations of a Gram matrix."""
    return sig_kernel_flops(paths**2, length, d, order)


def sig_kernel_gram_rbf_flops(paths: int, length: int, d: int, order: int) -> int:
    """Useful floating point operations of a Gram matrix with an RBF kernel."""
    return sig_kernel_gram_flops(paths, length, 2 * d + 20, order)


def sig_kernel_gram_polynomial_flops(paths: int, length: int, d: int, order: int) -> int:
    """Useful floating point operations of a Gram matrix by polynomial cells."""
    return int(2 * paths**2 * (length - 1) ** 2 * (d + 3 * order**2 + 4 * order))


def sig_kernel_gram_rbf_polynomial_flops(paths: int, length: int, d: int, order: int) -> int:
    """Useful floating point operations of polynomial cells with an RBF kernel."""
    return sig_kernel_gram_polynomial_flops(paths, length, 2 * d + 20, order)


def sig_kernel_gram_backprop_rbf_polynomial_flops(
    paths: int, length: int, d: int, order: int
) -> int:
    """Useful floating point operations of both gradients of these."""
    return 3 * sig_kernel_gram_rbf_polynomial_flops(paths, length, d, order)


def sig_kernel_gram_backprop_polynomial_flops(paths: int, length: int, d: int, order: int) -> int:
    """Useful floating point operations of both gradients by polynomial cells."""
    return 3 * sig_kernel_gram_polynomial_flops(paths, length, d, order)


def sig_kernel_gram_backprop_flops(paths: int, length: int, d: int, order: int) -> int:
    """Useful floating point operations of both gradients of a Gram matrix."""
    return 3 * sig_kernel_gram_flops(paths, length, d, order)


def sig_kernel_gram_backprop_rbf_flops(paths: int, length: int, d: int, order: int) -> int:
    """Useful floating point operations of both gradients with an RBF kernel."""
    return 3 * sig_kernel_gram_rbf_flops(paths, length, d, order)


def sig_kernel_gram_numbers(paths: int, length: int, d: int, order: int) -> int:
    """Numbers that a Gram matrix must read or write."""
    return 2 * paths * length * d + paths**2


def sig_kernel_gram_backprop_numbers(paths: int, length: int, d: int, order: int) -> int:
    """Numbers that its gradients must read or write."""
    return 4 * paths * length * d + paths**2


def geometric_mean(values: Iterable[float]) -> float:
    """Geometric mean of positive numbers; ValueError if there are none."""
    logs = [math.log(v) for v in values]
    if not logs:
        raise ValueError("geometric mean of no values")
    return math.exp(math.fsum(logs) / len(logs))
