"""A row per public function: sample arguments, slow definition, tolerance. The battery reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import arraysig

from . import reference

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """One public function with one choice of options.

    Attributes
    ----------
    name : of the function and its options, for test ids
    call : the function of arraysig, as ``call(*arrays, n_jobs=...)``
    shapes : ``shapes(batch, length) -> shapes of the arrays``
    expected : the slow definition over single items of float64 (or object) arrays
    ranks : of the items of the arrays
    adjoint : ``adjoint(*arrays, derivs) -> gradients`` with respect to the first array, or None
    linear : whether the function is linear in its first array but for a constant
    tolerance : error allowed, in units of eps times the largest value of the result
    """

    name: str
    call: Callable[..., Any]
    shapes: Callable[[Shape, int], tuple[Shape, ...]]
    expected: Callable[..., np.ndarray]
    ranks: tuple[int, ...]
    adjoint: Callable[..., Any] | None = None
    tolerance: float = 50.0
    lengths: tuple[int, ...] = field(default=(1, 2, 7))

    def sample(self, rng: np.random.Generator, batch: Shape = (2,), length: int = 7) -> list[Any]:
        """Random float64 arrays."""
        return [rng.normal(size=s) for s in self.shapes(batch, length)]

    def reference(self, *arrays: np.ndarray) -> np.ndarray:
        """The slow definition over batches."""
        return reference.batched(self.expected, *arrays, ranks=self.ranks)


def _options(options: dict[str, Any]) -> str:
    return ",".join(k if v is True else f"{k}={v}" for k, v in options.items())


_FLAGS: list[dict[str, Any]] = [
    {},
    {"time_aug": True, "end_time": 2.5},
    {"lead_lag": True},
    {"time_aug": True, "lead_lag": True, "end_time": -0.5},
]


def _sig(dimension: int, degree: int, scalar_term: bool, **flags: Any) -> list[Case]:
    count = arraysig.sig_length(
        dimension,
        degree,
        scalar_term=scalar_term,
        **{k: v for k, v in flags.items() if k != "end_time"},
    )
    options = {**flags, "scalar_term": True} if scalar_term else flags
    id_ = f"d={dimension},N={degree}" + ("," + _options(options) if options else "")
    return [
        Case(
            f"sig[{id_}]",
            lambda path, **kw: arraysig.sig(path, degree, **options, **kw),
            lambda batch, length: ((*batch, length, dimension),),
            lambda path: reference.signature(path, degree, **options),
            (2,),
            lambda path, derivs: arraysig.sig_backprop(path, None, derivs, degree, **flags),
        ),
        Case(
            f"sig_backprop[{id_}]",
            lambda derivs, path, **kw: arraysig.sig_backprop(
                path, None, derivs, degree, **flags, **kw
            ),
            lambda batch, length: ((*batch, count), (*batch, length, dimension)),
            lambda derivs, path: reference.signature_gradient(path, derivs, degree, **options),
            (1, 2),
            tolerance=200.0,
        ),
    ]


def _transform(dimension: int, **flags: Any) -> list[Case]:
    id_ = f"d={dimension}" + ("," + _options(flags) if flags else "")
    back = {k: v for k, v in flags.items() if k != "end_time"}
    channels = dimension * (2 if flags.get("lead_lag") else 1) + bool(flags.get("time_aug"))

    def points(length: int) -> int:
        return 2 * length - 1 if flags.get("lead_lag") else length

    return [
        Case(
            f"transform_path[{id_}]",
            lambda path, **kw: arraysig.transform_path(path, **flags, **kw),
            lambda batch, length: ((*batch, length, dimension),),
            lambda path: reference.augment(path, **flags),
            (2,),
            lambda path, derivs: arraysig.transform_path_backprop(derivs, **back),
            tolerance=4.0,
        ),
        Case(
            f"transform_path_backprop[{id_}]",
            lambda derivs, **kw: arraysig.transform_path_backprop(derivs, **back, **kw),
            lambda batch, length: ((*batch, points(length), channels),),
            lambda derivs: reference.linear_adjoint(
                lambda x: reference.augment(x, **flags),
                ((len(derivs) + 1) // 2 if flags.get("lead_lag") else len(derivs), dimension),
                derivs,
            ),
            (2,),
            lambda derivs, grad: arraysig.transform_path(grad, **{**flags, "end_time": 0.0}),
            tolerance=8.0,
        ),
    ]


CASES: list[Case] = [
    case
    for cases in [
        *[_sig(3, 3, False, **flags) for flags in _FLAGS],
        _sig(2, 4, True),
        _sig(2, 2, True, **_FLAGS[3]),
        _sig(1, 5, False),
        _sig(2, 1, False),
        _sig(3, 0, True),
        _sig(3, 0, False),
        *[_transform(2, **flags) for flags in _FLAGS],
        _transform(1, **_FLAGS[3]),
    ]
    for case in cases
]
