"""Path signatures and their gradients for NumPy, CuPy and Torch arrays."""

from ._ops.signature import sig, sig_vjp
