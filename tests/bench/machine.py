"""What a report says about the machine and the versions that it was made with."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import subprocess
import sys
from importlib import metadata
from typing import Any

from .peaks import compiler
from .peers import PEERS

#: Distributions whose versions are reported; None where one is not installed.
DISTRIBUTIONS = ("arraysig", "numpy", *PEERS, "torch", "cupy-cuda12x", "cupy-cuda13x")


def describe() -> dict[str, Any]:
    """Processor, system and number of processors that this process may use."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": platform.system(),
        "architecture": platform.machine(),
    }


def versions() -> dict[str, str | None]:
    """Versions of what takes part."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    found["compiler"] = _first_line([*compiler(), "--version"])
    found["commit"] = _first_line(["git", "describe", "--always", "--dirty", "--abbrev=12"])
    return found


def _cpu_model() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    found = (
        re.search(r"^model name\s*:\s*(.*)$", info.read_text(), re.MULTILINE)
        if info.exists()
        else None
    )
    return found[1] if found else platform.processor() or platform.machine()


def _first_line(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        print(f"bench: {' '.join(command)}: {error}", file=sys.stderr)
        return None
    return done.stdout.splitlines()[0]
