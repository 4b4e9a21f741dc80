"""What is benchmarked: one row per operation. To add an operation, add a row to `ROWS`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from . import formulas

Cell = tuple[int, ...]
Arrays = dict[str, Any]

DTYPES = ("float32", "float64")


class Bar(NamedTuple):
    """What an operation must reach.

    Attributes
    ----------
    geomean, least : of the ratios: their geometric mean, and the least of them
    moves : at most so many times what moving its data takes
    """

    geomean: float | None
    least: float | None
    moves: float | None = None


@dataclass(frozen=True)
class Row:
    """One operation.

    Attributes
    ----------
    name : of the function, in arraysig and in the peer, and of its options: ``sig[stream]``
    columns : names of the entries of a cell
    cells : the grid; `quick` is the reduced one, `cuda` what a GPU runs in addition, `tiny` a cell
        that loads the code and takes no memory
    inputs : ``inputs(cell, rng) -> float64 arrays by name``
    call : ``call(library, arrays, cell, n_jobs)`` for arraysig and the peer alike
    flops : useful operations, ``flops(*cell)``
    numbers : numbers read and written, ``numbers(*cell)``
    tolerance : per dtype, of the error relative to the norm
    bars : for the ratios, by instruction set (or "cuda") and dtype
    fma_bars : least fraction of the FMA peak, by instruction set, dtype and cell
    extra_mb : most extra memory
    moves : what moving the data is: to "copy" inputs and results, to "fill" the result, or nothing
    has_peer : whether the peer has this operation
    grid_cells : cells of refined grids, ``grid_cells(*cell)``, where the operation has such
    topic : of the report that the row belongs to
    one_grid : whether rows of the function are one grid, of which the geometric mean is judged
    """

    name: str
    columns: tuple[str, ...]
    cells: tuple[Cell, ...]
    quick: tuple[Cell, ...]
    cuda: tuple[Cell, ...]
    tiny: Cell
    inputs: Callable[[Cell, np.random.Generator], Arrays]
    call: Callable[[Any, Arrays, Cell, int], Any]
    flops: Callable[..., int]
    numbers: Callable[..., int]
    tolerance: Mapping[str, float]
    bars: Mapping[tuple[str, str], Bar]
    fma_bars: Mapping[tuple[str, str, Cell], float] = field(default_factory=dict)
    extra_mb: float = 64.0
    moves: str = ""
    has_peer: bool = True
    grid_cells: Callable[..., int] | None = None
    topic: str = "signatures"
    one_grid: bool = False

    def grid(self, device: str, quick: bool) -> tuple[Cell, ...]:
        """The cells of a run."""
        if quick:
            return self.quick
        return self.cells + (self.cuda if device == "cuda" else ())

    def make_inputs(self, cell: Cell, dtype: str) -> Arrays:
        """Inputs of a cell, the same in every run: contiguous arrays that own their memory."""
        arrays = self.inputs(cell, np.random.default_rng(cell))
        return {name: np.array(a, dtype=dtype, order="C") for name, a in arrays.items()}


def brownian(cell: Cell, rng: np.random.Generator) -> np.ndarray:
    """Random walks (batch, length, d) whose steps have variance 1 / length."""
    batch, length, d, _ = cell
    steps = rng.standard_normal((batch, length, d)) / np.sqrt(length)
    return np.cumsum(steps, axis=1)


def _sig_inputs(cell: Cell, rng: np.random.Generator) -> Arrays:
    return {"path": brownian(cell, rng)}


def _sig_backprop_inputs(cell: Cell, rng: np.random.Generator) -> Arrays:
    import arraysig

    path = brownian(cell, rng)
    signature = arraysig.sig(path, cell[3])  # for the peer, which computes from it
    return {"path": path, "sig": signature, "derivs": rng.standard_normal(signature.shape)}


def _corrected_backprop_inputs(cell: Cell, rng: np.random.Generator) -> Arrays:
    import arraysig

    arrays = _sig_backprop_inputs(cell, rng)
    correction = _correction(cell, "float64")
    return arrays | {"sig": arraysig.sig(arrays["path"], cell[3], correction=correction)}


SIG_GRID: tuple[Cell, ...] = (
    *((256, 1000, d, degree) for d in (2, 4, 8, 16) for degree in (2, 3)),
    (64, 1000, 5, 5),
    (64, 200, 3, 8),
    (32, 1000, 10, 4),
    (1, 10000, 5, 5),
)
SIG_QUICK: tuple[Cell, ...] = ((16, 50, 2, 2), (9, 40, 3, 4), (1, 400, 2, 3))
#: Long enough to fill a GPU: the cells of `floors.INSTRUCTIONS`.
SIG_CUDA: tuple[Cell, ...] = tuple(
    (256, 10000, d, degree) for d in (2, 4, 8, 16) for degree in (2, 3)
)


def random_words(cell: Cell) -> list[tuple[int, ...]]:
    """As many words as the cell says, the same in every run."""
    _, _, d, words, letters = cell
    chosen = np.random.default_rng(1).integers(0, d, (words, letters))
    return [tuple(int(letter) for letter in word) for word in chosen]


def _coef_inputs(cell: Cell, rng: np.random.Generator) -> Arrays:
    return {"path": brownian((*cell[:3], 0), rng)}


def _coef_backprop_inputs(cell: Cell, rng: np.random.Generator) -> Arrays:
    import arraysig

    path = brownian((*cell[:3], 0), rng)
    coefs = arraysig.sig_coef(path, random_words(cell), prefixes=True)  # what the peer wants
    return {"path": path, "coefs": coefs, "derivs": rng.standard_normal(coefs.shape)}


def _tensors(*names: str) -> Callable[[Cell, np.random.Generator], Arrays]:
    """Inputs by name: tensors of the size of signatures; `v` is a displacement."""

    def inputs(cell: Cell, rng: np.random.Generator) -> Arrays:
        batch, d, degree = cell
        words = formulas.signature_length(d, degree)
        return {name: rng.standard_normal((batch, d if name == "v" else words)) for name in names}

    return inputs


def _row(
    name: str,
    inputs: Callable[[Cell, np.random.Generator], Arrays],
    call: Callable[[Any, Arrays, Cell, int], Any],
    **fields: Any,
) -> Row:
    """A row whose formulas have its name, and which a GPU gets no more cells of."""
    flops, _, option = name.partition("[")
    formula = f"{flops}_{option[:-1]}" if option else flops
    return Row(
        name=name,
        cuda=(),
        inputs=inputs,
        call=call,
        flops=getattr(formulas, f"{formula}_flops"),
        numbers=getattr(formulas, f"{formula}_numbers", getattr(formulas, f"{flops}_numbers")),
        **fields,
    )


def _bars(bar: Bar) -> dict[tuple[str, str], Bar]:
    return {("avx512", dtype): bar for dtype in DTYPES}


#: What rows of one kind have in common.
_TENSORS: dict[str, Any] = {
    "columns": ("batch", "d", "degree"),
    "cells": ((4096, 4, 4),),
    "quick": ((9, 2, 3),),
    "tiny": (2, 2, 2),
    "tolerance": {"float32": 2e-5, "float64": 1e-13},
    "moves": "copy",
}
_COEFFICIENTS: dict[str, Any] = {
    "columns": ("batch", "length", "d", "words", "letters"),
    "cells": ((256, 1000, 8, 64, 4),),
    "quick": ((9, 30, 3, 5, 2),),
    "tiny": (2, 3, 2, 2, 2),
    "tolerance": {"float32": 5e-4, "float64": 1e-12},
    "bars": _bars(Bar(None, 5)),
}
_CORRECTED: dict[str, Any] = {
    "columns": ("batch", "length", "d", "degree"),
    "cells": ((256, 1000, 2, 4), (128, 1000, 4, 4)),
    "quick": ((9, 30, 2, 3),),
    "tiny": (2, 3, 2, 2),
    "tolerance": {"float32": 1e-3, "float64": 1e-12},
    "bars": _bars(Bar(None, 1)),
}


def _correction(cell: Cell, dtype: Any) -> np.ndarray:
    """Level 2 of a segment, one for all: what makes Ito's signature of Brownian motion."""
    _, length, d, _ = cell
    return (-np.eye(d) / (2 * length)).ravel().astype(dtype)


