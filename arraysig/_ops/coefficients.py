"""Rows of chosen coefficients of signatures, and of sums of them."""

from __future__ import annotations

import math
from typing import Any

from .._core.namespace import concat, zeros
from .._core.op import Op, Plan, Shape, Spec
from .._core.tables import prefixes, tangent_words
from .transforms import augmented, transform_path, transform_path_vjp


def _plan(
    path: Shape,
    words: tuple[int, ...],
    stream: bool,
    time_aug: bool,
    lead_lag: bool,
    end_time: float,
    n_jobs: int,
) -> Plan:
    *batch, length, dimension = path
    points, channels = augmented(length, dimension, time_aug, lead_lag)
    walked = prefixes(tuple(words), int(channels))
    count = math.prod(batch)
    work = count * points * (walked.nodes + walked.h_size)
    rows = (length - 1,) if stream else ()
    return Plan((Spec((*batch, *rows, walked.sums)),), (count, length, dimension, *walked), work)


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
    stream: bool,
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
    size = (6 if backward else 2) * nodes + (2 if backward else 1) * h_size + channels + longest + 2
    fits = size * gpu.itemsize <= min(gpu.shared_memory, 96 * 1024)
    scratch = None if fits else gpu.scratch((blocks * size,))
    extra: list[Any] = [scratch]
    chunk = max(1, math.isqrt(max(points - 1, 1)))
    if backward:
        chunks = -(-(points - 1) // chunk)
        extra.append(gpu.scratch((blocks * ((chunks + chunk + 1) * nodes + points * channels),)))
    sizes = (batch, length, dimension, points, channels, int(lead_lag), gpu.real(end_time))
    walked = (count, nodes, longest, h_size, int(stream))
    args = (*ins, *outs, gpu.constant(table.array), *extra, *sizes, *walked)
    gpu.launch(
        gpu.source("coefficients.cu"),
        "sig_coef_vjp" if backward else "sig_coef",
        (blocks,),
        (threads,),
        (*args, chunk) if backward else args,
        size * gpu.itemsize if fits else 0,
    )


# Derivatives of any order. A coefficient is linear in the increments at each of its letters: its
# derivative along a path h is the sum, over its letters, of the coefficient of (path, h) whose
# letter there is the one of h. So derivatives are coefficients again, of twice as many channels.


def _joint(path: Any, tangent: Any, words: Any, flags: tuple[Any, ...]) -> tuple[Any, Any, int]:
    """The augmented path with its tangent beside it, attributes for it, and channels of one."""
    stream, time_aug, lead_lag, end_time, n_jobs = flags
    if time_aug or lead_lag:
        path = transform_path(path, time_aug, lead_lag, end_time, n_jobs)
        tangent = transform_path(tangent, time_aug, lead_lag, 0.0, n_jobs)
    channels = path.shape[-1]
    attrs = (tangent_words(words, channels), stream, False, False, 0.0, n_jobs)
    return concat([path, tangent]), attrs, channels


def tangent_of_coef(path: Any, tangent: Any, words: Any, *flags: Any) -> Any:
    """Derivative of the coefficients of `words` along `tangent`."""
    stream, _, lead_lag, _, _ = flags
    joint, attrs, _ = _joint(path, tangent, words, flags)
    out = sig_coef(joint, *attrs)
    return out[..., 1::2, :] if stream and lead_lag else out  # after steps of the path as given


def gradient_of_tangent(grad: Any, path: Any, tangent: Any, words: Any, *flags: Any) -> Any:
    """Gradient of <grad, `tangent_of_coef`> with respect to the path: a Hessian by a vector."""
    stream, time_aug, lead_lag, _, n_jobs = flags
    joint, attrs, channels = _joint(path, tangent, words, flags)
    if stream and lead_lag:
        *batch, rows, width = grad.shape
        both = concat([zeros(grad, tuple(grad.shape)), grad])
        grad = both.reshape((*batch, 2 * rows, width))
    result = sig_coef_vjp(grad, joint, *attrs)[..., :channels]
    return transform_path_vjp(result, time_aug, lead_lag, n_jobs)


def _vjp_of_vjp(saved: Any, grads: Any, words: Any, *flags: Any) -> tuple[Any, Any]:
    (grad, path), (h,) = saved, grads
    return (
        tangent_of_coef(path, h, words, *flags),
        gradient_of_tangent(grad, path, h, words, *flags),
    )


def _jvp_of_vjp(saved: Any, tangents: Any, words: Any, *flags: Any) -> tuple[Any]:
    (grad, path), (dgrad, dpath) = saved, tangents
    return (
        sig_coef_vjp(dgrad, path, words, *flags)
        + gradient_of_tangent(grad, path, dpath, words, *flags),
    )


_ATTRS = "int[] words, bool stream, bool time_aug, bool lead_lag, float end_time, int n_jobs"

sig_coef_vjp: Op = Op(
    "sig_coef_vjp",
    f"(Tensor grad, Tensor path, {_ATTRS})",
    _plan_vjp,
    _launch,
    saves=("grad", "path"),
    vjp=_vjp_of_vjp,
    jvp=_jvp_of_vjp,
    function="sig_coef_backprop",
)
sig_coef: Op = Op(
    "sig_coef",
    f"(Tensor path, {_ATTRS})",
    _plan,
    _launch,
    saves=("path",),
    vjp=lambda saved, grads, *attrs: (sig_coef_vjp(grads[0], saved[0], *attrs),),
    jvp=lambda saved, tangents, *attrs: (tangent_of_coef(saved[0], tangents[0], *attrs),),
)
