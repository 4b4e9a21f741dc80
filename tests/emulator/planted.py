"""Runs a kernel of planted.cu: ``python -m tests.emulator.planted kernel``, in any flavor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from arraysig._core.cuda import KernelSource, Pointer

from .device import EmulatedDevice

_TEXT = (Path(__file__).parent / "planted.cu").read_text(encoding="utf-8")


class PlantedSource(KernelSource):
    """planted.cu, which is not among the files of the library."""

    def code(self) -> str:
        """As `KernelSource.code`."""
        defines = "".join(f"#define {name} {value}\n" for name, value in self.macros)
        return f'{defines}#line 1 "planted.cu"\n{_TEXT}'


class Case(NamedTuple):
    """How to launch a kernel: x is 0.5, 1.5, ... of `size` numbers.

    `kernel` is its name where that is not the name of the case.
    """

    block: tuple[int, ...] = (32,)
    grid: tuple[int, ...] = (1,)
    size: int = 64
    n: int = 64
    shared: int = 0
    kernel: str | None = None


CASES = {
    "scan_right": Case((64,)),
    "scan_without_barrier": Case((64,)),
    "wavefront_right": Case(n=20, shared=3 * 32 * 4),
    "wavefront_without_barrier": Case(n=20, shared=3 * 32 * 4),
    "hand_over_right": Case(),
    "hand_over_without_syncwarp": Case(),
    "syncwarp_of_half": Case(),
    "reuse_right": Case((64,)),
    "reuse_without_barrier": Case((64,)),
    "shared_index_plus_one": Case(),
    "dynamic_shared": Case(shared=31 * 4),
    "dynamic_shared_right": Case(shared=32 * 4, kernel="dynamic_shared"),
    "fill": Case((64,), size=50),
    "fill_right": Case((64,), kernel="fill"),
    "unset_shared": Case(),
    "add_without_atomic": Case(grid=(4,)),
    "add_with_atomic": Case(grid=(2, 2)),
    "neighbour_block": Case(grid=(4,)),
    "update_while_read": Case(),
    "update_after_syncwarp": Case((64,)),
    "update_after_syncthreads": Case((64,), (2,)),
    "int_overflow": Case(grid=(4,)),
    "misaligned_vector": Case(),
    "divergent_barrier": Case(),
    "barrier_of_some": Case(),
    "shuffle_without_half": Case(),
    "shuffle_from_outside": Case((16,)),
    "shuffles_of_halves": Case(),
    "shuffle_in_small_block": Case((16,)),
    "shuffle_of_odd_width": Case(),
    "lane_outside_of_mask": Case(),
    "trap": Case(),
    "features": Case((8, 8)),
    "blocks_in_turn": Case(grid=(2,)),
    "early_exit": Case(),
    "denormal": Case(),
    "static_shared": Case(),
    "block_order": Case((1,), (63,)),
    "thread_order": Case((63,)),
}


def start(size: int) -> np.ndarray[Any, Any]:
    """The x that kernels get."""
    return np.arange(size, dtype=np.float32) + np.float32(0.5)


def run(
    name: str,
    device: EmulatedDevice,
    x: np.ndarray[Any, Any] | None = None,
    macros: tuple[tuple[str, int | str], ...] = (("STATIC_FLOATS", 64),),
) -> np.ndarray[Any, Any]:
    """Launch the kernel of a case, and return x."""
    case = CASES[name]
    x = start(case.size) if x is None else x
    pointer = Pointer(x.ctypes.data, x.dtype.name, x.shape)
    args = (pointer, np.int64(case.n))
    source = PlantedSource("planted.cu", macros)
    device.launch(source, case.kernel or name, case.grid, case.block, args, case.shared, None)
    return x


def line(name: str) -> int:
    """The line that reports about kernel `name` must mention."""
    before, mark, _ = _TEXT.partition(f"/* bug: {name} */")
    assert mark, f"planted.cu marks no line as the bug of {name}"
    return before.count("\n") + 1


if __name__ == "__main__":
    print(run(sys.argv[1], EmulatedDevice()))