def _paths(*names: str) -> Callable[[Cell, np.random.Generator], Arrays]:
    """Inputs by name: Brownian paths of unit length, and derivatives of kernels or Gram matrices.

    ``gram`` are derivatives of a Gram matrix.
    """

    def inputs(cell: Cell, rng: np.random.Generator) -> Arrays:
        kinds: dict[str, Callable[[], Any]] = {
            "derivs": lambda: rng.standard_normal(cell[0]),
            "gram": lambda: rng.standard_normal((cell[0], cell[0])),
        }
        scale = 1 / np.sqrt(cell[2])
        return {n: kinds[n]() if n in kinds else brownian(cell[:4], rng) * scale for n in names}

    return inputs


def _gram(lib: Any, a: Arrays, cell: Cell, n_jobs: int, **options: Any) -> Any:
    return lib.sig_kernel_gram(a["x"], a["y"], dyadic_order=cell[3], n_jobs=n_jobs, **options)


def _gram_polynomial(lib: Any, a: Arrays, cell: Cell, n_jobs: int, **options: Any) -> Any:
    options |= {"method": "polynomial", "order": cell[3], "n_jobs": n_jobs}
    return lib.sig_kernel_gram(a["x"], a["y"], **options)


def _gram_backprop_polynomial(lib: Any, a: Arrays, cell: Cell, n_jobs: int, **options: Any) -> Any:
    options |= {"method": "polynomial", "order": cell[3], "n_jobs": n_jobs}
    options |= {"left_deriv": True, "right_deriv": True}
    return lib.sig_kernel_gram_backprop(a["gram"], a["x"], a["y"], **options)[0]


