"""Descriptions of parameters that many public functions share, said once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

SHARED = {
    "path": """
path : array, shape (..., length, dimension)
    Points of piecewise linear paths, in any units; leading axes are batch. NumPy, CuPy or Torch,
    of any real dtype: half precision is computed in float32, integers in the default float.
""",
    "degree": """
degree : int
    Truncation degree, at least 0.
""",
    "dimension": """
dimension : int
    Channels of the path before augmentation, at least 1.
""",
    "time_aug": """
time_aug : bool, default False
    Append a time channel that rises evenly from 0 to `end_time`.
""",
    "lead_lag": """
lead_lag : bool, default False
    Replace the path by its lead-lag transform: 2 length - 1 points ``(x[i // 2], x[(i + 1) // 2])``
    with channels lag, then lead. The time channel comes after it.
""",
    "augmented": """
time_aug : bool, default False
    Whether paths are given a time channel: one channel more, the last one.
lead_lag : bool, default False
    Whether paths are replaced by their lead-lag transforms: twice the channels, lag, then lead.
""",
    "displaced": """
dimension : int
    Channels of the displacement, at least 1: those of the path, after augmentation.
""",
    "end_time": """
end_time : float, default 1.0
    Last value of the time channel; finite in the dtype of the result.
""",
    "scalar_term": """
scalar_term : bool, default False
    Put the coefficient of the empty word, which is 1, in front.
""",
    "correction": """
correction : array or None, default None
    Terms of levels 2 to m, ``2 <= m <= degree``, that the tensor logarithm of each segment has
    beside the increment: rows of ``dimension**2 + ... + dimension**m`` numbers, words in
    lexicographic order. Of shape (row,), one row for all segments, (length - 1, row), or
    (..., length - 1, row). The time channel has none. Not with `lead_lag`, and constant: a tensor
    that requires grad is refused. An empty array is no correction.
""",
    "stream": """
stream : bool, default False
    All prefixes of the path: row i belongs to the path up to point i + 1.
""",
    "scheme": """
dyadic_order : int, pair of int or None, default None
    For finite differences: every segment of a path is cut into 2**dyadic_order equal ones; a pair
    gives the orders of the first and of the second path.
method : {"finite_difference", "polynomial", "auto"} or None, default None
    How the Goursat problem is solved. None is what belongs to the order that is given,
    `dyadic_order` or `order`, and "auto" without either: polynomial cells of the least order that
    meets `tol`.
order : int or None, default None
    For polynomial cells: degree of the polynomials that the solution is on the edges of a cell, 2
    to 64.
fold : int, default 0
    For polynomial cells: 0 drops all terms above `order`, as other libraries do. With 1 or 2 (up to
    order 16) edges are found by Galerkin's method, with powers of increments up to order + fold.
    While increments of cells are small against 1, order 3 with 2 is as exact as order 6, order 4 as
    order 8; where they are far above, 0 may be more exact.
tol : float, default 1e-6
    For "auto": largest estimated error, relative where kernels exceed 1; not below 100 units of
    rounding. The estimate is the change from one order to the next, so of what orders neglect, not
    of rounding. It is above `tol` only where, from order 8 on, changes of less than 1e4 units of
    rounding do not fall any more, as higher orders are no better then. ValueError where no order
    will do.
""",
    "depth": """
depth : int
    Greatest height of the trees, at least 0.
""",
    "refinement": """
dyadic_order : int or pair of int
    Every segment of a path is cut into 2**dyadic_order equal ones; a pair gives the orders of the
    first and of the second path.
""",
    "static_kernel": """
static_kernel : StaticKernel or None, default None
    Kernel of points that is lifted to paths, evaluated on the augmented paths; None is
    `LinearKernel`.
""",
    "return_grid": """
return_grid : bool, default False
    All nodes of the grid that the scheme is solved on, instead of the last one: for finite
    differences ``(length - 1) * 2**dyadic_order + 1`` along each of the augmented paths, for
    polynomial cells the points. Memory is that of the grids.
""",
    "return_error": """
return_error : bool, default False
    Only for "auto": return a pair of the kernels and the largest estimated error, as `tol` has it,
    for `normalize` that of the kernels before they are divided.
""",
    "max_batch": """
max_batch : int, default -1
    For a static kernel of your own, ``max_batch**2`` pairs at most are with it at a time; -1 leaves
    the number to the function. All others have no memory for pairs to bound, and no use for it.
""",
    "progress": """
progress : bool, default False
    Show pairs that are done on a bar (tqdm) on the standard error stream.
""",
    "log_sig_method": """
method : int, default 1
    The format of log-signatures: 0 for tensors, coefficients of all words; 1 for coefficients of
    Lyndon words, by length, then in lexicographic order; 2 for coordinates in the basis of brackets
    of Lyndon words; 3, which is another algorithm elsewhere, for the same as 2.
""",
    "planar": """
planar : bool, default False
    Plane trees, whose children have an order, in ordered forests (Munthe-Kaas and Wright), instead
    of trees without order (Butcher, Connes and Kreimer).
""",
    "use_disk": """
use_disk : bool, default False
    Read what takes longest from a file, or write it to one for processes to come. A file that is
    not as it was written is made anew. Without it no file is read or written.
""",
    "tree_dimension": """
dimension : int
    Labels of trees are 0 to ``dimension - 1``: the channels of the path, after augmentation.
""",
    "branched_correction": """
correction : array or None, default None
    Terms that the logarithm of each segment has beside the increment, on chains of 2 to m nodes,
    ``2 <= m <= degree``: rows of ``dimension**2 + ... + dimension**m`` numbers, in lexicographic
    order of the labels from the root to the leaf. Of shape (row,), one row for all segments,
    (length - 1, row), or (..., length - 1, row). The time channel has none. Not with `lead_lag`,
    and constant: a tensor that requires grad is refused. An empty array is no correction. With
    ``-0.5`` times the quadratic covariation of each segment, coefficients become Itô integrals as
    segments become short.
""",
    "branched_method": """
method : {0, 1, 2, 3} or None, default None
    The format of branched log-signatures: 0 for the values on all trees, or ordered forests, and
    the only one without `planar`; 1 for those on Lyndon words of plane trees; 2 for coordinates in
    the basis of their brackets; 3, which is another algorithm elsewhere, for the same as 2. None is
    0 without `planar`, and 1 with it.
""",
    "n_jobs": """
n_jobs : int, default 1
    CPU threads: 1 is serial, -1 all processors, -2 all but one, and so on. No effect on a GPU.
""",
    "raises": """
TypeError
    If an argument is of the wrong kind: not an array, arrays of several libraries, a bool for an
    integer.
ValueError
    If a value, shape, dtype or device does not fit.
MemoryError
    If the result is larger than the memory of the machine.
""",
}


def documented(function: F) -> F:
    """Replace each line ``{name}`` of a docstring by the shared description of that name."""
    if function.__doc__:
        lines = []
        for line in inspect.cleandoc(function.__doc__).splitlines():
            key = line.strip()
            if key.startswith("{") and key.endswith("}"):
                lines += SHARED[key[1:-1]].strip().splitlines()
            else:
                lines.append(line)
        function.__doc__ = "\n".join(lines)
    return function
