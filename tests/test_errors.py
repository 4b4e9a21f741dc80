"""Bad input: TypeError or ValueError that names function, argument and value."""

from __future__ import annotations

import fractions
import inspect
import re
from typing import Any

import numpy as np
import pytest

import arraysig
from arraysig._core.check import PROCESSORS

from .backends import Backend, have_torch

PATH = np.ones((4, 2))
SIG = np.ones(6)
POINT = np.ones(2)
LOG = np.ones(3)
PLANE_LOG = np.ones(7)
PATHS = {"path1": np.ones((2, 4, 2)), "path2": np.ones((2, 3, 2)), "dyadic_order": 1}
SAMPLES = dict(zip(("sample1", "sample2", "dyadic_order"), PATHS.values(), strict=True))
DEEP = {**PATHS, "depth": 2}
SIZE = {"dimension": 2, "degree": 2}

#: Good arguments of every function; each is replaced by bad ones below.
GOOD: dict[str, dict[str, Any]] = {
    "branched_sig_kernel": DEEP,
    "branched_sig_kernel_backprop": {"derivs": np.ones(2), **DEEP},
    "branched_sig_kernel_gram": DEEP,
    "branched_sig_kernel_gram_backprop": {"derivs": np.ones((2, 2)), **DEEP},
    "clear_cache": {},
    "expected_sig_score": SAMPLES,
    "extract_sig_coef": {"sig": SIG, "words": [(0, 1)], "dimension": 2},
    "idx_to_word": {"idx": 3, "alphabet_size": 2},
    "is_lyndon": {"word": (0, 1)},
    "linear_sig": {"displacement": POINT, **SIZE},
    "linear_sig_backprop": {"derivs": SIG, "displacement": POINT, **SIZE},
    "log_sig_basis": SIZE,
    "log_sig_length": SIZE,
    "linear_log_sig": {"displacement": POINT, **SIZE},
    "linear_log_sig_backprop": {"derivs": LOG, "displacement": POINT, **SIZE},
    "log_sig": {"path": PATH, "degree": 2},
    "log_sig_backprop": {"path": PATH, "log_sig_derivs": LOG, "degree": 2},
    "log_sig_combine": {"log_sig1": LOG, "log_sig2": LOG, **SIZE},
    "log_sig_combine_backprop": {"deriv": LOG, "log_sig1": LOG, "log_sig2": LOG, **SIZE},
    "log_sig_join": {"log_sig": LOG, "displacement": POINT, **SIZE},
    "log_sig_join_backprop": {"d_out": LOG, "log_sig": LOG, "displacement": POINT, **SIZE},
    "logsig_to_sig": {"log_sig": LOG, **SIZE},
    "logsig_to_sig_backprop": {"log_sig": LOG, "sig_derivs": SIG, **SIZE},
    "sig_to_log_sig": {"sig": SIG, **SIZE},
    "sig_to_log_sig_backprop": {"sig": SIG, "log_sig_derivs": LOG, **SIZE},
    "lyndon_words": {"alphabet_size": 2, "max_length": 3},
    "lyndon_words_of_length": {"alphabet_size": 2, "length": 3},
    "prepare_log_sig": SIZE,
    "set_cache_dir": {"dir": None},
    "sig": {"path": PATH, "degree": 2},
    "sig_backprop": {"path": PATH, "sig": None, "sig_derivs": SIG, "degree": 2},
    "sig_coef": {"path": PATH, "words": [(0, 1)]},
    "sig_coef_backprop": {"path": PATH, "words": (0, 1), "coefs": None, "derivs": np.ones(1)},
    "sig_combine": {"sig1": SIG, "sig2": SIG, **SIZE},
    "sig_combine_backprop": {"deriv": SIG, "sig1": SIG, "sig2": SIG, **SIZE},
    "sig_inverse": {"sig": SIG, **SIZE},
    "sig_inverse_backprop": {"derivs": SIG, "sig": SIG, **SIZE},
    "sig_join": {"sig": SIG, "displacement": POINT, **SIZE},
    "sig_join_backprop": {"d_out": SIG, "sig": SIG, "displacement": POINT, **SIZE},
    "sig_kernel": PATHS,
    "sig_kernel_backprop": {"derivs": np.ones(2), **PATHS},
    "sig_kernel_gram": PATHS,
    "sig_kernel_gram_backprop": {"derivs": np.ones((2, 2)), **PATHS},
    "sig_length": SIZE,
    "sig_mmd": SAMPLES,
    "sig_score": {"sample": PATHS["path1"], "y": PATHS["path2"], "dyadic_order": 1},
    "word_to_idx": {"word": (0, 1), "alphabet_size": 2},
    "words": {"alphabet_size": 2, "max_length": 3},
    "words_of_length": {"alphabet_size": 2, "length": 3},
    "trees": SIZE,
    "trees_of_order": {"dimension": 2, "order": 3},
    "tree_to_idx": {"tree": ((1,), 0), **SIZE},
    "idx_to_tree": {"idx": 3, **SIZE},
    "branched_sig_length": SIZE,
    "branched_log_sig_length": SIZE,
    "branched_sig": {"path": PATH, "degree": 2},
    "branched_sig_backprop": {"path": PATH, "bsig": None, "bsig_derivs": SIG, "degree": 2},
    "branched_sig_coef": {"path": PATH, "trees": [((0,), 1)]},
    "branched_sig_coef_backprop": {
        **{"path": PATH, "trees": ((0,), 1), "coefs": None, "derivs": np.ones(1)}
    },
    "extract_branched_sig_coef": {"bsig": SIG, "trees": [((0,), 1)], "dimension": 2},
    "branched_sig_combine": {"bsig1": SIG, "bsig2": SIG, **SIZE},
    "branched_sig_combine_backprop": {"derivs": SIG, "bsig1": SIG, "bsig2": SIG, **SIZE},
    "branched_sig_join": {"bsig": SIG, "displacement": POINT, **SIZE},
    "branched_sig_join_backprop": {"derivs": SIG, "bsig": SIG, "displacement": POINT, **SIZE},
    "linear_branched_sig": {"displacement": POINT, **SIZE},
    "linear_branched_sig_backprop": {"derivs": SIG, "displacement": POINT, **SIZE},
    "branched_log_sig": {"path": PATH, "degree": 2},
    "branched_log_sig_backprop": {"path": PATH, "blogsig_derivs": SIG, "degree": 2},
    "branched_sig_to_log_sig": {"bsig": SIG, **SIZE},
    "branched_sig_to_log_sig_backprop": {"bsig": SIG, "blogsig_derivs": SIG, **SIZE},
    "branched_log_sig_join": {"blogsig": PLANE_LOG, "displacement": POINT, **SIZE},
    "branched_log_sig_join_backprop": {
        **{"derivs": PLANE_LOG, "blogsig": PLANE_LOG, "displacement": POINT, **SIZE}
    },
    "linear_branched_log_sig": {"displacement": POINT, **SIZE},
    "linear_branched_log_sig_backprop": {"derivs": SIG, "displacement": POINT, **SIZE},
    "prepare_branched_sig": SIZE,
    "prepare_branched_log_sig": SIZE,
    "prepare_branched_sig_coef": {"dimension": 2, "trees": [((0,), 1)]},
    "transform_path": {"path": PATH},
    "transform_path_backprop": {"derivs": PATH},
}