def _gram_backprop(lib: Any, a: Arrays, cell: Cell, n_jobs: int, **options: Any) -> Any:
    """Both gradients are wanted; the first one is compared."""
    options |= {"left_deriv": True, "right_deriv": True, "n_jobs": n_jobs}
    return lib.sig_kernel_gram_backprop(a["gram"], a["x"], a["y"], dyadic_order=cell[3], **options)[
        0
    ]


#: The peer loses digits in float32, up to three, and grows slow: gradients have fewer cells.
_KERNELS: dict[str, Any] = {
    "columns": ("pairs", "length", "d", "order"),
    "quick": ((9, 30, 2, 1),),
    "tiny": (2, 3, 2, 0),
    "tolerance": {"float32": 5e-2, "float64": 1e-11},
    "extra_mb": 100.0,
    "grid_cells": formulas.pde_cells,
    "topic": "kernels",
}
_GRAMS: dict[str, Any] = _KERNELS | {
    "one_grid": True,
    "columns": ("paths", "length", "d", "order"),
    "grid_cells": lambda paths, *rest: formulas.pde_cells(paths**2, *rest),
}
_GRAM_CELLS = tuple((32, 200, d, order) for d in (2, 4, 8, 16) for order in (0, 1, 2))
_GRAM_BACKPROP_CELLS = tuple((32, 200, d, order) for d in (2, 4, 16) for order in (0, 1))
#: The peer starts both edges of a cell from corners of their own, arraysig from their mean: values
#: differ by what both drop, though by less than the error of either.
_POLYNOMIAL: dict[str, Any] = _GRAMS | {
    "tolerance": {"float32": 5e-2, "float64": 1e-5},
    "quick": ((9, 30, 2, 3),),
    "tiny": (2, 3, 2, 2),
    "grid_cells": lambda paths, length, d, order: paths**2 * (length - 1) ** 2,
}
_BRANCHED_KERNELS: dict[str, Any] = {
    "columns": ("pairs", "length", "d", "order", "depth"),
    "cells": tuple(
        (32, length, 4, order, depth)
        for depth in (2, 3)
        for length in (100, 200)
        for order in (0, 1)
    ),
    "quick": ((9, 30, 2, 1, 2),),
    "tiny": (2, 3, 2, 0, 2),
    "tolerance": {"float32": 1e-4, "float64": 1e-12},
    "bars": _bars(Bar(None, 10)),
    "grid_cells": lambda pairs, length, d, order, depth: formulas.pde_cells(
        pairs, length, d, order
    ),
    "topic": "branched-kernels",
}
_POLYNOMIAL_CELLS = tuple((32, 200, d, order) for d in (2, 4, 8, 16) for order in (3, 6))
_GRAM_BARS = {("avx512", "float32"): Bar(20, 8), ("avx512", "float64"): Bar(14, 6)}


