"""The libraries that arraysig is compared with, each by the names of arraysig's functions."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import Any


class Iisignature:
    """iisignature: one thread, NumPy only, gradients in float32 always."""

    @staticmethod
    def sig(path: Any, degree: int, *, n_jobs: int) -> Any:
        """Signatures, levels 1 to `degree`."""
        return _one_thread(n_jobs).sig(path, degree)

    @staticmethod
    def sig_backprop(path: Any, sig: Any, derivs: Any, degree: int, *, n_jobs: int) -> Any:
        """Their gradient."""
        return _one_thread(n_jobs).sigbackprop(derivs, path, degree)


def _one_thread(n_jobs: int) -> Any:
    if n_jobs != 1:
        raise ValueError(f"iisignature has one thread, got {n_jobs}")
    return importlib.import_module("iisignature")


#: Those that have one thread.
SINGLE = {"iisignature"}
#: Distribution, and what stands for its module where names differ.
PEERS: dict[str, Any] = {"pysiglib": None, "iisignature": Iisignature}


def find_peer(device: str, module: str = "pysiglib") -> ModuleType | Any | None:
    """A peer library, or None if it is not installed or has no plugin for the device."""
    distribution = module.partition(".")[0]
    if importlib.util.find_spec(distribution) is None:
        return None
    if PEERS[distribution] is not None:
        return None if device == "cuda" else PEERS[distribution]
    if device == "cuda" and not importlib.import_module(distribution).BUILT_WITH_CUDA:
        return None
    return importlib.import_module(module)