def call(name: str, /, **replaced: Any) -> Any:
    """A function of arraysig with good arguments but for some."""
    return getattr(arraysig, name)(**{**GOOD[name], **replaced})


def having(parameter: str) -> list[str]:
    """Functions with a parameter of that name."""
    return [n for n in GOOD if parameter in inspect.signature(getattr(arraysig, n)).parameters]


ARRAYS = [(n, a) for n, args in GOOD.items() for a in args if isinstance(args[a], np.ndarray)]


def test_every_function_has_good_arguments() -> None:
    functions = {n for n in arraysig.__all__ if inspect.isfunction(getattr(arraysig, n))}
    assert functions - {"signature", "show_config"} == set(GOOD)
    for name in GOOD:
        call(name)


@pytest.mark.parametrize(("name", "argument"), ARRAYS)
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
def test_not_a_real_array(name: str, argument: str, bad: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name}: `{argument}` must "):
        call(name, **{argument: bad})


@pytest.mark.parametrize(
    ("name", "argument"),
    [a for a in ARRAYS if not a[0].startswith("extract_")],  # they take signatures of any length
)
@pytest.mark.parametrize("shape", [(), (9,), (3, 0), (5, 4, 9)], ids=str)
def test_shapes_that_do_not_fit(
    xp: Backend, name: str, argument: str, shape: tuple[int, ...]
) -> None:
    if len(shape) == 3 and ("path" in GOOD[name] or "transform" in name):
        shape = (2, 0, 2)
    arrays = {k: xp.array(v) for k, v in GOOD[name].items() if isinstance(v, np.ndarray)}
    arrays[argument] = xp.array(np.ones(shape))
    with pytest.raises(ValueError, match=rf"^{name}: `\w+` must .*\("):
        call(name, **arrays)


