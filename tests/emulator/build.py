"""Kernel source -> shared object for the host, with g++, in a cache that is keyed by content."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_HERE = Path(__file__).parent


class EmulatorError(RuntimeError):
    """What a GPU would answer with garbage, a hang or an error of its own."""


class _Flavor(NamedTuple):
    kernel: tuple[str, ...]
    runtime: tuple[str, ...]
    link: tuple[str, ...]


_COMMON = (
    "-std=gnu++17",
    "-fPIC",
    "-fvisibility=hidden",
    "-fno-gnu-unique",
    "-ffp-contract=off",
)
# Not 5: addr2line would give the name of the file that g++ read, not that of #line
_LINES = ("-gdwarf-4",)
_SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
_STRICT = ("-Wl,-z,defs",)
# Not libstdc++, whose symbols take most of the time of linking.
_SMALL = (*_STRICT, "-nodefaultlibs", "-lm", "-lgcc", "-lc")
FLAVORS = {
    # Compilers and linkers take longer than kernels run, and nobody asks for lines.
    "fast": _Flavor(("-O0",), ("-O2",), _SMALL),
    # Linked without -fsanitize: the runtime provides the functions that the compiler calls. With
    # -O0 copies of structures read what lies between members, which nothing wrote.
    "race": _Flavor(("-O1", *_LINES, "-fsanitize=thread"), ("-O2", "-DEMU_RACE"), _STRICT),
    "asan": _Flavor(("-O0", *_LINES, *_SANITIZE), ("-O2", "-DEMU_ASAN"), _SANITIZE),
    # What machines other than x86-64 use in `fast`; slower.
    "portable": _Flavor(("-O0",), ("-O2", "-DEMU_UCONTEXT"), _SMALL),
}

_ALIGN = r"(?:(?:__align__|alignas)\s*\([^()]*\)\s*)?"
_DYNAMIC = re.compile(rf"extern\s+__shared__\s+{_ALIGN}([\w\s]+?)\s+(\w+)\s*\[\s*\]\s*;")
_STATIC = re.compile(rf"\b__shared__\s+{_ALIGN}([\w:<>,\s]+?)\s+(\w+)\s*((?:\[[^\]]*\]\s*)*);")
_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__[^;{]*?\b(?!__launch_bounds__)(\w+)\s*'
    r"\((?:/\*(?:[^*]|\*(?!/))*\*/|//[^\n]*|[^)])*\)\s*(?={)"
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)


def host_code(code: str) -> str:
    """`code` with what g++ can not know rewritten; every line stays where it is."""

    def dynamic(match: re.Match[str]) -> str:
        kind, name = match[1], match[2]
        return f"{kind} *const {name} = ({kind} *)emu_dynamic_shared();" + _newlines(match[0])

    def static(match: re.Match[str]) -> str:
        kind, name, dims = match[1], match[2], match[3]
        return (
            f"static char {name}_key; using {name}_type = {kind}{dims}; {name}_type &{name} = "
            f"*({name}_type *)emu_static_shared(&{name}_key, sizeof({name}_type));"
        ) + "\n" * (match[0].count("\n") - f"{kind}{dims}".count("\n"))

    def export(match: re.Match[str]) -> str:
        declaration = " ".join(_COMMENT.sub(" ", match[0]).split())
        return f"{declaration}; EMU_EXPORT({match[1]}) {match[0]}"

    return _KERNEL.sub(export, _STATIC.sub(static, _DYNAMIC.sub(dynamic, code)))


def _newlines(text: str) -> str:
    return "\n" * text.count("\n")


def build(code: str, flavor: str) -> Path:
    """The shared object with the kernels of `code`, compiled unless some process did before."""
    text = '#include "cuda_emu.h"\n#line 1 "macros"\n' + host_code(code)
    runtime, options = _runtime(flavor), _kernel_options(flavor)

    def make(shared: Path) -> None:
        source, object_ = shared.with_name("kernel.cpp"), shared.with_name("kernel.o")
        source.write_text(text, encoding="utf-8")
        _compile(["-I", str(_header(flavor).parent), *options, str(source)], object_)
        link = ["-shared", str(object_), str(runtime), *FLAVORS[flavor].link]
        _gxx([*link, "-o", str(shared)])

    key = _key("kernel", text, _read("cuda_emu.h"), runtime.name, *options)
    return _made(cache() / f"{key}.so", make)


def _made(path: Path, make: Callable[[Path], None]) -> Path:
    """`path`, which `make` writes unless some process did before."""
    if not path.exists():
        with tempfile.TemporaryDirectory(dir=cache()) as folder:
            new = Path(folder) / path.name
            make(new)
            path.parent.mkdir(exist_ok=True)
            new.replace(path)
    return path


def _kernel_options(flavor: str) -> list[str]:
    # -w: the warnings that matter for these sources are NVRTC's; devices know no exceptions
    return ["-w", "-fno-exceptions", *FLAVORS[flavor].kernel, "-I", str(_HERE)]


@functools.cache
def _header(flavor: str) -> Path:
    """cuda_emu.h, which takes as long to compile as most kernels, precompiled."""
    options = _kernel_options(flavor)
    command = ["-x", "c++-header", *options, str(_HERE / "cuda_emu.h")]
    folder = cache() / _key("header", _read("cuda_emu.h"), *options)
    return _made(folder / "cuda_emu.h.gch", functools.partial(_compile, command))


@functools.cache
def _runtime(flavor: str) -> Path:
    command = ["-Wall", "-Wextra", "-Werror", *FLAVORS[flavor].runtime, str(_HERE / "runtime.cpp")]
    key = _key("runtime", _read("runtime.cpp"), *command)
    return _made(cache() / f"{key}.o", functools.partial(_compile, command))


@functools.cache
def cache() -> Path:
    """A folder of this user, because what lies there is loaded into the process."""
    path = Path(tempfile.gettempdir()) / f"arraysig-emulator-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    status = path.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise EmulatorError(f"{path} belongs to, or can be written by, somebody else")
    return path


def location(path: Path, offset: int) -> str:
    """``file:line`` of the source for an offset into a shared object."""
    command = ["addr2line", "-i", "-e", str(path), hex(offset - 1)]
    frames = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    names = [frame.split(" ")[0].rpartition("/")[2] for frame in frames if frame]
    return next((n for n in names if not n.startswith("cuda_emu.h")), names[0])


def sanitizer_environment() -> dict[str, str]:
    """The environment in which the ``asan`` flavor can be loaded into Python."""
    libraries = [
        _gxx([f"-print-file-name={name}"]).strip() for name in ("libasan.so", "libubsan.so")
    ]
    return {
        "LD_PRELOAD": ":".join(libraries),
        # Python never frees some of its memory; the stacks are ours, not the sanitizer's.
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }


@functools.cache
def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _key(kind: str, *parts: str) -> str:
    everything = (_compiler(), _read("build.py"), _read("abi.h"), *parts)
    return f"{kind}-{hashlib.sha256(repr(everything).encode()).hexdigest()[:24]}"


@functools.cache
def _compiler() -> str:
    return _gxx(["-dumpmachine"]) + _gxx(["-dumpfullversion"])


def _compile(options: list[str], output: Path) -> None:
    _gxx([*_COMMON, *options, "-c", "-o", str(output)])


def _gxx(arguments: list[str]) -> str:
    try:
        command = ["g++", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise EmulatorError("the emulator of CUDA kernels needs g++") from None
    if done.returncode:
        raise EmulatorError("g++ failed:\n" + done.stderr[:4000])
    return done.stdout
