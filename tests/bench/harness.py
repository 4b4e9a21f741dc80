"""Runs rows: inputs, comparison with the peer, timing, summary, verdicts on the bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from . import floors
from .devices import Device
from .formulas import geometric_mean
from .peaks import Kernels, Peaks
from .rows import Arrays, Cell, Row
from .timing import LEAST_REPEAT, Clock, alternate

#: Threads for which the bars are stated.
BAR_THREADS = 2


class Verdict(NamedTuple):
    """A bar and what was reached."""

    what: str
    relation: str
    wanted: float
    got: float
    met: bool


def at_least(what: str, wanted: float, got: float) -> Verdict:
    """Met from `wanted` on; never by NaN."""
    return Verdict(what, ">=", wanted, got, got >= wanted)


def at_most(what: str, wanted: float, got: float) -> Verdict:
    """Met up to `wanted`; never by NaN."""
    return Verdict(what, "<=", wanted, got, got <= wanted)


@dataclass
class Result:
    """A cell of an operation in a dtype. Times in milliseconds; None: not measured.

    `status` is "ok", "unchecked" (there is no peer), "wrong" (the results differ) or "error"
    (something raised); `message` says more.
    """

    op: str
    dtype: str
    cell: dict[str, int]
    tolerance: float
    status: str = "unchecked"
    message: str = ""
    ours_ms: float | None = None
    peer_ms: float | None = None
    ratio: float | None = None
    ours_noise: float | None = None
    peer_noise: float | None = None
    error: float | None = None
    gflops: float | None = None
    gcells: float | None = None
    peak_gflops: float | None = None
    fma_fraction: float | None = None
    gbs: float | None = None
    bandwidth_fraction: float | None = None
    moves_ms: float | None = None
    moves_ratio: float | None = None
    floor_ms: float | None = None
    floor_bound: str | None = None
    floor_ratio: float | None = None
    ours_extra_mb: float | None = None
    peer_extra_mb: float | None = None

    @property
    def failed(self) -> bool:
        """Whether the exit status must tell."""
        return self.status in ("wrong", "error")

    @property
    def shape(self) -> Cell:
        """The cell as a tuple."""
        return tuple(self.cell.values())


@dataclass(frozen=True)
class Setup:
    """What a run is made with.

    Attributes
    ----------
    device, threads, repeat : where, on how many threads, how often at least
    ours, peer, peer_name : the modules; no peer, no comparison
    ours_library, peer_library : that the inputs are of
    kernels, peaks : of the processor; None on a GPU
    gpu : properties of the GPU; None on a processor
    """

    device: Device
    threads: int
    ours: Any
    peer: Any = None
    peer_name: str = "pysiglib"
    ours_library: str = "numpy"
    peer_library: str = "numpy"
    repeat: int = LEAST_REPEAT
    kernels: Kernels | None = None
    peaks: Peaks | None = None
    gpu: floors.Gpu | None = None
    timing: dict[str, float] = field(default_factory=dict)


def relative_error(got: np.ndarray, wanted: np.ndarray) -> float:
    """Largest over the first axis of the norm of the difference by the norm of `wanted`."""
    if got.shape != wanted.shape:
        raise ValueError(f"arraysig gives shape {got.shape}, the peer {wanted.shape}")
    items = wanted.reshape(len(wanted), -1).astype(np.float64)
    difference = got.reshape(len(got), -1) - items
    norm = np.linalg.norm(items, axis=1)
    error = np.linalg.norm(difference, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.max(np.where(error == 0, 0.0, error / norm)))


def run_cell(row: Row, cell: Cell, dtype: str, setup: Setup) -> Result:
    """Compare and time one cell. What raises is recorded, so that the other cells still run."""
    named = dict(zip(row.columns, cell, strict=True))
    result = Result(row.name, dtype, named, row.tolerance[dtype])
    try:
        _fill(result, row, cell, setup)
    except Exception as error:
        result.status, result.message = "error", f"{type(error).__name__}: {error}"
    return result


def _fill(result: Result, row: Row, cell: Cell, setup: Setup) -> None:
    arrays = row.make_inputs(cell, result.dtype)
    sides = [(setup.ours, setup.device.place(arrays, setup.ours_library))]
    peer = setup.peer if row.has_peer else None
    if peer is not None:
        sides.append((peer, setup.device.place(arrays, setup.peer_library)))
        got, wanted = (
            setup.device.read(row.call(lib, copies[0], cell, setup.threads))
            for lib, copies in sides
        )
        result.error = relative_error(got, wanted)
        if not result.error <= result.tolerance:
            result.status = "wrong"
            result.message = f"error {result.error:.3g} exceeds {result.tolerance:.3g}"
            return
        result.status = "ok"
    itemsize = np.dtype(result.dtype).itemsize
    clocks = [_clock(row, cell, setup, lib, copies) for lib, copies in sides]
    flops = 0.0
    if setup.kernels is not None:  # the peak of the same seconds: shared machines drift
        clock, flops = setup.kernels.fma(result.dtype)
        clocks.append(clock)
        if row.moves:
            size = itemsize * row.numbers(*cell)
            if row.moves == "fill":
                size = setup.device.read(row.call(setup.ours, arrays, cell, setup.threads)).nbytes
            clocks.append(setup.kernels.moves(row.moves, size))
    ours, *others = alternate(clocks, setup.repeat, **setup.timing)
    result.ours_ms, result.ours_noise = 1e3 * ours.best, ours.noise
    if peer is not None:
        theirs = others.pop(0)
        result.peer_ms, result.peer_noise = 1e3 * theirs.best, theirs.noise
        result.ratio = theirs.best / ours.best
    result.gflops = row.flops(*cell) / ours.best / 1e9
    if row.grid_cells is not None:
        result.gcells = row.grid_cells(*cell) / ours.best / 1e9
    result.gbs = itemsize * row.numbers(*cell) / ours.best / 1e9
    if setup.kernels is not None:
        result.peak_gflops = flops / others.pop(0).best / 1e9
        result.fma_fraction = result.gflops / result.peak_gflops
        if row.moves:
            result.moves_ms = 1e3 * others[0].best
            result.moves_ratio = ours.best / others[0].best
    if setup.peaks is not None:
        result.bandwidth_fraction = result.gbs / setup.peaks.bandwidth_gbs
    if setup.gpu is not None:
        floor = floors.floor(row, cell, result.dtype, setup.gpu)
        result.floor_ms, result.floor_bound = 1e3 * floor.seconds, floor.bound
        result.floor_ratio = ours.best / floor.seconds


def _clock(row: Row, cell: Cell, setup: Setup, lib: Any, copies: Sequence[Arrays]) -> Clock:
    return setup.device.clock(lambda a: row.call(lib, a, cell, setup.threads), copies)


def summarise(results: Iterable[Result]) -> list[dict[str, Any]]:
    """Geometric mean and least ratio per operation and dtype, of the cells that have one."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        if result.ratio is not None:
            groups.setdefault((result.op, result.dtype), []).append(result)
    summaries = []
    for (op, dtype), members in groups.items():
        least = min(members, key=lambda r: r.ratio or 0.0)
        summaries.append(
            {
                "op": op,
                "dtype": dtype,
                "cells": len(members),
                "geometric_mean": geometric_mean(r.ratio or 0.0 for r in members),
                "least": least.ratio,
                "least_cell": least.cell,
            }
        )
    return summaries


