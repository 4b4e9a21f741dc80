"""The benchmarks' own parts: formulas, comparison, timing, report, command line."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
import mmap
import os
import pathlib
import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import arraysig

from .bench import __main__ as cli
from .bench import (
    accuracy,
    devices,
    equal,
    floors,
    formulas,
    harness,
    latency,
    memory,
    report,
    timing,
)
from .bench.peers import find_peer
from .bench.rows import BY_NAME, DTYPES, LATENCIES, ROWS, Bar, brownian

H200 = floors.Gpu("H200", 90, 132, 1.98e9, 4.3e12)


class Counted:
    """Performs multiply-adds and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def fma(self, a: float, b: float, c: float) -> float:
        self.count += 1
        return a * b + c


Word = tuple[int, ...]


class Walk:
    """Signature and gradient word by word: the recurrences that the formulas count."""

    def __init__(self, path: np.ndarray, degree: int) -> None:
        self.path, self.degree, self.letters = path, degree, range(path.shape[1])
        lengths = range(1, degree + 1)
        self.words: list[Word] = [
            w for k in lengths for w in itertools.product(self.letters, repeat=k)
        ]
        self.states = [dict.fromkeys(self.words, 0.0)]  # signatures after every step
        self.counted = Counted()

    def signature(self) -> np.ndarray:
        """Walk forward."""
        for z in self.path[1:] - self.path[:-1]:
            before, after = self.states[-1], dict(self.states[-1])
            self._forward((), [1.0] * self.degree, self._scaled(z), before, after)
            self.states.append(after)
        return np.array(list(self.states[-1].values()))

    def gradient(self, derivs: np.ndarray) -> np.ndarray:
        """Walk backwards; the signatures before every step are taken as known."""
        adjoint = dict(zip(self.words, map(float, derivs), strict=True))
        gradient = np.zeros_like(self.path)
        for t in range(len(self.path) - 2, -1, -1):
            scaled = self._scaled(self.path[t + 1] - self.path[t])
            zbar = [[0.0] * len(self.letters) for _ in scaled]
            self._backward((), [1.0] * self.degree, scaled, zbar, self.states[t], adjoint)
            for m, a in itertools.product(range(1, self.degree), self.letters):
                zbar[0][a] = self.counted.fma(1 / (m + 1), zbar[m][a], zbar[0][a])
            gradient[t + 1] += zbar[0]
            gradient[t] -= zbar[0]
        return gradient

    def _scaled(self, z: np.ndarray) -> list[list[float]]:
        """z, z / 2, ..., z / degree."""
        fma = self.counted.fma
        first = [float(v) for v in z]
        return [first, *([fma(v, 1 / m, 0.0) for v in first] for m in range(2, self.degree + 1))]

    def _below(
        self, child: Word, h: list[float], scaled: list[list[float]], s: float
    ) -> list[float]:
        """H1, H2, ... of a child."""
        a = child[-1]
        count = self.degree - len(child)
        return [self.counted.fma(scaled[m][a], h[m], s) for m in range(1, count + 1)]

    def _forward(
        self,
        word: Word,
        h: list[float],
        scaled: list[list[float]],
        before: dict[Word, float],
        after: dict[Word, float],
    ) -> None:
        for a in self.letters:
            child, s = (*word, a), before[*word, a]
            after[child] = self.counted.fma(scaled[0][a], h[0], s)
            if len(child) < self.degree:
                self._forward(child, self._below(child, h, scaled, s), scaled, before, after)

    def _backward(
        self,
        word: Word,
        h: list[float],
        scaled: list[list[float]],
        zbar: list[list[float]],
        before: dict[Word, float],
        adjoint: dict[Word, float],
    ) -> list[float]:
        fma = self.counted.fma
        hbar = [0.0] * len(h)
        for a in self.letters:
            child, sbar = (*word, a), adjoint[*word, a]
            zbar[0][a] = fma(h[0], sbar, zbar[0][a])
            hbar[0] = fma(scaled[0][a], sbar, hbar[0])
            if len(child) == self.degree:
                continue
            fma(scaled[0][a], h[0], before[child])  # the signature after the step
            below = self._below(child, h, scaled, before[child])
            bars = self._backward(child, below, scaled, zbar, before, adjoint)
            for m, bar in enumerate(bars, start=1):
                zbar[m][a] = fma(h[m], bar, zbar[m][a])
                hbar[m] = fma(scaled[m][a], bar, hbar[m])
                adjoint[child] = fma(1.0, bar, adjoint[child])
        return hbar


