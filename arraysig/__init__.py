"""Path signatures and their gradients for NumPy, CuPy and Torch arrays."""

from importlib.metadata import version as _version

from .algebra import (
    linear_sig,
    linear_sig_backprop,
    sig_combine,
    sig_combine_backprop,
    sig_inverse,
    sig_inverse_backprop,
    sig_join,
    sig_join_backprop,
)
from .config import show_config
from .signature import sig, sig_backprop, sig_length, signature
from .transforms import transform_path, transform_path_backprop

__version__ = _version("arraysig")

__all__ = [
    "linear_sig",
    "linear_sig_backprop",
    "show_config",
    "sig",
    "sig_backprop",
    "sig_combine",
    "sig_combine_backprop",
    "sig_inverse",
    "sig_inverse_backprop",
    "sig_join",
    "sig_join_backprop",
    "sig_length",
    "signature",
    "transform_path",
    "transform_path_backprop",
]
