"""Least time of an operation on a GPU, from the properties of the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .rows import Cell, Row

#: Times a floor that a cell may take.
FLOOR_RATIO = 2.0

#: FMA lanes per multiprocessor by compute capability: float32, float64.
LANES: Mapping[int, tuple[int, int]] = {
    70: (64, 32),
    75: (64, 2),
    80: (64, 32),
    86: (128, 2),
    87: (128, 2),
    89: (128, 2),
    90: (128, 64),
    100: (128, 64),
    103: (128, 2),
    120: (128, 2),
}

#: Warp instructions that a multiprocessor issues per cycle.
ISSUE = 4

#: Instructions per step and path of the best known float32 kernels, by operation and (d, degree):
#: counted in the inner loops compiled for sm_90.
INSTRUCTIONS: Mapping[str, Mapping[tuple[int, int], int]] = {
    "sig": {
        (2, 2): 14,
        (2, 3): 30,
        (4, 2): 30,
        (4, 3): 132,
        (8, 2): 98,
        (8, 3): 800,
        (16, 2): 332,
        (16, 3): 5888,
    }
}


@dataclass(frozen=True)
class Gpu:
    """The properties that floors depend on.

    Attributes
    ----------
    name, capability : of the device; 90 for sm_90
    multiprocessors, clock_hz : their number and greatest clock rate
    bandwidth : measured, in bytes per second
    """

    name: str
    capability: int
    multiprocessors: int
    clock_hz: float
    bandwidth: float

    def fma_rate(self, dtype: str) -> float:
        """Fused multiply-adds per second."""
        if self.capability not in LANES:
            raise ValueError(
                f"no number of lanes is known for compute capability {self.capability}: "
                "add it to LANES in tests/bench/floors.py"
            )
        lanes = LANES[self.capability][dtype == "float64"]
        return self.multiprocessors * lanes * self.clock_hz

    def issue_rate(self) -> float:
        """Warp instructions per second."""
        return self.multiprocessors * ISSUE * self.clock_hz


@dataclass(frozen=True)
class Floor:
    """Seconds for traffic, arithmetic and, where known, instructions."""

    memory: float
    fma: float
    issue: float | None

    @property
    def seconds(self) -> float:
        """The greatest of the three."""
        return max(self.memory, self.fma, self.issue or 0.0)

    @property
    def bound(self) -> str:
        """Which one it is."""
        if self.seconds == self.memory:
            return "memory"
        return "fma" if self.seconds == self.fma else "issue"


def floor(row: Row, cell: Cell, dtype: str, gpu: Gpu) -> Floor:
    """Least time of a cell of an operation on paths."""
    batch, length, d, degree = cell
    itemsize = 4 if dtype == "float32" else 8
    memory = itemsize * row.numbers(*cell) / gpu.bandwidth
    fma = row.flops(*cell) / 2 / gpu.fma_rate(dtype)
    count = INSTRUCTIONS.get(row.name, {}).get((d, degree)) if dtype == "float32" else None
    issue = None if count is None else batch * (length - 1) * count / 32 / gpu.issue_rate()
    return Floor(memory, fma, issue)
