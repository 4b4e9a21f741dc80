"""Fixtures that all tests share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import hypothesis
import numpy as np
import pytest

from .backends import BACKENDS, Backend

# The same examples in every run: CI must not fail by chance.
hypothesis.settings.register_profile("arraysig", derandomize=True, deadline=None)
hypothesis.settings.load_profile("arraysig")

# Shells have their background jobs ignore interrupts, and what these start would do so too.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _parameter(backend: Backend) -> object:
    marks = [pytest.mark.gpu] if backend.device == "cuda" else []
    return pytest.param(backend, id=backend.name, marks=marks)


def _use(backend: Backend) -> Iterator[Backend]:
    missing = backend.missing()
    if missing:
        pytest.skip(missing)
    with backend.active():
        yield backend


@pytest.fixture(params=[_parameter(b) for b in BACKENDS])
def xp(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """A library of arrays on a device; every test of a public function runs on all of them."""
    yield from _use(request.param)


@pytest.fixture(params=[_parameter(b) for b in BACKENDS if b.library == "torch"])
def torch_xp(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Torch, on the CPU, on the emulated and on a real GPU."""
    yield from _use(request.param)


@pytest.fixture
def rng() -> np.random.Generator:
    """The same random numbers in every run."""
    return np.random.default_rng(20240229)