@pytest.mark.parametrize(("d", "degree"), [(1, 1), (3, 1), (2, 2), (2, 4), (3, 3), (1, 5)])
def test_formulas_count_the_operations_of_a_recurrence_that_is_right(d: int, degree: int) -> None:
    path = brownian((1, 4, d, degree), np.random.default_rng(1))[0]
    walk = Walk(path, degree)
    signature = walk.signature()
    forward = walk.counted.count
    np.testing.assert_allclose(signature, arraysig.sig(path, degree), rtol=1e-12, atol=1e-14)
    derivs = np.random.default_rng(2).standard_normal(signature.shape)
    gradient = walk.gradient(derivs)
    backward = walk.counted.count - forward
    expected = arraysig.sig_backprop(path, None, derivs, degree)
    np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-13)
    steps = len(path) - 1
    assert forward == steps * formulas.sig_fmas(d, degree)
    assert backward == steps * formulas.sig_backprop_fmas(d, degree)
    assert formulas.sig_flops(5, 4, d, degree) == 2 * 5 * forward
    assert formulas.sig_backprop_flops(5, 4, d, degree) == 2 * 5 * backward


def test_known_counts() -> None:
    assert formulas.sig_fmas(16, 3) == 4688
    assert formulas.sig_fmas(3, 0) == formulas.sig_backprop_fmas(3, 0) == 0
    assert formulas.signature_length(16, 3) == arraysig.sig_length(16, 3)
    assert formulas.sig_numbers(2, 10, 3, 2) == 2 * (30 + 12)
    assert formulas.sig_backprop_numbers(2, 10, 3, 2) == 2 * (60 + 12)


def test_geometric_mean() -> None:
    assert formulas.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert formulas.geometric_mean([1e-200, 1e-200, 1e-200]) == pytest.approx(1e-200)
    with pytest.raises(ValueError, match="no values"):
        formulas.geometric_mean([])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_rows_are_complete(row: Any) -> None:
    assert callable(getattr(arraysig, row.name.partition("[")[0]))
    for cell in (*row.cells, *row.quick, *row.cuda, row.tiny):
        assert len(cell) == len(row.columns)
        assert row.flops(*cell) > 0
        assert row.numbers(*cell) > 0
    assert set(row.grid("cuda", quick=False)) == {*row.cells, *row.cuda}
    assert row.grid("cpu", quick=False) == row.cells
    assert row.grid("cuda", quick=True) == row.quick
    assert set(row.tolerance) == set(DTYPES)
    assert all(dtype in DTYPES for _, dtype in row.bars)
    assert all(cell in row.cells for _, _, cell in row.fma_bars)
    for dtype in DTYPES:
        arrays = row.make_inputs(row.tiny, dtype)
        again = row.make_inputs(row.tiny, dtype)
        for name, array in arrays.items():
            assert array.dtype == dtype
            assert array.flags.c_contiguous
            assert array.base is None
            np.testing.assert_array_equal(array, again[name])
        assert row.call(arraysig, arrays, row.tiny, 1).dtype == dtype


def test_brownian_steps_have_the_variance_of_the_grid() -> None:
    path = brownian((50, 1000, 2, 2), np.random.default_rng(0))
    assert np.var(np.diff(path, axis=1)) * 1000 == pytest.approx(1, rel=0.02)


def test_relative_error_is_that_of_the_worst_item() -> None:
    wanted = np.array([[3.0, 4.0], [0.0, 0.0], [30.0, 40.0]])
    assert harness.relative_error(wanted, wanted) == 0
    got = wanted + np.array([[0.0, 0.5], [0.0, 0.0], [0.0, 0.5]])
    assert harness.relative_error(got, wanted) == pytest.approx(0.1)
    assert harness.relative_error(wanted + np.array([[0.0], [1.0], [0.0]]), wanted) == math.inf
    assert math.isnan(harness.relative_error(wanted * math.nan, wanted))
    with pytest.raises(ValueError, match="shape"):
        harness.relative_error(wanted[:, :1], wanted)


