"""Rows of augmented paths: time augmentation and lead-lag."""

from __future__ import annotations

import math
from typing import Any

from .._core.op import Op, Plan, Shape, Spec
from ..words import augmented_channels


def augmented(length: int, dimension: int, time_aug: bool, lead_lag: bool) -> tuple[int, int]:
    """Points and channels after augmentation."""
    points = 2 * length - 1 if lead_lag else length
    return points, augmented_channels(dimension, time_aug, lead_lag)


def _plan(path: Shape, time_aug: bool, lead_lag: bool, end_time: float, n_jobs: int) -> Plan:
    *batch, length, dimension = path
    points, channels = augmented(length, dimension, time_aug, lead_lag)
    count = math.prod(batch)
    out = Spec((*batch, points, channels))
    return Plan((out,), (count, length, dimension), count * points * channels)


def _plan_vjp(grad: Shape, time_aug: bool, lead_lag: bool, n_jobs: int) -> Plan:
    *batch, points, channels = grad
    length = (points + 1) // 2 if lead_lag else points
    dimension = (channels - (1 if time_aug else 0)) // (2 if lead_lag else 1)
    if dimension < 1 or augmented(length, dimension, time_aug, lead_lag) != (points, channels):
        raise ValueError(
            f"transform_path_backprop: `derivs` must have the shape (..., points, channels) of a "
            f"path with time_aug={time_aug}, lead_lag={lead_lag}, got {tuple(grad)}"
        )
    count = math.prod(batch)
    out = Spec((*batch, length, dimension))
    return Plan((out,), (count, length, dimension), count * points * channels)


def _launch(gpu: Any, ins: Any, outs: Any, plan: Plan, *attrs: Any) -> None:
    _elementwise(gpu, "transform_path", ins, outs, plan, (*attrs[:-1], gpu.real(attrs[-1])))


def _launch_vjp(gpu: Any, ins: Any, outs: Any, plan: Plan, *attrs: Any) -> None:
    _elementwise(gpu, "transform_path_vjp", ins, outs, plan, attrs)


def _elementwise(gpu: Any, name: str, ins: Any, outs: Any, plan: Plan, attrs: Any) -> None:
    total = math.prod(outs[0].shape)
    _, length, dimension = plan.ints
    values = [int(a) if isinstance(a, bool) else a for a in attrs]
    blocks = min(-(-total // 256), 32 * gpu.processors)
    args = (*ins, *outs, total, length, dimension, *values)
    gpu.launch(gpu.source("transforms.cu"), name, (blocks,), (256,), args)


transform_path_vjp: Op = Op(
    "transform_path_vjp",
    "(Tensor grad, bool time_aug, bool lead_lag, int n_jobs)",
    _plan_vjp,
    _launch_vjp,
    vjp=lambda saved, grads, time_aug, lead_lag, n_jobs: (
        transform_path(grads[0], time_aug, lead_lag, 0.0, n_jobs),
    ),
    jvp=lambda saved, tangents, *attrs: (transform_path_vjp(tangents[0], *attrs),),
    function="transform_path_backprop",
)
transform_path: Op = Op(
    "transform_path",
    "(Tensor path, bool time_aug, bool lead_lag, float end_time, int n_jobs)",
    _plan,
    _launch,
    vjp=lambda saved, grads, time_aug, lead_lag, end_time, n_jobs: (
        transform_path_vjp(grads[0], time_aug, lead_lag, n_jobs),
    ),
    jvp=lambda saved, tangents, time_aug, lead_lag, end_time, n_jobs: (
        transform_path(tangents[0], time_aug, lead_lag, 0.0, n_jobs),
    ),
)