def _log_sig_inputs(cell: Cell, rng: np.random.Generator) -> Arrays:
    import arraysig

    path = brownian(cell[:4], rng)
    signature = arraysig.sig(path, cell[3])  # for the peer, which computes from it
    derivs = rng.standard_normal((cell[0], formulas.log_sig_length(*cell[2:4])))
    return {"path": path, "sig": signature, "derivs": derivs}


def _elements(*names: str) -> Callable[[Cell, np.random.Generator], Arrays]:
    """Inputs by name: coordinates of Lie elements; `v` is a displacement."""

    def inputs(cell: Cell, rng: np.random.Generator) -> Arrays:
        batch, d, degree = cell
        count = formulas.log_sig_length(d, degree)
        return {name: rng.standard_normal((batch, d if name == "v" else count)) for name in names}

    return inputs


@functools.cache
def _prepared(lib: Any, d: int, degree: int, method: int) -> Any:
    """The library, after what the peer can not do without."""
    lib.prepare_log_sig(d, degree, method)
    return lib


def _log_sig(lib: Any, a: Arrays, cell: Cell, n_jobs: int) -> Any:
    lib = _prepared(lib, *cell[2:])
    return lib.log_sig(a["path"], cell[3], method=cell[4], n_jobs=n_jobs)


def _log_sig_backprop(lib: Any, a: Arrays, cell: Cell, n_jobs: int) -> Any:
    """Through the path. The peer has two functions for that, and is given the signatures."""
    lib, options = _prepared(lib, *cell[2:]), {"n_jobs": n_jobs}
    if callable(lib.log_sig_backprop):
        return lib.log_sig_backprop(a["path"], a["derivs"], cell[3], method=cell[4], **options)
    derivs = a["derivs"].copy()
    of_sig = lib.sig_to_log_sig_backprop(a["sig"], derivs, *cell[2:4], method=cell[4], **options)
    return lib.sig_backprop(a["path"], a["sig"], of_sig, cell[3], **options)


_LOG_SIG: dict[str, Any] = {
    "columns": ("batch", "length", "d", "degree", "method"),
    "cells": tuple(
        (*cell, method)
        for cell in (*SIG_GRID[:8], (64, 100, 4, 6), (1, 10000, 3, 6))
        for method in (1, 2)
    ),
    "quick": ((9, 30, 2, 3, 1), (9, 30, 3, 3, 2), (1, 400, 2, 4, 1)),
    "tiny": (2, 3, 2, 2, 1),
    "topic": "log-signatures",
}
_LIE: dict[str, Any] = {
    "columns": ("batch", "d", "degree"),
    "cells": ((4096, 4, 4),),
    "quick": ((9, 3, 3),),
    "tiny": (2, 2, 2),
    "tolerance": {"float32": 1e-4, "float64": 1e-12},
    "moves": "copy",
    "bars": _bars(Bar(None, 5)),
    "topic": "log-signatures",
}


def _branched_inputs(planar: bool) -> Callable[[Cell, np.random.Generator], Arrays]:
    def inputs(cell: Cell, rng: np.random.Generator) -> Arrays:
        import arraysig

        path = brownian(cell, rng)
        bsig = arraysig.branched_sig(path, cell[3], planar=planar)  # for the peer's gradient
        return {"path": path, "bsig": bsig, "derivs": rng.standard_normal(bsig.shape)}

    return inputs


def _branched_elements(planar: bool) -> Callable[[Cell, np.random.Generator], Arrays]:
    def inputs(cell: Cell, rng: np.random.Generator) -> Arrays:
        batch, d, degree = cell
        shape = batch, formulas.branched_sig_length(d, degree, planar)
        return {name: rng.standard_normal(shape) for name in ("a", "b")}

    return inputs


@functools.cache
def _with_trees(lib: Any, d: int, degree: int, planar: bool) -> Any:
    """The library, after what the peer can not do without."""
    lib.prepare_branched_sig(d, degree, planar=planar)
    return lib


def _branched(lib: Any, a: Arrays, cell: Cell, n_jobs: int, planar: bool, **options: Any) -> Any:
    lib = _with_trees(lib, cell[2], cell[3], planar)
    return lib.branched_sig(a["path"], cell[3], planar=planar, n_jobs=n_jobs, **options)


def _branched_ito(lib: Any, a: Arrays, cell: Cell, n_jobs: int, planar: bool) -> Any:
    """Of trees without order the peer has only chains right, which are compared."""
    correction = _correction(cell, a["path"].dtype)
    found = _branched(lib, a, cell, n_jobs, planar, correction=correction)
    return found if planar else found[..., _chains(cell[2], cell[3])]


