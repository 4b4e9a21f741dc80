"""What the README and the documentation tell people to type works."""

from __future__ import annotations

import doctest
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


def blocks(language: str, page: pathlib.Path = README) -> list[str]:
    """Code of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text("utf-8"), re.M | re.S)


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


PAGES = [
    page for page in sorted(README.parent.glob("docs/**/*.md")) if ">>>" in page.read_text("utf-8")
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages(page: pathlib.Path) -> None:
    code = "\n".join(block for block in blocks("python", page) if ">>>" in block)
    test = doctest.DocTestParser().get_doctest(code, {}, page.name, None, 0)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)
