"""Tables of log-signatures: made in advance, kept on disk, dropped."""

from __future__ import annotations

import contextlib
import errno
import gc
import hashlib
import os
import pathlib
import struct
import subprocess
import sys
import textwrap
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import arraysig
from arraysig._core import dispatch, lie, store, tables

SIZE = (2, 4)
NAME = "lyndon-2-4.v1"
KINDS = range(4)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where files are; no tables are in memory."""
    arraysig.set_cache_dir(tmp_path)
    arraysig.clear_cache()
    yield tmp_path / "arraysig"
    arraysig.set_cache_dir(None)
    arraysig.clear_cache()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Channels and degrees that tables are made of, not read."""
    sizes = []
    make = lie._made

    def counted(*size: int) -> Any:
        sizes.append(size)
        return make(*size)

    monkeypatch.setattr(lie, "_made", counted)
    return sizes


def prepare(*size: int, **options: Any) -> None:
    """Prepare with files, as a process that has no tables yet."""
    arraysig.clear_cache()
    arraysig.prepare_log_sig(*(size or SIZE), use_disk=True, **options)


def matrices(*size: int) -> list[Any]:
    """All that kernels may walk."""
    keys = [lie.key(kind, *(size or SIZE)) for kind in KINDS]
    found = [lie.matrix(key) for of in keys for key in (of, lie.transposed(of))]
    return [(rows, columns, table.array.tolist()) for rows, columns, table in found]


@pytest.fixture
def right() -> list[Any]:
    """`matrices` made without files."""
    arraysig.clear_cache()
    return matrices()


def same(expected: list[Any], *size: int) -> bool:
    """Whether tables are right, and all of them in memory."""
    misses = lie._matrix.cache_info().misses
    return matrices(*size) == expected and lie._matrix.cache_info().misses == misses


# ---- What is prepared ---------------------------------------------------------------------------


def calls(method: int) -> list[Callable[[], Any]]:
    """Functions of log-signatures that use this format, of 3 channels and degree 3."""
    rng = np.random.default_rng(0)
    path, size = rng.normal(size=(5, 3)), (3, 3)
    length = arraysig.sig_length(*size) if method == 0 else arraysig.log_sig_length(*size)
    log, sig = rng.normal(size=length), rng.normal(size=arraysig.sig_length(*size))
    options: dict[str, Any] = {"method": method}
    found: list[Callable[[], Any]] = [
        lambda: arraysig.log_sig(path, 3, **options),
        lambda: arraysig.log_sig_backprop(path, log, 3, **options),
        lambda: arraysig.sig_to_log_sig(sig, *size, **options),
        lambda: arraysig.sig_to_log_sig_backprop(sig, log, *size, **options),
        lambda: arraysig.logsig_to_sig(log, *size, **options),
        lambda: arraysig.logsig_to_sig_backprop(log, sig, *size, **options),
        lambda: arraysig.linear_log_sig(path, *size, **options),
    ]
    if method >= 2:
        found += [
            lambda: arraysig.log_sig_combine(log, log, *size),
            lambda: arraysig.log_sig_combine_backprop(log, log, log, *size),
            lambda: arraysig.log_sig_join(log, path[0], *size),
            lambda: arraysig.log_sig_join_backprop(log, log, path[0], *size),
        ]
    return found


def flat(result: Any) -> np.ndarray:
    """All numbers of an array, or of several."""
    return np.concatenate([np.ravel(a) for a in (result if type(result) is tuple else (result,))])


def all_misses() -> int:
    """How often a table was made."""
    return lie._matrix.cache_info().misses + lie._structure.cache_info().misses


