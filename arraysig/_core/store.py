"""Files of tables, for processes to come: written at once, and read only where they are intact.

A file is a header and, as 64-bit integers with the least significant byte first: how many arrays
there are, rows and columns of each, their numbers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

#: Of the files; another one whenever their layout, or what is in them, changes.
VERSION = 1

_MAGIC = b"arraysig"
_ORDER = 0x01020304  # of bytes
# What a file is: magic, order of bytes, version, kind of table, channels, degree.
_IDENTITY = struct.Struct("<8sII16sqq")
# What follows: bytes of it, and their SHA-256.
_CONTENT = struct.Struct("<Q32s")
_OURS = re.compile(r"(lyndon|trees|forests|plane)-[0-9]+-[0-9]+\.v[0-9]+(\.[0-9a-f]{16}\.part)?")

#: Where the folder of our files is; None for the user's folder of caches.
_base: Path | None = None


def use(base: Path | None) -> None:
    """Keep files in a folder within `base`; None is the default."""
    global _base
    _base = base


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError as error:
        raise FileNotFoundError(f"the folder of the user is not known ({error})") from None


def user_caches(platform: str, environment: Mapping[str, str]) -> Path:
    """The folder of the user's caches; OSError where there is none."""
    if platform == "darwin":
        return _home() / "Library" / "Caches"
    if platform == "win32":
        named = environment.get("LOCALAPPDATA")
        return Path(named) if named else _home() / "AppData" / "Local"
    named = environment.get("XDG_CACHE_HOME", "")
    return Path(named) if os.path.isabs(named) else _home() / ".cache"  # others are to be ignored


def folder() -> Path:
    """Where files are; it need not exist. OSError where the user has no folder of caches."""
    base = user_caches(sys.platform, os.environ) if _base is None else _base
    return base / "arraysig"


def _file(kind: str, channels: int, degree: int) -> Path:
    return folder() / f"{kind}-{channels}-{degree}.v{VERSION}"


def _identity(kind: str, channels: int, degree: int) -> bytes:
    return _IDENTITY.pack(_MAGIC, _ORDER, VERSION, kind.encode(), channels, degree)


def read(kind: str, channels: int, degree: int) -> list[np.ndarray] | None:
    """The arrays of a table; None where there is no file, or one that is not as it was written."""
    identity = _identity(kind, channels, degree)
    try:
        path = _file(kind, channels, degree)
        if not path.is_file():  # a pipe would wait for a writer
            return None
        with open(path, "rb") as file:
            if file.read(len(identity)) != identity:
                return None
            length, digest = _CONTENT.unpack(file.read(_CONTENT.size))
            if os.fstat(file.fileno()).st_size != file.tell() + length:
                return None
            content = file.read(length)
        if hashlib.sha256(content).digest() != digest:
            return None
        return _arrays(np.frombuffer(content, dtype="<i8"))
    except (OSError, ValueError, IndexError, struct.error):
        return None


def _arrays(numbers: np.ndarray) -> list[np.ndarray]:
    """ValueError or IndexError where numbers are not those of arrays."""
    first = 1 + 2 * int(numbers[0])
    shapes = numbers[1:first].reshape(-1, 2)
    parts = np.split(numbers[first:], np.cumsum(shapes.prod(axis=1)))
    if (shapes < 0).any() or len(parts.pop()):
        raise ValueError
    return [
        part.reshape(shape).astype(np.int64, copy=False)
        for part, shape in zip(parts, shapes.tolist(), strict=True)
    ]


def write(kind: str, channels: int, degree: int, arrays: Sequence[np.ndarray]) -> None:
    """Keep the arrays of a table, each of two axes; OSError where that can not be done."""
    path = _file(kind, channels, degree)
    shapes = [n for array in arrays for n in array.shape]
    head = np.array([len(arrays), *shapes], dtype="<i8")
    parts = [np.ascontiguousarray(a, dtype="<i8").reshape(-1).view(np.uint8) for a in arrays]
    parts.insert(0, head.view(np.uint8))
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.data)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        with open(unfinished, "xb") as file:
            file.write(_identity(kind, channels, degree))
            file.write(_CONTENT.pack(sum(map(len, parts)), digest.digest()))
            for part in parts:
                file.write(part.data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(unfinished)


def delete() -> None:
    """Delete all files of ours, and their folder if it is empty then; OSError where one stays."""
    where = folder()
    try:
        names = os.listdir(where)
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        path = where / name
        if _OURS.fullmatch(name) and path.is_file() and not path.is_symlink():
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        where.rmdir()
