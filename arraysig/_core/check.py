"""The vocabulary of argument errors: every message names function, argument and value."""

from __future__ import annotations

import numbers
import operator
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from . import dispatch
from .namespace import (
    cast,
    default_float,
    device,
    dtype_name,
    library,
    records_gradient,
)

#: Processors that the process may use; the meaning of ``n_jobs=-1``.
PROCESSORS = (
    len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
)

_PLAIN = (np.dtype("float32"), np.dtype("float64"))
_NATIVE = {"float32": "float32", "float64": "float64"}
_LARGEST = {name: float(np.finfo(name).max) for name in _NATIVE}
_HALF = {"float16": "float32", "bfloat16": "float32"}
_INTEGERS = {"bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}


def _identity(array: Any) -> Any:
    return array


#: By type: dtype and layout of tensors that need neither conversion nor another look.
_SEEN: dict[type, set[tuple[Any, Any]]] = {}


def _alike(a: Any, b: Any) -> bool:
    return (
        type(a) is type(b) and a.dtype == b.dtype and a.layout == b.layout and a.device == b.device
    )


def arrays(function: str, **named: Any) -> tuple[list[Any], Callable[[Any], Any]]:
    """Check that arrays belong together, and promote them.

    Returns the arrays in the one dtype in which the result is computed, and the function that
    casts a result to the dtype that the caller gets: that of the first array for half precision.
    """
    first = next(iter(named.values()))
    if type(first) is np.ndarray and first.dtype in _PLAIN:  # the common case, quickly
        if len(named) == 1:
            return [first], _identity
        if all([type(a) is np.ndarray and a.dtype == first.dtype for a in named.values()]):
            return list(named.values()), _identity
    if type(first) in _SEEN and (first.dtype, first.layout) in _SEEN[type(first)]:
        if all([_alike(a, first) for a in named.values()]):
            return list(named.values()), _identity
    libraries = {}
    for name, array in named.items():
        lib = library(array)
        if lib is None:
            raise TypeError(
                f"{function}: `{name}` must be a NumPy, CuPy or Torch array, got {_describe(array)}"
            )
        libraries[name] = lib
    if len(set(libraries.values())) > 1:
        got = ", ".join(f"`{k}` of {v}" for k, v in libraries.items())
        raise TypeError(f"{function}: arrays must be of one library, got {got}")
    lib = libraries[next(iter(named))]
    devices = {name: device(array) for name, array in named.items()}
    if len(set(devices.values())) > 1:
        got = ", ".join(f"`{k}` on {v}" for k, v in devices.items())
        raise ValueError(f"{function}: arrays must be on one device, got {got}")
    promoted = {}
    for name, array in named.items():
        if lib == "torch":
            if getattr(array, "layout", None) is not None and "strided" not in str(array.layout):
                raise TypeError(
                    f"{function}: `{name}` must be a dense tensor, got layout {array.layout}"
                )
        dtype = dtype_name(array)
        if dtype in _NATIVE:
            target = dtype
        elif dtype in _HALF:
            target = _HALF[dtype]
        elif dtype in _INTEGERS:
            target = default_float(array, lib)
            target = _HALF.get(target, target)
        else:
            raise TypeError(
                f"{function}: `{name}` must have a real floating or integer dtype up to 64 bits, "
                f"got {dtype}"
            )
        promoted[name] = target
    if len(set(promoted.values())) > 1:
        got = ", ".join(f"`{k}` of {dtype_name(a)}" for k, a in named.items())
        raise ValueError(f"{function}: arrays must have one dtype, got {got}")
    results = [_native(a, lib, promoted[name]) for name, a in named.items()]
    dtype = dtype_name(first)
    if lib == "torch" and dtype in _NATIVE:
        _SEEN.setdefault(type(first), set()).add((first.dtype, first.layout))
    if dtype in _HALF:
        return results, lambda result: cast(result, lib, dtype)
    return results, _identity


def given_arrays(
    function: str, optional: dict[str, Any], **required: Any
) -> tuple[dict[str, Any], Callable[[Any], Any]]:
    """`arrays` of those that are required or not None, by name."""
    named = required | {k: v for k, v in optional.items() if v is not None}
    found, restore = arrays(function, **named)
    return dict(zip(named, found, strict=True)), restore


def _native(array: Any, lib: Any, dtype: str) -> Any:
    if lib == "numpy":
        array = np.asarray(array)
        return array if array.dtype.isnative and array.dtype.name == dtype else array.astype(dtype)
    return array if dtype_name(array) == dtype else cast(array, lib, dtype)


def _describe(value: Any) -> str:
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    hint = ""
    if isinstance(value, list | tuple | numbers.Number):
        hint = " (convert it with numpy.asarray)"
    elif isinstance(value, np.ma.MaskedArray):
        hint = " (its mask would be ignored; fill it first)"
    elif hasattr(value, "__array__") or hasattr(value, "__dlpack__"):
        hint = " (convert it with numpy.asarray, torch.from_dlpack or cupy.from_dlpack)"
    return name + hint


def path_shape(function: str, name: str, shape: tuple[int, ...]) -> None:
    """(..., length, dimension) with length and dimension at least 1."""
    if len(shape) < 2:
        raise ValueError(
            f"{function}: `{name}` must have shape (..., length, dimension), got {tuple(shape)}"
        )
    if shape[-1] < 1:
        raise ValueError(f"{function}: `{name}` must have at least one channel, got {tuple(shape)}")
    if shape[-2] < 1:
        raise ValueError(f"{function}: `{name}` must have at least one point, got {tuple(shape)}")


def shape(function: str, name: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """An exact shape."""
    if tuple(got) != tuple(expected):
        raise ValueError(
            f"{function}: `{name}` must have shape {tuple(expected)}, got {tuple(got)}"
        )


def correction(
    function: str, array: Any, path: tuple[int, ...], degree: int, lead_lag: bool
) -> int:
    """Shape of a correction for `path`; returns the highest level that it has terms of."""
    *batch, length, dimension = path
    got = tuple(array.shape)
    if lead_lag:
        raise ValueError(f"{function}: `correction` can not be combined with `lead_lag`, got True")
    if degree < 2:
        raise ValueError(f"{function}: `correction` needs a `degree` of at least 2, got {degree}")
    if records_gradient(array):
        raise NotImplementedError(
            f"{function}: `correction` is constant, got a tensor that requires grad; "
            "pass correction.detach()"
        )
    # Sizes may be symbolic, which are compared one by one.
    width, level = 0, 1
    while got and width < got[-1] and level < degree:
        level += 1
        width += dimension**level
    if not width or width != got[-1]:
        raise ValueError(
            f"{function}: `correction` must have rows of {dimension}**2 + ... + {dimension}**m "
            f"numbers, 2 <= m <= {degree}, got shape {got}"
        )
    rows = (length - 1, got[-1])
    if not any([got == fitting for fitting in ((got[-1],), rows, (*batch, *rows))]):
        raise ValueError(
            f"{function}: `correction` must have shape {(got[-1],)}, {rows} or {(*batch, *rows)} "
            f"for `path` of shape {tuple(path)}, got {got}"
        )
    return level


def _integer(function: str, name: str, value: Any) -> int:
    """An integer of Python or of a library; bools are not integers."""
    if type(value) is int:
        return value
    if not str(getattr(value, "dtype", type(value).__name__)).endswith("bool"):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"{function}: `{name}` must be an integer, got {value!r}")


def non_negative_int(function: str, name: str, value: Any) -> int:
    """An integer of at least 0."""
    number = _integer(function, name, value)
    if number < 0:
        raise ValueError(f"{function}: `{name}` must be a non-negative integer, got {number}")
    return number


def positive_int(function: str, name: str, value: Any) -> int:
    """An integer of at least 1."""
    number = non_negative_int(function, name, value)
    if number == 0:
        raise ValueError(f"{function}: `{name}` must be a positive integer, got 0")
    return number


def flag(function: str, name: str, value: Any) -> bool:
    """A bool of Python or NumPy."""
    if value is True or value is False:
        return bool(value)
    if isinstance(value, np.bool_):
        return bool(value)
    raise TypeError(f"{function}: `{name}` must be a bool, got {value!r}")


def finite_real(function: str, name: str, value: Any) -> float:
    """A finite real number."""
    if type(value) is not float:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"{function}: `{name}` must be a real number, got {value!r}")
        try:
            value = float(value)
        except OverflowError:
            kind = type(value).__name__  # it may have too many digits to be printed
            raise ValueError(
                f"{function}: `{name}` must be finite in float64, got a larger {kind}"
            ) from None
    number = float(value)
    if number - number != 0:  # math.isfinite would end the tracing of compilers
        raise ValueError(f"{function}: `{name}` must be finite, got {value}")
    return number