@pytest.mark.parametrize("method", range(4))
@pytest.mark.parametrize("options", [{}, {"use_disk": True}], ids=["memory", "disk"])
def test_what_is_prepared_is_not_made_again(
    folder: pathlib.Path, made: list[Any], method: int, options: dict[str, bool]
) -> None:
    arraysig.clear_cache()
    expected = [flat(call()) for call in calls(method)]
    for _ in range(2):  # the second time from the file
        arraysig.clear_cache()
        made.clear()
        assert arraysig.prepare_log_sig(3, 3, method, **options) is None
        assert lie._matrix.cache_info().currsize == [0, 6, 8, 8][method]
        misses = all_misses(), len(made)
        for call, values in zip(calls(method), expected, strict=True):
            np.testing.assert_array_equal(flat(call()), values)
        assert (all_misses(), len(made)) == misses
    assert made == ([(3, 3)] if method and not options else [])
    assert folder.exists() == bool(method and options)


def test_all_is_prepared_by_default(folder: pathlib.Path) -> None:
    arraysig.prepare_log_sig(3, 3)
    misses = all_misses()
    for method in range(4):
        for call in calls(method):
            call()
    assert all_misses() == misses
    assert not folder.exists()


def test_channels_are_those_after_augmentation(folder: pathlib.Path, made: list[Any]) -> None:
    arraysig.prepare_log_sig(2, 3, time_aug=True)
    arraysig.prepare_log_sig(2, 3, lead_lag=True)
    arraysig.prepare_log_sig(1, 2, 1, time_aug=True, lead_lag=True, use_disk=True)
    assert made == [(3, 3), (4, 3), (3, 2)]
    assert os.listdir(folder) == ["lyndon-3-2.v1"]


def test_degrees_without_tables(folder: pathlib.Path) -> None:
    arraysig.prepare_log_sig(10**30, 0, use_disk=True)
    arraysig.prepare_log_sig(2, 61, 0, use_disk=True)
    assert not folder.exists()


