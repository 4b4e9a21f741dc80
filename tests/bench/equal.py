"""Gram matrices at equal accuracy.

Of each library the fastest choice of method counts that is exact enough against a high order.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .rows import Arrays, Cell, brownian
from .timing import Clock, alternate

#: Order of the reference, for which float64 is at its limit.
REFERENCE = 14
#: Most that references of both libraries may differ.
AGREEMENT = 1e-11

Options = dict[str, Any]


@dataclass(frozen=True)
class EqualRow:
    """A Gram matrix.

    Attributes
    ----------
    dtype : of the paths
    cell : paths, length, channels
    error : greatest relative error of an entry
    least : bar for the ratio
    """

    dtype: str
    cell: Cell
    error: float
    least: float
    op: str = "sig_kernel_gram"


#: In float32 entries near 0 are not exact to 1e-6 with any method.
ROWS: Sequence[EqualRow] = (
    EqualRow("float64", (32, 200, 4), 1e-6, 20),
    EqualRow("float64", (32, 200, 4), 1e-9, 20),
)


@dataclass
class Choice:
    """The fastest options of a library, milliseconds and error."""

    options: str
    ms: float
    error: float


@dataclass
class Equal:
    """What was found; `status` as in `harness.Result`, "error" where no choice is exact enough."""

    op: str
    dtype: str
    wanted: float
    least: float
    status: str = "unchecked"
    ours: Choice | None = None
    peer: Choice | None = None
    ratio: float | None = None

    @property
    def failed(self) -> bool:
        """Whether the exit status must tell."""
        return self.status in ("wrong", "error")


def families(folds: bool) -> Iterator[Iterator[Options]]:
    """Choices of method, by families in which time and accuracy grow."""
    for fold in (0, 1, 2) if folds else (None,):
        extra = {} if fold is None else {"fold": fold}
        yield ({"method": "polynomial", "order": order} | extra for order in range(2, 13))
    yield ({"dyadic_order": order} for order in range(7))


def fastest(
    lib: Any, arrays: Arrays, reference: np.ndarray, wanted: float, threads: int, folds: bool
) -> tuple[Options, float] | None:
    """Options and error of the fastest call whose error is at most `wanted`."""
    best = None
    least = np.inf
    for family in families(folds):
        for options in family:
            seconds = np.inf
            for _ in range(2):
                start = time.perf_counter()
                got = lib.sig_kernel_gram(arrays["x"], arrays["y"], n_jobs=threads, **options)
                seconds = min(seconds, time.perf_counter() - start)
                if seconds > 2 * least:
                    break
            error = float(np.max(np.abs(got / reference - 1)))
            if error <= wanted and seconds < least:
                best, least = (options, error), seconds
            if error <= wanted or (seconds > least and "dyadic_order" in options):
                break  # polynomial orders without code of their own are slower than those above
    return best


def run(row: EqualRow, ours: Any, peer: Any, threads: int, repeat: int, **timing: float) -> Equal:
    """Find both choices and time them in turn."""
    result = Equal(row.op, row.dtype, row.error, row.least)
    rng = np.random.default_rng(row.cell)
    exact = {name: brownian((*row.cell, 0), rng) for name in "xy"}
    arrays = {name: np.asarray(a, dtype=row.dtype) for name, a in exact.items()}
    exact = {name: a.astype("float64") for name, a in arrays.items()}
    options = {"method": "polynomial", "order": REFERENCE, "n_jobs": threads}
    reference, theirs = (
        lib.sig_kernel_gram(exact["x"], exact["y"], **options) for lib in (ours, peer)
    )
    if not np.max(np.abs(theirs / reference - 1)) <= AGREEMENT:
        result.status = "wrong"
        return result
    libraries = (ours, peer)
    found = [
        fastest(lib, arrays, reference, row.error, threads, folds=lib is ours) for lib in libraries
    ]
    result.status = "error"
    if all(found):
        result.status = "ok"
        chosen = [choice for choice in found if choice]
        clocks = [
            _clock(lib, arrays, options, threads)
            for lib, (options, _) in zip(libraries, chosen, strict=True)
        ]
        result.ours, result.peer = (
            Choice(_name(options), 1e3 * timed.best, error)
            for (options, error), timed in zip(
                chosen, alternate(clocks, repeat, **timing), strict=True
            )
        )
        result.ratio = result.peer.ms / result.ours.ms
    return result


def _name(options: Options) -> str:
    return ", ".join(f"{key} {value}" for key, value in options.items() if key != "method")


def _clock(lib: Any, arrays: Arrays, options: Options, threads: int) -> Clock:
    def run(count: int) -> float:
        start = time.perf_counter()
        for _ in range(count):
            lib.sig_kernel_gram(arrays["x"], arrays["y"], n_jobs=threads, **options)
        return time.perf_counter() - start

    return run
