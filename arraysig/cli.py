"""The command line: one function per subcommand, with its options above it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from ._core import check
from .config import no_gpu, show_config

_Command = Callable[..., None]
_Option = tuple[str, dict[str, Any]]
_COMMANDS: dict[str, tuple[_Command, tuple[_Option, ...]]] = {}


class Unavailable(Exception):
    """What a command lacks on this machine, in one line."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Exit with one line; argparse would print the usage as well."""
        self.exit(2, f"{self.prog}: {message}\n")


def _option(flag: str, **how: Any) -> _Option:
    return flag, how


def _command(name: str, *options: _Option) -> Callable[[_Command], _Command]:
    """Make a function a subcommand; it receives the options by keyword."""

    def register(function: _Command) -> _Command:
        _COMMANDS[name] = function, options
        return function

    return register


def _n_jobs(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer, got {text!r}") from None
    try:
        return check.n_jobs("", number)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix(": ")) from None


def _figure(text: str) -> Path:
    path, kinds = Path(text), (".pdf", ".png", ".svg")
    if path.suffix not in kinds:
        raise argparse.ArgumentTypeError(f"must end in {', '.join(kinds)}, got {text!r}")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"is in a folder that does not exist: {text!r}")
    return path


def _need(extra: str, *modules: str) -> None:
    """Refuse where one of `modules` is missing; the extra called `extra` brings them."""
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise Unavailable(
            f"{', '.join(missing)} not installed: python -m pip install 'arraysig[{extra}]'"
        )


def _why_cpu(device: str) -> str:
    """Why the GPU is not to be used; "" where it is."""
    if device == "cpu":
        return "--device cpu"
    reason = no_gpu()
    if reason and device == "cuda":
        raise Unavailable(
            f"{reason}; --device cuda needs an NVIDIA GPU and CuPy: "
            "python -m pip install 'arraysig[cuda13]' (or 'arraysig[cuda12]')"
        )
    return reason


@_command("info")
def _info() -> None:
    """Print versions, instruction set, threads and devices."""
    show_config()


@_command(
    "demo",
    _option("--out", type=_figure, default="arraysig-demo.png", help="figure (%(default)s)"),
    _option("--degree", type=int, choices=range(1, 6), default=3, help="truncation (%(default)s)"),
    _option("--n-jobs", type=_n_jobs, default=-1, help="threads; -1, the default, for all"),
    _option(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where signatures are computed; auto, the default: on a GPU that CuPy sees",
    ),
)
def _demo(out: Path, degree: int, n_jobs: int, device: str) -> None:
    """Classify recordings of a smart watch by their signatures, and draw them."""
    _need("examples", "matplotlib", "sklearn", "sktime")
    why_cpu = _why_cpu(device)
    from . import demo

    demo.run(out, degree, n_jobs, why_cpu)


def _parser() -> _Parser:
    parser = _Parser(prog="python -m arraysig", description="Path signatures and their gradients.")
    parser.add_argument("--version", action="version", version=version("arraysig"))
    commands = parser.add_subparsers(metavar="command", dest="command", required=True)
    for name, (function, options) in _COMMANDS.items():
        command = commands.add_parser(name, help=function.__doc__, description=function.__doc__)
        for flag, how in options:
            command.add_argument(flag, **how)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, or 1 where the machine lacks something."""
    options = vars(_parser().parse_args(arguments))
    name = options.pop("command")
    function, _ = _COMMANDS[name]
    try:
        function(**options)
    except Unavailable as error:
        print(f"python -m arraysig {name}: {error}", file=sys.stderr)
        return 1
    return 0
