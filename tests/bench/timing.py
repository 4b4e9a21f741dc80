"""Alternating measurement of several functions that do the same."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

#: ``clock(count) -> seconds`` that `count` calls took.
Clock = Callable[[int], float]

#: Shorter calls are repeated to fill this many seconds.
BATCH_SECONDS = 5e-3
#: Pause between two libraries: OpenMP threads spin for a while after a call, and would disturb.
SETTLE_SECONDS = 5e-3
#: Short cells are repeated beyond the least number until this many seconds have passed.
CELL_SECONDS = 1.0
LEAST_REPEAT = 5
MOST_REPEAT = 60


class Timing(NamedTuple):
    """Seconds per call."""

    best: float
    median: float

    @property
    def noise(self) -> float:
        """Median by minimum: 1 on a quiet machine."""
        return self.median / self.best


@contextmanager
def _no_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _count(clock: Clock, batch: float) -> int:
    """How many calls fill `batch` seconds."""
    count = 1
    while (seconds := clock(count)) < batch / 2:
        count = max(2 * count, math.ceil(min(count * batch / max(seconds, 1e-9), 100 * count)))
    return max(1, math.ceil(count * batch / seconds)) if count > 1 else 1


def alternate(
    clocks: Sequence[Clock],
    repeat: int = LEAST_REPEAT,
    *,
    batch: float = BATCH_SECONDS,
    settle: float = SETTLE_SECONDS,
    cell: float = CELL_SECONDS,
) -> list[Timing]:
    """Time every clock at least `repeat` times, in turn, after a warm-up."""
    with _no_collection():
        counts = [_count(clock, batch) for clock in clocks]
        samples: list[list[float]] = [[] for _ in clocks]
        order = list(range(len(clocks)))
        start = time.perf_counter()
        while len(samples[0]) < repeat or (
            time.perf_counter() - start < cell and len(samples[0]) < MOST_REPEAT
        ):
            for i in order:
                time.sleep(settle)
                if counts[i] > 1:
                    clocks[i](1)  # wakes threads and fills caches
                samples[i].append(clocks[i](counts[i]) / counts[i])
            order = order[1:] + order[:1]  # what runs before may set the clock rate
    return [Timing(min(s), statistics.median(s)) for s in samples]
