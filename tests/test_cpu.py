"""The C extension: instruction sets, threads, forks, Ctrl-C, memory."""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

import arraysig
from arraysig._core import cpu
from arraysig._core.op import OPS
from ckernels import build


def run(code: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, **environment},
    )


DIGEST = """
    import numpy as np, arraysig
    from arraysig._core import cpu
    rng = np.random.default_rng(0)
    out = []
    for shape, degree in [((40, 50, 3), 4), ((1, 3000, 2), 5), ((3, 20, 12), 3), ((1, 9, 2), 12)]:
        for dtype in ("float32", "float64"):
            path = (np.cumsum(rng.normal(size=shape), 1) / shape[1] ** 0.5).astype(dtype)
            s = arraysig.sig(path, degree, time_aug=True, n_jobs=2)
            g = arraysig.sig_backprop(path, None, s, degree, time_aug=True, n_jobs=2)
            out += [s.ravel(), g.ravel()]
    print(cpu.instruction_set())
    import sys
    np.savez(sys.argv[1] if len(sys.argv) > 1 else FILE, *out)
"""


def test_instruction_sets_agree(tmp_path: pathlib.Path) -> None:
    results = {}
    for isa in cpu.instruction_sets():
        file = tmp_path / f"{isa}.npz"
        done = run(DIGEST.replace("FILE", repr(str(file))), ARRAYSIG_ISA=isa)
        assert done.stdout.split() == [isa], done.stderr
        with np.load(file) as data:
            results[isa] = [data[name] for name in data.files]
    for arrays in results.values():
        for a, b in zip(arrays, results["base"], strict=True):
            eps = np.finfo(a.dtype).eps
            assert np.linalg.norm(a - b) <= 100 * eps * np.linalg.norm(b)


def test_the_best_instruction_set_is_chosen() -> None:
    done = run("from arraysig._core import cpu; print(cpu.instruction_set())", ARRAYSIG_ISA="")
    assert done.stdout.split() == cpu.instruction_sets()[-1:]


def test_instruction_sets_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARRAYSIG_ISAS", "")
    every = list(build.instruction_sets())
    assert len(every) == (3 if platform.machine() == "x86_64" else 1)
    monkeypatch.setenv("ARRAYSIG_ISAS", every[-1])
    assert list(build.instruction_sets()) == list(dict.fromkeys(["base", every[-1]]))
    monkeypatch.setenv("ARRAYSIG_ISAS", "base mmx")
    with pytest.raises(SystemExit, match="ARRAYSIG_ISAS=base mmx: there are base"):
        build.instruction_sets()


def test_an_unknown_instruction_set_is_refused() -> None:
    done = run("from arraysig._core import cpu", ARRAYSIG_ISA="mmx")
    assert "ImportError: ARRAYSIG_ISA='mmx'" in done.stderr
    assert "base" in done.stderr


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not shutil.which("objdump"), reason="needs objdump on x86-64"
)
def test_multiplications_and_additions_are_contracted() -> None:
    text = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", cpu._ckernels.__file__],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for register in ("ymm", "zmm"):
        for kind in ("ps", "pd"):
            found = re.findall(rf"vfn?m(?:add|sub)\d+{kind}\s.*%{register}", text)
            assert len(found) > 100, f"{len(found)} fused operations on {register}, {kind}"


@pytest.mark.parametrize(
    ("given", "count"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "passive"}, "0")],
    ids=str,
)
def test_how_long_threads_spin_is_the_environments_affair(
    given: dict[str, str], count: str
) -> None:
    code = """
        import os
        before = dict(os.environ)
        from arraysig._core import cpu
        print(os.environ == before)
    """
    done = run(code, OMP_DISPLAY_ENV="verbose", **given)
    assert done.stdout == "True\n", done.stderr
    if "GOMP_SPINCOUNT" in done.stderr:  # GNU OpenMP
        assert f"GOMP_SPINCOUNT = '{count}'" in done.stderr


def test_several_python_threads_at_once(rng: np.random.Generator) -> None:
    paths = rng.normal(size=(8, 64, 40, 3))
    expected = [arraysig.sig(p, 4) for p in paths]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            results = pool.map(lambda p: arraysig.sig(p, 4, n_jobs=2), paths)
            for got, want in zip(results, expected, strict=True):
                np.testing.assert_allclose(got, want, rtol=0, atol=1e-11 * np.abs(want).max())


def test_a_forked_child_does_not_hang() -> None:
    code = """
        import os, numpy as np, arraysig
        path = np.random.default_rng(0).normal(size=(256, 200, 4))
        expected = arraysig.sig(path, 3, n_jobs=2)
        child = os.fork()
        if child == 0:
            same = np.allclose(arraysig.sig(path, 3, n_jobs=2), expected)
            os._exit(0 if same else 1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    """
    assert run(code, timeout=30).stdout.split() == ["0"]


LONG = """
    import signal, sys, threading, time, numpy as np, arraysig
    path = np.zeros((64, 200000, 8), "float32")
    arraysig.sig(path[:, :10], 5, n_jobs=2)
    print("ready", flush=True)
    start = time.perf_counter()
    try:
        CALL
    except KeyboardInterrupt:
        print("interrupted", threading.active_count(), arraysig.sig(path[0, :3], 1).sum())
"""


@pytest.mark.parametrize(
    "call",
    [
        "arraysig.sig(path, 5, n_jobs=2)",
        "arraysig.sig(path[:1], 6)",
        "arraysig.sig_backprop(path, None, np.zeros((64, 37448), 'float32'), 5, n_jobs=2)",
        "arraysig.sig_kernel_gram(path, path, 0, n_jobs=2)",
        "arraysig.sig_kernel(path[0], path[0], 2, n_jobs=2)",
        "arraysig.sig_kernel_gram_backprop(np.ones((64, 64), 'f'), *[path[:, :20000]] * 2, 0)",
        "arraysig.branched_sig_kernel(path, path, 3, 0, n_jobs=2)",
        "arraysig.branched_sig_kernel_backprop(np.ones(64, 'f'), *[path[:, :20000]] * 2, 2, 0)",
    ],
)
def test_ctrl_c_stops_a_long_call(call: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LONG).replace("CALL", call)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.7)
        assert process.poll() is None
        sent = time.perf_counter()
        process.send_signal(signal.SIGINT)
        out = process.stdout.read()
        assert time.perf_counter() - sent < 1.5  # one second, and the interpreter's end
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.stdout.close()
    assert out.split() == ["interrupted", "1", "0.0"]


def test_calls_that_write_large_grids_can_be_interrupted() -> None:
    path = (8, 400, 3)
    for grid in (False, True):
        plan = OPS["sig_kernel"].plan(path, path, 2, 2, 0, 0.0, 0.0, 0.0, False, grid, 1)
        assert (plan.work >= cpu.INTERRUPTIBLE_WORK) == grid


def test_n_jobs_counts_processors() -> None:
    from arraysig._core.check import PROCESSORS

    assert cpu.threads(1) == 1
    assert cpu.threads(-1) == PROCESSORS
    assert cpu.threads(-PROCESSORS) == 1
    assert cpu.threads(10**6) == PROCESSORS
