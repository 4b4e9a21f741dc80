"""Tables of branched signatures: made in advance, kept on disk, dropped."""

from __future__ import annotations

import functools
import os
import pathlib
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import arraysig
from arraysig._core import store, trees

SIZE = (2, 3)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where files are; no tables are in memory."""
    arraysig.set_cache_dir(tmp_path)
    arraysig.clear_cache()
    yield tmp_path / "arraysig"
    arraysig.set_cache_dir(None)
    arraysig.clear_cache()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which tables are made, not read."""
    names: list[str] = []

    def counting(name: str) -> Callable[..., Any]:
        make = getattr(trees, name)

        def counted(*args: Any) -> Any:
            names.append(name)
            return make(*args)

        return counted

    for name in ("_words_to_elements", "_product", "_forests"):
        monkeypatch.setattr(trees, name, counting(name))
    make = trees._brackets.__wrapped__

    def brackets(*size: int) -> Any:
        names.append("_brackets")
        return make(*size)

    monkeypatch.setattr(trees, "_brackets", functools.lru_cache(8)(brackets))
    return names


def calls(planar: bool, logarithms: bool) -> list[Callable[[], Any]]:
    """Functions that walk tables of trees."""
    rng = np.random.default_rng(0)
    path, v = rng.normal(size=(5, 2)), rng.normal(size=2)
    count = arraysig.branched_sig_length(*SIZE, planar=planar)
    a, b = rng.normal(size=(2, count))
    kind = {"planar": planar}
    found: list[Callable[[], Any]] = [
        lambda: arraysig.branched_sig(path, 3, **kind),
        lambda: arraysig.branched_sig_backprop(path, None, a, 3, **kind),
        lambda: arraysig.branched_sig_combine(a, b, *SIZE, **kind),
        lambda: arraysig.branched_sig_combine_backprop(a, a, b, *SIZE, **kind),
        lambda: arraysig.branched_sig_join(a, v, *SIZE, **kind),
        lambda: arraysig.branched_sig_join_backprop(a, a, v, *SIZE, **kind),
        lambda: arraysig.linear_branched_sig(v, *SIZE, **kind),
    ]
    if logarithms:
        found += [
            lambda: arraysig.branched_sig_to_log_sig(a, *SIZE, **kind, method=0),
            lambda: arraysig.branched_sig_to_log_sig_backprop(a, b, *SIZE, **kind, method=0),
        ]
    if logarithms and planar:
        log = rng.normal(size=arraysig.branched_log_sig_length(*SIZE, planar=True))
        found += [
            lambda: arraysig.branched_log_sig(path, 3, planar=True, method=2),
            lambda: arraysig.branched_log_sig_join(log, v, *SIZE),
            lambda: arraysig.branched_log_sig_join_backprop(log, log, v, *SIZE),
        ]
    return found


def flat(result: Any) -> np.ndarray:
    return np.concatenate([np.ravel(a) for a in (result if type(result) is tuple else (result,))])


def misses() -> int:
    """How often a table was made of entries."""
    return trees._matrix.cache_info().misses + trees._bilinear.cache_info().misses


@pytest.mark.parametrize("planar", [False, True], ids=["trees", "planar"])
@pytest.mark.parametrize("logarithms", [False, True], ids=["sig", "log"])
@pytest.mark.parametrize("options", [{}, {"use_disk": True}], ids=["memory", "disk"])
def test_what_is_prepared_is_not_made_again(
    folder: pathlib.Path, made: list[str], planar: bool, logarithms: bool, options: dict[str, bool]
) -> None:
    expected = [flat(call()) for call in calls(planar, logarithms)]
    for again in (False, True):  # the second time from the file
        arraysig.clear_cache()
        made.clear()
        if logarithms:
            method = 2 if planar else None
            arraysig.prepare_branched_log_sig(*SIZE, method, planar=planar, **options)
        else:
            arraysig.prepare_branched_sig(*SIZE, planar=planar, **options)
        assert (not made) == bool(again and options)
        before = misses(), len(made)
        for call, values in zip(calls(planar, logarithms), expected, strict=True):
            np.testing.assert_array_equal(flat(call()), values)
        assert (misses(), len(made)) == before
    names = {"forests-2-3.v1", "plane-2-3.v1"} if planar else {"trees-2-3.v1"}
    if not logarithms:
        names -= {"plane-2-3.v1"}
    assert set(os.listdir(folder) if folder.exists() else ()) == (names if options else set())


