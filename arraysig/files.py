"""Signatures of paths in files, a part of the file at a time; Gram matrices of such paths."""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
import tempfile
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from tqdm import tqdm

from ._core import check
from .kernels import sig_kernel_gram
from .signature import sig, sig_length
from .static_kernels import StaticKernel

_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_PARAMETER = re.compile(r"^\w+: `(\w+)` ")  #: how messages of functions begin
_MOST_AXES = 64  #: of an array of NumPy
_MAPPED = 2**24  #: bytes of a file in Fortran order at a time
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class BadFile(Exception):
    """A file or an option that does not fit, in one line."""


def number_of_bytes(text: str) -> int:
    """``"1.5G"`` as bytes: units K, M, G, T are powers of 1024.

    >>> number_of_bytes("1.5K")
    1536
    """
    match = re.fullmatch(r"(\d+\.?\d*)\s*([KMGT]?)i?B?", text.strip(), re.IGNORECASE)
    if not match:
        raise ValueError(f"must be a size such as 500M or 2G, got {text!r}")
    return int(float(match[1]) * _UNITS[match[2].upper()])


@dataclass(frozen=True)
class Paths:
    """The paths of a file: their shape as one batch, and how to read some of them.

    Attributes
    ----------
    batch : leading axes of the array in the file
    length, dimension : of each path
    dtype : of the numbers in the file
    array : the paths themselves, where they were read at once; else None
    name, offset, fortran : of a ``.npy`` file, for mapping parts of it
    """

    batch: tuple[int, ...]
    length: int
    dimension: int
    dtype: np.dtype[Any]
    array: np.ndarray | None = None
    name: str = ""
    offset: int = 0
    fortran: bool = False

    @property
    def count(self) -> int:
        """Paths in all."""
        return math.prod(self.batch)

    def read(self, begin: int, end: int) -> np.ndarray:
        """Paths `begin` to `end`, in C order. What is mapped of the file is only those."""
        item = (self.length, self.dimension)
        if self.array is not None:
            return self.array[begin:end]
        if begin == end:
            return np.empty((0, *item), self.dtype)  # there is nothing to map
        if not self.fortran:
            offset = self.offset + begin * math.prod(item) * self.dtype.itemsize
            return np.array(
                np.memmap(self.name, self.dtype, "r", offset, (end - begin, *item)), order="C"
            )
        # In Fortran order the batch runs fastest: some steps of one channel of all paths at a time.
        part = np.empty((end - begin, *item), self.dtype)
        chosen = np.unravel_index(np.arange(begin, end), self.batch)
        step = self.count * self.dtype.itemsize
        most = max(1, _MAPPED // step)
        for channel in range(self.dimension):
            for first in range(0, self.length, most):
                steps = min(most, self.length - first)
                offset = self.offset + (channel * self.length + first) * step
                window = np.memmap(self.name, self.dtype, "r", offset, (*self.batch, steps), "F")
                part[:, first : first + steps, channel] = window[chosen]
        return part


def open_paths(name: str) -> Paths:
    """Look at a ``.npy`` file, or read a ``.csv`` file of one path, a line per point."""
    suffix = Path(name).suffix.lower()
    if suffix not in (".npy", ".csv"):
        raise BadFile(f"{name}: must end in .npy or .csv")
    try:
        return _open_npy(name) if suffix == ".npy" else _read_csv(name)
    except OSError as error:
        raise BadFile(f"{name}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise BadFile(f"{name}: is not text in UTF-8") from None


def _open_npy(name: str) -> Paths:
    with open(name, "rb") as file:
        try:
            version = np.lib.format.read_magic(file)
            shape, fortran, dtype = _HEADERS[version](file)
        except (ValueError, KeyError, SyntaxError, tokenize.TokenError):
            raise BadFile(f"{name}: is not a NumPy file of numbers") from None
        offset, size = file.tell(), os.fstat(file.fileno()).st_size
    if dtype.kind not in "fiub" or dtype.itemsize > 8:
        raise BadFile(f"{name}: must hold real numbers of at most 64 bits, has {dtype}")
    if (
        len(shape) > _MOST_AXES
        or any(type(axis) is not int or axis < 0 for axis in shape)
        or math.prod(axis for axis in shape if axis) * dtype.itemsize > sys.maxsize
    ):
        raise BadFile(f"{name}: has a header with a shape that no array has, {shape}")
    if len(shape) < 2 or 0 in shape[-2:]:
        raise BadFile(f"{name}: must hold an array (..., length, dimension), has {shape}")
    if size < offset + math.prod(shape) * dtype.itemsize:
        raise BadFile(f"{name}: is shorter than its header says; was it written to the end?")
    *batch, length, dimension = shape
    return Paths(tuple(batch), length, dimension, dtype, None, name, offset, fortran)


def _read_csv(name: str) -> Paths:
    with open(name, encoding="utf-8-sig") as file:
        rows = [[_number(field) for field in line.split(",")] for line in file if line.strip()]
    if rows and all(field is None for field in rows[0]):
        rows = rows[1:]  # names of columns
    if not rows:
        raise BadFile(f"{name}: has no points")
    for number, row in enumerate(rows):
        if None in row:
            raise BadFile(f"{name}: point {number} is not a line of numbers with commas between")
        if len(row) != len(rows[0]):
            raise BadFile(
                f"{name}: point {number} has {len(row)} numbers, the first one has {len(rows[0])}"
            )
    path = np.array(rows, float)
    return Paths((), path.shape[0], path.shape[1], path.dtype, path[None])


def _number(field: str) -> float | None:
    try:
        return None if "_" in field else float(field)  # Python's own numbers may have one
    except ValueError:
        return None


def _refuse_existing(target: str, force: bool) -> None:
    if os.path.lexists(target) and not force:
        raise BadFile(f"{target}: OUT exists; --force overwrites it")


@contextlib.contextmanager
def written_at_once(name: str, force: bool) -> Iterator[IO[bytes]]:
    """A file that gets its name when all is written, and is gone if that fails.

    With `force` it takes the place of another one; of a link, of the file that it leads to.
    """
    place = Path(os.path.realpath(name))
    try:
        handle, part = tempfile.mkstemp(".part", f".{place.name}.", place.parent)
    except OSError as error:
        raise BadFile(f"{name}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(part, 0o666 & ~mask)  # mkstemp's own is for the user only
        _refuse_existing(name, force)  # it may have appeared meanwhile
        os.replace(part, place)
    except OSError as error:
        raise BadFile(f"{name}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def _check_target(target: str, force: bool, *sources: str) -> None:
    """Refuse a name that can not be that of a result."""
    if Path(target).suffix.lower() not in (".npy", ".csv"):
        raise BadFile(f"{target}: must end in .npy or .csv")
    if Path(target).is_dir():
        raise BadFile(f"{target}: is a folder")
    if Path(target).exists() and any(os.path.samefile(source, target) for source in sources):
        raise BadFile(f"{target}: is the file that is read")
    _refuse_existing(target, force)


def _floating(paths: Paths) -> np.dtype[Any]:
    """The dtype that the numbers of a file are computed in, unless told otherwise."""
    return np.dtype(paths.dtype.newbyteorder("=") if paths.dtype.kind == "f" else float)


def _resident() -> int:
    """Bytes of memory that the process has now."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 2**27
    return pages * os.sysconf("SC_PAGE_SIZE")


def _paths_at_once(paths: Paths, row: int, dtype: np.dtype[Any], limit: int, n_jobs: int) -> int:
    """How many paths fit into what `limit` leaves; BadFile if not one does."""
    numbers = paths.length * paths.dimension
    threads = n_jobs if n_jobs > 0 else check.PROCESSORS + 1 + n_jobs
    # mapped, read, converted, results; and scratch of kernels, a few MB per thread
    item = numbers * (2 * paths.dtype.itemsize + dtype.itemsize) + 2 * row * dtype.itemsize
    fixed = _resident() + (16 + 8 * threads) * 2**20
    if fixed + item > limit:
        raise BadFile(
            f"--memory-limit: one path at a time takes {(fixed + item) / 2**20:.0f}M, "
            f"the limit is {limit / 2**20:.0f}M"
        )
    return min((limit - fixed) // item, max(1, 2**26 // item))


def signatures_of_file(
    source: str,
    target: str,
    degree: int,
    *,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    scalar_term: bool = False,
    dtype: str | None = None,
    n_jobs: int = -1,
    memory_limit: int = 2**30,
    force: bool = False,
) -> tuple[int, ...]:
    """Write the signatures of the paths in a file to another; returns their shape.

    Parameters
    ----------
    source : ``.npy`` of shape (..., length, dimension), or ``.csv`` of one path
    target : ``.npy``, or ``.csv`` with a line per path
    dtype : to compute and write in; by default as `sig` does for the numbers of the file
    memory_limit : bytes that the process may take in all
    force : whether a target that exists is overwritten
    """
    paths = open_paths(source)
    _check_target(target, force, source)
    try:
        row = sig_length(
            paths.dimension, degree, time_aug=time_aug, lead_lag=lead_lag, scalar_term=scalar_term
        )
    except ValueError as error:
        raise BadFile(_naming_the_option(str(error))) from None
    into = np.dtype(dtype) if dtype else _floating(paths)
    at_once = _paths_at_once(paths, row, np.dtype(float), memory_limit, n_jobs)
    shape = (*paths.batch, row)
    with (
        written_at_once(target, force) as file,
        tqdm(total=paths.count, unit="path", disable=None) as bar,
    ):
        if target.lower().endswith(".npy"):
            header = {"descr": into.str, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
        for begin in range(0, paths.count, at_once):
            part = paths.read(begin, min(begin + at_once, paths.count))
            result = sig(
                part.astype(into, copy=False),
                degree,
                time_aug=time_aug,
                lead_lag=lead_lag,
                end_time=end_time,
                scalar_term=scalar_term,
                n_jobs=n_jobs,
            )
            if target.lower().endswith(".npy"):
                file.write(result.data)
            else:
                np.savetxt(file, result, delimiter=",", fmt="%.17g")
            bar.update(len(part))
    return shape


def _naming_the_option(message: str) -> str:
    """``"function: `some_name` must ..."`` for those who gave it as ``--some-name``."""
    return _PARAMETER.sub(lambda match: f"--{match[1].replace('_', '-')}: ", message, count=1)


class Gram(NamedTuple):
    """What is told of a Gram matrix.

    Attributes
    ----------
    shape : of the matrix
    error : estimate of the largest one, None where an order was given
    not_finite : how many numbers are infinite or NaN
    """

    shape: tuple[int, ...]
    error: float | None
    not_finite: int


def gram_of_files(
    sources: Sequence[str],
    target: str,
    dyadic_order: int | tuple[int, int] | None = None,
    *,
    order: int | None = None,
    fold: int = 0,
    tol: float = 1e-6,
    static_kernel: StaticKernel | None = None,
    time_aug: bool = False,
    lead_lag: bool = False,
    end_time: float = 1.0,
    normalize: bool = False,
    n_jobs: int = -1,
    on_gpu: bool = False,
    force: bool = False,
) -> Gram:
    """Write the Gram matrix of the paths in one or two files to another.

    Parameters
    ----------
    sources : ``.npy`` of shape (..., length, dimension), or ``.csv`` of one path
    target : ``.npy``, or ``.csv`` with a line per path of the first file
    dyadic_order, order, fold, tol : the scheme, as for `sig_kernel_gram`
    on_gpu : compute on the current CUDA device
    force : whether a target that exists is overwritten
    """
    files = [open_paths(source) for source in sources]
    _check_target(target, force, *sources)
    if files[0].dimension != files[-1].dimension:
        raise BadFile(
            f"{sources[-1]}: must hold paths of {files[0].dimension} channels, as {sources[0]} "
            f"does, has {files[-1].dimension}"
        )
    into = np.result_type(*[_floating(paths) for paths in files])
    shape = (*files[0].batch, *files[-1].batch)
    if len(shape) > _MOST_AXES and target.lower().endswith(".npy"):
        raise BadFile(f"{target}: would have {len(shape)} axes, arrays have {_MOST_AXES} at most")
    auto = dyadic_order is None and order is None
    with written_at_once(target, force) as file:
        arrays: list[Any] = [paths.read(0, paths.count).astype(into, copy=False) for paths in files]
        if on_gpu:
            from ._core import cuda

            arrays = [cuda.upload(array) for array in arrays]
        try:
            result = sig_kernel_gram(
                arrays[0],
                arrays[-1],  # the same object without a second file, which halves the work
                dyadic_order,
                order=order,
                fold=fold,
                tol=tol,
                static_kernel=static_kernel,
                time_aug=time_aug,
                lead_lag=lead_lag,
                end_time=end_time,
                n_jobs=n_jobs,
                normalize=normalize,
                progress=sys.stderr.isatty(),
                return_error=auto,
            )
        except ValueError as bad:
            raise BadFile(_naming_the_option(str(bad))) from None
        gram, error = result if auto else (result, None)
        if on_gpu:
            gram = cuda.download(gram)
        if target.lower().endswith(".npy"):
            np.save(file, gram.reshape(shape))
        else:
            np.savetxt(file, gram, delimiter=",", fmt="%.17g")
    return Gram(shape, error, int(np.count_nonzero(~np.isfinite(gram))))
