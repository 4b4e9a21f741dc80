"""Rows of the signature and of its gradient."""

from __future__ import annotations

import math
from typing import Any

from .._core.namespace import concat, zeros
from .._core.op import Op, Plan, Shape, Spec
from .._core.tables import all_words
from ..words import tensor_length
from . import signature_cuda
from .coefficients import gradient_of_tangent, tangent_of_coef
from .transforms import augmented


def _plan(
    path: Shape,
    degree: int,
    time_aug: bool,
    lead_lag: bool,
    end_time: float,
    scalar_term: bool,
    lyndon: bool,
    n_jobs: int,
) -> Plan:
    *batch, length, dimension = path
    points, channels = augmented(length, dimension, time_aug, lead_lag)
    words = tensor_length(channels, degree)
    if words < 0:
        raise ValueError(f"sig: the signature of {channels} channels to degree {degree} overflows")
    count = math.prod(batch)
    out = Spec((*batch, words + (1 if scalar_term else 0)))
    return Plan((out,), (count, length, dimension), count * points * words)


def _plan_vjp(grad: Shape, path: Shape, *attrs: Any) -> Plan:
    forward = _plan(path, *attrs)
    if tuple(grad) != tuple(forward.outs[0].shape):
        raise ValueError(
            f"sig_backprop: `sig_derivs` must have shape {forward.outs[0].shape} for `path` of "
            f"shape {tuple(path)}, got {tuple(grad)}"
        )
    return Plan((Spec(tuple(path)),), forward.ints, 3 * forward.work)


# Second and forward-mode derivatives are those of all coefficients at once (coefficients.py).


def _as_words(path: Any, attrs: tuple[Any, ...]) -> tuple[tuple[int, ...], tuple[Any, ...], bool]:
    """All words, the attributes that `sig_coef` has too, and whether there is a scalar term."""
    degree, time_aug, lead_lag, end_time, scalar_term, _, n_jobs = attrs
    channels = augmented(1, path.shape[-1], time_aug, lead_lag)[1]
    return all_words(channels, degree), (False, time_aug, lead_lag, end_time, n_jobs), scalar_term


def tangent(path: Any, tangent: Any, attrs: tuple[Any, ...]) -> Any:
    """Derivative of the signatures of `path` along `tangent`."""
    words, flags, scalar_term = _as_words(path, attrs)
    out = tangent_of_coef(path, tangent, words, *flags)
    return concat([zeros(out, (*out.shape[:-1], 1)), out]) if scalar_term else out


def _gradient_of_tangent(grad: Any, path: Any, tangent: Any, attrs: tuple[Any, ...]) -> Any:
    words, flags, scalar_term = _as_words(path, attrs)
    return gradient_of_tangent(grad[..., 1:] if scalar_term else grad, path, tangent, words, *flags)


def vjp_of_vjp(saved: Any, grads: Any, *attrs: Any) -> tuple[Any, Any]:
    """The rule of `sig_vjp` in reverse mode."""
    (grad, path), (h,) = saved, grads
    return tangent(path, h, attrs), _gradient_of_tangent(grad, path, h, attrs)


def jvp_of_vjp(saved: Any, tangents: Any, *attrs: Any) -> tuple[Any]:
    """The rule of `sig_vjp` in forward mode."""
    (grad, path), (dgrad, dpath) = saved, tangents
    return (sig_vjp(dgrad, path, *attrs) + _gradient_of_tangent(grad, path, dpath, attrs),)


# With `lyndon`, coefficients of the last level are wanted at Lyndon words only. Elsewhere in that
# level nobody may read them, and gradients must be 0.
_ATTRS = (
    "int degree, bool time_aug, bool lead_lag, float end_time, bool scalar_term, bool lyndon, "
    "int n_jobs"
)

sig_vjp: Op = Op(
    "sig_vjp",
    f"(Tensor grad, Tensor path, {_ATTRS})",
    _plan_vjp,
    signature_cuda.launch_vjp,
    saves=("grad", "path"),
    vjp=vjp_of_vjp,
    jvp=jvp_of_vjp,
    function="sig_backprop",
)
sig: Op = Op(
    "sig",
    f"(Tensor path, {_ATTRS})",
    _plan,
    signature_cuda.launch,
    saves=("path",),
    vjp=lambda saved, grads, *attrs: (sig_vjp(grads[0], saved[0], *attrs),),
    jvp=lambda saved, tangents, *attrs: (tangent(saved[0], tangents[0], attrs),),
)
