"""Bad input: TypeError or ValueError that names function, argument and value."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import arraysig

from .backends import Backend, have_torch

PATH = np.ones((4, 2))
DERIVS = np.ones(6)


def call(name: str, *args: Any, **kwargs: Any) -> Any:
    """A function of arraysig with good arguments where none are given."""
    defaults: dict[str, tuple[Any, ...]] = {
        "sig": (PATH, 2),
        "sig_backprop": (PATH, None, DERIVS, 2),
        "sig_length": (2, 2),
        "transform_path": (PATH,),
        "transform_path_backprop": (PATH,),
    }
    return getattr(arraysig, name)(*(*args, *defaults[name][len(args) :]), **kwargs)


ARRAY_FUNCTIONS = ["sig", "sig_backprop", "transform_path", "transform_path_backprop"]
FIRST = {name: "path" for name in ARRAY_FUNCTIONS} | {"transform_path_backprop": "derivs"}


@pytest.mark.parametrize("name", ARRAY_FUNCTIONS)
@pytest.mark.parametrize(
    "bad",
    [
        [[0.0, 1.0], [1.0, 2.0]],
        1.0,
        np.float64(1.0),
        None,
        "path",
        np.ones((3, 2), dtype=complex),
        np.ones((3, 2), dtype=object),
        np.ones((3, 2), dtype="datetime64[s]"),
        np.ones((3, 2), dtype=np.longdouble),
        np.ma.masked_array(np.ones((3, 2))),
    ],
    ids=lambda bad: type(bad).__name__ + str(getattr(bad, "dtype", "")),
)
def test_not_a_real_array(name: str, bad: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name}: `{FIRST[name]}` must "):
        call(name, bad)


@pytest.mark.parametrize("name", ARRAY_FUNCTIONS)
@pytest.mark.parametrize("shape", [(), (3,), (3, 0), (0, 2), (2, 0, 2)], ids=str)
def test_shapes_that_are_no_paths(xp: Backend, name: str, shape: tuple[int, ...]) -> None:
    args = [xp.array(np.ones(shape))]
    if name == "sig_backprop":
        args += [None, xp.array(DERIVS)]
    with pytest.raises(ValueError, match=rf"^{name}: `{FIRST[name]}` .*{re.escape(str(shape))}"):
        call(name, *args)


@pytest.mark.parametrize("name", ["sig", "sig_backprop", "sig_length"])
@pytest.mark.parametrize(
    ("degree", "error"),
    [(-1, ValueError), (1.5, TypeError), ("2", TypeError), (None, TypeError), (True, TypeError)],
)
def test_degree(name: str, degree: Any, error: type[Exception]) -> None:
    args = {"sig": (PATH,), "sig_backprop": (PATH, None, DERIVS), "sig_length": (2,)}[name]
    with pytest.raises(error, match=rf"^{name}: `degree` must be .*{re.escape(repr(degree))}"):
        call(name, *args, degree)


@pytest.mark.parametrize("dimension", [0, -1])
def test_dimension(dimension: int) -> None:
    with pytest.raises(ValueError, match=f"^sig_length: `dimension` must be .*{dimension}"):
        arraysig.sig_length(dimension, 2)


@pytest.mark.parametrize("name", ["sig", "sig_backprop", "transform_path"])
@pytest.mark.parametrize(
    ("end_time", "error"),
    [
        (np.nan, ValueError),
        (np.inf, ValueError),
        ("1", TypeError),
        (None, TypeError),
        (1j, TypeError),
        (True, TypeError),
    ],
)
def test_end_time(name: str, end_time: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"^{name}: `end_time` must be .*{re.escape(str(end_time))}"):
        call(name, end_time=end_time)


@pytest.mark.parametrize("end_time", [2, np.float32(2), np.int64(2)])
def test_any_real_is_an_end_time(end_time: Any) -> None:
    expected = arraysig.sig(PATH, 2, time_aug=True, end_time=2.0)
    np.testing.assert_array_equal(arraysig.sig(PATH, 2, time_aug=True, end_time=end_time), expected)


@pytest.mark.parametrize("name", ["sig", "sig_backprop", "transform_path", "sig_length"])
@pytest.mark.parametrize("flag", ["time_aug", "lead_lag"])
@pytest.mark.parametrize("bad", [1, 0, "yes", None])
def test_flags(name: str, flag: str, bad: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name}: `{flag}` must be a bool, got {bad!r}"):
        call(name, **{flag: bad})


@pytest.mark.parametrize("name", ARRAY_FUNCTIONS)
@pytest.mark.parametrize(
    ("n_jobs", "error"),
    [(0, ValueError), (-(10**6), ValueError), (1.0, TypeError), (None, TypeError)],
)
def test_n_jobs(name: str, n_jobs: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"^{name}: `n_jobs` must be .*{re.escape(repr(n_jobs))}"):
        call(name, n_jobs=n_jobs)


@pytest.mark.parametrize("name", [*ARRAY_FUNCTIONS, "sig_length"])
def test_unknown_keyword(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name}.* 'degrees'"):
        call(name, degrees=3)


def test_numpy_integers_are_integers() -> None:
    np.testing.assert_array_equal(
        arraysig.sig(PATH, np.int32(2), n_jobs=np.int8(1)), arraysig.sig(PATH, 2)
    )


def test_mismatched_arrays(xp: Backend) -> None:
    path, derivs = xp.array(PATH), xp.array(DERIVS)
    with pytest.raises(ValueError, match="^sig_backprop: arrays must have one dtype, .*float32"):
        call("sig_backprop", path, None, xp.array(DERIVS, "float32"))
    with pytest.raises(ValueError, match=r"^sig_backprop: `sig_derivs` must have shape \(6,\)"):
        call("sig_backprop", path, None, xp.array(np.ones(5)))
    with pytest.raises(ValueError, match=r"^sig_backprop: `sig_derivs` must .*got \(3, 6\)"):
        call("sig_backprop", path, None, xp.array(np.ones((3, 6))))
    with pytest.raises(ValueError, match=r"^sig_backprop: `sig_derivs` must .*got \(8,\)"):
        call("sig_backprop", path, None, xp.array(np.ones(8)))
    with pytest.raises(ValueError, match=r"^sig_backprop: `sig` must have shape \(6,\)"):
        call("sig_backprop", path, xp.array(np.ones(7)), derivs)
    with pytest.raises(ValueError, match=r"^sig_backprop: `sig_derivs` must .*got \(\)"):
        call("sig_backprop", path, None, xp.array(np.ones(())))


@pytest.mark.skipif(not have_torch(), reason="no Torch")
def test_mixed_libraries() -> None:
    import torch

    with pytest.raises(TypeError, match="^sig_backprop: arrays must be of one library"):
        call("sig_backprop", PATH, None, torch.ones(6, dtype=torch.float64))
    with pytest.raises(TypeError, match="^sig: `path` must be a dense tensor"):
        arraysig.sig(torch.ones(3, 2).to_sparse(), 2)
    with pytest.raises(ValueError, match="^sig_backprop: arrays must be on one device"):
        call("sig_backprop", torch.ones(4, 2), None, torch.ones(6, device="meta"))


def test_transform_path_backprop_of_impossible_shapes(xp: Backend) -> None:
    for shape, flags in [
        ((4, 2), {"lead_lag": True}),
        ((3, 3), {"lead_lag": True}),
        ((3, 1), {"time_aug": True}),
    ]:
        with pytest.raises(ValueError, match="^transform_path_backprop: `derivs` must have"):
            arraysig.transform_path_backprop(xp.array(np.ones(shape)), **flags)


def test_overflow() -> None:
    for degree in (64, 10**6, 10**30):
        with pytest.raises(ValueError, match=f"^sig_length: `degree` .* {degree}.*overflow"):
            arraysig.sig_length(2, degree)
    with pytest.raises(ValueError, match=r"^sig: .*overflow"):
        arraysig.sig(PATH, 64)
    assert arraysig.sig_length(2, 61) == 2**62 - 2


def test_results_larger_than_memory(xp: Backend) -> None:
    with pytest.raises(MemoryError, match=r"^sig: .*\(2305843009213693950,\) takes .* GiB"):
        arraysig.sig(xp.array(PATH), 60)
    wide = xp.array(np.ones((1, 1, 100_000)))
    with pytest.raises(MemoryError, match=r"^sig: .* GiB"):
        arraysig.sig(wide, 3)


def test_a_degree_that_is_too_large_for_the_derivatives(xp: Backend) -> None:
    with pytest.raises(ValueError, match=r"^sig_backprop: .*overflow"):
        call("sig_backprop", xp.array(PATH), None, xp.array(DERIVS), 64)


def test_long_signatures_of_one_channel(xp: Backend) -> None:
    path = xp.array(np.array([[0.0], [2.0]]))
    powers = np.cumprod(2.0 / np.arange(1, 101))
    np.testing.assert_allclose(xp.numpy(arraysig.sig(path, 100)), powers, rtol=1e-13)