def test_clocks_alternate_and_the_least_time_counts() -> None:
    calls: list[str] = []

    def clock(name: str, seconds: float) -> timing.Clock:
        times = itertools.chain([seconds, 9 * seconds, 2 * seconds], itertools.repeat(seconds * 3))

        def run(count: int) -> float:
            assert count == 1  # as long as this, calls are not repeated
            calls.append(name)
            return next(times)

        return run

    first, second = timing.alternate([clock("a", 1.0), clock("b", 10.0)], 5, settle=0, cell=0)
    assert "".join(calls) == "ab" + "abba" * 2 + "ab"  # a warm-up and five rounds
    assert (first.best, first.median, second.best) == (2.0, 3.0, 20.0)
    assert first.noise == 1.5


def test_short_calls_are_repeated_to_fill_a_batch() -> None:
    counts: list[int] = []

    def run(count: int) -> float:
        counts.append(count)
        return 1e-6 * count

    (measured,) = timing.alternate([run], 5, batch=1e-3, settle=0, cell=0)
    assert measured.best == pytest.approx(1e-6)
    assert counts[-1] == pytest.approx(1000, rel=0.01)
    assert counts[-2] == 1


def quick_setup(peer: Any, ours: Any = arraysig) -> harness.Setup:
    return harness.Setup(
        device=devices.Cpu(),
        threads=1,
        ours=ours,
        peer=peer,
        timing={"batch": 1e-5, "settle": 0.0, "cell": 0.0},
    )


def scaled_by(factor: float) -> SimpleNamespace:
    """A peer that is wrong by a factor."""

    def sig(path: Any, degree: int, n_jobs: int) -> Any:
        result = arraysig.sig(path, degree, n_jobs=n_jobs)
        result[-1] *= result.dtype.type(factor)
        return result

    return SimpleNamespace(sig=sig)


def test_a_cell_is_compared_and_timed() -> None:
    row = BY_NAME["sig"]
    result = harness.run_cell(row, (3, 5, 2, 3), "float64", quick_setup(arraysig))
    assert result.status == "ok"
    assert result.error == 0
    assert result.ours_ms is not None
    assert result.peer_ms is not None
    assert result.ratio == pytest.approx(result.peer_ms / result.ours_ms)
    assert result.gflops == pytest.approx(row.flops(3, 5, 2, 3) / result.ours_ms / 1e6)
    assert result.gbs == pytest.approx(8 * row.numbers(3, 5, 2, 3) / result.ours_ms / 1e6)


@pytest.mark.parametrize("factor", [1.001, math.nan])
def test_a_wrong_result_is_not_timed(factor: float) -> None:
    result = harness.run_cell(
        BY_NAME["sig"], (3, 5, 2, 2), "float32", quick_setup(scaled_by(factor))
    )
    assert result.status == "wrong"
    assert result.failed
    assert "exceeds" in result.message
    assert (result.ours_ms, result.ratio) == (None, None)


def test_what_raises_is_an_error() -> None:
    setup = quick_setup(SimpleNamespace())
    result = harness.run_cell(BY_NAME["sig"], (3, 5, 2, 2), "float32", setup)
    assert result.status == "error"
    assert result.failed
    assert "AttributeError" in result.message


def test_without_a_peer_nothing_is_compared() -> None:
    result = harness.run_cell(BY_NAME["sig"], (3, 5, 2, 2), "float32", quick_setup(None))
    assert (result.status, result.failed, result.ratio) == ("unchecked", False, None)
    assert result.ours_ms is not None
    assert harness.summarise([result]) == []
    assert "peer ms" not in report.text(report.cell_table([result]))


