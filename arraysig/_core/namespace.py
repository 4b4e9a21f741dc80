"""What the libraries of arrays differ in: kinds, dtypes, devices, allocation."""

from __future__ import annotations

from typing import Any, Literal

import array_api_compat
import numpy as np

Library = Literal["numpy", "cupy", "torch"]

_LIBRARIES: dict[type, Library] = {np.ndarray: "numpy"}


def library(array: Any) -> Library | None:
    """The library that `array` is of, or None if it is of none that is supported."""
    found = _LIBRARIES.get(type(array))
    if found is None:
        if isinstance(array, np.ma.MaskedArray) or isinstance(array, np.generic):
            return None
        if isinstance(array, np.ndarray):
            found = "numpy"
        elif array_api_compat.is_torch_array(array):
            found = "torch"
        elif array_api_compat.is_cupy_array(array):
            found = "cupy"
        else:
            return None
        _LIBRARIES[type(array)] = found
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


def cast(array: Any, lib: Library, dtype: str) -> Any:
    """`array` as `dtype`; differentiable in Torch."""
    if lib == "torch":
        return array.to(getattr(array_api_compat.array_namespace(array), dtype))
    return array.astype(dtype)


def address(array: Any) -> int:
    """Address of the first element."""
    if isinstance(array, np.ndarray):
        return int(array.ctypes.data)
    data_ptr = getattr(array, "data_ptr", None)
    return int(data_ptr() if data_ptr else array.data.ptr)