@pytest.mark.parametrize("name", having("degree"))
@pytest.mark.parametrize(
    ("degree", "error"),
    [(-1, ValueError), (1.5, TypeError), ("2", TypeError), (None, TypeError), (True, TypeError)],
)
def test_degree(name: str, degree: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"^{name}: `degree` must be .*{re.escape(repr(degree))}"):
        call(name, degree=degree)


@pytest.mark.parametrize("name", having("dimension"))
@pytest.mark.parametrize(
    ("dimension", "error"), [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError)]
)
def test_dimension(name: str, dimension: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name}: `dimension` must be .*{dimension}"):
        call(name, dimension=dimension)


@pytest.mark.parametrize("name", having("end_time"))
@pytest.mark.parametrize(
    ("end_time", "error"),
    [
        (np.nan, ValueError),
        (np.inf, ValueError),
        ("1", TypeError),
        (None, TypeError),
        (1j, TypeError),
        (True, TypeError),
        (np.True_, TypeError),
    ],
)
def test_end_time(name: str, end_time: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"^{name}: `end_time` must be .*{re.escape(str(end_time))}"):
        call(name, end_time=end_time)


def test_end_times_that_the_dtype_does_not_hold() -> None:
    for name in having("end_time"):
        arrays = {k: v.astype("f") for k, v in GOOD[name].items() if isinstance(v, np.ndarray)}
        with pytest.raises(ValueError, match=f"^{name}: `end_time` must be finite in float32, got"):
            call(name, **arrays, end_time=1e300)


@pytest.mark.parametrize("parameter", ["end_time", "lam", "tol"])
def test_numbers_that_no_float_holds(parameter: str) -> None:
    for name in having(parameter):
        with pytest.raises(ValueError, match=f"^{name}: `{parameter}` must be finite in float64"):
            call(name, **{parameter: 10**400})


