"""Path signatures, signature kernels and their gradients for NumPy, CuPy and Torch arrays."""

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
from .kernels import (
    sig_kernel,
    sig_kernel_backprop,
    sig_kernel_gram,
    sig_kernel_gram_backprop,
)
from .metrics import expected_sig_score, sig_mmd, sig_score
from .signature import (
    extract_sig_coef,
    sig,
    sig_backprop,
    sig_coef,
    sig_coef_backprop,
    sig_length,
    signature,
)
from .static_kernels import (
    Context,
    LinearKernel,
    Matern12Kernel,
    Matern32Kernel,
    Matern52Kernel,
    PolynomialKernel,
    RationalQuadraticKernel,
    RBFKernel,
    ScaledLinearKernel,
    StaticKernel,
)
from .transforms import transform_path, transform_path_backprop
from .words import (
    idx_to_word,
    is_lyndon,
    lyndon_words,
    lyndon_words_of_length,
    word_to_idx,
    words,
    words_of_length,
)

__version__ = _version("arraysig")

__all__ = [
    "Context",
    "LinearKernel",
    "Matern12Kernel",
    "Matern32Kernel",
    "Matern52Kernel",
    "PolynomialKernel",
    "RBFKernel",
    "RationalQuadraticKernel",
    "ScaledLinearKernel",
    "StaticKernel",
    "expected_sig_score",
    "extract_sig_coef",
    "idx_to_word",
    "is_lyndon",
    "linear_sig",
    "linear_sig_backprop",
    "lyndon_words",
    "lyndon_words_of_length",
    "show_config",
    "sig",
    "sig_backprop",
    "sig_coef",
    "sig_coef_backprop",
    "sig_combine",
    "sig_combine_backprop",
    "sig_inverse",
    "sig_inverse_backprop",
    "sig_join",
    "sig_join_backprop",
    "sig_kernel",
    "sig_kernel_backprop",
    "sig_kernel_gram",
    "sig_kernel_gram_backprop",
    "sig_length",
    "sig_mmd",
    "sig_score",
    "signature",
    "transform_path",
    "transform_path_backprop",
    "word_to_idx",
    "words",
    "words_of_length",
]
