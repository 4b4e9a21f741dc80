"""What long calls tell of their progress, where it was asked for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any


class Bar:
    """A bar that several calls of ops fill, one after the other."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._done = 0  # by calls that have ended

    def show(self, count: int) -> None:
        """The call that runs has done so many."""
        self._bar.update(self._done + count - self._bar.n)

    def advance(self, count: int) -> None:
        """The call that ran, or a part of it, has done so many."""
        self._done += count
        self.show(0)


_local = threading.local()


def current() -> Bar | None:
    """The bar of the calls of this thread."""
    return getattr(_local, "bar", None)


def advance(count: int) -> None:
    """So many are done without a call."""
    if shown := current():
        shown.advance(count)


@contextlib.contextmanager
def bar(function: str, total: int, unit: str) -> Iterator[None]:
    """Show on the standard error stream how many of `total` the calls inside have done."""
    from tqdm import tqdm  # costs as much as the rest of the package

    before = current()
    with tqdm(total=total, desc=function, unit=unit) as shown:
        _local.bar = Bar(shown)
        try:
            yield
        finally:
            _local.bar = before