@pytest.mark.parametrize("end_time", [2, np.float32(2), np.int64(2)])
def test_any_real_is_an_end_time(end_time: Any) -> None:
    expected = arraysig.sig(PATH, 2, time_aug=True, end_time=2.0)
    np.testing.assert_array_equal(arraysig.sig(PATH, 2, time_aug=True, end_time=end_time), expected)


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        (n, f)
        for f in (
            *("time_aug", "lead_lag", "scalar_term", "prepend", "prefixes", "stream"),
            *("normalize", "left_deriv", "right_deriv", "planar", "use_disk"),
            *("return_grid", "return_error", "progress"),
        )
        for n in having(f)
    ],
)
@pytest.mark.parametrize("bad", [1, 0, "yes", None])
def test_flags(name: str, flag: str, bad: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{name}: `{flag}` must be a bool, got {bad!r}"):
        call(name, **{flag: bad})


@pytest.mark.parametrize("name", having("n_jobs"))
@pytest.mark.parametrize(
    ("n_jobs", "error"),
    [(0, ValueError), (-PROCESSORS - 1, ValueError), (1.0, TypeError), (None, TypeError)],
)
def test_n_jobs(name: str, n_jobs: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"^{name}: `n_jobs` must be .*{re.escape(repr(n_jobs))}"):
        call(name, n_jobs=n_jobs)


@pytest.mark.parametrize("name", GOOD)
def test_unknown_keyword(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name}.* 'degrees'"):
        call(name, degrees=3)


def test_numpy_integers_are_integers() -> None:
    for n_jobs in (np.int8(1), -PROCESSORS):
        np.testing.assert_array_equal(
            arraysig.sig(PATH, np.int32(2), n_jobs=n_jobs), arraysig.sig(PATH, 2)
        )


def test_mismatched_arrays(xp: Backend) -> None:
    def back(derivs: Any, sig: Any = None) -> Any:
        return call("sig_backprop", path=xp.array(PATH), sig_derivs=xp.array(derivs), sig=sig)

    with pytest.raises(ValueError, match="^sig_backprop: arrays must have one dtype, .*float32"):
        back(SIG.astype("float32"))
    with pytest.raises(ValueError, match=r"^sig_backprop: `sig_derivs` must have shape \(6,\)"):
        back(np.ones(5))
    with pytest.raises(ValueError, match=r"^sig_backprop: `sig_derivs` must .*got \(3, 6\)"):
        back(np.ones((3, 6)))
    with pytest.raises(ValueError, match=r"^sig_backprop: `sig_derivs` must .*got \(8,\)"):
        back(np.ones(8))
    with pytest.raises(ValueError, match=r"^sig_backprop: `sig` must have shape \(6,\)"):
        back(SIG, xp.array(np.ones(7)))
    with pytest.raises(ValueError, match=r"^sig_backprop: `sig_derivs` must .*got \(\)"):
        back(np.ones(()))
    sig, longer = xp.array(SIG), xp.array(np.ones(7))
    with pytest.raises(ValueError, match=r"^sig_combine: `sig2` must have shape \(6,\)"):
        call("sig_combine", sig1=sig, sig2=longer)  # one with, one without scalar term
    with pytest.raises(ValueError, match=r"^sig_combine_backprop: `deriv` must have shape \(7,\)"):
        call("sig_combine_backprop", deriv=sig, sig1=longer, sig2=longer)
    with pytest.raises(ValueError, match=r"^sig_join: `displacement` must have shape \(2,\)"):
        call("sig_join", sig=sig, displacement=xp.array(np.ones((3, 2))))


@pytest.mark.skipif(not have_torch(), reason="no Torch")
def test_mixed_libraries() -> None:
    import torch

    with pytest.raises(TypeError, match="^sig_backprop: arrays must be of one library"):
        call("sig_backprop", sig_derivs=torch.ones(6, dtype=torch.float64))
    dense = torch.ones(3, 2)
    arraysig.sig(dense, 2)  # remembers what dense tensors are
    with pytest.raises(TypeError, match="^sig: `path` must be a dense tensor"):
        arraysig.sig(dense.to_sparse(), 2)
    with pytest.raises(TypeError, match="^sig_kernel: `path2` must be a dense tensor"):
        arraysig.sig_kernel(dense, dense.to_sparse(), 0)
    with pytest.raises(ValueError, match="^sig_kernel: arrays must be on one device"):
        arraysig.sig_kernel(dense, dense.to("meta"), 0)
    with pytest.raises(ValueError, match="^sig_backprop: arrays must be on one device"):
        call("sig_backprop", path=torch.ones(4, 2), sig_derivs=torch.ones(6, device="meta"))


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
    assert arraysig.sig_length(1, 2**63 - 2, scalar_term=True) == 2**63 - 1
    for degree in (2**63 - 1, 10**30):
        with pytest.raises(ValueError, match=f"^sig_length: `degree` .* {degree}.*overflow"):
            arraysig.sig_length(1, degree)


def test_results_larger_than_memory(xp: Backend) -> None:
    with pytest.raises(MemoryError, match=r"^sig: .*\(2305843009213693950,\) takes .* GiB"):
        arraysig.sig(xp.array(PATH), 60)
    wide = xp.array(np.ones((1, 1, 100_000)))
    with pytest.raises(MemoryError, match=r"^sig: .* GiB"):
        arraysig.sig(wide, 3)


def test_memory_errors_speak_of_public_functions() -> None:
    from arraysig._core.dispatch import NUMPY, execute
    from arraysig._core.op import OPS

    assert {op.function for op in OPS.values()} <= set(arraysig.__all__)
    call = OPS["transform_path_vjp"], [np.ones((3, 2))], (False, False, 1)
    with pytest.raises(MemoryError, match=r"^transform_path_backprop: a result .* GiB"):
        execute(*call, NUMPY._replace(available=47), "float64")
    execute(*call, NUMPY._replace(available=48), "float64")


def test_a_degree_that_is_too_large_for_the_derivatives(xp: Backend) -> None:
    with pytest.raises(ValueError, match=r"^sig_backprop: .*overflow"):
        call("sig_backprop", path=xp.array(PATH), sig_derivs=xp.array(SIG), degree=64)


def test_long_signatures_of_one_channel(xp: Backend) -> None:
    path = xp.array(np.array([[0.0], [2.0]]))
    powers = np.cumprod(2.0 / np.arange(1, 101))
    np.testing.assert_allclose(xp.numpy(arraysig.sig(path, 100)), powers, rtol=1e-13)


CORRECTED = having("correction")


@pytest.mark.parametrize("name", CORRECTED)
@pytest.mark.parametrize(
    ("correction", "error", "message"),
    [
        ([0.0] * 4, TypeError, "`correction` must be a NumPy, CuPy or Torch array, got list"),
        (np.ones(4, dtype="float32"), ValueError, "arrays must have one dtype, .*float32"),
        (np.ones(4, dtype=complex), TypeError, "`correction` must have a real floating .*complex"),
        (np.ones(()), ValueError, r"`correction` must have rows of 2\*\*2 .*got shape \(\)"),
        (np.ones(3), ValueError, r"`correction` must have rows .* m <= 2, got shape \(3,\)"),
        (np.ones(12), ValueError, r"`correction` must have rows .*got shape \(12,\)"),
        (np.ones((2, 4)), ValueError, r"`correction` must have shape .*\(3, 4\).*got \(2, 4\)"),
        (np.ones((1, 3, 4)), ValueError, r"`correction` must have shape .*got \(1, 3, 4\)"),
    ],
    ids=str,
)
def test_corrections_that_do_not_fit(
    name: str, correction: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{name}: {message}"):
        call(name, correction=correction)


def branched_length(dimension: int, degree: int, lead_lag: bool = False) -> int:
    """Coefficients of a branched signature of a path."""
    return arraysig.branched_sig_length(2 * dimension if lead_lag else dimension, degree)


@pytest.mark.parametrize("name", CORRECTED)
def test_corrections_that_are_not_defined(name: str, xp: Backend) -> None:
    correction = xp.array(np.ones(4))
    given = {k: xp.array(v) for k, v in GOOD[name].items() if isinstance(v, np.ndarray)}
    small = {"degree": 1} if "degree" in GOOD[name] else {"trees": (0,)}
    for change, argument in ((small, "degree"), ({"lead_lag": True}, "lead_lag")):
        of = {
            "sig_derivs": arraysig.sig_length,
            "log_sig_derivs": arraysig.log_sig_length,
            **dict.fromkeys(("bsig_derivs", "blogsig_derivs"), branched_length),
        }
        derivs = {
            k: xp.array(np.ones(length(2, **{"degree": 2, **change})))
            for k, length in of.items()
            if k in given
        }
        with pytest.raises(ValueError, match=f"^{name}: `correction` .*{argument}"):
            call(name, **{**given, **derivs, **change, "correction": correction})
        call(name, **{**given, **derivs, **change, "correction": correction[:0]})
    if xp.library == "torch":
        with pytest.raises(NotImplementedError, match=f"^{name}: `correction` is constant"):
            call(name, **given, correction=correction.requires_grad_())
        import torch

        with torch.no_grad():
            call(name, **given, correction=correction)


def test_streams_and_corrections_of_too_many_words(xp: Backend) -> None:
    path = xp.array(np.ones((3, 2)))
    for options in ({"stream": True}, {"correction": path[:, :2].reshape(-1)[:4]}):
        with pytest.raises(MemoryError, match=r"^sig: `degree` is too large: .* words, got 30"):
            arraysig.sig(path, 30, **options)
        with pytest.raises(ValueError, match=r"^sig: .*overflow"):
            arraysig.sig(path, 64, **options)
    narrow, correction = path[:, :1], path[0, :1]
    for degree, options in (
        (10**9, {"stream": True}),
        (10**9, {"correction": correction}),
        (30_000, {"correction": correction}),
    ):
        with pytest.raises(MemoryError, match=rf"^sig: `degree` is too large: .* {degree}$"):
            arraysig.sig(narrow, degree, **options)


@pytest.mark.parametrize("name", ["sig_coef", "sig_coef_backprop"])
@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([], ValueError),
        ([(0, 2)], ValueError),
        ([(-1,)], ValueError),
        ([[0, 1]], TypeError),
        ((0.5,), TypeError),
        (((0,), (1,)), TypeError),
        ("01", TypeError),
        (None, TypeError),
    ],
    ids=repr,
)
def test_words_of_coefficients(name: str, words: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name}: `words` must "):
        call(name, words=words)


