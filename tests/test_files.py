"""``python -m arraysig sig``: files of any size in, signatures out, nothing half-written."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

import arraysig
from arraysig import files
from arraysig._core.check import PROCESSORS

from .test_cli import command, python


def run(source: Any, target: Any, *options: str) -> subprocess.CompletedProcess[str]:
    """The command, where degree 2 is the default."""
    degree = () if "--degree" in options else ("--degree", "2")
    return command("sig", str(source), str(target), *degree, *options)


@pytest.mark.parametrize("shape", [(7, 3), (5, 7, 3), (2, 3, 7, 3), (0, 7, 3), (3, 1, 3)], ids=str)
def test_any_batch_shape(
    tmp_path: pathlib.Path, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    path = rng.normal(size=shape)
    np.save(tmp_path / "in.npy", path)
    files.signatures_of_file(
        str(tmp_path / "in.npy"), str(tmp_path / "out.npy"), 3, n_jobs=1, time_aug=True
    )
    expected = arraysig.sig(path, 3, time_aug=True)
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f8", "int16", "bool"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_numbers_in_parts(
    tmp_path: pathlib.Path,
    dtype: str,
    order: Any,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = np.asarray(rng.integers(0, 2, size=(3, 4, 6, 2)), dtype, order=order)
    np.save(tmp_path / "in.npy", path)
    monkeypatch.setattr(files, "_paths_at_once", lambda *args: 5)
    files.signatures_of_file(str(tmp_path / "in.npy"), str(tmp_path / "out.npy"), 2, n_jobs=1)
    got, expected = np.load(tmp_path / "out.npy"), arraysig.sig(path, 2)
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_one_step_of_many_paths_at_a_time(
    tmp_path: pathlib.Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = np.asfortranarray(rng.normal(size=(3, 4, 5, 2)))
    np.save(tmp_path / "in.npy", path)
    monkeypatch.setattr(files, "_MAPPED", 1)
    np.testing.assert_array_equal(
        files.open_paths(str(tmp_path / "in.npy")).read(2, 9), path.reshape(12, 5, 2)[2:9]
    )


def test_how_many_paths_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_resident", lambda: 2**20)

    def at_once(length: int, limit: int = 2**40, n_jobs: int = 1) -> int:
        paths = files.Paths((100,), length, 8, np.dtype(float))
        return files._paths_at_once(paths, 8, np.dtype(float), limit, n_jobs)

    assert at_once(2**23) == 1  # a path may take more than a part does
    assert at_once(2**14) == 21
    path = 2**17 * 24 + 8 * 16
    for n_jobs, threads in ((1, 1), (-1, PROCESSORS), (-PROCESSORS, 1)):
        fixed = (17 + 8 * threads) * 2**20
        assert at_once(2**14, fixed + 3 * path, n_jobs) == 3
        assert at_once(2**14, fixed + path, n_jobs) == 1
        with pytest.raises(files.BadFile, match="one path at a time takes"):
            at_once(2**14, fixed + path - 1, n_jobs)


def test_signatures_without_numbers(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "in.npy", np.ones((2, 3, 2)))
    names = str(tmp_path / "in.npy"), str(tmp_path / "out.npy")
    assert files.signatures_of_file(*names, 0, n_jobs=1) == (2, 0)
    assert np.load(tmp_path / "out.npy").shape == (2, 0)


def test_as_many_axes_as_arrays_have(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "in.npy", np.ones((1,) * 62 + (3, 2)))
    names = str(tmp_path / "in.npy"), str(tmp_path / "out.npy")
    files.signatures_of_file(*names, 1, n_jobs=1)
    assert np.load(tmp_path / "out.npy").shape == (1,) * 62 + (2,)


def test_endings_in_capitals(tmp_path: pathlib.Path, rng: np.random.Generator) -> None:
    path = rng.normal(size=(3, 4, 2))
    with open(tmp_path / "IN.NPY", "wb") as file:
        np.save(file, path)
    source, target = str(tmp_path / "IN.NPY"), str(tmp_path / "OUT.NPY")
    files.signatures_of_file(source, target, 2, n_jobs=1)
    np.testing.assert_array_equal(np.load(target), arraysig.sig(path, 2))
    files.gram_of_files([source], target, 0, n_jobs=1, force=True)
    np.testing.assert_array_equal(np.load(target), arraysig.sig_kernel_gram(path, path, 0))


@pytest.mark.parametrize(
    ("one", "two", "result"),
    [
        ("float32", "float64", "float64"),
        ("int8", "float32", "float64"),
        ("int8", "int8", "float64"),
        ("float16", "float32", "float32"),
        (">f4", ">f4", "float32"),
    ],
)
def test_dtypes_of_gram_matrices(tmp_path: pathlib.Path, one: str, two: str, result: str) -> None:
    for name, dtype in (("one.npy", one), ("two.npy", two)):
        np.save(tmp_path / name, np.array([[0, 0], [1, 0], [1, 1]], dtype))
    sources = [str(tmp_path / name) for name in ("one.npy", "two.npy")]
    files.gram_of_files(sources, str(tmp_path / "out.npy"), 0, n_jobs=1)
    assert np.load(tmp_path / "out.npy").dtype == result


def test_options_of_the_command(tmp_path: pathlib.Path, rng: np.random.Generator) -> None:
    path = rng.normal(size=(3, 8, 2))
    np.save(tmp_path / "in.npy", path)
    flags = ("--time-aug", "--lead-lag", "--end-time", "-2", "--scalar-term", "--n-jobs", "1")
    done = run(tmp_path / "in.npy", tmp_path / "out.npy", *flags, "--dtype", "float32")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no bar where nobody looks
    assert done.stdout == f"{tmp_path / 'out.npy'}: signatures of shape (3, 31)\n"
    expected = arraysig.sig(
        path.astype("float32"), 2, time_aug=True, lead_lag=True, end_time=-2.0, scalar_term=True
    )
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


@pytest.mark.parametrize("header", ["", "left,right\n", "\ufeffa,b\n\n"])
def test_csv(tmp_path: pathlib.Path, header: str) -> None:
    (tmp_path / "in.csv").write_text(header + "0,0\n1, 2\n3,1\n", encoding="utf-8")
    files.signatures_of_file(str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), 2)
    assert (tmp_path / "out.csv").read_text() == "3,1,4.5,-1,4,0.5\n"


def test_text_keeps_every_digit(tmp_path: pathlib.Path, rng: np.random.Generator) -> None:
    path = rng.normal(size=(4, 3, 2))
    np.save(tmp_path / "in.npy", path)
    files.signatures_of_file(str(tmp_path / "in.npy"), str(tmp_path / "out.csv"), 3, n_jobs=1)
    found = np.loadtxt(tmp_path / "out.csv", delimiter=",")
    np.testing.assert_array_equal(found, arraysig.sig(path, 3))


def header(shape: str, fortran: bool = False) -> bytes:
    """The start of a file that says it holds an array of a shape."""
    text = f"{{'descr': '<f8', 'fortran_order': {fortran}, 'shape': {shape}}}\n".encode()
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text


BAD: list[tuple[str, Any, tuple[str, ...], str]] = [
    ("in.npy", None, (), "No such file"),
    ("in.txt", b"0,0", (), "must end in .npy or .csv"),
    ("in.npy", b"0,0", (), "not a NumPy file"),
    ("in.npy", np.ones(3), (), r"must hold an array \(..., length, dimension\), has \(3,\)"),
    ("in.npy", np.ones((3, 0)), (), r"has \(3, 0\)"),
    ("in.npy", np.ones((3, 2), complex), (), "must hold real numbers .*complex128"),
    ("in.npy", np.ones((3, 2), np.longdouble), (), "must hold real numbers .*longdouble|float128"),
    ("in.npy", np.array([["a"]]), (), "must hold real numbers"),
    ("in.npy", np.array([[{}]]), (), "must hold real numbers"),
    *[
        ("in.npy", header(shape) + bytes(48), (), f"shape that no array has, {re.escape(shape)}")
        for shape in ("(-3, -2)", "(-1, 3, 2)", "(3, True)", "(0, 10000000000000000000, 2)")
    ],
    ("in.npy", header("(" + "1, " * 65 + ")"), (), "shape that no array has"),
    ("in.npy", header("(3, 2"), (), "not a NumPy file"),
    ("in.csv", b"", (), "has no points"),
    ("in.csv", b"a,b\n", (), "has no points"),
    ("in.csv", b"\xff\xfe0,1\n", (), "is not text in UTF-8"),
    ("in.csv", b"0,1\n2\n", (), "point 1 has 1 numbers, the first one has 2"),
    ("in.csv", b"0,1\n2,x\n", (), "point 1 is not a line of numbers"),
    ("in.csv", b"1,oops\n2,3\n", (), "point 0 is not a line of numbers"),
    ("in.csv", b"0,1\n2,1_000\n", (), "point 1 is not a line of numbers"),
    ("in.npy", np.ones((3, 2)), ("--degree", "-1"), "--degree: must be a non-negative integer"),
    ("in.npy", np.ones((3, 2)), ("--degree", "99"), " --degree: is too large: .*overflow"),
    ("in.npy", np.ones((3, 2)), ("--degree", "40"), "--memory-limit: one path at a time takes"),
    ("in.npy", np.ones((3, 2)), ("--end-time", "nan"), "--end-time: must be a finite number"),
    ("in.npy", np.ones((3, 2)), ("--memory-limit", "1X"), "--memory-limit: must be a size"),
    ("in.npy", np.ones((3, 2)), ("--memory-limit", "1K"), "--memory-limit: one path at a time"),
    ("in.npy", np.ones((3, 2)), ("--n-jobs", "0"), "--n-jobs"),
    ("in.npy", np.ones((3, 2)), ("--dtype", "int8"), "--dtype"),
]


@pytest.mark.parametrize(("name", "content", "options", "message"), BAD)
def test_bad_input_is_one_line_and_exit_status_2(
    tmp_path: pathlib.Path, name: str, content: Any, options: tuple[str, ...], message: str
) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        np.save(tmp_path / name, content, allow_pickle=True)
    before = sorted(os.listdir(tmp_path))
    done = run(tmp_path / name, tmp_path / "out.npy", *options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("python -m arraysig sig: ")
    assert re.search(message, done.stderr), done.stderr
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("fortran", [False, True])
def test_gram_of_no_paths(tmp_path: pathlib.Path, fortran: bool) -> None:
    (tmp_path / "in.npy").write_bytes(header("(0, 3, 2)", fortran))
    files.gram_of_files([str(tmp_path / "in.npy")], str(tmp_path / "gram.npy"))
    assert np.load(tmp_path / "gram.npy").shape == (0, 0)


def test_a_truncated_file(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "in.npy", np.ones((30, 2)))
    with open(tmp_path / "in.npy", "r+b") as file:
        file.truncate(500)
    done = run(tmp_path / "in.npy", tmp_path / "out.npy")
    assert (done.returncode, "shorter than its header says" in done.stderr) == (2, True)


def test_outputs_that_can_not_be(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "in.npy", np.ones((3, 2)))
    for target in (tmp_path / "no" / "out.npy", tmp_path / "out.txt", tmp_path / "in.npy"):
        done = run(tmp_path / "in.npy", target)
        assert done.returncode == 2
        assert done.stderr.startswith(f"python -m arraysig sig: {target}: ")
    assert os.listdir(tmp_path) == ["in.npy"]


@pytest.mark.parametrize("name", ["out.npy", "out.csv"])
def test_old_files_stay_unless_forced(tmp_path: pathlib.Path, name: str) -> None:
    np.save(tmp_path / "in.npy", np.ones((2, 3, 2)))
    (tmp_path / name).write_text("old")
    done = run(tmp_path / "in.npy", tmp_path / name)
    target = tmp_path / name
    expected = f"python -m arraysig sig: {target}: OUT exists; --force overwrites it\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)
    assert target.read_text() == "old"
    done = run(tmp_path / "in.npy", target, "--force")
    assert (done.returncode, done.stderr) == (0, "")
    found = np.load(target) if name == "out.npy" else np.loadtxt(target, delimiter=",")
    np.testing.assert_array_equal(found, np.zeros((2, 6)))
    assert sorted(os.listdir(tmp_path)) == ["in.npy", name]


def test_permissions_are_those_of_any_new_file(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "in.npy", np.ones((2, 3, 2)))
    before = os.umask(0o027)
    try:
        files.signatures_of_file(str(tmp_path / "in.npy"), str(tmp_path / "out.npy"), 2)
        after = os.umask(before)
    finally:
        os.umask(before)
    assert (tmp_path / "out.npy").stat().st_mode & 0o777 == 0o640
    assert after == 0o027


def test_links_stay(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "in.npy", np.ones((2, 3, 2)))
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "far.npy").write_text("old")
    (tmp_path / "out.npy").symlink_to(tmp_path / "disk" / "far.npy")
    source, target = str(tmp_path / "in.npy"), str(tmp_path / "out.npy")
    files.signatures_of_file(source, target, 2, force=True)
    assert os.path.islink(target)
    np.testing.assert_array_equal(np.load(tmp_path / "disk" / "far.npy"), np.zeros((2, 6)))
    assert os.listdir(tmp_path / "disk") == ["far.npy"]


def test_old_files_are_seen_before_the_work(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = str(tmp_path / "in.npy"), str(tmp_path / "out.npy")
    np.save(source, np.ones((2, 3, 2)))
    np.save(target, np.ones(3))
    monkeypatch.delattr(files, "written_at_once")
    with pytest.raises(files.BadFile, match="OUT exists"):
        files.signatures_of_file(source, target, 2)
    with pytest.raises(files.BadFile, match="OUT exists"):
        files.gram_of_files([source], target, 0)


@pytest.mark.parametrize("force", [False, True])
def test_what_appears_meanwhile(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    source, target = tmp_path / "in.npy", tmp_path / "out.npy"
    np.save(source, np.ones((4, 3, 2)))

    def sig(*args: Any, **kwargs: Any) -> Any:
        target.write_text("another's")
        return arraysig.sig(*args, **kwargs)

    monkeypatch.setattr(files, "sig", sig)
    refused = contextlib.nullcontext() if force else pytest.raises(files.BadFile, match="--force")
    with refused:
        files.signatures_of_file(str(source), str(target), 2, force=force)
    assert (target.read_bytes() == b"another's") is not force
    assert sorted(os.listdir(tmp_path)) == ["in.npy", "out.npy"]


def test_what_fails_half_way_leaves_the_old_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "in.npy", np.ones((4, 3, 2)))
    (tmp_path / "out.npy").write_text("old")
    monkeypatch.setattr(files, "_paths_at_once", lambda *args: 1)
    calls = []

    def sig(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return arraysig.sig(*args, **kwargs)

    monkeypatch.setattr(files, "sig", sig)
    with pytest.raises(KeyboardInterrupt):
        files.signatures_of_file(str(tmp_path / "in.npy"), str(tmp_path / "out.npy"), 2, force=True)
    assert sorted(os.listdir(tmp_path)) == ["in.npy", "out.npy"]
    assert (tmp_path / "out.npy").read_text() == "old"


@pytest.mark.parametrize(
    ("number", "status", "said"),
    [
        (signal.SIGINT, 130, "python -m arraysig sig: interrupted\n"),
        (signal.SIGTERM, 143, ""),
    ],
)
def test_signals_leave_nothing(tmp_path: pathlib.Path, number: int, status: int, said: str) -> None:
    sparse = np.lib.format.open_memmap(tmp_path / "in.npy", "w+", "float32", (20_000, 1000, 8))
    del sparse
    process = subprocess.Popen(
        [sys.executable, "-m", "arraysig", "sig", "in.npy", "out.npy", "--degree", "4"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(pathlib.Path(arraysig.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(600):
        if any(name.endswith(".part") for name in os.listdir(tmp_path)):
            break
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(number)
    out, error = process.communicate(timeout=30)
    assert (process.returncode, out, error) == (status, "", said)
    assert os.listdir(tmp_path) == ["in.npy"]


MEASURED = """
import sys
from arraysig.cli import main
assert main(sys.argv[1:]) == 0
print([l for l in open("/proc/self/status") if l.startswith("VmHWM")][0].split()[1])
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")
@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_stays_under_the_limit(tmp_path: pathlib.Path, order: str) -> None:
    sparse = np.lib.format.open_memmap(
        tmp_path / "in.npy", "w+", "float32", (1000, 1000, 100), fortran_order=order == "F"
    )
    del sparse  # 400 MB, of which the disk has nothing
    done = python(
        "-c",
        MEASURED,
        *("sig", str(tmp_path / "in.npy"), str(tmp_path / "out.npy"), "--degree", "1"),
        *("--memory-limit", "200M"),
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 200 * 1024
    assert np.load(tmp_path / "out.npy", mmap_mode="r").shape == (1000, 100)