def judge(
    rows: Iterable[Row], results: Sequence[Result], summaries: Sequence[dict[str, Any]], key: str
) -> Iterator[Verdict]:
    """Verdicts on complete grids; `key` is the instruction set, or "cuda"."""
    by_name = {row.name: row for row in rows}
    grids: dict[tuple[str, str, float], list[float]] = {}
    for summary in summaries:
        row = by_name[summary["op"]]
        bar = row.bars.get((key, summary["dtype"]))
        name = f"{summary['op']} {summary['dtype']}"
        if bar and bar.geomean is not None:
            grid = f"{row.name.partition('[')[0]}, all options" if row.one_grid else row.name
            ratios = [
                r.ratio or 0.0 for r in results if (r.op, r.dtype) == (row.name, summary["dtype"])
            ]
            grids.setdefault((grid, summary["dtype"], bar.geomean), []).extend(ratios)
        if bar and bar.least is not None:
            yield at_least(f"{name}: least ratio", bar.least, summary["least"])
    for (grid, dtype, wanted), ratios in grids.items():
        what = f"{grid} {dtype}: geometric mean of the ratio"
        yield at_least(what, wanted, geometric_mean(ratios))
    for r in results:
        bar = by_name[r.op].bars.get((key, r.dtype))
        if bar and bar.moves is not None and r.moves_ratio is not None:
            verb = by_name[r.op].moves
            yield at_most(f"{r.op} {r.dtype}: times a {verb} of its data", bar.moves, r.moves_ratio)
        fraction = by_name[r.op].fma_bars.get((key, r.dtype, r.shape))
        if fraction is not None and r.fma_fraction is not None:
            what = f"{r.op} {r.dtype} {r.shape}: fraction of the FMA peak"
            yield at_least(what, fraction, r.fma_fraction)
    for op in dict.fromkeys(r.op for r in results):
        mine = [r for r in results if r.op == op]
        extra = [r.ours_extra_mb for r in mine if r.ours_extra_mb is not None]
        if extra:
            yield at_most(f"{op}: most extra memory (MB)", by_name[op].extra_mb, max(extra))
        over = [r.floor_ratio for r in mine if r.floor_ratio is not None]
        if over:
            yield at_most(f"{op}: most times the floor", floors.FLOOR_RATIO, max(over))