def test_coefficients_that_do_not_fit(xp: Backend) -> None:
    path = xp.array(PATH)
    for coefs, derivs, argument in (
        (None, np.ones(3), "derivs"),
        (None, np.ones((2, 1)), "derivs"),
        (np.ones(3), np.ones(1), "coefs"),
    ):
        with pytest.raises(ValueError, match=rf"^sig_coef_backprop: `{argument}` must have shape"):
            arraysig.sig_coef_backprop(
                path, (0, 1), None if coefs is None else xp.array(coefs), xp.array(derivs)
            )


@pytest.mark.parametrize("name", having("dyadic_order"))
@pytest.mark.parametrize(
    ("order", "error"),
    [
        (-1, ValueError),
        ((1, -2), ValueError),
        ((1,), ValueError),
        ((1, 1, 1), ValueError),
        (31, ValueError),
        ((0, 31), ValueError),
        (2**70, ValueError),
        (1.0, TypeError),
        ((1, 1.5), TypeError),
        ("1", TypeError),
        (True, TypeError),
    ],
    ids=str,
)
def test_dyadic_order(name: str, order: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"^{name}: `dyadic_order` must "):
        call(name, dyadic_order=order)


@pytest.mark.parametrize("name", having("dyadic_order"))
@pytest.mark.parametrize("order", [31, (0, 31), (31, 0)], ids=str)
def test_the_highest_dyadic_order(name: str, order: Any) -> None:
    message = rf"^{name}: `dyadic_order` must be at most 30, got {re.escape(str(order))}$"
    with pytest.raises(ValueError, match=message):
        call(name, dyadic_order=order)


