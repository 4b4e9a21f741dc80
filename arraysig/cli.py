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


class Refused(Exception):
    """A file or an option that does not fit, in one line."""


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


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a non-negative integer, got {text!r}")
    return int(text)


def _real(text: str) -> float:
    try:
        return check.finite_real("", "end_time", float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a finite number, got {text!r}") from None


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


def _memory(text: str) -> int:
    from .files import number_of_bytes

    try:
        return number_of_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@_command(
    "sig",
    _option("source", metavar="IN", help=".npy (..., length, dimension), or .csv of one path"),
    _option("target", metavar="OUT", help=".npy, or .csv with a line per path"),
    _option("--degree", type=_whole, required=True, help="truncation degree"),
    _option("--time-aug", action="store_true", help="append a time channel"),
    _option("--lead-lag", action="store_true", help="lead-lag transform"),
    _option("--end-time", type=_real, default=1.0, help="last time (%(default)s)"),
    _option("--scalar-term", action="store_true", help="put the leading 1 in front"),
    _option("--dtype", choices=("float32", "float64"), help="to compute in (that of IN)"),
    _option("--n-jobs", type=_n_jobs, default=-1, help="threads; -1, the default, for all"),
    _option("--memory-limit", type=_memory, default="1G", help="500M, 2G, ... (%(default)s)"),
)
def _sig(source: str, target: str, degree: int, **options: Any) -> None:
    """Compute the signatures of the paths in a file, however large it is."""
    from . import files

    try:
        shape = files.signatures_of_file(source, target, degree, **options)
    except files.BadFile as error:
        raise Refused(str(error)) from None
    except MemoryError as error:
        raise Refused(str(error) or "not enough memory") from None
    print(f"{target}: signatures of shape {shape}")


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
    """Run one command and return its exit status.

    0 all well; 1 the machine lacks something; 2 a file or an option does not fit; 130 Ctrl-C.
    """
    options = vars(_parser().parse_args(arguments))
    name = options.pop("command")
    function, _ = _COMMANDS[name]
    try:
        function(**options)
    except (Unavailable, Refused) as error:
        print(f"python -m arraysig {name}: {error}", file=sys.stderr)
        return 1 if isinstance(error, Unavailable) else 2
    except KeyboardInterrupt:
        print(f"python -m arraysig {name}: interrupted", file=sys.stderr)
        return 130
    return 0