def test_a_row_may_have_no_peer_and_is_measured_by_its_data() -> None:
    row = dataclasses.replace(BY_NAME["sig"], has_peer=False, moves="fill", bars=FILLS)
    kernels = SimpleNamespace(
        fma=lambda dtype: (lambda count: 1e-3 * count, 2e6),
        moves=lambda what, size: lambda count: 1e-9 * size * count,
    )
    setup = dataclasses.replace(quick_setup(SimpleNamespace()), kernels=kernels)
    result = harness.run_cell(row, (3, 5, 2, 2), "float64", setup)
    assert (result.status, result.message, result.ratio) == ("unchecked", "", None)
    assert result.moves_ms == pytest.approx(1e-6 * 3 * 6 * 8)  # of the result only
    assert result.ours_ms is not None
    assert result.moves_ratio == pytest.approx(result.ours_ms / result.moves_ms)
    (verdict,) = harness.judge([row], [result], [], "avx512")
    assert (verdict.what, verdict.met) == ("sig float64: times a fill of its data", False)


FILLS = {("avx512", "float64"): Bar(None, None, 0.0)}


def test_other_peers_go_by_the_names_of_arraysig() -> None:
    pytest.importorskip("iisignature")
    for op, cell in (("sig", (2, 6, 2, 3)), ("sig_backprop", (2, 6, 2, 3))):
        setup = quick_setup(find_peer("cpu", "iisignature"))
        assert harness.run_cell(BY_NAME[op], cell, "float32", setup).status == "ok"
    with pytest.raises(ValueError, match="one thread"):
        find_peer("cpu", "iisignature").sig(np.ones((2, 2)), 2, n_jobs=2)


def some_result(ratio: float, **changes: Any) -> harness.Result:
    cell = {"batch": 256, "length": 1000, "d": 16, "degree": 3}
    result = harness.Result("sig", "float32", cell, 1e-4, "ok", ratio=ratio)
    return dataclasses.replace(result, **changes)


def test_summary_and_bars() -> None:
    results = [some_result(2.0, cell={**some_result(0.0).cell, "d": 2}), some_result(32.0)]
    (summary,) = harness.summarise(results)
    assert summary["geometric_mean"] == pytest.approx(8)
    assert (summary["least"], summary["least_cell"]["d"]) == (2.0, 2)

    def verdicts(key: str, *changed: harness.Result) -> dict[str, bool]:
        found = harness.judge(ROWS, changed or results, [summary], key)
        return {v.what.split(": ")[1]: v.met for v in found}

    assert BY_NAME["sig"].bars["avx512", "float32"] == Bar(8, 3)
    mean, least = "geometric mean of the ratio", "least ratio"
    assert verdicts("avx512") == {mean: summary["geometric_mean"] >= 8, least: False}
    assert verdicts("avx2") == {mean: True}
    assert verdicts("base") == {}
    assert verdicts("base", some_result(1.0, ours_extra_mb=65.0)) == {
        "most extra memory (MB)": False
    }
    assert verdicts("cuda", some_result(1.0, floor_ratio=1.9)) == {
        least: True, "most times the floor": True
    }  # fmt: skip
    fraction = "fraction of the FMA peak"
    assert verdicts("avx512", some_result(1.0, fma_fraction=0.49))[fraction] is False
    assert verdicts("avx512", some_result(1.0, fma_fraction=0.51))[fraction] is True


def test_nan_meets_no_bar() -> None:
    assert not harness.at_least("x", 1.0, math.nan).met
    assert not harness.at_most("x", 1.0, math.nan).met


#: (d, degree): microseconds for 256 float32 paths of 10000 points on an H200, worked out by hand
#: (bytes at 4.3 TB/s, multiply-adds at 33.4e12 and warp instructions at 1.045e12 per second).
PREDICTED = {
    (2, 2): (4.8, 0.8, 1.1),
    (2, 3): (4.8, 2.0, 2.3),
    (4, 2): (9.5, 2.1, 2.3),
    (4, 3): (9.5, 8.9, 10.1),
    (8, 2): (19, 6.7, 7.5),
    (8, 3): (19, 52, 61),
    (16, 2): (38, 23, 25),
    (16, 3): (39, 359, 451),
}