@functools.cache
def _chains(d: int, degree: int) -> list[int]:
    import arraysig

    def is_chain(tree: Any) -> bool:
        return len(tree) == 1 or (len(tree) == 2 and is_chain(tree[0]))

    return [i for i, tree in enumerate(arraysig.trees(d, degree)[1:]) if is_chain(tree)]


def _branched_rows(planar: bool) -> list[Row]:
    """The rows of one kind of trees."""
    numbers = {
        name: functools.partial(getattr(formulas, f"{name}_numbers"), planar)
        for name in ("branched_sig", "branched_sig_backprop", "branched_sig_combine")
    }
    option = "[planar]" if planar else ""
    of_paths: dict[str, Any] = {
        "columns": ("batch", "length", "d", "degree"),
        "quick": ((9, 30, 2, 3), (1, 400, 3, 2)),
        "cuda": (),
        "tiny": (2, 3, 2, 2),
        "inputs": _branched_inputs(planar),
        "topic": "branched",
    }
    grid = (*((256, 1000, d, n) for d in (2, 4, 8) for n in (2, 3)), (64, 200, 2, 5))
    return [
        Row(
            name=f"branched_sig{option}",
            cells=grid,
            call=lambda lib, a, cell, n_jobs: _branched(lib, a, cell, n_jobs, planar),
            flops=formulas.branched_sig_flops,
            numbers=numbers["branched_sig"],
            tolerance={"float32": 1e-4, "float64": 1e-12},
            bars=_bars(Bar(40, 12)),
            **of_paths,
        ),
        Row(
            name=f"branched_sig_backprop{option}",
            cells=grid,
            call=lambda lib, a, cell, n_jobs: _with_trees(
                lib, cell[2], cell[3], planar
            ).branched_sig_backprop(
                a["path"], a["bsig"], a["derivs"].copy(), cell[3], planar=planar, n_jobs=n_jobs
            ),
            flops=formulas.branched_sig_backprop_flops,
            numbers=numbers["branched_sig_backprop"],
            tolerance={"float32": 2e-3, "float64": 1e-11},
            bars=_bars(Bar(15, 5)),
            **of_paths,
        ),
        Row(
            name=f"branched_sig[ito{',planar' if planar else ''}]",
            cells=((256, 1000, 4, 3),),
            call=lambda lib, a, cell, n_jobs: _branched_ito(lib, a, cell, n_jobs, planar),
            flops=formulas.branched_sig_ito_flops,
            numbers=numbers["branched_sig"],
            tolerance={"float32": 1e-3, "float64": 1e-12},
            bars=_bars(Bar(None, 4)),
            **of_paths,
        ),
        Row(
            name=f"branched_sig_combine{option}",
            columns=("batch", "d", "degree"),
            cells=((4096, 4, 3), (4096, 2, 5)),
            quick=((9, 3, 3),),
            cuda=(),
            tiny=(2, 2, 2),
            inputs=_branched_elements(planar),
            call=lambda lib, a, cell, n_jobs: _with_trees(
                lib, *cell[1:], planar
            ).branched_sig_combine(a["a"], a["b"], *cell[1:], planar=planar, n_jobs=n_jobs),
            flops=numbers["branched_sig_combine"],
            numbers=numbers["branched_sig_combine"],
            tolerance={"float32": 1e-4, "float64": 1e-12},
            bars=_bars(Bar(None, 1)),
            topic="branched",
        ),
    ]


