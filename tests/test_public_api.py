"""The public names: documented, typed, with the signatures of the specification."""

from __future__ import annotations

import inspect
import re

import pytest

import arraysig

FUNCTIONS = [name for name in arraysig.__all__ if inspect.isfunction(getattr(arraysig, name))]
SIGNATURES = {
    "sig": "(path, degree, *, time_aug=False, lead_lag=False, end_time=1.0, scalar_term=False, "
    "n_jobs=1)",
    "sig_backprop": "(path, sig, sig_derivs, degree, *, time_aug=False, lead_lag=False, "
    "end_time=1.0, n_jobs=1)",
    "sig_length": "(dimension, degree, *, time_aug=False, lead_lag=False, scalar_term=False)",
    "transform_path": "(path, *, time_aug=False, lead_lag=False, end_time=1.0, n_jobs=1)",
    "transform_path_backprop": "(derivs, *, time_aug=False, lead_lag=False, n_jobs=1)",
}


def bare(function: object) -> str:
    """The signature of a function without annotations."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=signature.empty))


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
