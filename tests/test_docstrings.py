"""Docstrings of the public functions, by the rules of numpydoc."""

from __future__ import annotations

import pytest

import arraysig

#: One line may say it all; few functions are related; shared descriptions end without a line break.
FREE = {"ES01", "SA01", "SA02", "SA03", "SA04", "GL02"}


@pytest.mark.slow
@pytest.mark.parametrize("name", arraysig.__all__)
def test_numpydoc(name: str) -> None:
    validate = pytest.importorskip("numpydoc.validate").validate
    errors = validate(f"arraysig.{name}")["errors"]
    assert [text for code, text in errors if code not in FREE] == []
