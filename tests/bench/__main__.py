"""Command line of the benchmarks: ``python -m tests.bench --help``."""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import pathlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from . import accuracy, equal, harness, latency, machine, memory, peaks, report
from .devices import LIBRARIES, Cuda, NoGpuError, find
from .formulas import DEFINITIONS
from .peers import PEERS, SINGLE, find_peer
from .rows import BY_NAME, DTYPES, LATENCIES, ROWS, TOPICS, Row
from .timing import LEAST_REPEAT

#: Exit statuses beside 0, and 2 for wrong usage.
FAILED, BAR_MISSED = 1, 3

DEFAULT_OUT = pathlib.Path("docs/benchmarks")


def _names(allowed: Sequence[str]) -> Any:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        unknown = [n for n in names if n not in allowed]
        if unknown:
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(map(repr, unknown))}; there are {', '.join(allowed)}"
            )
        return names

    return parse


def _integer(least: int) -> Any:
    def parse(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, got {value}")
        return value

    parse.__name__ = "integer"
    return parse


def parser() -> argparse.ArgumentParser:
    """All options."""
    p = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Benchmarks of arraysig against a peer library and against the "
        "machine. Exit status: 0 all well, 1 results differ or a cell raised, 3 a bar was missed.",
    )
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    p.add_argument("--peer", choices=tuple(PEERS), default="pysiglib")
    p.add_argument("--library", choices=("numpy", "torch", "cupy"), help="of the arrays of ours")
    p.add_argument("--topic", choices=tuple(TOPICS), default="signatures", help="(%(default)s)")
    p.add_argument(
        "--ops", type=_names(tuple(BY_NAME)), metavar="A,B", help="default: those of the topic"
    )
    p.add_argument("--dtypes", type=_names(DTYPES), default=DTYPES, metavar="A,B")
    p.add_argument("--threads", type=_integer(1), help="n_jobs (2; 1 if the peer has no more)")
    p.add_argument("--repeat", type=_integer(LEAST_REPEAT), default=LEAST_REPEAT)
    p.add_argument("--isa", help="instruction set to force: sets ARRAYSIG_ISA and starts again")
    p.add_argument("--quick", action="store_true", help="reduced grid; no bars")
    p.add_argument("--memory", action="store_true", help="also extra memory, a process per cell")
    p.add_argument("--accuracy", action="store_true", help="also accuracy")
    p.add_argument(
        "--out",
        type=pathlib.Path,
        help=f"folder for JSON and markdown (default {DEFAULT_OUT} for complete runs, else none)",
    )
    return p


def options(argv: Sequence[str]) -> argparse.Namespace:
    """Parse and check what argparse can not."""
    p = parser()
    chosen = p.parse_args(argv)
    chosen.library = chosen.library or LIBRARIES[chosen.device][0]
    if chosen.library not in LIBRARIES[chosen.device]:
        p.error(f"--device {chosen.device} has no {chosen.library} arrays")
    if chosen.device == "cuda":
        for name in ("isa", "memory", "accuracy"):
            if getattr(chosen, name):
                p.error(f"--{name} is for --device cpu")
    most = 1 if chosen.peer in SINGLE else harness.BAR_THREADS
    chosen.threads = chosen.threads or most
    if chosen.peer in SINGLE and chosen.threads > 1:
        p.error(f"{chosen.peer} has one thread: --threads {chosen.threads}")
    chosen.ops = chosen.ops or TOPICS[chosen.topic]
    complete = not chosen.quick and set(chosen.ops) == set(TOPICS[chosen.topic])
    if chosen.out is None and complete and set(chosen.dtypes) == set(DTYPES):
        chosen.out = DEFAULT_OUT
    return chosen