@pytest.mark.parametrize("name", having("static_kernel"))
@pytest.mark.parametrize(
    "bad",
    ["rbf", arraysig.RBFKernel, 1.0, np.dot],
    ids=lambda bad: type(bad).__name__,
)
def test_static_kernel(name: str, bad: Any) -> None:
    with pytest.raises(TypeError, match=f"^{name}: `static_kernel` must be a StaticKernel or None"):
        call(name, static_kernel=bad)


@pytest.mark.parametrize("name", having("max_batch"))
@pytest.mark.parametrize(
    ("bad", "error"), [(0, ValueError), (-2, ValueError), (1.0, TypeError), (None, TypeError)]
)
def test_max_batch(name: str, bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name}: `max_batch` must be .*{bad!r}"):
        call(name, max_batch=bad)


@pytest.mark.parametrize("name", having("normalize"))
def test_normalized_grids(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: `normalize` must be False with `return_grid`"):
        call(name, return_grid=True, normalize=True)


@pytest.mark.parametrize("name", having("depth"))
@pytest.mark.parametrize(
    ("bad", "error"),
    [(-1, ValueError), (2**20 + 1, ValueError), (1.0, TypeError), (None, TypeError)],
)
def test_depth(name: str, bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"^{name}: `depth` must be .*{bad}"):
        call(name, depth=bad)


@pytest.mark.parametrize("name", ["sig_kernel", "sig_kernel_gram"])
def test_what_kernels_return(name: str) -> None:
    with pytest.raises(
        ValueError,
        match=f"^{name}: `return_error` must be False for method 'finite_difference', got True",
    ):
        call(name, return_error=True)


def test_grids_that_do_not_fit() -> None:
    good = np.ones((2, 7, 5))  # of order 1
    pairs = np.ones((2, 2, 7, 5))
    for name, grid in (
        ("sig_kernel_backprop", good),
        ("sig_kernel_gram_backprop", pairs),
        ("branched_sig_kernel_backprop", good),
        ("branched_sig_kernel_gram_backprop", pairs),
    ):
        deep = name.startswith("branched")
        stored = np.stack([grid] * 3, -3) if deep else grid
        given = "k_stack" if deep else "k_grid"
        call(name, **{given: stored})
        axes = "3, 7, 5" if deep else "7, 5"
        with pytest.raises(
            ValueError, match=rf"^{name}: `{given}` must have shape \(2, .*{axes}\)"
        ):
            call(name, **{given: stored[..., :2]})
        with pytest.raises(ValueError, match=f"^{name}: arrays must have one dtype"):
            call(name, **{given: stored.astype("float32")})
        with pytest.raises(ValueError, match=rf"^{name}: `derivs` must have shape \(2, .*7, 5\)"):
            call(name, return_grid=True)
        call(name, return_grid=True, derivs=grid)


KERNEL_PARAMETERS: list[tuple[str, str, dict[str, float]]] = [
    ("ScaledLinearKernel", "scale", {}),
    ("RBFKernel", "sigma", {}),
    ("Matern12Kernel", "sigma", {}),
    ("Matern32Kernel", "sigma", {}),
    ("Matern52Kernel", "sigma", {}),
    ("RationalQuadraticKernel", "sigma", {}),
    ("RationalQuadraticKernel", "alpha", {"sigma": 1.0}),
    ("PolynomialKernel", "degree", {}),
    ("PolynomialKernel", "gamma", {}),
    ("PolynomialKernel", "scale", {}),
]


@pytest.mark.parametrize(("name", "parameter", "others"), KERNEL_PARAMETERS)
@pytest.mark.parametrize(
    ("bad", "error"),
    [(-1, ValueError), (np.nan, ValueError), (np.inf, ValueError), ("1", TypeError)],
    ids=str,
)
def test_parameters_of_static_kernels(
    name: str, parameter: str, others: dict[str, float], bad: Any, error: type[Exception]
) -> None:
    if (parameter, bad) == ("gamma", -1):
        assert getattr(arraysig, name)(gamma=bad).gamma == bad
        return
    with pytest.raises(error, match=f"^{name}: `{parameter}` must be .*{bad}"):
        getattr(arraysig, name)(**others, **{parameter: bad})
    if parameter in ("sigma", "alpha"):
        with pytest.raises(ValueError, match=f"^{name}: `{parameter}` must be greater than 0"):
            getattr(arraysig, name)(**others, **{parameter: 0})
    for large in (10**400, -fractions.Fraction(10**5000, 3)):
        with pytest.raises(ValueError, match=f"^{name}: `{parameter}` must be finite in float64"):
            getattr(arraysig, name)(**others, **{parameter: large})


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("RationalQuadraticKernel", (1e-200,)),
        ("RationalQuadraticKernel", (1e200,)),
        ("RationalQuadraticKernel", (1.0, 1e-320)),
        ("ScaledLinearKernel", (1e200,)),
        ("ScaledLinearKernel", (1e-200,)),
        ("RBFKernel", (1e-320,)),
        ("Matern32Kernel", (1e-309,)),
    ],
)
def test_factors_of_static_kernels(name: str, parameters: tuple[float, ...]) -> None:
    value = re.escape(repr(parameters[-1]))
    with pytest.raises(ValueError, match=rf"^{name}: `.*` must give a factor .*={value}"):
        getattr(arraysig, name)(*parameters)
    assert arraysig.ScaledLinearKernel(0).scale == 0


