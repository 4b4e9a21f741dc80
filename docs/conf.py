"""Configuration of the documentation: ``python -m sphinx -W docs docs/_build``."""

import pathlib
import shutil
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import generate  # noqa: E402

import arraysig  # noqa: E402

project = "arraysig"
author = "the arraysig developers"
copyright = "2026, " + author
release = version = arraysig.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
]
exclude_patterns = ["_build", "benchmarks/*", ".jupyter_cache", "jupyter_execute"]
html_theme = "furo"
html_title = "arraysig"
templates_path: list[str] = []

autodoc_typehints = "none"  # the docstrings say more
numpydoc_show_class_members = False
nitpicky = True
nitpick_ignore_regex = [("py:class", ".*")]  # "array", "int", "optional" in docstrings

myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True

shutil.rmtree(HERE / "_generated", ignore_errors=True)
shutil.copytree(
    HERE.parent / "notebooks",
    HERE / "_generated" / "notebooks",
    ignore=shutil.ignore_patterns("README.md", ".ipynb_checkpoints"),
)
generate.write(HERE / "_generated", HERE / "benchmarks")
