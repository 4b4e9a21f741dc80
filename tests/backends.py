"""The libraries and devices that every public function is tested on."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .emulator import emulated


@functools.cache
def have_gpu() -> bool:
    """Whether CuPy is installed and sees a CUDA device."""
    if importlib.util.find_spec("cupy") is None:
        return False
    import cupy

    return bool(cupy.cuda.is_available())


@functools.cache
def have_torch(cuda: bool = False) -> bool:
    """Whether Torch is installed (and sees a CUDA device)."""
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return not cuda or torch.cuda.is_available()


@dataclass(frozen=True)
class Backend:
    """One library on one kind of device."""

    name: str
    library: str = "numpy"
    device: str = "cpu"
    emulate: bool = False
    read_only: bool = False

    def missing(self) -> str | None:
        """Why this backend can not be used here, if it can not."""
        if self.device == "cuda" and not have_gpu():
            return "no CUDA device that CuPy can use"
        if self.library == "torch" and not have_torch(self.device == "cuda"):
            return "no Torch" + (" with CUDA" if self.device == "cuda" else "")
        return None

    @contextlib.contextmanager
    def active(self) -> Iterator[Backend]:
        """Route host arrays through the emulated GPU, where that is meant."""
        with emulated() if self.emulate else contextlib.nullcontext():
            yield self

    def array(self, values: Any, dtype: str | None = None) -> Any:
        """An array of this library on this device."""
        values = np.array(values, dtype=None if dtype == "bfloat16" else dtype)
        if self.library == "torch":
            import torch

            tensor = torch.from_numpy(values).to(self.device)
            return tensor.to(torch.bfloat16) if dtype == "bfloat16" else tensor
        if self.library == "cupy":
            import cupy

            return cupy.asarray(values)
        values.flags.writeable = not self.read_only
        return values

    def numpy(self, array: Any) -> np.ndarray:
        """The values of an array of this library, which is checked to be one."""
        if self.library == "torch":
            import torch

            assert type(array) is torch.Tensor
            assert array.device.type == self.device
            array = array.detach().cpu()
            return (array.float() if array.dtype == torch.bfloat16 else array).numpy()
        if self.library == "cupy":
            import cupy

            assert type(array) is cupy.ndarray
            return cupy.asnumpy(array)
        assert type(array) is np.ndarray
        return array

    def dtype(self, array: Any) -> str:
        """Name of the dtype of an array of this library."""
        return str(array.dtype).removeprefix("torch.")

    def contiguous(self, array: Any) -> bool:
        """Whether an array of this library is C-contiguous."""
        return array.is_contiguous() if self.library == "torch" else array.flags.c_contiguous


BACKENDS = [
    Backend("numpy"),
    Backend("numpy-readonly", read_only=True),
    Backend("torch", library="torch"),
    Backend("emulated-numpy", emulate=True),
    Backend("emulated-torch", library="torch", emulate=True),
    Backend("cupy", library="cupy", device="cuda"),
    Backend("torch-cuda", library="torch", device="cuda"),
]
