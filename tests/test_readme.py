"""What the README tells people to type works."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable
from typing import Any

import pytest

from .backends import have_gpu, have_torch

README = pathlib.Path(__file__).parents[1] / "README.md"
COMMANDS = [
    "python -m pip install '.[examples]' && python -m arraysig demo",
    "python -m pip install -c tests/constraints.txt -e '.[test]' && python -m pytest",
]


def blocks(language: str) -> list[str]:
    """Code of the README."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S)


def test_commands() -> None:
    assert [block.strip() for block in blocks("sh")] == COMMANDS


@pytest.mark.parametrize(
    ("library", "present"),
    [
        ("numpy", lambda: True),
        pytest.param("cupy", have_gpu, marks=pytest.mark.gpu),
        ("torch", have_torch),
    ],
)
def test_examples(library: str, present: Callable[[], bool]) -> None:
    if not present():
        pytest.skip(f"{library} can not be used here")
    (code,) = [block for block in blocks("python") if f"import {library}" in block]
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["gradient"].shape == (32, 100, 3)
