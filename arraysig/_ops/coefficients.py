"""Rows of chosen coefficients of signatures."""

from __future__ import annotations

import math
from typing import Any

from .._core.op import Op, Plan, Shape, Spec
from .._core.tables import prefixes
from .transforms import augmented


def _plan(
    path: Shape,
    words: tuple[int, ...],
    time_aug: bool,
    lead_lag: bool,
    end_time: float,
    n_jobs: int,
) -> Plan:
    *batch, length, dimension = path
    points, channels = augmented(length, dimension, time_aug, lead_lag)
    walked = prefixes(tuple(words), int(channels))
    count = math.prod(batch)
    work = count * points * (walked[1] + walked[3])
    return Plan((Spec((*batch, walked[0])),), (count, length, dimension, *walked), work)


def _plan_vjp(grad: Shape, path: Shape, *attrs: Any) -> Plan:
    forward = _plan(path, *attrs)
    if tuple(grad) != tuple(forward.outs[0].shape):
        raise ValueError(
            f"sig_coef_backprop: `derivs` must have shape {forward.outs[0].shape} for `path` of "
            f"shape {tuple(path)}, got {tuple(grad)}"
        )
    return Plan((Spec(tuple(path)),), forward.ints, 4 * forward.work)


def _launch(
    gpu: Any,
    ins: Any,
    outs: Any,
    plan: Plan,
    words: Any,
    time_aug: bool,
    lead_lag: bool,
    end_time: float,
) -> None:
    batch, length, dimension, count, nodes, longest, h_size = plan.ints[:-1]
    table: Any = plan.ints[-1]
    points, channels = augmented(length, dimension, time_aug, lead_lag)
    backward = len(ins) == 2
    blocks = min(batch, 4 * gpu.processors)
    threads = min(256, max(32, 32 * -(-nodes // (32 * max(1, longest)))))
    size = (4 if backward else 1) * nodes + (2 if backward else 1) * h_size + channels + longest + 2
    fits = size * gpu.itemsize <= min(gpu.shared_memory, 96 * 1024)
    scratch = None if fits else gpu.scratch((blocks * size,))
    extra: list[Any] = [scratch]
    chunk = max(1, math.isqrt(max(points - 1, 1)))
    if backward:
        chunks = -(-(points - 1) // chunk)
        extra.append(gpu.scratch((blocks * ((chunks + chunk + 1) * nodes + points * channels),)))
    sizes = (batch, length, dimension, points, channels, int(lead_lag), gpu.real(end_time))
    args = (*ins, *outs, gpu.constant(table.array), *extra, *sizes, count, nodes, longest, h_size)
    gpu.launch(
        gpu.source("coefficients.cu"),
        "sig_coef_vjp" if backward else "sig_coef",
        (blocks,),
        (threads,),
        (*args, chunk) if backward else args,
        size * gpu.itemsize if fits else 0,
    )


_ATTRS = "int[] words, bool time_aug, bool lead_lag, float end_time, int n_jobs"

sig_coef_vjp = Op("sig_coef_vjp", f"(Tensor grad, Tensor path, {_ATTRS})", _plan_vjp, _launch)
sig_coef = Op(
    "sig_coef",
    f"(Tensor path, {_ATTRS})",
    _plan,
    _launch,
    saves=("path",),
    vjp=lambda saved, grads, *attrs: (sig_coef_vjp(grads[0], saved[0], *attrs),),
)
