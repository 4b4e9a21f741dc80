"""The public names: documented, typed, with the signatures of the specification."""

from __future__ import annotations

import inspect
import re

import pytest

import arraysig

FUNCTIONS = [name for name in arraysig.__all__ if inspect.isfunction(getattr(arraysig, name))]
SIGNATURES = {
    "branched_sig_kernel": "(path1, path2, depth, dyadic_order, *, static_kernel=None, "
    "time_aug=False, lead_lag=False, end_time=1.0, n_jobs=1, return_grid=False, normalize=False)",
    "branched_sig_kernel_backprop": "(derivs, path1, path2, depth, dyadic_order, *, "
    "static_kernel=None, time_aug=False, lead_lag=False, end_time=1.0, left_deriv=True, "
    "right_deriv=False, k_stack=None, n_jobs=1, return_grid=False)",
    "branched_sig_kernel_gram": "(path1, path2, depth, dyadic_order, *, static_kernel=None, "
    "time_aug=False, lead_lag=False, end_time=1.0, n_jobs=1, return_grid=False, normalize=False, "
    "max_batch=-1, progress=False)",
    "branched_sig_kernel_gram_backprop": "(derivs, path1, path2, depth, dyadic_order, *, "
    "static_kernel=None, time_aug=False, lead_lag=False, end_time=1.0, left_deriv=True, "
    "right_deriv=False, k_stack=None, n_jobs=1, return_grid=False, max_batch=-1, progress=False)",
    "clear_cache": "(*, use_disk=False)",
    "expected_sig_score": "(sample1, sample2, dyadic_order=None, *, method=None, order=None, "
    "fold=0, tol=1e-06, lam=1.0, static_kernel=None, time_aug=False, lead_lag=False, "
    "end_time=1.0, n_jobs=1, max_batch=-1)",
    "extract_sig_coef": "(sig, words, dimension, *, time_aug=False, lead_lag=False, "
    "scalar_term=False)",
    "idx_to_word": "(idx, alphabet_size, *, scalar_term=False)",
    "is_lyndon": "(word)",
    "linear_sig": "(displacement, dimension, degree, *, scalar_term=False, n_jobs=1)",
    "linear_sig_backprop": "(derivs, displacement, dimension, degree, *, n_jobs=1)",
    "log_sig_basis": "(dimension, degree, *, method=1, time_aug=False, lead_lag=False, names=None)",
    "log_sig_length": "(dimension, degree, *, time_aug=False, lead_lag=False)",
    "linear_log_sig": "(displacement, dimension, degree, *, method=1, scalar_term=False, n_jobs=1)",
    "linear_log_sig_backprop": "(derivs, displacement, dimension, degree, *, method=1, "
    "scalar_term=False, n_jobs=1)",
    "log_sig": "(path, degree, *, time_aug=False, lead_lag=False, end_time=1.0, method=1, "
    "scalar_term=False, correction=None, stream=False, n_jobs=1)",
    "log_sig_backprop": "(path, log_sig_derivs, degree, *, time_aug=False, lead_lag=False, "
    "end_time=1.0, method=1, correction=None, stream=False, n_jobs=1)",
    "log_sig_combine": "(log_sig1, log_sig2, dimension, degree, *, time_aug=False, "
    "lead_lag=False, n_jobs=1)",
    "log_sig_combine_backprop": "(deriv, log_sig1, log_sig2, dimension, degree, *, "
    "time_aug=False, lead_lag=False, n_jobs=1)",
    "log_sig_join": "(log_sig, displacement, dimension, degree, *, n_jobs=1)",
    "log_sig_join_backprop": "(d_out, log_sig, displacement, dimension, degree, *, n_jobs=1)",
    "logsig_to_sig": "(log_sig, dimension, degree, *, time_aug=False, lead_lag=False, method=1, "
    "scalar_term=False, n_jobs=1)",
    "logsig_to_sig_backprop": "(log_sig, sig_derivs, dimension, degree, *, time_aug=False, "
    "lead_lag=False, method=1, scalar_term=False, n_jobs=1)",
    "sig_to_log_sig": "(sig, dimension, degree, *, time_aug=False, lead_lag=False, method=1, "
    "n_jobs=1)",
    "sig_to_log_sig_backprop": "(sig, log_sig_derivs, dimension, degree, *, time_aug=False, "
    "lead_lag=False, method=1, n_jobs=1)",
    "lyndon_words": "(alphabet_size, max_length)",
    "lyndon_words_of_length": "(alphabet_size, length)",
    "prepare_log_sig": "(dimension, degree, method=2, *, time_aug=False, lead_lag=False, "
    "use_disk=False)",
    "set_cache_dir": "(dir)",
    "sig": "(path, degree, *, time_aug=False, lead_lag=False, end_time=1.0, scalar_term=False, "
    "correction=None, stream=False, n_jobs=1)",
    "sig_backprop": "(path, sig, sig_derivs, degree, *, time_aug=False, lead_lag=False, "
    "end_time=1.0, correction=None, stream=False, n_jobs=1)",
    "sig_coef": "(path, words, *, time_aug=False, lead_lag=False, end_time=1.0, prefixes=False, "
    "n_jobs=1)",
    "sig_coef_backprop": "(path, words, coefs, derivs, *, time_aug=False, lead_lag=False, "
    "end_time=1.0, n_jobs=1)",
    "sig_combine": "(sig1, sig2, dimension, degree, *, time_aug=False, lead_lag=False, n_jobs=1)",
    "sig_combine_backprop": "(deriv, sig1, sig2, dimension, degree, *, time_aug=False, "
    "lead_lag=False, n_jobs=1)",
    "sig_inverse": "(sig, dimension, degree, *, time_aug=False, lead_lag=False, n_jobs=1)",
    "sig_inverse_backprop": "(derivs, sig, dimension, degree, *, time_aug=False, lead_lag=False, "
    "n_jobs=1)",
    "sig_join": "(sig, displacement, dimension, degree, *, prepend=False, n_jobs=1)",
    "sig_join_backprop": "(d_out, sig, displacement, dimension, degree, *, prepend=False, "
    "n_jobs=1)",
    "sig_kernel": "(path1, path2, dyadic_order=None, *, method=None, order=None, fold=0, "
    "tol=1e-06, static_kernel=None, time_aug=False, lead_lag=False, end_time=1.0, n_jobs=1, "
    "return_grid=False, normalize=False, return_error=False)",
    "sig_kernel_backprop": "(derivs, path1, path2, dyadic_order=None, *, method=None, "
    "order=None, fold=0, tol=1e-06, static_kernel=None, time_aug=False, lead_lag=False, "
    "end_time=1.0, left_deriv=True, right_deriv=False, k_grid=None, n_jobs=1, "
    "return_grid=False)",
    "sig_kernel_gram": "(path1, path2, dyadic_order=None, *, method=None, order=None, fold=0, "
    "tol=1e-06, static_kernel=None, time_aug=False, lead_lag=False, end_time=1.0, n_jobs=1, "
    "return_grid=False, normalize=False, max_batch=-1, progress=False, return_error=False)",
    "sig_kernel_gram_backprop": "(derivs, path1, path2, dyadic_order=None, *, method=None, "
    "order=None, fold=0, tol=1e-06, static_kernel=None, time_aug=False, lead_lag=False, "
    "end_time=1.0, left_deriv=True, right_deriv=False, k_grid=None, n_jobs=1, "
    "return_grid=False, max_batch=-1, progress=False)",
    "sig_length": "(dimension, degree, *, time_aug=False, lead_lag=False, scalar_term=False)",
    "sig_mmd": "(sample1, sample2, dyadic_order=None, *, method=None, order=None, fold=0, "
    "tol=1e-06, static_kernel=None, time_aug=False, lead_lag=False, end_time=1.0, n_jobs=1, "
    "max_batch=-1)",
    "sig_score": "(sample, y, dyadic_order=None, *, method=None, order=None, fold=0, tol=1e-06, "
    "lam=1.0, static_kernel=None, time_aug=False, lead_lag=False, end_time=1.0, n_jobs=1, "
    "max_batch=-1)",
    "transform_path": "(path, *, time_aug=False, lead_lag=False, end_time=1.0, n_jobs=1)",
    "transform_path_backprop": "(derivs, *, time_aug=False, lead_lag=False, n_jobs=1)",
    "word_to_idx": "(word, alphabet_size, *, scalar_term=False)",
    "words": "(alphabet_size, max_length)",
    "words_of_length": "(alphabet_size, length)",
    "branched_log_sig": "(path, degree, *, time_aug=False, lead_lag=False, end_time=1.0, "
    "planar=False, scalar_term=False, method=None, correction=None, n_jobs=1)",
    "branched_log_sig_backprop": "(path, blogsig_derivs, degree, *, time_aug=False, "
    "lead_lag=False, end_time=1.0, planar=False, method=None, correction=None, n_jobs=1)",
    "branched_log_sig_join": "(blogsig, displacement, dimension, degree, *, prepend=False, "
    "n_jobs=1)",
    "branched_log_sig_join_backprop": "(derivs, blogsig, displacement, dimension, degree, *, "
    "prepend=False, n_jobs=1)",
    "branched_log_sig_length": "(dimension, degree, *, planar=False)",
    "branched_sig": "(path, degree, *, time_aug=False, lead_lag=False, end_time=1.0, planar=False, "
    "scalar_term=False, correction=None, n_jobs=1)",
    "branched_sig_backprop": "(path, bsig, bsig_derivs, degree, *, time_aug=False, lead_lag=False, "
    "end_time=1.0, planar=False, correction=None, n_jobs=1)",
    "branched_sig_coef": "(path, trees, *, time_aug=False, lead_lag=False, end_time=1.0, "
    "planar=False, correction=None, n_jobs=1)",
    "branched_sig_coef_backprop": "(path, trees, coefs, derivs, *, time_aug=False, lead_lag=False, "
    "end_time=1.0, planar=False, correction=None, n_jobs=1)",
    "branched_sig_combine": "(bsig1, bsig2, dimension, degree, *, planar=False, n_jobs=1)",
    "branched_sig_combine_backprop": "(derivs, bsig1, bsig2, dimension, degree, *, planar=False, "
    "n_jobs=1)",
    "branched_sig_join": "(bsig, displacement, dimension, degree, *, planar=False, prepend=False, "
    "n_jobs=1)",
    "branched_sig_join_backprop": "(derivs, bsig, displacement, dimension, degree, *, "
    "planar=False, prepend=False, n_jobs=1)",
    "branched_sig_length": "(dimension, degree, *, planar=False, scalar_term=False)",
    "branched_sig_to_log_sig": "(bsig, dimension, degree, *, time_aug=False, lead_lag=False, "
    "planar=False, method=None, n_jobs=1)",
    "branched_sig_to_log_sig_backprop": "(bsig, blogsig_derivs, dimension, degree, *, "
    "time_aug=False, lead_lag=False, planar=False, method=None, n_jobs=1)",
    "extract_branched_sig_coef": "(bsig, trees, dimension, *, time_aug=False, lead_lag=False, "
    "planar=False, scalar_term=False)",
    "idx_to_tree": "(idx, dimension, degree, *, planar=False, scalar_term=False)",
    "linear_branched_log_sig": "(displacement, dimension, degree, *, planar=False, "
    "scalar_term=False, method=None, n_jobs=1)",
    "linear_branched_log_sig_backprop": "(derivs, displacement, dimension, degree, *, "
    "planar=False, scalar_term=False, method=None, n_jobs=1)",
    "linear_branched_sig": "(displacement, dimension, degree, *, planar=False, scalar_term=False, "
    "n_jobs=1)",
    "linear_branched_sig_backprop": "(derivs, displacement, dimension, degree, *, planar=False, "
    "scalar_term=False, n_jobs=1)",
    "prepare_branched_log_sig": "(dimension, degree, method=None, *, use_disk=False, "
    "time_aug=False, lead_lag=False, planar=False)",
    "prepare_branched_sig": "(dimension, degree, *, use_disk=False, time_aug=False, "
    "lead_lag=False, planar=False)",
    "prepare_branched_sig_coef": "(dimension, trees, *, time_aug=False, lead_lag=False, "
    "planar=False)",
    "tree_to_idx": "(tree, dimension, degree, *, planar=False, scalar_term=False)",
    "trees": "(dimension, degree, *, planar=False)",
    "trees_of_order": "(dimension, order, *, planar=False)",
}


def bare(function: object) -> str:
    """The signature of a function without annotations."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


def test_every_function_has_its_signature_here() -> None:
    assert set(SIGNATURES) == set(FUNCTIONS) - {"show_config", "signature"}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name: str) -> None:
    assert bare(getattr(arraysig, name)) == SIGNATURES[name]


def test_alias() -> None:
    assert arraysig.signature is arraysig.sig


def test_version() -> None:
    assert arraysig.__version__[0].isdigit()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings(name: str) -> None:
    function = getattr(arraysig, name)
    text = inspect.getdoc(function) or ""
    assert not re.search(r"^\s*\{\w+\}$", text, re.M), "a shared description was not filled in"
    sections = ["Returns", "Examples"] if name != "show_config" else ["Examples"]
    if inspect.signature(function).parameters:
        sections = ["Parameters", "Raises", *sections]
    for section in sections:
        assert f"{section}\n{'-' * len(section)}\n" in text, section
    for parameter in inspect.signature(function).parameters:
        assert f"\n{parameter} : " in text, parameter