def within_range(function: str, name: str, value: Any, parameters: Any, array: Any) -> None:
    """ValueError where `parameters` of `value` are infinite in the dtype of `array`."""
    dtype = dtype_name(array)
    if any([abs(number) > _LARGEST[dtype] for number in parameters]):
        raise ValueError(
            f"{function}: `{name}` must have parameters in the range of {dtype}, got {value!r}"
        )


def end_time(function: str, value: Any, path: Any) -> float:
    """A real number that is finite in the dtype of `path` too."""
    number = finite_real(function, "end_time", value)
    dtype = dtype_name(path)
    if abs(number) > _LARGEST[dtype]:
        raise ValueError(f"{function}: `end_time` must be finite in {dtype}, got {value}")
    return number


def non_negative_real(function: str, name: str, value: Any) -> float:
    """A finite real number of at least 0."""
    number = finite_real(function, name, value)
    if number < 0:
        raise ValueError(f"{function}: `{name}` must be at least 0, got {value}")
    return number


def positive_real(function: str, name: str, value: Any) -> float:
    """A finite real number greater than 0."""
    number = finite_real(function, name, value)
    if number <= 0:
        raise ValueError(f"{function}: `{name}` must be greater than 0, got {value}")
    return number


def table_bytes(function: str, name: str, value: Any, size: int) -> None:
    """MemoryError where `value` makes a table of `size` bytes that does not fit."""
    if size > dispatch.HOST_BYTES:
        raise MemoryError(
            f"{function}: `{name}` is too large: a table takes {size / 2**30:.4g} GiB, more than "
            f"the {dispatch.HOST_BYTES / 2**30:.4g} GiB there are, got {value}"
        )


