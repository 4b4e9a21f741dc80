"""What the libraries of arrays differ in: kinds, dtypes, devices, allocation."""

from __future__ import annotations

import contextlib
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, Literal

import array_api_compat
import numpy as np

Library = Literal["numpy", "cupy", "torch"]

_LIBRARIES: dict[type, Library] = {np.ndarray: "numpy"}
_TORCH_CASTS = {
    "float16": "half",
    "bfloat16": "bfloat16",
    "float32": "float",
    "float64": "double",
}
_NAMES: dict[tuple[str, str], Library] = {
    ("numpy", "ndarray"): "numpy",
    ("cupy", "ndarray"): "cupy",
    ("torch", "Tensor"): "torch",
}


#: Numbers of which changes are looked at together: memory for them is small beside all of them.
_SLICE = 2**20


def library(array: Any) -> Library | None:
    """The library that `array` is of, or None if it is of none that is supported."""
    found = _LIBRARIES.get(type(array))
    if found is None:
        if isinstance(array, np.ma.MaskedArray) or isinstance(array, np.generic):
            return None
        # By name: nothing is imported, and Torch's compiler can trace it (array_api_compat's
        # helpers are cached functions, which make it warn).
        for base in type(array).__mro__:
            found = _NAMES.get((base.__module__.partition(".")[0], base.__name__))
            if found is not None:
                _LIBRARIES[type(array)] = found
                break
    return found


def dtype_name(array: Any) -> str:
    """Name of the dtype of `array`, the same for all libraries: ``"float32"``."""
    dtype = array.dtype
    return dtype.name if isinstance(dtype, np.dtype) else str(dtype).removeprefix("torch.")


def device(array: Any) -> Any:
    """The device of `array`; compares equal for equal devices."""
    return "cpu" if isinstance(array, np.ndarray) else array.device


def default_float(array: Any, lib: Library) -> str:
    """Name of the floating dtype that integers of the library of `array` become."""
    if lib == "torch":
        info = array_api_compat.array_namespace(array).__array_namespace_info__()
        return str(info.default_dtypes()["real floating"]).removeprefix("torch.")
    return "float64"


def quiet(array: Any) -> Any:
    """Where NumPy, if `array` is of it, does not warn of infinities and NaN."""
    if library(array) == "torch":  # whose compiler can not follow NumPy's
        return contextlib.nullcontext()
    return np.errstate(invalid="ignore", over="ignore")


def cast(array: Any, lib: Library, dtype: str) -> Any:
    """`array` as `dtype`, where numbers may become infinite; differentiable in Torch."""
    if lib == "torch":
        return getattr(array, _TORCH_CASTS[dtype])()
    with quiet(array):
        return array.astype(dtype)


def added(one: Any, two: Any) -> Any:
    """Sums of arrays, infinite or NaN without a warning."""
    with quiet(one):
        return one + two


def contiguous(array: Any) -> Any:
    """`array` in C order; differentiable in Torch."""
    if library(array) == "torch":
        return array.contiguous()
    return array if array.flags.c_contiguous else array.copy(order="C")


def copied(array: Any) -> Any:
    """A copy of `array` in C order; differentiable in Torch."""
    if library(array) == "torch":
        return array.clone(memory_format=_functions(array).contiguous_format)
    return array.copy(order="C")


def _functions(array: Any) -> Any:
    """The module with the functions of the library of `array`, so that compilers can follow."""
    if library(array) == "torch":
        return sys.modules["torch"]
    return array_api_compat.array_namespace(array)


def records_gradient(array: Any) -> bool:
    """Whether results of `array` are to be differentiated."""
    if library(array) != "torch":
        return False
    return bool(array.requires_grad and _functions(array).is_grad_enabled())


def is_differentiated(*arrays: Any) -> bool:
    """Whether a derivative of results may be asked for, in reverse or in forward mode."""
    if library(arrays[0]) != "torch":
        return False
    forward: Any = sys.modules["torch.autograd.forward_ad"]
    return forward._current_level >= 0 or any(records_gradient(a) for a in arrays)


def concat(arrays: Sequence[Any], axis: int = -1) -> Any:
    """Arrays side by side along an axis, in C order; differentiable in Torch."""
    xp = _functions(arrays[0])
    join = xp.cat if library(arrays[0]) == "torch" else xp.concat  # Torch batches the former only
    return contiguous(join(list(arrays), axis))


def hides_values(*arrays: Any) -> bool:
    """Whether Torch compiles or traces, or arrays are batched, meta or fake tensors."""
    if library(arrays[0]) != "torch":
        return False
    from . import torch_bridge

    return torch_bridge.hides_values(arrays)


def detached(array: Any) -> Any:
    """`array` as a constant."""
    return array.detach() if library(array) == "torch" else array


def machine_epsilon(array: Any) -> float:
    """Distance from 1 to the next number of the floating dtype of `array`."""
    return float(np.finfo(dtype_name(array)).eps)


def all_finite(array: Any, axes: int) -> Any:
    """Whether all numbers along the last axes are finite."""
    flat = array.reshape(*array.shape[: array.ndim - axes], math.prod(array.shape[-axes:]))
    return _functions(array).isfinite(flat).all(-1)