@pytest.mark.parametrize(("key", "micros"), PREDICTED.items())
def test_floors_of_the_signature(key: tuple[int, int], micros: tuple[float, ...]) -> None:
    floor = floors.floor(BY_NAME["sig"], (256, 10000, *key), "float32", H200)
    assert floor.issue is not None
    got = [1e6 * floor.memory, 1e6 * floor.fma, 1e6 * floor.issue]
    np.testing.assert_allclose(got, micros, rtol=0.02, atol=0.06)
    assert floor.seconds == max(floor.memory, floor.fma, floor.issue)
    names = ("memory", "fma", "issue")
    assert floor.bound == names[int(np.argmax(got))]
    double = floors.floor(BY_NAME["sig"], (256, 10000, *key), "float64", H200)
    assert double.issue is None
    assert double.memory == pytest.approx(2 * floor.memory)
    assert double.fma == pytest.approx(2 * floor.fma)


def test_floor_of_an_unknown_device() -> None:
    with pytest.raises(ValueError, match="compute capability 42"):
        dataclasses.replace(H200, capability=42).fma_rate("float32")


class FakeEvent:
    """Stands for cupy.cuda.Event."""

    def record(self) -> None:
        self.time = 1e3 * time.perf_counter()

    def synchronize(self) -> None:
        pass


def fake_cupy() -> Any:
    """As much of CuPy as the benchmarks need, over host memory."""
    device = SimpleNamespace(
        id=0,
        compute_capability="90",
        attributes={"MultiProcessorCount": 132, "ClockRate": 1980000, "L2CacheSize": 1000},
    )
    runtime = SimpleNamespace(getDeviceProperties=lambda i: {"name": b"H200"})
    cuda = SimpleNamespace(
        is_available=lambda: True,
        Device=lambda: device,
        Event=FakeEvent,
        get_elapsed_time=lambda start, end: end.time - start.time,
        runtime=runtime,
    )
    return SimpleNamespace(
        cuda=cuda,
        ndarray=np.ndarray,
        asarray=np.copy,
        asnumpy=np.asarray,
        ones=lambda n, dtype: np.ones(8),
        empty_like=np.empty_like,
    )


def test_cuda_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy())
    device = devices.find("cuda")
    assert isinstance(device, devices.Cuda)
    gpu = device.properties()
    assert (gpu.capability, gpu.multiprocessors, gpu.clock_hz) == (90, 132, 1.98e9)
    assert gpu.bandwidth > 0
    copies = device.place({"path": np.zeros(100)}, "cupy")
    assert len(copies) == 4  # more than twice the L2 cache
    seen: list[int] = []
    run = device.clock(lambda arrays: seen.append(id(arrays)), copies)
    assert run(3) > 0
    assert run(3) > 0
    assert seen == [id(copies[i % 4]) for i in range(6)]
    assert type(device.read(copies[0]["path"])) is np.ndarray


def test_command_line_on_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy())
    use_peer(monkeypatch, None)
    hasty = functools.partial(timing.alternate, batch=1e-4, settle=0, cell=0)
    monkeypatch.setattr(harness, "alternate", hasty)
    row = dataclasses.replace(BY_NAME["sig"], cells=((2, 30, 2, 2),), cuda=((4, 20, 2, 3),))
    monkeypatch.setitem(BY_NAME, "sig", row)
    arguments = ["--device", "cuda", "--ops", "sig", "--out", str(tmp_path)]
    assert cli.main(arguments) == cli.BAR_MISSED  # a CPU is not within twice the floor of a GPU
    document = json.loads((tmp_path / "cuda-sm_90.json").read_text())
    assert document["machine"]["gpu"] == document["gpu"]["name"] == "H200"
    assert (document["library"], document["peaks"]) == ("cupy", None)
    for cell in document["cells"]:
        assert cell["status"] == "unchecked"
        assert cell["floor_ratio"] == pytest.approx(cell["ours_ms"] / cell["floor_ms"])
    (verdict,) = document["verdicts"]
    assert verdict["what"] == "sig: most times the floor"
    assert "times floor" in capsys.readouterr().out