@pytest.mark.parametrize("name", having("static_kernel"))
def test_static_kernels_beyond_float32(name: str) -> None:
    arrays = {k: v.astype("f") for k, v in GOOD[name].items() if isinstance(v, np.ndarray)}
    for kernel in (arraysig.RBFKernel(1e-39), arraysig.PolynomialKernel(2, -1e39)):
        call(name, static_kernel=kernel)
        with pytest.raises(ValueError, match=rf"^{name}: `static_kernel` .* float32, got \w+Kern"):
            call(name, **arrays, static_kernel=kernel)


def test_paths_of_kernels_that_do_not_fit(xp: Backend) -> None:
    one, two = xp.array(np.ones((2, 4, 2))), xp.array(np.ones((3, 4, 2)))
    with pytest.raises(ValueError, match=r"^sig_kernel: `path2` must have leading axes \(2,\)"):
        arraysig.sig_kernel(one, two, 0)
    with pytest.raises(ValueError, match=r"^branched_sig_kernel: `path2` must have leading axes"):
        arraysig.branched_sig_kernel(one, two, 2, 0)
    assert arraysig.sig_kernel_gram(one, two, 0).shape == (2, 3)
    for function in (arraysig.sig_kernel, arraysig.sig_kernel_gram):
        name = function.__name__
        with pytest.raises(ValueError, match=f"^{name}: `path2` must have 2 channels"):
            function(one, two[..., :1], 0)


@pytest.mark.parametrize("name", having("lam"))
@pytest.mark.parametrize(
    ("lam", "error"),
    [(np.nan, ValueError), (-np.inf, ValueError), ("1", TypeError), (None, TypeError)],
)
def test_lam(name: str, lam: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"^{name}: `lam` must be .*{re.escape(repr(lam))}"):
        call(name, lam=lam)


@pytest.mark.parametrize(
    ("name", "argument", "least"),
    [
        ("sig_score", "sample", 2),
        ("expected_sig_score", "sample1", 2),
        ("expected_sig_score", "sample2", 1),
        ("sig_mmd", "sample1", 2),
        ("sig_mmd", "sample2", 2),
    ],
)
def test_samples_of_too_few_paths(xp: Backend, name: str, argument: str, least: int) -> None:
    arrays = {k: xp.array(v) for k, v in GOOD[name].items() if isinstance(v, np.ndarray)}
    shapes = [(least - 1, 4, 2), (3, 0, 4, 2)] + [(4, 2)] * (least > 1)
    for shape in shapes:
        arrays[argument] = xp.array(np.ones(shape))
        message = f"{name}: `{argument}` must hold at least {least} path"
        with pytest.raises(ValueError, match=rf"^{message}.*{re.escape(str(shape))}"):
            call(name, **arrays)