ROWS: tuple[Row, ...] = (
    Row(
        name="sig",
        columns=("batch", "length", "d", "degree"),
        cells=SIG_GRID,
        quick=SIG_QUICK,
        cuda=SIG_CUDA,
        tiny=(2, 3, 2, 2),
        inputs=_sig_inputs,
        call=lambda lib, a, cell, n_jobs: lib.sig(a["path"], cell[3], n_jobs=n_jobs),
        flops=formulas.sig_flops,
        numbers=formulas.sig_numbers,
        tolerance={"float32": 2e-5, "float64": 1e-13},
        bars={
            ("avx512", "float32"): Bar(8, 3),
            ("avx512", "float64"): Bar(6, 2.5),
            ("avx2", "float32"): Bar(5, None),
            ("avx2", "float64"): Bar(3.5, None),
            ("cuda", "float32"): Bar(None, 1),
            ("cuda", "float64"): Bar(None, 1),
        },
        fma_bars={("avx512", "float32", (256, 1000, 16, 3)): 0.5},
    ),
    Row(
        name="sig_backprop",
        columns=("batch", "length", "d", "degree"),
        cells=SIG_GRID,
        quick=SIG_QUICK,
        cuda=SIG_CUDA,
        tiny=(2, 3, 2, 2),
        inputs=_sig_backprop_inputs,
        call=lambda lib, a, cell, n_jobs: lib.sig_backprop(
            a["path"], a["sig"], a["derivs"], cell[3], n_jobs=n_jobs
        ),
        flops=formulas.sig_backprop_flops,
        numbers=formulas.sig_backprop_numbers,
        tolerance={"float32": 5e-4, "float64": 1e-12},
        bars={
            ("avx512", "float32"): Bar(24, 8),
            ("avx512", "float64"): Bar(14, 6),
            ("avx2", "float32"): Bar(15, None),
            ("avx2", "float64"): Bar(9, None),
            ("cuda", "float32"): Bar(None, 1),
            ("cuda", "float64"): Bar(None, 1),
        },
    ),
    Row(
        name="sig[stream]",
        columns=("batch", "length", "d", "degree"),
        cells=((64, 1000, 4, 3),),
        quick=((9, 30, 2, 3),),
        cuda=(),
        tiny=(2, 3, 2, 2),
        inputs=_sig_inputs,
        call=lambda lib, a, cell, n_jobs: lib.sig(a["path"], cell[3], stream=True, n_jobs=n_jobs),
        flops=formulas.sig_flops,
        numbers=formulas.sig_stream_numbers,
        tolerance={"float32": 2e-5, "float64": 1e-13},
        bars={("avx512", dtype): Bar(None, None, 3) for dtype in DTYPES},
        moves="fill",
        has_peer=False,
    ),
    _row(
        "sig[correction]",
        _sig_inputs,
        lambda lib, a, cell, n_jobs: lib.sig(
            a["path"], cell[3], correction=_correction(cell, a["path"].dtype), n_jobs=n_jobs
        ),
        **_CORRECTED,
    ),
    _row(
        "sig_backprop[correction]",
        _corrected_backprop_inputs,
        lambda lib, a, cell, n_jobs: lib.sig_backprop(
            a["path"],
            a["sig"],
            a["derivs"],
            cell[3],
            correction=_correction(cell, a["path"].dtype),
            n_jobs=n_jobs,
        ),
        **_CORRECTED,
    ),
    _row(
        "sig_coef",
        _coef_inputs,
        lambda lib, a, cell, n_jobs: lib.sig_coef(a["path"], random_words(cell), n_jobs=n_jobs),
        **_COEFFICIENTS,
    ),
    # The peer writes into the derivatives that it is given: both get a copy.
    _row(
        "sig_coef_backprop",
        _coef_backprop_inputs,
        lambda lib, a, cell, n_jobs: lib.sig_coef_backprop(
            a["path"], random_words(cell), a["coefs"], a["derivs"].copy(), n_jobs=n_jobs
        ),
        **_COEFFICIENTS,
    ),
    _row(
        "sig_combine",
        _tensors("a", "b"),
        lambda lib, a, cell, n_jobs: lib.sig_combine(a["a"], a["b"], *cell[1:], n_jobs=n_jobs),
        bars=_bars(Bar(None, 1, 2)),
        **_TENSORS,
    ),
    # Gradients are two arrays; the first one is compared.
    _row(
        "sig_combine_backprop",
        _tensors("a", "b", "derivs"),
        lambda lib, a, cell, n_jobs: lib.sig_combine_backprop(
            a["derivs"], a["a"], a["b"], *cell[1:], n_jobs=n_jobs
        )[0],
        bars=_bars(Bar(None, 1, 3)),
        **_TENSORS,
    ),
    _row(
        "sig_join",
        _tensors("a", "v"),
        lambda lib, a, cell, n_jobs: lib.sig_join(a["a"], a["v"], *cell[1:], n_jobs=n_jobs),
        bars=_bars(Bar(None, 1, 2)),
        **_TENSORS,
    ),
    _row(
        "sig_join_backprop",
        _tensors("a", "v", "derivs"),
        lambda lib, a, cell, n_jobs: lib.sig_join_backprop(
            a["derivs"], a["a"], a["v"], *cell[1:], n_jobs=n_jobs
        )[0],
        bars=_bars(Bar(None, 1, 3)),
        **_TENSORS,
    ),
    _row(
        "sig_kernel",
        _paths("x", "y"),
        lambda lib, a, cell, n_jobs: lib.sig_kernel(
            a["x"], a["y"], dyadic_order=cell[3], n_jobs=n_jobs
        ),
        cells=((32, 1000, 4, 0), (1, 20000, 4, 0)),
        bars=_bars(Bar(None, 20)),
        # At length 20000 the peer is 0.08 and 3e-11 from the scheme in long double, we 6e-6 and
        # 3e-15.
        **_KERNELS | {"tolerance": {"float32": 0.2, "float64": 1e-10}},
    ),
    _row(
        "sig_kernel_backprop",
        _paths("x", "y", "derivs"),
        lambda lib, a, cell, n_jobs: lib.sig_kernel_backprop(
            a["derivs"],
            a["x"],
            a["y"],
            dyadic_order=cell[3],
            left_deriv=True,
            right_deriv=True,
            n_jobs=n_jobs,
        )[0],
        cells=((32, 1000, 4, 0),),
        bars=_bars(Bar(None, 20)),
        **_KERNELS,
    ),
    _row(
        "branched_sig_kernel",
        _paths("x", "y"),
        lambda lib, a, cell, n_jobs: lib.branched_sig_kernel(
            a["x"], a["y"], cell[4], cell[3], n_jobs=n_jobs
        ),
        **_BRANCHED_KERNELS,
    ),
    _row(
        "branched_sig_kernel_backprop",
        _paths("x", "y", "derivs"),
        lambda lib, a, cell, n_jobs: lib.branched_sig_kernel_backprop(
            a["derivs"],
            a["x"],
            a["y"],
            cell[4],
            cell[3],
            left_deriv=True,
            right_deriv=True,
            n_jobs=n_jobs,
        )[0],
        **_BRANCHED_KERNELS,
    ),
    _row("sig_kernel_gram", _paths("x", "y"), _gram, cells=_GRAM_CELLS, bars=_GRAM_BARS, **_GRAMS),
    _row(
        "sig_kernel_gram[rbf]",
        _paths("x", "y"),
        lambda lib, a, cell, n_jobs: _gram(lib, a, cell, n_jobs, static_kernel=lib.RBFKernel(1.0)),
        cells=_GRAM_CELLS,
        bars=_GRAM_BARS,
        **_GRAMS,
    ),
    _row(
        "sig_kernel_gram[polynomial]",
        _paths("x", "y"),
        _gram_polynomial,
        cells=_POLYNOMIAL_CELLS,
        bars=_GRAM_BARS,
        **_POLYNOMIAL,
    ),
    _row(
        "sig_kernel_gram[rbf_polynomial]",
        _paths("x", "y"),
        lambda lib, a, cell, n_jobs: _gram_polynomial(
            lib, a, cell, n_jobs, static_kernel=lib.RBFKernel(1.0)
        ),
        cells=_POLYNOMIAL_CELLS,
        bars=_GRAM_BARS,
        **_POLYNOMIAL,
    ),
    _row(
        "sig_kernel_gram_backprop[polynomial]",
        _paths("x", "y", "gram"),
        _gram_backprop_polynomial,
        cells=((32, 200, 4, 3), (32, 200, 4, 6)),
        bars=_bars(Bar(20, 8)),
        **_POLYNOMIAL,
    ),
    _row(
        "sig_kernel_gram_backprop[rbf_polynomial]",
        _paths("x", "y", "gram"),
        lambda lib, a, cell, n_jobs: _gram_backprop_polynomial(
            lib, a, cell, n_jobs, static_kernel=lib.RBFKernel(1.0)
        ),
        cells=((32, 200, 4, 3), (32, 200, 4, 6)),
        bars=_bars(Bar(20, 8)),
        **_POLYNOMIAL,
    ),
    _row(
        "sig_kernel_gram_backprop",
        _paths("x", "y", "gram"),
        _gram_backprop,
        cells=_GRAM_BACKPROP_CELLS,
        bars=_bars(Bar(20, 8)),
        **_GRAMS,
    ),
    _row(
        "sig_kernel_gram_backprop[rbf]",
        _paths("x", "y", "gram"),
        lambda lib, a, cell, n_jobs: _gram_backprop(
            lib, a, cell, n_jobs, static_kernel=lib.RBFKernel(1.0)
        ),
        cells=_GRAM_BACKPROP_CELLS,
        bars=_bars(Bar(20, 8)),
        **_GRAMS,
    ),
    _row(
        "log_sig",
        _log_sig_inputs,
        _log_sig,
        tolerance={"float32": 1e-4, "float64": 1e-12},
        bars={("avx512", "float32"): Bar(6, 2.5), ("avx512", "float64"): Bar(4.5, 2.5)},
        **_LOG_SIG,
    ),
    _row(
        "log_sig_backprop",
        _log_sig_inputs,
        _log_sig_backprop,
        tolerance={"float32": 1e-3, "float64": 1e-11},
        bars={("avx512", "float32"): Bar(12, 4), ("avx512", "float64"): Bar(8, 4)},
        **_LOG_SIG,
    ),
    _row(
        "log_sig_combine",
        _elements("a", "b"),
        lambda lib, a, cell, n_jobs: _prepared(lib, *cell[1:], 3).log_sig_combine(
            a["a"], a["b"], *cell[1:], n_jobs=n_jobs
        ),
        **_LIE,
    ),
    _row(
        "log_sig_join",
        _elements("a", "v"),
        lambda lib, a, cell, n_jobs: _prepared(lib, *cell[1:], 3).log_sig_join(
            a["a"], a["v"], *cell[1:], n_jobs=n_jobs
        ),
        **_LIE,
    ),
    *_branched_rows(planar=False),
    *_branched_rows(planar=True),
)

