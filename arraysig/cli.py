"""The command line: one function per subcommand, with its options above it."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from . import static_kernels
from ._core import check
from .config import no_gpu, show_config

_Command = Callable[..., None]
_Option = tuple[str, dict[str, Any]]
_STATIC_KERNELS: dict[str, type[Any]] = {
    "linear": static_kernels.LinearKernel,
    "scaled-linear": static_kernels.ScaledLinearKernel,
    "rbf": static_kernels.RBFKernel,
    "polynomial": static_kernels.PolynomialKernel,
    "matern12": static_kernels.Matern12Kernel,
    "matern32": static_kernels.Matern32Kernel,
    "matern52": static_kernels.Matern52Kernel,
    "rational-quadratic": static_kernels.RationalQuadraticKernel,
}
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


def _dyadic_order(text: str) -> int | tuple[int, int]:
    numbers = text.split(",")
    if len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(
            f"must be a non-negative integer, or two with a comma between, got {text!r}"
        )
    return int(text) if len(numbers) == 1 else (int(numbers[0]), int(numbers[1]))


def _positive(text: str) -> float:
    try:
        return check.positive_real("", "tol", float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a positive number, got {text!r}") from None


def _real(text: str) -> float:
    try:
        return check.finite_real("", "end_time", float(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a finite number, got {text!r}") from None


def _static_kernel(text: str) -> static_kernels.StaticKernel:
    name, colon, rest = text.partition(":")
    if name not in _STATIC_KERNELS:
        raise argparse.ArgumentTypeError(
            f"must be one of {', '.join(_STATIC_KERNELS)}, got {text!r}"
        )
    kind = _STATIC_KERNELS[name]
    try:
        numbers = [float(number) for number in rest.split(",")] if colon else []
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must have numbers with commas between after the colon, got {text!r}"
        ) from None
    try:
        kernel: static_kernels.StaticKernel = kind(*numbers)
    except TypeError:  # too few of them, or too many
        takes = ", ".join(field.name for field in dataclasses.fields(kind)) or "no numbers"
        raise argparse.ArgumentTypeError(f"{name} takes {takes}, got {text!r}") from None
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return kernel


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


_TRANSFORM = (
    _option("--time-aug", action="store_true", help="append a time channel"),
    _option("--lead-lag", action="store_true", help="lead-lag transform"),
    _option("--end-time", type=_real, default=1.0, help="last time (%(default)s)"),
)
_N_JOBS = _option("--n-jobs", type=_n_jobs, default=-1, help="threads; -1, the default, for all")
_FORCE = _option("--force", action="store_true", help="overwrite OUT if it exists")
_DEVICE = _option(
    "--device",
    choices=("auto", "cpu", "cuda"),
    default="auto",
    help="where to compute; auto, the default: on a GPU that CuPy sees",
)


@_command("info")
def _info() -> None:
    """Print versions, instruction set, threads and devices."""
    show_config()


@_command(
    "demo",
    _option("--out", type=_figure, default="arraysig-demo.png", help="figure (%(default)s)"),
    _option(
        "--degree", type=int, choices=range(1, 6), default=3, help="of signatures (%(default)s)"
    ),
    _N_JOBS,
    _DEVICE,
)
def _demo(out: Path, degree: int, n_jobs: int, device: str) -> None:
    """Classify recordings of a smart watch by signatures and by signature kernels; draw them."""
    _need("examples", "matplotlib", "sklearn", "sktime")
    why_cpu = _why_cpu(device)
    from . import demo

    with _refusals():
        demo.run(out, degree, n_jobs, why_cpu)


def _memory(text: str) -> int:
    from .files import number_of_bytes

    try:
        return number_of_bytes(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What does not fit a command on files, as one line."""
    from .files import BadFile

    try:
        yield
    except BadFile as error:
        raise Refused(str(error)) from None
    except MemoryError as error:
        raise Refused(str(error) or "not enough memory") from None


