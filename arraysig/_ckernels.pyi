"""The C extension, made by ckernels/build.py from ckernels/entries.h."""

from typing import Any

ffi: Any
lib: Any