def main(argv: Sequence[str] | None = None) -> int:
    """Run and report."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    chosen = options(arguments)
    if chosen.isa and os.environ.get("ARRAYSIG_ISA") != chosen.isa:
        os.environ["ARRAYSIG_ISA"] = chosen.isa
        os.execv(sys.executable, [sys.executable, "-m", str(__package__), *arguments])
    try:
        setup, isa = _setup(chosen)
    except NoGpuError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if setup.peer is None:
        print("bench: the peer is not installed (or not for this device)", file=sys.stderr)
    latencies = list(_latencies(chosen, setup))
    accuracies = list(_accuracies(chosen, setup))
    equals = list(_equals(chosen, setup))
    results = list(_cells(chosen, setup))
    summaries = harness.summarise(results)
    reason = _no_bars(chosen, setup)
    key = "cuda" if chosen.device == "cuda" else isa
    verdicts = [] if reason else list(harness.judge(ROWS, results, summaries, key))
    if not reason:
        verdicts += _latency_verdicts(latencies)
        verdicts += _equal_verdicts(equals)
    verdicts += _accuracy_verdicts(accuracies)
    parts: dict[str, Sequence[Any]] = {
        "cells": results,
        "summaries": summaries,
        "latencies": latencies,
        "accuracy": accuracies,
        "equal_accuracy": equals,
        "verdicts": verdicts,
    }
    document: dict[str, Any] = {
        "schema": report.SCHEMA,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "tests.bench", *arguments]),
        "device": chosen.device,
        "topic": chosen.topic,
        "peer": chosen.peer,
        "isa": isa,
        "library": chosen.library,
        "threads": chosen.threads,
        "machine": machine.describe() | ({"gpu": setup.gpu.name} if setup.gpu else {}),
        "versions": machine.versions(),
        "peaks": None if setup.peaks is None else dataclasses.asdict(setup.peaks),
        "gpu": None if setup.gpu is None else dataclasses.asdict(setup.gpu),
        "bars": f"speed and memory not judged: {reason}" if reason else "all judged",
        "definitions": DEFINITIONS,
        **{key: [_plain(item) for item in items] for key, items in parts.items()},
    }
    titled = report.tables(document, parts)
    print(report.headline(document))
    for title, table in titled:
        print(f"\n{title}\n{report.text(table)}")
    if chosen.out is not None:
        report.write(document, titled, chosen.out)
    if any(x.failed for x in (*results, *latencies, *equals)):
        print("\nFAILED: see the cells that are wrong or raised", file=sys.stderr)
        return FAILED
    return 0 if all(v.met for v in verdicts) else BAR_MISSED


def _setup(chosen: argparse.Namespace) -> tuple[harness.Setup, str]:
    device = find(chosen.device)
    import arraysig

    gpu = kernels = measured = None
    if isinstance(device, Cuda):
        gpu = device.properties()
        isa = f"sm_{gpu.capability}"
    else:
        from arraysig._core.cpu import instruction_set

        isa = instruction_set()
        kernels = peaks.Kernels(isa, chosen.threads)
        measured = peaks.measure(kernels, chosen.dtypes, chosen.quick)
    setup = harness.Setup(
        device=device,
        threads=chosen.threads,
        ours=arraysig,
        peer=find_peer(chosen.device, chosen.peer),
        peer_name=chosen.peer,
        ours_library=chosen.library,
        peer_library="torch" if chosen.device == "cuda" else chosen.library,
        repeat=chosen.repeat,
        kernels=kernels,
        peaks=measured,
        gpu=gpu,
        timing={"cell": 0.0} if chosen.quick else {},
    )
    return setup, isa


def _cells(chosen: argparse.Namespace, setup: harness.Setup) -> Iterator[harness.Result]:
    for name in chosen.ops:
        row = BY_NAME[name]
        for dtype in chosen.dtypes:
            for cell in row.grid(chosen.device, chosen.quick):
                result = harness.run_cell(row, cell, dtype, setup)
                if chosen.memory:
                    _measure_memory(result, row, setup)
                ratio = "" if result.ratio is None else f"{result.ratio:.2f}x"
                print(f"{name} {dtype} {cell}: {result.status} {ratio}", file=sys.stderr)
                yield result


def _measure_memory(result: harness.Result, row: Row, setup: harness.Setup) -> None:
    take = (row, result.shape, result.dtype, setup.threads)
    try:
        result.ours_extra_mb = memory.measure(*take, "ours")
        if setup.peer is not None and row.has_peer:
            result.peer_extra_mb = memory.measure(*take, setup.peer_name)
    except memory.ChildError as error:
        result.status, result.message = "error", str(error).strip().splitlines()[-1]


def _latencies(chosen: argparse.Namespace, setup: harness.Setup) -> Iterator[latency.Latency]:
    if chosen.device == "cpu":
        for row in [row for row in LATENCIES if row.op in chosen.ops]:
            found = latency.run(row, setup.ours, chosen.repeat, **setup.timing)
            if found is not None:
                yield found


def _accuracies(chosen: argparse.Namespace, setup: harness.Setup) -> Iterator[accuracy.Accuracy]:
    if chosen.accuracy:
        for row in accuracy.ROWS:
            if row.op in chosen.ops and row.dtype in chosen.dtypes:
                yield accuracy.run(row, setup.ours, setup.peer, chosen.threads)


def _equals(chosen: argparse.Namespace, setup: harness.Setup) -> Iterator[equal.Equal]:
    if chosen.device == "cpu" and not chosen.quick and setup.peer and chosen.peer == "pysiglib":
        for row in equal.ROWS:
            if row.op in chosen.ops and row.dtype in chosen.dtypes:
                yield equal.run(row, setup.ours, setup.peer, chosen.threads, chosen.repeat)


def _no_bars(chosen: argparse.Namespace, setup: harness.Setup) -> str:
    """Why the bars of speed and memory do not apply; empty if they do."""
    if chosen.quick:
        return "reduced grid"
    if chosen.device == "cpu" and chosen.threads != harness.BAR_THREADS:
        return f"bars are stated for {harness.BAR_THREADS} threads"
    if chosen.peer != "pysiglib":
        return "bars are stated against pysiglib"
    return "no peer" if setup.peer is None and chosen.device == "cpu" else ""


def _latency_verdicts(latencies: Sequence[latency.Latency]) -> list[harness.Verdict]:
    return [
        harness.at_most(f"{x.name} (us)", x.most_us, x.ours_us)
        for x in latencies
        if x.most_us is not None and x.ours_us is not None
    ]


def _equal_verdicts(equals: Sequence[equal.Equal]) -> list[harness.Verdict]:
    return [
        harness.at_least(f"{x.op} {x.dtype} at an error of {x.wanted:g}: ratio", x.least, x.ratio)
        for x in equals
        if x.ratio is not None
    ]


def _accuracy_verdicts(accuracies: Sequence[accuracy.Accuracy]) -> list[harness.Verdict]:
    return [
        harness.at_most(f"{a.op} {a.dtype} length {a.length}: error", a.most, max(a.ours))
        for a in accuracies
        if a.most is not None
    ]


def _plain(item: Any) -> dict[str, Any]:
    if isinstance(item, harness.Verdict):
        return item._asdict()
    return item if isinstance(item, dict) else dataclasses.asdict(item)


if __name__ == "__main__":
    sys.exit(main())