@_command(
    "sig",
    _option("source", metavar="IN", help=".npy (..., length, dimension), or .csv of one path"),
    _option("target", metavar="OUT", help=".npy, or .csv with a line per path"),
    _option("--degree", type=_whole, required=True, help="truncation degree"),
    *_TRANSFORM,
    _option("--scalar-term", action="store_true", help="put the leading 1 in front"),
    _option("--dtype", choices=("float32", "float64"), help="to compute in (that of IN)"),
    _N_JOBS,
    _option("--memory-limit", type=_memory, default="1G", help="500M, 2G, ... (%(default)s)"),
    _FORCE,
)
def _sig(source: str, target: str, degree: int, **options: Any) -> None:
    """Compute the signatures of the paths in a file, however large it is."""
    from . import files

    with _refusals():
        shape = files.signatures_of_file(source, target, degree, **options)
    print(f"{target}: signatures of shape {shape}")


@_command(
    "gram",
    _option("source1", metavar="IN1", help=".npy (..., length, dimension), or .csv of one path"),
    _option("source2", metavar="IN2", nargs="?", help="more paths; without it, IN1 with itself"),
    _option("target", metavar="OUT", help=".npy, or .csv with a line per path of IN1"),
    _option(
        "--dyadic-order",
        type=_dyadic_order,
        metavar="N",
        help="finite differences: every segment becomes 2**N; N1,N2 for those of IN1 and of IN2",
    ),
    _option("--order", type=_whole, metavar="N", help="polynomial cells of this degree, 2 to 64"),
    _option("--fold", type=_whole, metavar="N", help="1 or 2: more exact for small increments (0)"),
    _option(
        "--tol",
        type=_positive,
        metavar="X",
        help="without an order: the least --order whose estimated error is at most X (1e-6)",
    ),
    _option(
        "--static-kernel",
        type=_static_kernel,
        metavar="NAME:P,...",
        help=f"{', '.join(_STATIC_KERNELS)}; with its parameters, as rbf:0.5 (linear)",
    ),
    *_TRANSFORM,
    _option("--normalize", action="store_true", help="divide by the roots of k(x, x) and k(y, y)"),
    _N_JOBS,
    _DEVICE,
    _FORCE,
)
def _gram(
    source1: str,
    source2: str | None,
    target: str,
    dyadic_order: int | tuple[int, int] | None,
    order: int | None,
    fold: int | None,
    tol: float | None,
    device: str,
    **options: Any,
) -> None:
    """Compute the signature kernels of all pairs of paths in files, which must fit in memory."""
    from . import files

    if order is not None and dyadic_order is not None:
        raise Refused(f"--order: not together with --dyadic-order, got {order}")
    if fold is not None and order is None:
        raise Refused(f"--fold: only together with --order, got {fold}")
    if tol is not None and (order is not None or dyadic_order is not None):
        raise Refused(f"--tol: not together with --dyadic-order or --order, got {tol}")
    given = {"order": order, "fold": fold, "tol": tol}
    options.update({name: number for name, number in given.items() if number is not None})
    sources = [source1] if source2 is None else [source1, source2]
    on_gpu = not _why_cpu(device)
    with _refusals():
        gram = files.gram_of_files(sources, target, dyadic_order, on_gpu=on_gpu, **options)
    estimate = "" if gram.error is None else f", estimated error {gram.error:.1e}"
    broken = f", {gram.not_finite} of them not finite" if gram.not_finite else ""
    print(f"{target}: signature kernels of shape {gram.shape}{estimate}{broken}")


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

    0 all well; 1 the machine lacks something; 2 a file or an option does not fit; 130 Ctrl-C; 141
    nobody reads what is printed any more.
    """
    options = vars(_parser().parse_args(arguments))
    name = options.pop("command")
    function, _ = _COMMANDS[name]
    try:
        function(**options)
        print(end="", flush=True)
    except (Unavailable, Refused) as error:
        print(f"python -m arraysig {name}: {error}", file=sys.stderr)
        return 1 if isinstance(error, Unavailable) else 2
    except KeyboardInterrupt:
        print(f"python -m arraysig {name}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes once more when it ends
        return 141
    return 0
