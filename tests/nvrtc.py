"""CUDA's run-time compiler without CuPy, driver or GPU: what its code needs of a processor.

NVRTC of CUDA 12 and of CUDA 13 come with the wheels nvidia-cuda-nvrtc-cu12 and nvidia-cuda-nvrtc.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
import re
from pathlib import Path
from typing import NamedTuple

#: Distributions by CUDA version.
WHEELS = {12: "nvidia-cuda-nvrtc-cu12", 13: "nvidia-cuda-nvrtc"}

_ENTRY = re.compile(r"^ptxas info\s*: Compiling entry function '(\w+)'", re.M)
_PTX_ENTRY = re.compile(r"^\.visible \.entry (\w+)\(", re.M)
_STACK = re.compile(r"(\d+) bytes stack frame")
_SPILL = re.compile(r"(\d+) bytes spill (?:stores|loads)")
_REGISTERS = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


class NvrtcError(RuntimeError):
    """A source that does not compile; the compiler's log."""


class Usage(NamedTuple):
    """What a thread (registers, bytes of stack and spill) and a block (bytes of shared) take."""

    registers: int
    stack: int
    spill: int
    shared: int


class Module(NamedTuple):
    """A compiled source."""

    kernels: dict[str, Usage]
    ptx: str

    def uses_double(self) -> bool:
        """Whether any instruction or parameter is of double precision."""
        return re.search(r"\.f64\b", self.ptx) is not None


class Nvrtc:
    """One version of the compiler. Threads may compile at the same time."""

    def __init__(self, cuda: int) -> None:
        self._library = ctypes.CDLL(str(_library_path(cuda)))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        count = ctypes.c_int()
        self._check(self._library.nvrtcGetNumSupportedArchs(ctypes.byref(count)))
        supported = (ctypes.c_int * count.value)()
        self._check(self._library.nvrtcGetSupportedArchs(supported))
        #: Compute capabilities, as 90.
        self.architectures = tuple(supported)

    def compile(self, code: str, file: str, architecture: int) -> Module:
        """Compile with the options that CuPy uses: users get the same machine code."""
        options = (
            "-std=c++17",
            "-ftz=true",
            f"-arch=sm_{architecture}",
            "--device-as-default-execution-space",
            "-Xptxas=-v",
        )
        program = ctypes.c_void_p()
        create = self._library.nvrtcCreateProgram
        self._check(create(ctypes.byref(program), code.encode(), file.encode(), 0, None, None))
        try:
            values = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
            status = self._library.nvrtcCompileProgram(program, len(options), values)
            log = self._text(program, "ProgramLog")
            if status:
                raise NvrtcError(log or self._message(status))
            ptx = self._text(program, "PTX")
            return Module(_usage(log, ptx), ptx)
        finally:
            self._check(self._library.nvrtcDestroyProgram(ctypes.byref(program)))

    def _text(self, program: ctypes.c_void_p, what: str) -> str:
        size = ctypes.c_size_t()
        self._check(getattr(self._library, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        self._check(getattr(self._library, f"nvrtcGet{what}")(program, buffer))
        return buffer.value.decode()

    def _check(self, status: int) -> None:
        if status:
            raise NvrtcError(self._message(status))

    def _message(self, status: int) -> str:
        message: bytes = self._library.nvrtcGetErrorString(status)
        return message.decode()


@functools.cache
def nvrtc(cuda: int) -> Nvrtc:
    """The compiler of CUDA 12 or 13; ImportError without its wheel."""
    return Nvrtc(cuda)


def _library_path(cuda: int) -> Path:
    wheel = WHEELS[cuda]
    try:
        files = importlib.metadata.files(wheel) or []
    except importlib.metadata.PackageNotFoundError:
        raise ImportError(f"python -m pip install {wheel}") from None
    found = [file for file in files if file.name == f"libnvrtc.so.{cuda}"]
    if not found:
        raise ImportError(f"{wheel} is not of CUDA {cuda}")
    return Path(str(found[0].locate()))


def _usage(log: str, ptx: str) -> dict[str, Usage]:
    _, *parts = _ENTRY.split(log)  # text, name, text, name, ..., text
    kernels = {}
    for name, text in zip(parts[::2], parts[1::2], strict=True):
        stack, spill, registers, shared = (
            [int(number) for number in pattern.findall(text)]
            for pattern in (_STACK, _SPILL, _REGISTERS, _SHARED)
        )
        # a function that is not inlined has a stack of its own
        kernels[name] = Usage(max(registers), max(stack), sum(spill), sum(shared))
    if set(kernels) != set(_PTX_ENTRY.findall(ptx)):
        raise NvrtcError("this version of NVRTC words its log in another way:\n" + log)
    return kernels