def relative_change(new: Any, old: Any, counts: Callable[[], Any]) -> Any:
    """Largest difference in a row, relative where values exceed 1.

    Infinite where one is not finite and `counts()`, else 0. On a GPU this waits for the values.
    """
    rows = max(1, _SLICE // new.shape[1])
    if new.shape[0] <= rows:
        return _relative_change(new, old, counts, slice(None))
    changes = zeros(new, (new.shape[0],))
    for first in range(0, new.shape[0], rows):
        part = slice(first, first + rows)
        changes[part] = _relative_change(new[part], old[part], counts, part)
    return changes


def _relative_change(new: Any, old: Any, counts: Callable[[], Any], part: slice) -> Any:
    xp = _functions(new)
    with quiet(new):
        change = xp.abs(new - old) / xp.clip(xp.abs(new), 1, None)
    if not math.isfinite(largest(change)):
        change = xp.where(xp.isfinite(change), change, xp.full_like(change, math.inf))
        change = xp.where(counts()[part], change, xp.zeros_like(change))
    return change.amax(-1) if library(new) == "torch" else change.max(-1)


def largest(array: Any) -> float:
    """The largest number, or NaN if there is one."""
    return float(array.max())


def positions(mask: Any) -> Any:
    """Where `mask`, which has one axis, is true."""
    return (mask.nonzero(as_tuple=True) if library(mask) == "torch" else mask.nonzero())[0]


def over_roots(array: Any, one: Any, two: Any) -> Any:
    """`array` divided by the roots of both, NaN without a warning where one of them is negative.

    The product of both may overflow, that of their roots does not; differentiable in Torch.
    """
    xp = _functions(array)
    with quiet(array):
        return array / (xp.sqrt(one) * xp.sqrt(two))


def broadcast_to(array: Any, shape: tuple[int, ...]) -> Any:
    """`array` repeated along axes; differentiable in Torch."""
    return _functions(array).broadcast_to(array, shape)


def differentiable(
    run: Callable[..., Any], gradients: Callable[..., tuple[Any, ...]], *arrays: Any
) -> Any:
    """``run(*arrays)``, whose derivative in Torch is ``gradients(wanted, grad, *arrays)``.

    That gives None for arrays that are not `wanted`. All leading axes of arrays are batch.
    """
    if library(arrays[0]) != "torch":
        return run(*arrays)
    from . import torch_bridge

    return torch_bridge.differentiable(run, gradients, *arrays)


def recording(array: Any) -> bool:
    """Whether Torch, if `array` is of it, records what derivatives need."""
    return library(array) == "torch" and bool(_functions(array).is_grad_enabled())


def transforming(array: Any) -> bool:
    """Whether Torch, if `array` is of it, transforms functions or is in forward mode."""
    if library(array) != "torch":
        return False
    from . import torch_bridge

    return torch_bridge.transforming()


def depends(run: Callable[..., Any], *tensors: Any) -> tuple[Any, bool]:
    """``run(*tensors)`` of constants, and whether it has a derivative all the same."""
    from . import torch_bridge

    return torch_bridge.depends(run, *tensors)


def zeros(like: Any, shape: tuple[int, ...]) -> Any:
    """Zeros of the library, dtype and device of `like`."""
    return _functions(like).zeros(shape, dtype=like.dtype, device=like.device)


def without_scalar(array: Any, scalar_term: bool) -> Any:
    """Rows without their scalar term, if they have one."""
    return contiguous(array[..., 1:]) if scalar_term else array


def with_scalar(array: Any, scalar_term: bool, value: float = 0.0) -> Any:
    """Rows with a scalar term in front, if they are to have one."""
    if not scalar_term:
        return array
    return concat([zeros(array, (*array.shape[:-1], 1)) + value, array])


def beside_sums(path: Any, increments: Any) -> Any:
    """Paths with more channels beside theirs: sums of `increments`, which are broadcast.

    Sums are made in float64, so that only the points are rounded.
    """
    xp = _functions(path)
    lib: Any = library(path)
    *batch, length, _ = path.shape
    channels = increments.shape[-1]
    if increments.ndim == 1:
        increments = xp.broadcast_to(increments, (length - 1, channels))
    with quiet(path):
        sums = cast(cast(increments, lib, "float64").cumsum(-2), lib, dtype_name(path))
    start = zeros(path, (*increments.shape[:-2], 1, channels))
    points = xp.broadcast_to(concat([start, sums], -2), (*batch, length, channels))
    return concat([path, points])


def segment(displacement: Any) -> Any:
    """Paths (..., 2, dimension) of two points that move by `displacement`; differentiable."""
    if library(displacement) == "torch":
        ends = displacement.new_tensor([[-0.5], [0.5]])  # the difference is exact, and Inf stays
        return displacement.unsqueeze(-2) * ends
    xp = array_api_compat.array_namespace(displacement)
    return xp.stack([xp.zeros_like(displacement), displacement], axis=-2)


def address(array: Any) -> int:
    """Address of the first element."""
    if isinstance(array, np.ndarray):
        return int(array.ctypes.data)
    data_ptr = getattr(array, "data_ptr", None)
    return int(data_ptr() if data_ptr else array.data.ptr)
