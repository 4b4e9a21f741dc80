"""Small calls, where overhead is everything."""

from __future__ import annotations

import importlib.util
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from .harness import relative_error
from .peers import find_peer
from .rows import LatencyRow
from .timing import Clock, alternate

TOLERANCE = 1e-12


@dataclass
class Latency:
    """Microseconds of a small call; `status` as in `harness.Result`."""

    name: str
    status: str
    most_us: float | None
    ours_us: float | None = None
    peer_us: float | None = None
    ratio: float | None = None
    error: float | None = None

    @property
    def failed(self) -> bool:
        """Whether the exit status must tell."""
        return self.status == "wrong"


def run(row: LatencyRow, ours: Any, repeat: int, **timing: float) -> Latency | None:
    """Compare and time one row; None where its library is not installed."""
    if importlib.util.find_spec(row.library) is None:
        return None
    path: Any = np.random.default_rng(0).standard_normal(row.shape)
    if row.library == "torch":
        import torch

        path = torch.from_numpy(path)
    peer = find_peer("cpu", row.peer)
    result = Latency(row.name, "unchecked", row.most_us)
    libraries = [ours] if peer is None else [ours, peer]
    if peer is not None:
        got, wanted = (np.asarray(row.call(lib, path))[None] for lib in libraries)
        result.error = relative_error(got, wanted)
        if not result.error <= TOLERANCE:
            result.status = "wrong"
            return result
        result.status = "ok"
    first, *rest = alternate([_clock(row, lib, path) for lib in libraries], repeat, **timing)
    result.ours_us = 1e6 * first.best
    for second in rest:
        result.peer_us, result.ratio = 1e6 * second.best, second.best / first.best
    return result


def _clock(row: LatencyRow, lib: Any, path: Any) -> Clock:
    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            row.call(lib, path)
        return time.perf_counter() - start

    return run