def dyadic_order(function: str, value: Any) -> tuple[int, int]:
    """One order for both paths, or a pair."""
    if type(value) is int and 0 <= value <= 30:
        return value, value
    pair = value if type(value) is tuple else (value, value)
    if len(pair) != 2:
        raise ValueError(
            f"{function}: `dyadic_order` must be an integer or a pair of them, got {value!r}"
        )
    first, second = [non_negative_int(function, "dyadic_order", order) for order in pair]
    if max(first, second) > 30:
        raise ValueError(f"{function}: `dyadic_order` must be at most 30, got {value!r}")
    return first, second


def result(function: str, name: str, got: Any, like: Any, shape: tuple[int, ...]) -> Any:
    """What `name`, code of the user's, returned must be an array as `like` is, of that shape.

    Returns it in the byte order of the machine.
    """
    if library(got) != library(like):
        raise TypeError(
            f"{function}: `{name}` must return an array of the library of its arguments, got "
            f"{_describe(got)}"
        )
    if tuple(got.shape) != shape:
        raise ValueError(
            f"{function}: `{name}` must return an array of shape {shape}, got {tuple(got.shape)}"
        )
    for what, of in (("dtype", dtype_name), ("device", device)):
        if of(got) != of(like):
            raise ValueError(
                f"{function}: `{name}` must return an array of the {what} of its arguments, "
                f"{of(like)}, got {of(got)}"
            )
    return _native(got, library(got), dtype_name(like))


def batch_size(function: str, name: str, value: Any) -> int:
    """-1 or a positive integer."""
    number = _integer(function, name, value)
    if number == 0 or number < -1:
        raise ValueError(f"{function}: `{name}` must be -1 or positive, got {number}")
    return number


def n_jobs(function: str, value: Any) -> int:
    """1 is serial, -1 all processors, -2 all but one, and so on."""
    number = _integer(function, "n_jobs", value)
    if number == 0 or number < -PROCESSORS:
        raise ValueError(
            f"{function}: `n_jobs` must be positive, or between -{PROCESSORS} and -1 "
            f"to count from the {PROCESSORS} processors available, got {number}"
        )
    return number
