"""Extra memory of one call, measured in a process of its own: ``python -m tests.bench.memory``.

The child loads the inputs from files, so that nothing that made them is left in its heap, calls
once on a tiny cell to load code and start threads, lets Linux forget the peak resident size, and
calls. Extra is the peak less the size before the call and less the size of the result.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import resource
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np

from .peers import find_peer
from .rows import BY_NAME, Cell, Row

ROOT = pathlib.Path(__file__).parents[2]
_KIB = 1024


class ChildError(RuntimeError):
    """The child failed."""


def measure(row: Row, cell: Cell, dtype: str, threads: int, side: str) -> float:
    """Extra megabytes (1e6 bytes) of a call of `side`: "ours", or the name of a peer."""
    with tempfile.TemporaryDirectory() as folder:
        for name, array in row.make_inputs(cell, dtype).items():
            np.save(pathlib.Path(folder, name), array)
        request = {"op": row.name, "cell": cell, "dtype": dtype, "threads": threads, "side": side}
        done = subprocess.run(
            [sys.executable, "-m", __name__, json.dumps({**request, "folder": folder})],
            check=False,
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
    if done.returncode:
        raise ChildError(f"measuring the memory of {row.name} {cell} failed:\n{done.stderr}")
    return float(done.stdout.split()[-1]) / 1e6


def _resident() -> int:
    """Resident size in bytes."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _reset_peak() -> bool:
    """Make Linux forget the peak; False where it will not."""
    try:
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _peak(was_reset: bool) -> int:
    """Peak resident size in bytes since the reset, or else of the process."""
    if was_reset:
        text = pathlib.Path("/proc/self/status").read_text()
        found = re.search(r"^VmHWM:\s*(\d+) kB$", text, re.MULTILINE)
        if found:
            return int(found[1]) * _KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB


def extra_bytes(request: dict[str, Any]) -> int:
    """Make the call that `request` describes, in this process."""
    row, cell = BY_NAME[request["op"]], tuple(request["cell"])
    library: Any
    if request["side"] == "ours":
        import arraysig as library
    else:
        library = find_peer("cpu", request["side"])
    row.call(library, row.make_inputs(row.tiny, request["dtype"]), row.tiny, request["threads"])
    files = pathlib.Path(request["folder"]).glob("*.npy")
    arrays = {file.stem: np.load(file) for file in files}
    was_reset = _reset_peak()
    before = _resident()
    result: np.ndarray = row.call(library, arrays, cell, request["threads"])
    return max(0, _peak(was_reset) - before - result.nbytes)


if __name__ == "__main__":
    print(extra_bytes(json.loads(sys.argv[1])))
