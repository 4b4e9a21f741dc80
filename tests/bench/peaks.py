"""Measures what the machine can do at most: multiply-adds per second and memory bandwidth."""

from __future__ import annotations

import ctypes
import os
import pathlib
import re
import shlex
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from .timing import Clock

SOURCE = pathlib.Path(__file__).with_name("peak.c")

#: Seconds of one measurement of the FMA rate.
FMA_SECONDS = 5e-3
FMA_REPEAT = 20
BANDWIDTH_REPEAT = 5
_MIB = 2**20
_SUFFIX = {"float32": ("f32", ctypes.c_float), "float64": ("f64", ctypes.c_double)}


class NoCompilerError(RuntimeError):
    """The peaks are measured by C code."""


def compiler() -> list[str]:
    """The C compiler: ``CC``, else the one that Python was built with."""
    return shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")


class Kernels:
    """`peak.c` on `threads` threads, with the flags that the kernels of `isa` are compiled with."""

    def __init__(self, isa: str, threads: int) -> None:
        self.threads = threads
        self._library = _build(isa)
        self._pool = ThreadPoolExecutor(threads)

    def fma(self, dtype: str) -> tuple[Clock, float]:
        """Clock of a batch of multiply-adds on all threads, and its number of operations."""
        suffix, _ = _SUFFIX[dtype]
        function = getattr(self._library, f"as_fma_{suffix}")
        lanes = getattr(self._library, f"as_lanes_{suffix}")()

        def clock(steps: int) -> float:
            return _seconds(lambda: self._everywhere(lambda _: function(steps, 0.5, 0.5)))

        steps = 1000
        while (once := clock(steps)) < FMA_SECONDS / 2:
            steps *= 2
        steps = int(steps * FMA_SECONDS / once)

        return lambda count: clock(
            count * steps
        ), 2.0 * self._library.as_chains() * lanes * steps * self.threads

    def bandwidth(self, array_bytes: int) -> tuple[float, float]:
        """Bytes per second of the triad and of the copy."""
        triad, moved = self._on_parts("as_triad", array_bytes, 3)
        copy, _ = self._on_parts("as_copy", array_bytes, 2)

        def best(function: Callable[[], None]) -> float:
            return min(_seconds(function) for _ in range(BANDWIDTH_REPEAT))

        return 3 * moved / best(triad), 2 * moved / best(copy)

    def moves(self, what: str, array_bytes: int) -> Clock:
        """Clock of "copy" or "fill" of so many bytes, on all threads, in touched memory."""
        function, _ = self._on_parts(f"as_{what}", array_bytes, 2)
        return lambda count: _seconds(lambda: [function() for _ in range(count)])

    def _on_parts(self, name: str, array_bytes: int, arrays: int) -> tuple[Callable[[], None], int]:
        """A function of arrays of float64, of which each thread takes a part; and bytes of one."""
        chunk = max(1, array_bytes // 8 // self.threads)
        whole = [np.full(chunk * self.threads, 1.0 + i) for i in range(arrays)]
        function = getattr(self._library, name)

        def part(i: int) -> None:
            function(*[int(a.ctypes.data) + 8 * chunk * i for a in whole], chunk)

        return lambda: self._everywhere(part), whole[0].nbytes

    def _everywhere(self, function: Callable[[int], object]) -> None:
        list(self._pool.map(function, range(self.threads)))


def _build(isa: str) -> Any:
    from ckernels.build import CFLAGS, instruction_sets

    with tempfile.TemporaryDirectory() as folder:
        target = pathlib.Path(folder, "peak.so")
        command = [*compiler(), *CFLAGS, *instruction_sets()[isa], "-fPIC", "-shared"]
        command += [str(SOURCE), "-o", str(target)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError as error:
            raise NoCompilerError(f"no C compiler {command[0]!r}: set CC") from error
        if done.returncode:
            raise NoCompilerError(f"{shlex.join(command)} failed:\n{done.stderr}")
        library = ctypes.CDLL(str(target))
    for suffix, real in _SUFFIX.values():
        function = getattr(library, f"as_fma_{suffix}")
        function.argtypes = [ctypes.c_int64, real, real]
        function.restype = ctypes.c_double
    library.as_triad.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int64]
    library.as_copy.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_int64]
    library.as_fill.argtypes = library.as_copy.argtypes
    library.as_triad.restype = library.as_copy.restype = library.as_fill.restype = None
    return library


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@dataclass(frozen=True)
class Peaks:
    """What the machine reached before the benchmarks.

    Attributes
    ----------
    fma_gflops : 1e9 operations per second by dtype; a multiply-add is two
    triad_gbs, copy_gbs : 1e9 bytes per second
    array_mb, last_cache_mb : size of each array of the triad, and of the last cache (0: unknown)
    """

    fma_gflops: dict[str, float]
    triad_gbs: float
    copy_gbs: float
    array_mb: float
    last_cache_mb: float

    @property
    def bandwidth_gbs(self) -> float:
        """What fractions of bandwidth refer to."""
        return max(self.triad_gbs, self.copy_gbs)


def measure(kernels: Kernels, dtypes: tuple[str, ...], quick: bool = False) -> Peaks:
    """All peaks; `quick` takes arrays that may fit in a cache."""
    rates = {}
    for dtype in dtypes:
        clock, flops = kernels.fma(dtype)
        rates[dtype] = flops / min(clock(1) for _ in range(FMA_REPEAT)) / 1e9
    size = 8 * _MIB if quick else _array_bytes()
    triad, copy = kernels.bandwidth(size)
    return Peaks(rates, triad / 1e9, copy / 1e9, size / 1e6, last_cache_bytes() / 1e6)


def last_cache_bytes() -> int:
    """Size of the largest cache of the first processor; 0 where Linux does not say."""
    units = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
    sizes = [0]
    for file in pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        found = re.fullmatch(r"(\d+)([KMG]?)", file.read_text().strip())
        if found:
            sizes.append(int(found[1]) * units[found[2]])
    return max(sizes)


def _array_bytes() -> int:
    """Larger than the last cache, but three of them at most half of the memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    wanted = max(128 * _MIB, last_cache_bytes() * 5 // 4)
    return min(wanted, memory // 6)