BY_NAME: Mapping[str, Row] = {row.name: row for row in ROWS}
TOPICS: Mapping[str, tuple[str, ...]] = {
    topic: tuple(row.name for row in ROWS if row.topic == topic)
    for topic in dict.fromkeys(row.topic for row in ROWS)
}


@dataclass(frozen=True)
class LatencyRow:
    """A small call, in float64 on one thread.

    Attributes
    ----------
    name : for the report
    op : row that it goes with
    shape : of the path
    library : that the path is of
    call : ``call(library, path)`` for arraysig and the peer alike
    peer : module of the peer
    most_us : bar, in microseconds
    """

    name: str
    op: str
    shape: tuple[int, ...]
    library: str
    call: Callable[[Any, Any], Any]
    peer: str
    most_us: float | None = None


def _sig2(lib: Any, path: Any) -> Any:
    return lib.sig(path, 2)


def _log_sig3(lib: Any, path: Any) -> Any:
    return _prepared(lib, path.shape[-1], 3, 1).log_sig(path, 3)


def _branched_sig3(lib: Any, path: Any) -> Any:
    return _with_trees(lib, path.shape[-1], 3, False).branched_sig(path, 3)


def _small_kernel(lib: Any, path: Any) -> Any:
    return lib.sig_kernel(path, path, dyadic_order=0)


def _sig2_and_gradient(lib: Any, path: Any) -> Any:
    path = path.detach().requires_grad_()
    signature = lib.sig(path, 2)
    signature.backward(path.new_ones(signature.shape))  # of .sum() the peer copies, and warns
    return path.grad


LATENCIES: tuple[LatencyRow, ...] = (
    LatencyRow("sig, NumPy", "sig", (10, 2), "numpy", _sig2, "pysiglib", 8),
    LatencyRow("log_sig, NumPy", "log_sig", (10, 2), "numpy", _log_sig3, "pysiglib", 12),
    LatencyRow(
        "branched_sig, NumPy", "branched_sig", (10, 2), "numpy", _branched_sig3, "pysiglib", 20
    ),
    LatencyRow("sig_kernel, NumPy", "sig_kernel", (10, 2), "numpy", _small_kernel, "pysiglib", 15),
    LatencyRow("sig, Torch", "sig", (10, 2), "torch", _sig2, "pysiglib.torch_api"),
    LatencyRow(
        "sig and gradient, Torch",
        "sig",
        (10, 2),
        "torch",
        _sig2_and_gradient,
        "pysiglib.torch_api",
        60,
    ),
)