@pytest.mark.parametrize("name", ["sig_score", "expected_sig_score", "sig_mmd"])
def test_samples_that_do_not_fit(xp: Backend, name: str) -> None:
    one, two = [k for k, v in GOOD[name].items() if isinstance(v, np.ndarray)]
    paths = {k: xp.array(GOOD[name][k]) for k in (one, two)}
    with pytest.raises(ValueError, match=f"^{name}: `{two}` must have 2 channels, as `{one}` has"):
        call(name, **{**paths, two: paths[two][..., :1]})
    with pytest.raises(ValueError, match=f"^{name}: arrays must have one dtype, .*`{two}`"):
        call(name, **{**paths, two: xp.array(GOOD[name][two].astype("float32"))})
    # Pairs within the longer sample are those that are too many.
    point, line, long = (xp.array(np.ones((2, length, 2))) for length in (1, 2, 3))
    for pair, lead_lag in (((point, long), False), ((long, point), False), ((line, line), True)):
        arrays = dict(zip((one, two), pair, strict=True))
        with pytest.raises(ValueError, match=f"^{name}: `dyadic_order` must leave fewer"):
            call(name, **arrays, dyadic_order=30, lead_lag=lead_lag)


SOLVED = having("tol")


@pytest.mark.parametrize("name", SOLVED)
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "euler"}, ValueError, "`method` must be one of .*got 'euler'"),
        ({"method": 3}, TypeError, "`method` must be a string or None, got 3"),
        ({"method": "polynomial"}, ValueError, "`dyadic_order` must be None .*'polynomial', got 1"),
        ({"method": "auto"}, ValueError, "`dyadic_order` must be None for method 'auto', got 1"),
        ({"order": 3}, ValueError, "`order` must be None for method 'finite_difference', got 3"),
        ({"fold": 1}, ValueError, "`fold` must be 0 for method 'finite_difference', got 1"),
        ({"dyadic_order": None, "method": "finite_difference"}, TypeError, "`dyadic_order` must"),
        ({"dyadic_order": None, "method": "polynomial"}, TypeError, "`order` must be an integer"),
        ({"dyadic_order": None, "method": "auto", "order": 3}, ValueError, "`order` must be None"),
        ({"dyadic_order": None, "order": 1}, ValueError, "`order` must be between 2 and 64, got 1"),
        ({"dyadic_order": None, "order": 65}, ValueError, "`order` must be between .* got 65"),
        ({"dyadic_order": None, "order": 2.0}, TypeError, "`order` must be an integer, got 2.0"),
        ({"dyadic_order": None, "order": True}, TypeError, "`order` must be an integer, got True"),
        ({"dyadic_order": None, "order": 3, "fold": 3}, ValueError, "`fold` must be 0, 1 or 2"),
        ({"dyadic_order": None, "order": 17, "fold": 1}, ValueError, "`fold` must be .* order 17"),
        ({"dyadic_order": None, "order": 3, "fold": -1}, ValueError, "`fold` must be a non-neg"),
        ({"dyadic_order": None, "order": 3, "fold": 1.0}, TypeError, "`fold` must be an integer"),
        ({"dyadic_order": None, "fold": 2}, ValueError, "`fold` must be 0 for method 'auto'"),
        ({"tol": 0}, ValueError, "`tol` must be greater than 0, got 0"),
        ({"tol": 0.0}, ValueError, "`tol` must be greater than 0, got 0.0"),
        ({"tol": "1e-6"}, TypeError, "`tol` must be a real number"),
        ({"tol": np.nan}, ValueError, "`tol` must be finite, got nan"),
    ],
    ids=str,
)
def test_methods(name: str, options: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{name}: {message}"):
        call(name, **options)


@pytest.mark.parametrize("name", SOLVED)
def test_a_tolerance_that_no_order_meets(name: str) -> None:
    wild = np.linspace(0, 400, 12).reshape(2, 3, 2)
    arrays = {n: wild for n in GOOD[name] if n not in ("derivs", "dyadic_order")}
    with pytest.raises(
        ValueError, match=rf"^{name}: `tol` must be at least .* orders up to 32, got 1e-06"
    ):
        call(name, **arrays, dyadic_order=None)
