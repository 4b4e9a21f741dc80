"""Output: aligned text, markdown and JSON from the same rows of cells."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .accuracy import Accuracy
from .equal import Choice, Equal
from .harness import Result, Verdict
from .latency import Latency

#: Number of the JSON layout; to be raised with every change of it.
SCHEMA = 4

Line = tuple[str, ...]
Table = tuple[Line, list[Line]]


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:#.{digits}g}".rstrip(".")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f}%"


def _pair(first: float | None, second: float | None) -> str:
    return "/".join(f"{v:.2f}" for v in (first, second) if v is not None)


#: Header and content of every column of the table of cells; empty columns are left out.
_COLUMNS: tuple[tuple[str, Any], ...] = (
    ("op", lambda r: r.op),
    ("dtype", lambda r: r.dtype),
    ("cell", lambda r: ",".join(map(str, r.shape))),
    ("ours ms", lambda r: _number(r.ours_ms)),
    ("peer ms", lambda r: _number(r.peer_ms)),
    ("ratio", lambda r: _number(r.ratio)),
    ("noise", lambda r: _pair(r.ours_noise, r.peer_noise)),
    ("Gcell/s", lambda r: _number(r.gcells)),
    ("GF/s", lambda r: _number(r.gflops)),
    ("of FMA peak", lambda r: _percent(r.fma_fraction)),
    ("of bandwidth", lambda r: _percent(r.bandwidth_fraction)),
    ("times its moves", lambda r: _number(r.moves_ratio)),
    ("floor ms", lambda r: _number(r.floor_ms)),
    ("bound", lambda r: r.floor_bound or ""),
    ("times floor", lambda r: _number(r.floor_ratio)),
    ("error", lambda r: _number(r.error, 2)),
    ("extra MB", lambda r: _number(r.ours_extra_mb, 2)),
    ("peer MB", lambda r: _number(r.peer_extra_mb, 2)),
    ("status", lambda r: f"{r.status}: {r.message}" if r.message else r.status),
)


def cell_table(results: Sequence[Result]) -> Table:
    """A line per cell."""
    shown = [(name, [show(r) for r in results]) for name, show in _COLUMNS]
    columns = [(name, texts) for name, texts in shown if any(texts)]
    lines = list(zip(*(texts for _, texts in columns), strict=True))
    return tuple(name for name, _ in columns), lines


def summary_table(summaries: Iterable[dict[str, Any]]) -> Table:
    """A line per operation and dtype."""
    lines: list[Line] = [
        (
            s["op"],
            s["dtype"],
            str(s["cells"]),
            _number(s["geometric_mean"]),
            _number(s["least"]),
            ",".join(map(str, s["least_cell"].values())),
        )
        for s in summaries
    ]
    return ("op", "dtype", "cells", "geometric mean", "least", "at"), lines


def latency_table(latencies: Iterable[Latency]) -> Table:
    """A line per small call."""
    lines: list[Line] = [
        (x.name, _number(x.ours_us), _number(x.peer_us), _number(x.ratio), x.status)
        for x in latencies
    ]
    return ("small call", "ours us", "peer us", "ratio", "status"), lines


def accuracy_table(accuracies: Iterable[Accuracy]) -> Table:
    """A line per path."""
    lines: list[Line] = [
        (
            a.op,
            a.dtype,
            f"{a.length},{a.d},{a.degree}",
            a.reference,
            " ".join(_number(e, 2) for e in a.ours),
            " ".join(_number(e, 2) for e in a.peer or ()),
        )
        for a in accuracies
    ]
    return ("op", "dtype", "length,d,degree", "reference", "error per level", "peer"), lines


def equal_table(equals: Iterable[Equal]) -> Table:
    """A line per accuracy that is wanted."""

    def shown(choice: Choice | None) -> Line:
        if choice is None:
            return "", "", ""
        return choice.options, _number(choice.ms), _number(choice.error, 2)

    lines: list[Line] = [
        (x.op, x.dtype, f"{x.wanted:g}", *shown(x.ours), *shown(x.peer), _number(x.ratio), x.status)
        for x in equals
    ]
    side = ("ms", "error")
    return ("op", "dtype", "wanted", "ours", *side, "peer", *side, "ratio", "status"), lines


def verdict_table(verdicts: Iterable[Verdict]) -> Table:
    """A line per bar."""
    lines: list[Line] = [
        (v.what, f"{v.relation} {v.wanted:g}", _number(v.got), "met" if v.met else "MISSED")
        for v in verdicts
    ]
    return ("bar", "wanted", "got", "verdict"), lines


def text(table: Table) -> str:
    """Aligned columns."""
    header, lines = table
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    return "\n".join(
        "  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip()
        for line in (header, *lines)
    )


def markdown(table: Table) -> str:
    """A table of GitHub's and Sphinx's markdown."""
    header, lines = table
    escaped = [[t.replace("|", "\\|").replace("\n", " ") for t in line] for line in lines]
    rows = [list(header), ["---"] * len(header), *escaped]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def tables(document: dict[str, Any], parts: dict[str, Sequence[Any]]) -> list[tuple[str, Table]]:
    """Titles and tables of a report; parts without lines are left out."""
    kinds: dict[str, tuple[str, Callable[[Any], Table]]] = {
        "cells": ("Cells", cell_table),
        "summaries": ("Ratios", summary_table),
        "latencies": ("Small calls", latency_table),
        "accuracy": ("Accuracy", accuracy_table),
        "equal_accuracy": ("Equal accuracy", equal_table),
        "verdicts": (f"Bars ({document['bars']})", verdict_table),
    }
    return [(title, make(parts[key])) for key, (title, make) in kinds.items() if parts[key]]


def headline(document: dict[str, Any]) -> str:
    """What was measured where."""
    machine, versions, peaks = document["machine"], document["versions"], document["peaks"]
    listed = ", ".join(f"{k} {v}" for k, v in versions.items() if v)
    processor = machine.get("gpu") or machine["cpu"]
    where = f"{processor}, {document['isa']}, {document['threads']} threads, {document['date']}"
    lines = [where, listed]
    if peaks:
        rates = ", ".join(f"{k} {v:.0f} GF/s" for k, v in peaks["fma_gflops"].items())
        lines.append(
            f"FMA peak {rates}; memory {peaks['triad_gbs']:.1f} GB/s triad, "
            f"{peaks['copy_gbs']:.1f} GB/s copy"
        )
    return "\n".join(lines)


def finite(value: Any) -> Any:
    """`value` with None for NaN and infinities, which JSON has not."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(document: dict[str, Any], titled: list[tuple[str, Table]], folder: pathlib.Path) -> None:
    """Write ``<device>-<isa>[-<topic>].json`` and ``.md``; JSON without NaN and infinities."""
    folder.mkdir(parents=True, exist_ok=True)
    peer = "" if document["peer"] == "pysiglib" else f"-{document['peer']}"
    topic = "" if document["topic"] == "signatures" else f"-{document['topic']}"
    stem = folder / f"{document['device']}-{document['isa']}{topic}{peer}"
    text = json.dumps(finite(document), indent=1, allow_nan=False)
    stem.with_suffix(".json").write_text(text + "\n")
    sections = [f"## {title}\n\n{markdown(table)}\n" for title, table in titled]
    notes = "\n".join(f"- `{k}`: {v}" for k, v in document["definitions"].items())
    stem.with_suffix(".md").write_text(
        f"# Benchmarks of {document['topic']}: {document['device']}, {document['isa']}, "
        f"{document['peer']}\n\n"
        + headline(document).replace("\n", "  \n")
        + "\n\n"
        + "\n".join(sections)
        + f"\n## Definitions\n\n{notes}\n"
    )