@pytest.mark.parametrize("cupy", [None, "no device"])
def test_no_gpu_is_a_clear_error(
    cupy: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = fake_cupy()
    module.cuda.is_available = lambda: False
    monkeypatch.setitem(sys.modules, "cupy", module if cupy else None)
    assert cli.main(["--device", "cuda"]) == 2
    wanted = "CuPy finds no CUDA device" if cupy else "--device cuda needs CuPy"
    assert wanted in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ops", "sig,nothing"], "unknown: 'nothing'; there are sig"),
        (["--dtypes", "float16"], "unknown: 'float16'"),
        (["--threads", "0"], "must be at least 1, got 0"),
        (["--threads", "two"], "invalid integer value: 'two'"),
        (["--repeat", "4"], "must be at least 5, got 4"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--library", "cupy"], "--device cpu has no cupy arrays"),
        (["--library", "numpy", "--device", "cuda"], "--device cuda has no numpy arrays"),
        (["--device", "cuda", "--memory"], "--memory is for --device cpu"),
        (["--device", "cuda", "--isa", "avx2"], "--isa is for --device cpu"),
        (["--peer", "iisignature", "--threads", "2"], "iisignature has one thread: --threads 2"),
        (["--no-such-option"], "unrecognized arguments"),
    ],
)
def test_argument_errors(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.options(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        ([], cli.DEFAULT_OUT),
        (["--quick"], None),
        (["--ops", "sig"], None),
        (["--dtypes", "float32"], None),
        (["--quick", "--out", "x"], pathlib.Path("x")),
    ],
)
def test_only_complete_runs_are_written_by_default(
    arguments: list[str], out: pathlib.Path | None
) -> None:
    assert cli.options(arguments).out == out
    assert cli.options(arguments).library == "numpy"
    assert cli.options([*arguments, "--device", "cuda"]).library == "cupy"
    assert cli.options(arguments).threads == 2
    assert cli.options([*arguments, "--peer", "iisignature"]).threads == 1


def test_isa_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class StartedError(Exception):
        pass

    def execv(program: str, arguments: list[str]) -> None:
        assert program == arguments[0] == sys.executable
        assert arguments[1] == "-m"
        assert arguments[2].endswith("bench")
        assert arguments[3:] == ["--isa", "base", "--quick"]
        assert os.environ["ARRAYSIG_ISA"] == "base"
        raise StartedError

    monkeypatch.setenv("ARRAYSIG_ISA", "other")
    monkeypatch.setattr(os, "execv", execv)
    with pytest.raises(StartedError):
        cli.main(["--isa", "base", "--quick"])


QUICK = ["--quick", "--ops", "sig", "--dtypes", "float32,float64", "--threads", "1"]

#: Types of the entries of the JSON document; of the lists, those of every element.
SCHEMA: dict[str, Any] = {
    "schema": int,
    "date": str,
    "command": str,
    "device": str,
    "isa": str,
    "library": str,
    "threads": int,
    "machine": {"cpu": str, "cores": int, "system": str, "architecture": str},
    "versions": {"python": str, "arraysig": str, "numpy": str, "compiler": str},
    "peaks": {
        "fma_gflops": {"float32": float, "float64": float},
        "triad_gbs": float,
        "copy_gbs": float,
        "array_mb": float,
        "last_cache_mb": float,
    },
    "bars": str,
    "definitions": dict.fromkeys(formulas.DEFINITIONS, str),
    "cells": [
        {
            "op": str,
            "dtype": str,
            "cell": {"batch": int, "length": int, "d": int, "degree": int},
            "status": str,
            "tolerance": float,
            "ours_ms": float,
            "peer_ms": float,
            "ratio": float,
            "ours_noise": float,
            "error": float,
            "gflops": float,
            "peak_gflops": float,
            "fma_fraction": float,
            "gbs": float,
            "bandwidth_fraction": float,
        }
    ],
    "summaries": [{"op": str, "dtype": str, "geometric_mean": float, "least": float}],
    "latencies": [{"name": str, "status": str, "ours_us": float}],
    "accuracy": [],
    "equal_accuracy": [],
    "verdicts": [],
}