def test_chosen_trees_are_prepared() -> None:
    arraysig.clear_cache()
    chosen = [((0,), 1), ((0,), (1,), 0)]
    assert arraysig.prepare_branched_sig_coef(2, chosen) is None
    before = misses()
    path = np.random.default_rng(0).normal(size=(4, 2))
    arraysig.branched_sig_coef(path, chosen)
    arraysig.branched_sig_coef_backprop(path, chosen, None, np.ones(2))
    assert misses() == before


def test_channels_are_those_after_augmentation(folder: pathlib.Path) -> None:
    arraysig.prepare_branched_sig(1, 2, time_aug=True, lead_lag=True, use_disk=True)
    assert os.listdir(folder) == ["trees-3-2.v1"]


def outside(arrays: list[np.ndarray]) -> list[np.ndarray]:
    arrays[0] = arrays[0].copy()
    arrays[0][1, 0] = 10**6
    return arrays


def negative(arrays: list[np.ndarray]) -> list[np.ndarray]:
    arrays[0] = arrays[0].copy()
    arrays[0][0, 0] = -1
    return arrays


@pytest.mark.parametrize(
    "change", [outside, negative, lambda a: a[1:], lambda a: [x[1:] for x in a]]
)
def test_files_that_kernels_can_not_walk(
    folder: pathlib.Path, made: list[str], change: Callable[[list[np.ndarray]], list[np.ndarray]]
) -> None:
    arraysig.prepare_branched_sig(*SIZE, use_disk=True)
    right = store.read("trees", *SIZE)
    assert right is not None
    store.write("trees", *SIZE, change(list(right)))
    arraysig.clear_cache()
    made.clear()
    arraysig.prepare_branched_sig(*SIZE, use_disk=True)
    assert made
    found = store.read("trees", *SIZE)
    assert found is not None
    for a, b in zip(found, right, strict=True):
        np.testing.assert_array_equal(a, b)


def test_files_are_deleted_on_demand(folder: pathlib.Path) -> None:
    arraysig.prepare_branched_log_sig(*SIZE, planar=True, use_disk=True)
    arraysig.clear_cache()
    assert len(os.listdir(folder)) == 2
    arraysig.clear_cache(use_disk=True)
    assert not folder.exists()


def test_a_disk_that_can_not_be_written(tmp_path: pathlib.Path) -> None:
    (tmp_path / "arraysig").write_text("no folder")
    arraysig.set_cache_dir(tmp_path)
    try:
        arraysig.clear_cache()
        with pytest.warns(RuntimeWarning, match="^prepare_branched_sig: tables can not be kept"):
            arraysig.prepare_branched_sig(*SIZE, use_disk=True)
        before = misses()
        arraysig.branched_sig(np.zeros((3, 2)), 3)
        assert misses() == before
    finally:
        arraysig.set_cache_dir(None)


def test_threads_make_a_table_once(made: list[str]) -> None:
    arraysig.clear_cache()
    made.clear()
    threads = [
        threading.Thread(target=lambda: arraysig.branched_sig(np.zeros((3, 3)), 4))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["_words_to_elements"]


def test_a_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    code = """
        import os, threading
        import numpy as np
        import arraysig
        from arraysig._core import trees

        held, done = threading.Event(), threading.Event()

        def hold():
            with trees._lock:
                held.set()
                done.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait()
        child = os.fork()
        if not child:
            arraysig.branched_sig(np.zeros((3, 2)), 3)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        done.set()
        thread.join()
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=60)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: arraysig.prepare_branched_sig(2, 10**6), "overflow"),
        (lambda: arraysig.prepare_branched_sig(255, 7), "GiB"),
        (lambda: arraysig.prepare_branched_log_sig(2, 3, 1), "`method` must be 0 without"),
        (lambda: arraysig.prepare_branched_log_sig(2, 3, 4, planar=True), "`method` must be"),
        (lambda: arraysig.prepare_branched_sig_coef(2, []), "`trees` must not be empty"),
        (lambda: arraysig.prepare_branched_sig_coef(2, ((2,), 0)), "labels below 2"),
    ],
)
def test_bad_sizes(call: Callable[[], Any], message: str) -> None:
    with pytest.raises((ValueError, MemoryError), match=f"^prepare_branched_.*{message}"):
        call()