def test_no_file_is_touched_unless_asked_for(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare()
    arraysig.clear_cache()
    monkeypatch.setattr(lie, "store", None)
    arraysig.prepare_log_sig(*SIZE)
    matrices(2, 5)
    with pytest.raises(AttributeError):
        arraysig.prepare_log_sig(*SIZE, use_disk=True)
    assert os.listdir(folder) == [NAME]


# ---- Files --------------------------------------------------------------------------------------


def test_a_file_is_written_and_read(
    folder: pathlib.Path, made: list[Any], right: list[Any]
) -> None:
    made.clear()
    prepare()
    assert made == [SIZE]
    assert os.listdir(folder) == [NAME]
    assert same(right)
    written = (folder / NAME).stat()
    prepare()
    assert made == [SIZE]
    assert same(right)
    now = (folder / NAME).stat()
    assert (now.st_ino, now.st_mtime_ns) == (written.st_ino, written.st_mtime_ns)
    assert not lie._read


def test_what_is_in_memory_is_used_and_written(folder: pathlib.Path, made: list[Any]) -> None:
    arraysig.prepare_log_sig(*SIZE)
    before = lie.matrix(lie.key(lie.EXPAND, *SIZE)).table
    arraysig.prepare_log_sig(*SIZE, use_disk=True)
    assert os.listdir(folder) == [NAME]
    arraysig.prepare_log_sig(*SIZE, use_disk=True)
    assert made == [SIZE]
    assert lie.matrix(lie.key(lie.EXPAND, *SIZE)).table.array is before.array


def test_layout(folder: pathlib.Path) -> None:
    prepare()
    content = (folder / NAME).read_bytes()
    head = struct.unpack("<8sII16sqqQ32s", content[:88])
    assert head[:6] == (b"arraysig", 0x01020304, 1, b"lyndon".ljust(16, b"\0"), *SIZE)
    assert head[6:] == (len(content) - 88, hashlib.sha256(content[88:]).digest())
    numbers = np.frombuffer(content[88:], "<i8")
    basis = lie._made(*SIZE)
    count, *shapes = numbers[:5].tolist()
    assert (count, shapes) == (2, [*basis.expansion.shape, *basis.solution.shape])
    expected = np.concatenate([array.ravel() for array in basis])
    np.testing.assert_array_equal(numbers[5:], expected)
    # Another layout, or other numbers, need another version: files outlive the package.
    assert hashlib.sha256(content).hexdigest()[:16] == "1629f852b9e74d2e"


def rebuilt(folder: pathlib.Path, right: list[Any], made: list[Any], good: bytes) -> bool:
    """Whether a file is not used but replaced."""
    made.clear()
    prepare()
    return (
        made == [SIZE]
        and same(right)
        and (folder / NAME).read_bytes() == good
        and os.listdir(folder) == [NAME]
    )


def test_files_of_another_length(folder: pathlib.Path, made: list[Any], right: list[Any]) -> None:
    prepare()
    good = (folder / NAME).read_bytes()
    for length in (0, 1, 7, 8, 47, 48, 55, 56, 87, 88, 89, 96, 128, len(good) - 8, len(good) - 1):
        (folder / NAME).write_bytes(good[:length])
        assert rebuilt(folder, right, made, good), length
    for more in (b"\0", bytes(8), good):
        (folder / NAME).write_bytes(good + more)
        assert rebuilt(folder, right, made, good), more


def test_any_byte_that_has_changed(folder: pathlib.Path, made: list[Any], right: list[Any]) -> None:
    prepare()
    good = (folder / NAME).read_bytes()
    for at in [*range(96), *range(96, len(good), 61), len(good) - 1]:
        for bit in (1, 128):
            bad = bytearray(good)
            bad[at] ^= bit
            (folder / NAME).write_bytes(bad)
            assert rebuilt(folder, right, made, good), at


def test_a_length_beyond_the_file(folder: pathlib.Path, made: list[Any], right: list[Any]) -> None:
    prepare()
    good = (folder / NAME).read_bytes()
    for length in (2**40, 2**62, 2**64 - 1):
        (folder / NAME).write_bytes(good[:48] + struct.pack("<Q", length) + good[56:])
        assert rebuilt(folder, right, made, good), length


@pytest.mark.parametrize("size", [(3, 4), (2, 3), (4, 2)])
def test_files_of_other_tables(
    folder: pathlib.Path, made: list[Any], right: list[Any], size: tuple[int, int]
) -> None:
    prepare()
    good = (folder / NAME).read_bytes()
    prepare(*size)
    os.replace(folder / "lyndon-{}-{}.v1".format(*size), folder / NAME)
    assert rebuilt(folder, right, made, good)


def test_files_of_other_versions(
    folder: pathlib.Path, made: list[Any], right: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare()
    good = (folder / NAME).read_bytes()
    made.clear()
    with monkeypatch.context() as patch:
        patch.setattr(store, "VERSION", 2)
        prepare()
    assert made == [SIZE]
    assert sorted(os.listdir(folder)) == [NAME, "lyndon-2-4.v2"]
    os.replace(folder / "lyndon-2-4.v2", folder / NAME)
    assert rebuilt(folder, right, made, good)


def test_files_of_others(folder: pathlib.Path, made: list[Any], right: list[Any]) -> None:
    prepare()
    good = (folder / NAME).read_bytes()
    np.save(folder / "array.npy", np.arange(100))
    foreign = (folder / "array.npy").read_bytes()
    os.unlink(folder / "array.npy")
    for content in (b"", b"\n", b"arraysig\n" * 100, foreign, b"\x80\x04N."):
        (folder / NAME).write_bytes(content)
        assert rebuilt(folder, right, made, good)
    os.unlink(folder / NAME)
    os.symlink("nowhere", folder / NAME)
    assert rebuilt(folder, right, made, good)
    if hasattr(os, "mkfifo"):
        os.unlink(folder / NAME)
        os.mkfifo(folder / NAME)
        assert rebuilt(folder, right, made, good)


def test_a_folder_in_place_of_the_file(
    folder: pathlib.Path, made: list[Any], right: list[Any]
) -> None:
    (folder / NAME).mkdir(parents=True)
    for _ in range(2):
        made.clear()
        with pytest.warns(RuntimeWarning, match="^prepare_log_sig: "):
            prepare()
        assert made == [SIZE]
        assert same(right)
    assert os.listdir(folder) == [NAME]
    assert os.listdir(folder / NAME) == []


def forge(folder: pathlib.Path, payload: bytes) -> None:
    """A file that all checks of the header pass."""
    head = struct.pack("<8sII16sqq", b"arraysig", 0x01020304, 1, b"lyndon", *SIZE)
    digest = hashlib.sha256(payload).digest()
    (folder / NAME).write_bytes(head + struct.pack("<Q", len(payload)) + digest + payload)


def test_contents_that_are_no_arrays(
    folder: pathlib.Path, made: list[Any], right: list[Any]
) -> None:
    prepare()
    good = (folder / NAME).read_bytes()
    forge(folder, good[88:])
    assert (folder / NAME).read_bytes() == good
    for numbers in (
        *([], [0], [2], [-1], [2**62], [-(2**62)], [1, 3], [2, 3, 0], [2, 3, 1, 3, 1, 0]),
        *([2, 3, 0, 3, 0, 7], [2, -1, -1, -1, -1, 1, 1], [1, 3, 0], [3, 3, 0, 3, 0, 3, 0]),
        *([2, 2**62, 2**62, 3, 0], [2, 2, 1, 3, 0, 5, 5], [2, 0, 0, 0, 0], [2, 3, -1, 3, -1]),
    ):
        forge(folder, np.array(numbers, "<i8").tobytes())
        assert rebuilt(folder, right, made, good), numbers
    forge(folder, bytes(7))
    assert rebuilt(folder, right, made, good)


def test_entries_that_are_outside_of_the_matrix(
    folder: pathlib.Path, made: list[Any], right: list[Any]
) -> None:
    prepare()
    good = (folder / NAME).read_bytes()
    tensor, words = arraysig.sig_length(*SIZE), arraysig.log_sig_length(*SIZE)
    for array, axis, index in (
        *((0, 0, -1), (0, 1, -1), (1, 0, -1), (1, 1, -1)),
        *((0, 0, tensor), (0, 1, words), (1, 0, words), (1, 1, words), (1, 1, 2**62)),
    ):
        arrays = [of.copy() for of in lie._made(*SIZE)]
        arrays[array][axis, -1] = index
        store.write("lyndon", *SIZE, arrays)
        assert rebuilt(folder, right, made, good), (array, axis, index)


def test_arrays_of_any_shape_are_kept(folder: pathlib.Path) -> None:
    arrays = [np.arange(6).reshape(2, 3), np.zeros((3, 0), int), np.arange(6).reshape(2, 3).T]
    store.write("lyndon", 7, 7, arrays)
    found = store.read("lyndon", 7, 7)
    assert found is not None
    for got, expected in zip(found, arrays, strict=True):
        np.testing.assert_array_equal(got, expected)
        assert got.dtype == np.int64
    assert store.read("lyndon", 7, 6) is None


# ---- Where no file can be written ---------------------------------------------------------------


@contextlib.contextmanager
def one_warning(reason: str) -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    (warning,) = caught
    assert warning.category is RuntimeWarning
    assert str(warning.message).startswith("prepare_log_sig: tables can not be kept on disk: ")
    assert reason in str(warning.message)


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_disk_that_is_full(
    folder: pathlib.Path, right: list[Any], monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def full(*args: Any) -> None:
        assert not (folder / NAME).exists()  # it gets its name when all is written
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, function, full)
        with one_warning("No space left"):
            prepare()
    assert same(right)
    assert os.listdir(folder) == []
    prepare()
    assert os.listdir(folder) == [NAME]


def test_a_file_is_whole_when_it_gets_its_name(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare()
    good = (folder / NAME).read_bytes()
    replace, seen = os.replace, []

    def seeing(source: Any, target: Any) -> None:
        seen.append(pathlib.Path(source))
        assert seen[-1].parent == folder
        assert seen[-1].read_bytes() == good
        assert pathlib.Path(target).read_bytes() == b"old"
        replace(source, target)

    monkeypatch.setattr(os, "replace", seeing)
    for _ in range(2):
        (folder / NAME).write_bytes(b"old")
        prepare()
    assert (folder / NAME).read_bytes() == good
    assert seen[0] != seen[1]


def test_a_file_in_place_of_the_folder(folder: pathlib.Path, right: list[Any]) -> None:
    folder.write_text("mine")
    with one_warning("arraysig"):
        prepare()
    assert same(right)
    arraysig.clear_cache(use_disk=True)
    assert folder.read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_is_read_only(folder: pathlib.Path, right: list[Any]) -> None:
    folder.mkdir()
    folder.chmod(0o500)
    try:
        with one_warning("Permission denied"):
            prepare()
        assert same(right)
        assert os.listdir(folder) == []
    finally:
        folder.chmod(0o700)


def test_the_warning_is_at_the_call(folder: pathlib.Path) -> None:
    folder.write_text("mine")
    with pytest.warns(RuntimeWarning) as caught:
        arraysig.prepare_log_sig(*SIZE, use_disk=True)
    assert caught[0].filename == __file__


# ---- Processes and threads ----------------------------------------------------------------------


def test_processes_at_once(folder: pathlib.Path) -> None:
    prepare()
    good = (folder / NAME).read_bytes()
    code = """
        import os, sys, arraysig
        from arraysig._core import lie
        key = lie.key(lie.EXPAND, 2, 4)
        right = lie.matrix(key).table.array.tolist()
        arraysig.set_cache_dir(sys.argv[1])
        for again in range(60, -1, -1):
            arraysig.clear_cache()
            arraysig.prepare_log_sig(2, 4, use_disk=True)
            assert lie.matrix(key).table.array.tolist() == right
            if again:
                os.truncate(sys.argv[2], 200)
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    command += [str(folder.parent), str(folder / NAME)]
    processes = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert os.listdir(folder) == [NAME]
    assert (folder / NAME).read_bytes() == good


def in_threads(functions: list[Callable[[], Any]]) -> list[Any]:
    """Results of functions that start together."""
    barrier = threading.Barrier(len(functions))
    results: list[Any] = [None] * len(functions)

    def work(i: int, function: Callable[[], Any]) -> None:
        barrier.wait()
        results[i] = function()

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_threads_make_a_table_once(
    folder: pathlib.Path, right: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, make = [], lie._made

    def slow(*size: int) -> Any:
        made.append(size)
        time.sleep(0.05)
        return make(*size)

    monkeypatch.setattr(lie, "_made", slow)
    arraysig.clear_cache()
    key = lie.key(lie.EXPAND, *SIZE)
    functions: list[Callable[[], Any]] = [lambda: lie.matrix(key).table.array] * 6
    functions += [lambda: arraysig.prepare_log_sig(*SIZE, use_disk=True)] * 2
    results = in_threads(functions)
    assert made == [SIZE]
    assert all(array is results[0] for array in results[:6])
    assert same(right)
    assert os.listdir(folder) == [NAME]


def test_small_tables_do_not_wait_for_large_ones(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, started, finish = lie._made, threading.Event(), threading.Event()

    def slow(*size: int) -> Any:
        if size == (3, 4):
            started.set()
            assert finish.wait(30)
        return make(*size)

    monkeypatch.setattr(lie, "_made", slow)
    large = threading.Thread(target=arraysig.prepare_log_sig, args=(3, 4))
    small = threading.Thread(target=arraysig.prepare_log_sig, args=SIZE)
    large.start()
    assert started.wait(30)
    small.start()
    small.join(10)
    waited = small.is_alive()
    finish.set()
    large.join()
    small.join()
    assert not waited


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes can not fork")
def test_a_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    code = """
        import os, signal, threading, arraysig
        from arraysig._core import lie
        started, finish, make = threading.Event(), threading.Event(), lie._made
        def slow(*size):
            started.set()
            finish.wait()
            return make(*size)
        lie._made = slow
        thread = threading.Thread(target=arraysig.prepare_log_sig, args=(2, 4))
        thread.start()
        started.wait()
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            lie._made = make
            arraysig.prepare_log_sig(2, 4)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        finish.set()
        thread.join()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["0"]


# ---- What is dropped ----------------------------------------------------------------------------


def test_memory_is_given_back(folder: pathlib.Path) -> None:
    log = np.arange(arraysig.log_sig_length(*SIZE), dtype=float)
    sig = arraysig.logsig_to_sig(log, *SIZE, method=2)
    arraysig.sig_coef(np.ones((3, 2)), (0, 1))
    arrays = [weakref.ref(array) for array in lie._brackets(*SIZE)]
    for key in (lie.key(kind, *SIZE) for kind in KINDS):
        arrays.append(weakref.ref(lie.matrix(key).table.array))
    table = lie.matrix(lie.key(lie.EXPAND, *SIZE)).table
    kept = table.array.copy()
    assert all(array() is not None for array in arrays)
    arraysig.clear_cache()
    gc.collect()
    alive = [array() for array in arrays if array() is not None]
    assert len(alive) == 1  # which a table keeps
    assert alive[0] is table.array
    np.testing.assert_array_equal(table.array, kept)
    assert dispatch.planned.cache_info().currsize == 0
    assert tables.prefixes.cache_info().currsize == 0
    np.testing.assert_array_equal(arraysig.logsig_to_sig(log, *SIZE, method=2), sig)


def test_files_stay_unless_asked_for(folder: pathlib.Path, made: list[Any]) -> None:
    prepare()
    arraysig.clear_cache()
    assert os.listdir(folder) == [NAME]
    arraysig.clear_cache(use_disk=True)
    assert not folder.exists()
    assert folder.parent.exists()
    arraysig.clear_cache(use_disk=True)
    made.clear()
    prepare()
    assert made == [SIZE]


def test_only_files_of_ours_are_deleted(folder: pathlib.Path) -> None:
    prepare()
    part = f"{NAME}.0123456789abcdef.part"
    ours = [part, "lyndon-12-3.v1", "lyndon-2-4.v17"]
    others = [
        *("notes.txt", "lyndon-2-4", "lyndon-2-4.v1.bak", "my-lyndon-2-4.v1", "lyndon-2-4.v1x"),
        *(".lyndon-2-4.v1", "other-2-4.v1", "lyndon-x-4.v1", "lyndon-2-4.v1.npy.part"),
    ]
    for name in (*ours, *others):
        (folder / name).write_text("text")
    (folder / "lyndon-8-1.v1").mkdir()
    outside = folder.parent / "lyndon-9-1.v1"
    outside.write_text("text")
    (folder / "lyndon-9-1.v1").symlink_to(outside)
    arraysig.clear_cache(use_disk=True)
    stay = [*others, "lyndon-8-1.v1", "lyndon-9-1.v1"]
    assert sorted(os.listdir(folder)) == sorted(stay)
    assert outside.read_text() == "text"
    for name in others:
        (folder / name).unlink()
    (folder / "lyndon-8-1.v1").rmdir()
    (folder / "lyndon-9-1.v1").unlink()
    prepare()
    arraysig.clear_cache(use_disk=True)
    assert os.listdir(folder.parent) == [outside.name]


# ---- The folder ---------------------------------------------------------------------------------


def test_folders_of_any_kind(
    folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Named(os.PathLike[str]):
        def __fspath__(self) -> str:
            return str(tmp_path / "c")

    for name in "abc":
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "a")
    dirs: list[Any] = [".", tmp_path / "b", Named()]
    for name, dir in zip("abc", dirs, strict=True):
        assert arraysig.set_cache_dir(dir) is None
        with monkeypatch.context() as patch:
            patch.chdir("/")
            prepare()
        assert os.listdir(tmp_path / name / "arraysig") == [NAME]


def test_the_default_folder(
    folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "named"))
    prepare()
    assert os.listdir(folder) == [NAME]
    arraysig.set_cache_dir(None)
    prepare()
    assert os.listdir(tmp_path / "named" / "arraysig") == [NAME]
    arraysig.clear_cache(use_disk=True)
    assert os.listdir(tmp_path / "named") == []
    assert os.listdir(folder) == [NAME]


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {}, "/home/me/.cache"),
        ("linux", {"XDG_CACHE_HOME": "/caches"}, "/caches"),
        ("linux", {"XDG_CACHE_HOME": ""}, "/home/me/.cache"),
        ("linux", {"XDG_CACHE_HOME": "caches"}, "/home/me/.cache"),
        ("darwin", {"XDG_CACHE_HOME": "/caches"}, "/home/me/Library/Caches"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local"),
        ("win32", {}, "/home/me/AppData/Local"),
    ],
)
def test_folders_of_platforms(
    platform: str, environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert store.user_caches(platform, environment) == pathlib.Path(expected)


def test_a_user_without_a_folder(
    folder: pathlib.Path, right: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def home() -> pathlib.Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(pathlib.Path, "home", home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    arraysig.set_cache_dir(None)
    with one_warning("the folder of the user is not known"):
        prepare()
    assert same(right)
    assert store.user_caches("linux", {"XDG_CACHE_HOME": "/caches"}) == pathlib.Path("/caches")


# ---- Arguments ----------------------------------------------------------------------------------


class _Bytes(os.PathLike[bytes]):
    def __fspath__(self) -> bytes:
        return b"/"


@pytest.mark.parametrize(
    "bad", [b"/", 3, True, 1.0, ["/"], _Bytes()], ids=lambda given: type(given).__name__
)
def test_folders_that_are_no_paths(bad: Any) -> None:
    with pytest.raises(TypeError, match="^set_cache_dir: `dir` must be a string, a path or None"):
        arraysig.set_cache_dir(bad)


def test_folders_that_do_not_exist(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    for bad in ("", "\0", str(tmp_path / "none"), tmp_path / "none", tmp_path / "file"):
        with pytest.raises(ValueError, match="^set_cache_dir: `dir` must be a folder") as caught:
            arraysig.set_cache_dir(bad)
        assert str(caught.value).endswith(f"got {bad!r}")
    prepare()  # what was set before stays
    assert os.listdir(folder) == [NAME]


@pytest.mark.parametrize(
    ("method", "error"),
    [(4, ValueError), (-1, ValueError), ("1", TypeError), (None, TypeError), (True, TypeError)],
)
def test_bad_methods(method: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="^prepare_log_sig: `method` must be "):
        arraysig.prepare_log_sig(2, 2, method)


@pytest.mark.parametrize("bad", [1, "yes", None])
def test_bad_flags(bad: Any) -> None:
    with pytest.raises(
        TypeError, match=f"^prepare_log_sig: `use_disk` must be a bool, got {bad!r}"
    ):
        arraysig.prepare_log_sig(2, 2, 0, use_disk=bad)
    with pytest.raises(TypeError, match=f"^clear_cache: `use_disk` must be a bool, got {bad!r}"):
        arraysig.clear_cache(use_disk=bad)


def test_degrees_that_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in ((2, 64), (1, 10**30)):
        with pytest.raises(ValueError, match="^prepare_log_sig: `degree` is too large: .*overflow"):
            arraysig.prepare_log_sig(*size)
    for size in ((2, 60), (10**18, 1), (1, 10**18)):
        with pytest.raises(MemoryError, match="^prepare_log_sig: `degree` is too large: .* GiB"):
            arraysig.prepare_log_sig(*size)
    monkeypatch.setattr(dispatch, "HOST_BYTES", 8 * arraysig.sig_length(*SIZE) - 1)
    with pytest.raises(MemoryError, match="^prepare_log_sig: .*got 4$"):
        arraysig.prepare_log_sig(*SIZE)
    monkeypatch.setattr(dispatch, "HOST_BYTES", 8 * arraysig.sig_length(*SIZE))
    arraysig.prepare_log_sig(*SIZE)
