"""Rows of the signature and of its gradient."""

from __future__ import annotations

import math
from typing import Any

from .._core.op import Op, Plan, Shape, Spec
from ..words import tensor_length
from . import signature_cuda
from .transforms import augmented


def _plan(
    path: Shape,
    degree: int,
    time_aug: bool,
    lead_lag: bool,
    end_time: float,
    scalar_term: bool,
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


_ATTRS = "int degree, bool time_aug, bool lead_lag, float end_time, bool scalar_term, int n_jobs"

sig_vjp = Op(
    "sig_vjp", f"(Tensor grad, Tensor path, {_ATTRS})", _plan_vjp, signature_cuda.launch_vjp
)
sig = Op(
    "sig",
    f"(Tensor path, {_ATTRS})",
    _plan,
    signature_cuda.launch,
    saves=("path",),
    vjp=lambda saved, grads, *attrs: (sig_vjp(grads[0], saved[0], *attrs),),
)
