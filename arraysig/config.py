"""What arraysig runs on: versions, instruction sets, threads, devices."""

from __future__ import annotations

import os
import platform
import runpy
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["show_config"]


def show_config() -> None:
    """Print versions, instruction set, threads and devices.

    Put its output into bug reports. The same as ``python -m arraysig info``.

    Notes
    -----
    CuPy is imported if it is installed, for it alone knows the CUDA devices; torch is not. What is
    missing or broken is printed as such: this function does not raise.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.show_config()  # doctest: +ELLIPSIS
    arraysig          ...
    Python            ...
    """
    for name, value in configuration().items():
        print(f"{name:18}{value}")


def configuration() -> dict[str, str]:
    """Names and values of the lines of `show_config`."""
    return {name: _outcome(value) for name, value in _lines()}


def no_gpu() -> str:
    """Why CUDA arrays can not be used here; "" where they can."""
    from ._core import cuda

    return cuda.find()[1]


def _lines() -> Iterator[tuple[str, Callable[[], str]]]:
    yield "arraysig", lambda: version("arraysig")
    yield "Python", lambda: f"{platform.python_version()} ({platform.python_implementation()})"
    yield "NumPy", lambda: version("numpy")
    yield "platform", platform.platform
    yield "instruction set", _instruction_set
    yield "OpenMP", _openmp
    yield "processors", _processors
    yield from _cuda_lines()
    yield "torch", _torch


def _outcome(value: Callable[[], str]) -> str:
    try:
        text = value()
    except Exception as error:  # whatever is broken is the very thing to be shown
        text = f"broken ({type(error).__name__}: {error})"
    return " ".join(text.split())


def _instruction_set() -> str:
    from ._core import cpu

    return f"{cpu.instruction_set()} (available: {', '.join(cpu.instruction_sets())})"


def _openmp() -> str:
    from ._core import cpu

    return str(cpu.openmp() or "none: one thread")


def _processors() -> str:
    from ._core import cpu

    return f"{cpu.threads(-1)} for n_jobs=-1, of {os.cpu_count()}"


def _cuda_lines() -> Iterator[tuple[str, Callable[[], str]]]:
    from ._core import cuda

    cupy, reason = cuda.find()
    if cupy is None:
        yield "CuPy", lambda: "not installed" if find_spec("cupy") is None else reason
        return
    runtime = cupy.cuda.runtime
    yield "CuPy", lambda: str(cupy.__version__)
    yield "CUDA runtime", lambda: _cuda_version(runtime.runtimeGetVersion())
    yield "CUDA compiler", lambda: "NVRTC {}.{}".format(*cupy.cuda.nvrtc.getVersion())
    yield "CUDA driver", lambda: _cuda_version(runtime.driverGetVersion())
    if reason:
        yield "CUDA devices", lambda: reason
    else:
        yield "CUDA devices", lambda: _devices(runtime)


def _cuda_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}" if number else "none"


def _devices(runtime: Any) -> str:
    found = []
    for ordinal in range(runtime.getDeviceCount()):
        properties = runtime.getDeviceProperties(ordinal)
        name = properties["name"].decode()
        capability = f"sm_{properties['major']}{properties['minor']}"
        memory = f"{properties['totalGlobalMem'] / 2**30:.1f} GiB"
        found.append(f"{ordinal}: {name} ({capability}, {memory})")
    return ", ".join(found)


def _torch() -> str:
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return "not installed"
    # Importing torch takes seconds; the versions are in a file of their own.
    versions = runpy.run_path(str(Path(spec.origin).with_name("version.py")))
    cuda = versions["cuda"]
    return f"{versions['__version__']} ({f'CUDA {cuda}' if cuda else 'without CUDA'})"