def check_schema(value: Any, schema: Any) -> None:
    if isinstance(schema, dict):
        for key, inner in schema.items():
            assert key in value
            check_schema(value[key], inner)
    elif isinstance(schema, list):
        assert isinstance(value, list)
        assert bool(value) == bool(schema)
        for item in value:
            check_schema(item, schema[0])
    else:
        assert type(value) is schema


@pytest.fixture
def small_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out what imports Torch."""
    monkeypatch.setattr(cli, "LATENCIES", LATENCIES[:1])


def use_peer(monkeypatch: pytest.MonkeyPatch, peer: Any) -> None:
    monkeypatch.setattr(cli, "find_peer", lambda *_: peer)
    monkeypatch.setattr(latency, "find_peer", lambda *_: peer)


@pytest.mark.usefixtures("small_run")
def test_command_line_writes_a_report(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_peer(monkeypatch, arraysig)
    assert cli.main([*QUICK, "--out", str(tmp_path / "new")]) == 0
    (file,) = tmp_path.glob("new/*.json")
    document = json.loads(file.read_text())
    check_schema(document, SCHEMA)
    assert len(document["cells"]) == 2 * len(BY_NAME["sig"].quick)
    assert file.name == f"cpu-{document['isa']}.json"
    assert document["bars"] == "speed and memory not judged: reduced grid"
    assert all(rate > 0 for rate in document["peaks"]["fma_gflops"].values())
    markdown = file.with_suffix(".md").read_text()
    assert "| sig | float32 | 16,50,2,2 |" in markdown
    assert "geometric mean" in capsys.readouterr().out


@pytest.mark.usefixtures("small_run")
def test_command_line_fails_on_a_wrong_result(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use_peer(monkeypatch, scaled_by(1.01))
    monkeypatch.setattr(cli, "LATENCIES", ())
    assert cli.main(QUICK) == cli.FAILED
    printed = capsys.readouterr()
    assert "wrong: error" in printed.out
    assert "FAILED" in printed.err


@pytest.mark.usefixtures("small_run")
def test_command_line_tells_a_missed_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    use_peer(monkeypatch, None)
    rows = [dataclasses.replace(accuracy.ROWS[2], most=0.0)]
    monkeypatch.setattr(accuracy, "ROWS", rows)
    assert cli.main([*QUICK, "--dtypes", "float64", "--accuracy"]) == cli.BAR_MISSED


def test_json_has_no_nan(tmp_path: pathlib.Path) -> None:
    document = {"a": [math.nan, {"b": math.inf}], "c": (1.5,)}
    assert report.finite(document) == {"a": [None, {"b": None}], "c": [1.5]}


class Slow:
    """A library whose error falls, and whose time grows, with the order."""

    def __init__(self, unit: float, digits: float) -> None:
        self.unit, self.digits = unit, digits

    def sig_kernel_gram(
        self,
        x: Any,
        y: Any,
        *,
        order: int = 0,
        dyadic_order: int = 0,
        fold: int = 0,
        method: str = "",
        n_jobs: int,
    ) -> np.ndarray:
        time.sleep(self.unit * (order + 4**dyadic_order + (10 if fold else 0)))
        error = 10.0 ** -(self.digits * order if method else dyadic_order)
        return np.full((len(x), len(y)), 1 + error)


def test_the_fastest_choice_that_is_exact_enough() -> None:
    row = equal.EqualRow("float64", (2, 3, 2), 1e-6, 3)
    found = equal.run(row, Slow(1e-3, 2), Slow(4e-3, 1), 1, 5, cell=0)
    assert found.ours is not None
    assert found.peer is not None
    assert (found.ours.options, found.peer.options) == ("order 3, fold 0", "order 6")
    assert found.ours.error == pytest.approx(1e-6)
    assert found.ratio == pytest.approx(7, rel=0.2)  # (6 + 1) 4 by 3 + 1
    ((*_, ratio, status),) = report.equal_table([found])[1]
    assert (float(ratio), status) == (pytest.approx(found.ratio, rel=0.01), "ok")
    (verdict,) = cli._equal_verdicts([found])
    assert verdict.met
    assert equal.run(row, Slow(0, 2), Slow(0, 0.2), 1, 5, cell=0).status == "wrong"
    strict = dataclasses.replace(row, error=-1.0)
    unable = equal.run(strict, Slow(0, 2), Slow(0, 2), 1, 5, cell=0)
    assert (unable.status, unable.failed, unable.ratio) == ("error", True, None)


def test_options_of_a_function_are_one_grid() -> None:
    results = [
        some_result(ratio, op=op)
        for op, ratio in (("sig_kernel_gram", 10), ("sig_kernel_gram[rbf]", 42))
    ]
    found = harness.judge(ROWS, results, harness.summarise(results), "avx512")
    means = {v.what: v.got for v in found if "mean" in v.what}
    assert means == {
        "sig_kernel_gram, all options float32: geometric mean of the ratio": pytest.approx(420**0.5)
    }


def test_tables_are_aligned_and_escaped() -> None:
    table: report.Table = (("a", "long name"), [("x|y", "1"), ("", "2")])
    assert report.text(table) == "a    long name\nx|y  1\n     2"
    assert report.markdown(table).splitlines()[2] == "| x\\|y | 1 |"


def test_extra_memory_of_a_call_is_seen(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 48 * 2**20

    def greedy(lib: Any, arrays: Any, cell: Any, n_jobs: int) -> np.ndarray:
        # not from the heap, where other tests may have left room
        scratch = np.frombuffer(mmap.mmap(-1, size if cell[1] > 10 else 8), dtype="uint8")
        scratch[:] = 1
        return np.full(2**18, float(scratch[-1]))  # the result itself is not extra

    row = dataclasses.replace(BY_NAME["sig"], call=greedy)
    monkeypatch.setitem(BY_NAME, "sig", row)
    cell = (2, 50, 2, 2)
    np.save(tmp_path / "path", row.make_inputs(cell, "float64")["path"])
    request = {"op": "sig", "cell": cell, "dtype": "float64", "threads": 1, "side": "ours"}
    extra = memory.extra_bytes({**request, "folder": str(tmp_path)})
    assert extra == pytest.approx(size, rel=0.05)


def test_extra_memory_is_measured_in_a_process_of_its_own() -> None:
    assert 0 <= memory.measure(BY_NAME["sig"], (2, 50, 2, 2), "float32", 1, "ours") < 8
    row = dataclasses.replace(BY_NAME["sig"], name="nothing")
    with pytest.raises(memory.ChildError, match="KeyError: 'nothing'"):
        memory.measure(row, (2, 50, 2, 2), "float32", 1, "ours")


def test_reference_of_accuracy_is_right() -> None:
    rng = np.random.default_rng(3)
    for length in (2, 3, 8, 12):
        path = brownian((1, length, 2, 4), rng)[0]
        levels = accuracy.signature(path, 4)
        signature = arraysig.sig(path, 4)
        np.testing.assert_allclose(np.concatenate(levels), signature, rtol=1e-12, atol=1e-14)
        derivs = rng.standard_normal(signature.shape)
        gradient = accuracy.gradient(path, accuracy._split(derivs, 2), 4)
        expected = arraysig.sig_backprop(path, None, derivs, 4)
        np.testing.assert_allclose(gradient, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("op", ["sig", "sig_backprop"])
@pytest.mark.parametrize("exact", [True, False])
def test_accuracy_sees_small_errors(op: str, exact: bool) -> None:
    row = accuracy.AccuracyRow(op, 12, 2, 3, "float64", exact, None)

    def off(function: Any) -> Any:
        return lambda *args, **kwargs: function(*args, **kwargs) * (1 + 1e-12)

    wrong = SimpleNamespace(sig=off(arraysig.sig), sig_backprop=off(arraysig.sig_backprop))
    found = accuracy.run(row, arraysig, wrong, 1)
    assert found.peer is not None
    assert len(found.ours) == (3 if op == "sig" else 1)
    assert max(found.ours) < 1e-14
    assert min(found.peer) == pytest.approx(1e-12, rel=0.05)
