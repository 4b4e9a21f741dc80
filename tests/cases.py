"""A row per public function: sample arguments, slow definition, tolerance. The battery reads it."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import array_namespace

import arraysig

from . import reference
from . import reference_trees as trees

Shape = tuple[int, ...]


_results: dict[tuple[Any, ...], np.ndarray] = {}


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
        """The slow definition over batches, once for the same arrays: backends share them."""
        if any(a.dtype == object for a in arrays):  # whose bytes do not tell their numbers
            return reference.batched(self.expected, *arrays, ranks=self.ranks)
        items = [(a.shape, a.dtype.str, hashlib.sha256(a.tobytes()).digest()) for a in arrays]
        key = (id(self), *items)
        if key not in _results:
            result = reference.batched(self.expected, *arrays, ranks=self.ranks)
            result.flags.writeable = False
            _results[key] = result
        return _results[key]


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


def _algebra(dimension: int, degree: int, scalar_term: bool) -> list[Case]:
    count = arraysig.sig_length(dimension, degree, scalar_term=scalar_term)
    size = (dimension, degree)
    id_ = f"d={dimension},N={degree}" + (",scalar_term" if scalar_term else "")

    def split(tensor: np.ndarray, scalar: Any) -> list[np.ndarray]:
        """Levels 0 to degree, with the scalar part given."""
        words = tensor[1:] if scalar_term else tensor
        bounds = np.cumsum([0, *(dimension**k for k in range(1, degree + 1))])
        one = np.array([scalar], dtype=tensor.dtype)
        return [one, *(words[a:b] for a, b in itertools.pairwise(bounds))]

    def join(levels: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(levels if scalar_term else [levels[0][:0], *levels[1:]])

    def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return join(reference.product(split(left, 1), split(right, 1)))

    def segment(displacement: np.ndarray) -> np.ndarray:
        return join(reference.exponential(displacement, degree))

    def inverse(tensor: np.ndarray) -> np.ndarray:
        rest = [-level for level in split(tensor, 0)]
        total, power = split(tensor * 0, 1), split(tensor * 0, 1)
        for _ in range(degree):
            power = reference.product(power, rest)
            total = [a + b for a, b in zip(total, power, strict=True)]
        return join(total)

    def adjoint(function: Any, tensor: np.ndarray, derivs: np.ndarray) -> np.ndarray:
        """Of a function that is affine in a tensor, whose scalar part is constant."""
        return reference.linear_adjoint(function, tensor.shape, derivs)

    def inverse_gradient(tensor: np.ndarray, derivs: np.ndarray) -> np.ndarray:
        out = inverse(tensor)

        def differential(change: np.ndarray) -> np.ndarray:
            inner = reference.product(split(out, 1), split(change, 0))
            return join([-level for level in reference.product(inner, split(out, 1))])

        return adjoint(differential, tensor, derivs)

    def segment_gradient(displacement: np.ndarray, derivs: np.ndarray) -> np.ndarray:
        path = np.stack([0 * displacement, displacement])
        return reference.signature_gradient(path, derivs, degree, scalar_term=scalar_term)[1]

    def rows(n: int) -> Callable[[Shape, int], tuple[Shape, ...]]:
        return lambda batch, length: ((*batch, count),) * n

    def row_and_segment(batch: Shape, length: int) -> tuple[Shape, ...]:
        return (*batch, count), (*batch, dimension)

    combine, back = arraysig.sig_combine, arraysig.sig_combine_backprop
    append, append_back = arraysig.sig_join, arraysig.sig_join_backprop
    cases = [
        Case(
            f"sig_combine[{id_}]",
            lambda a, b, **kw: combine(a, b, *size, **kw),
            rows(2),
            product,
            (1, 1),
            lambda a, b, derivs: back(derivs, a, b, *size)[0],
        ),
        Case(
            f"sig_combine[{id_},second]",
            lambda b, a, **kw: combine(a, b, *size, **kw),
            rows(2),
            lambda b, a: product(a, b),
            (1, 1),
            lambda b, a, derivs: back(derivs, a, b, *size)[1],
        ),
        Case(
            f"sig_combine_backprop[{id_}]",
            lambda derivs, a, b, **kw: back(derivs, a, b, *size, **kw)[0],
            rows(3),
            lambda derivs, a, b: adjoint(lambda x: product(x, b), a, derivs),
            (1, 1, 1),
        ),
        Case(
            f"sig_combine_backprop[{id_},second]",
            lambda derivs, a, b, **kw: back(derivs, a, b, *size, **kw)[1],
            rows(3),
            lambda derivs, a, b: adjoint(lambda x: product(a, x), b, derivs),
            (1, 1, 1),
        ),
        Case(
            f"sig_inverse[{id_}]",
            lambda tensor, **kw: arraysig.sig_inverse(tensor, *size, **kw),
            rows(1),
            inverse,
            (1,),
            lambda tensor, derivs: arraysig.sig_inverse_backprop(derivs, tensor, *size),
        ),
        Case(
            f"sig_inverse_backprop[{id_}]",
            lambda tensor, derivs, **kw: arraysig.sig_inverse_backprop(derivs, tensor, *size, **kw),
            rows(2),
            inverse_gradient,
            (1, 1),
            tolerance=200.0,
        ),
        Case(
            f"linear_sig[{id_}]",
            lambda v, **kw: arraysig.linear_sig(v, *size, scalar_term=scalar_term, **kw),
            lambda batch, length: ((*batch, dimension),),
            segment,
            (1,),
            lambda v, derivs: arraysig.linear_sig_backprop(derivs, v, *size),
        ),
        Case(
            f"linear_sig_backprop[{id_}]",
            lambda derivs, v, **kw: arraysig.linear_sig_backprop(derivs, v, *size, **kw),
            lambda batch, length: ((*batch, count), (*batch, dimension)),
            lambda derivs, v: segment_gradient(v, derivs),
            (1, 1),
        ),
    ]
    for prepend in (False, True):
        label = f"[{id_}{',prepend' if prepend else ''}]"

        def joined(a: np.ndarray, v: np.ndarray, prepend: bool = prepend) -> np.ndarray:
            return product(segment(v), a) if prepend else product(a, segment(v))

        def of_segment(
            a: np.ndarray, v: np.ndarray, derivs: np.ndarray, prepend: bool = prepend
        ) -> np.ndarray:
            inner = adjoint(
                lambda x: product(x, a) if prepend else product(a, x), segment(v), derivs
            )
            return segment_gradient(v, inner)

        cases += [
            Case(
                f"sig_join{label}",
                lambda a, v, prepend=prepend, **kw: append(a, v, *size, prepend=prepend, **kw),
                row_and_segment,
                joined,
                (1, 1),
                lambda a, v, derivs, prepend=prepend: append_back(
                    derivs, a, v, *size, prepend=prepend
                )[0],
            ),
            Case(
                f"sig_join_backprop{label}",
                lambda a, v, derivs, prepend=prepend, **kw: append_back(
                    derivs, a, v, *size, prepend=prepend, **kw
                )[1],
                lambda batch, length: ((*batch, count), (*batch, dimension), (*batch, count)),
                of_segment,
                (1, 1, 1),
                tolerance=200.0,
            ),
        ]
    return cases


def _coef(dimension: int, words: list[tuple[int, ...]], **flags: Any) -> list[Case]:
    channels = dimension * (2 if flags.get("lead_lag") else 1) + bool(flags.get("time_aug"))
    degree = max(len(word) for word in words)
    chosen = [arraysig.word_to_idx(word, channels, scalar_term=True) for word in words]
    options = {**flags, "scalar_term": True}

    def gradient(derivs: np.ndarray, path: np.ndarray) -> np.ndarray:
        whole = np.zeros(arraysig.sig_length(channels, degree, scalar_term=True))
        np.add.at(whole, chosen, derivs)
        return reference.signature_gradient(path, whole, degree, **options)

    id_ = f"{len(words)} words,d={dimension}" + ("," + _options(flags) if flags else "")
    return [
        Case(
            f"sig_coef[{id_}]",
            lambda path, **kw: arraysig.sig_coef(path, words, **flags, **kw),
            lambda batch, length: ((*batch, length, dimension),),
            lambda path: reference.signature(path, degree, **options)[chosen],
            (2,),
            lambda path, derivs: arraysig.sig_coef_backprop(path, words, None, derivs, **flags),
        ),
        Case(
            f"sig_coef_backprop[{id_}]",
            lambda derivs, path, **kw: arraysig.sig_coef_backprop(
                path, words, None, derivs, **flags, **kw
            ),
            lambda batch, length: ((*batch, len(words)), (*batch, length, dimension)),
            gradient,
            (1, 2),
            tolerance=200.0,
        ),
    ]


def _stream(dimension: int, degree: int, scalar_term: bool, **flags: Any) -> list[Case]:
    per_step = 2 if flags.get("lead_lag") else 1
    options = {**flags, "stream": True}
    count = arraysig.sig_length(
        dimension,
        degree,
        scalar_term=scalar_term,
        **{k: v for k, v in flags.items() if k != "end_time"},
    )

    def prefixes(path: np.ndarray) -> list[np.ndarray]:
        points = reference.augment(path, **flags)
        return [points[: per_step * i + 1] for i in range(1, len(path))]

    def expected(path: np.ndarray) -> np.ndarray:
        rows = [reference.signature(p, degree, scalar_term=scalar_term) for p in prefixes(path)]
        return np.array(rows).reshape(len(path) - 1, count)

    def gradient(derivs: np.ndarray, path: np.ndarray) -> np.ndarray:
        wanted = np.zeros(reference.augment(path, **flags).shape)
        for row, prefix in zip(derivs, prefixes(path), strict=True):
            wanted[: len(prefix)] += reference.signature_gradient(
                prefix, row, degree, scalar_term=scalar_term
            )
        return reference.linear_adjoint(lambda x: reference.augment(x, **flags), path.shape, wanted)

    id_ = f"stream,d={dimension},N={degree}" + ("," + _options(flags) if flags else "")
    return [
        Case(
            f"sig[{id_}]",
            lambda path, **kw: arraysig.sig(path, degree, scalar_term=scalar_term, **options, **kw),
            lambda batch, length: ((*batch, length, dimension),),
            expected,
            (2,),
            lambda path, derivs: arraysig.sig_backprop(path, None, derivs, degree, **options),
        ),
        Case(
            f"sig_backprop[{id_}]",
            lambda derivs, path, **kw: arraysig.sig_backprop(
                path, None, derivs, degree, **options, **kw
            ),
            lambda batch, length: ((*batch, length - 1, count), (*batch, length, dimension)),
            gradient,
            (2, 2),
            tolerance=200.0,
        ),
    ]


def _correction(dimension: int, degree: int, levels: int, **flags: Any) -> list[Case]:
    width = sum(dimension**k for k in range(2, levels + 1))
    count = arraysig.sig_length(
        dimension,
        degree,
        time_aug=flags.get("time_aug", False),
        scalar_term=flags.get("scalar_term", False),
    )
    back = {k: v for k, v in flags.items() if k != "scalar_term"}

    def shapes(batch: Shape, length: int) -> tuple[Shape, ...]:
        return (*batch, length, dimension), (*batch, length - 1, width)

    id_ = f"correction to {levels},d={dimension},N={degree}"
    id_ += "," + _options(flags) if flags else ""
    return [
        Case(
            f"sig[{id_}]",
            lambda path, c, **kw: arraysig.sig(path, degree, correction=c, **flags, **kw),
            shapes,
            lambda path, c: reference.signature(path, degree, correction=c, **flags),
            (2, 2),
            lambda path, c, derivs: arraysig.sig_backprop(
                path, None, derivs, degree, correction=c, **back
            ),
        ),
        Case(
            f"sig_backprop[{id_}]",
            lambda path, c, derivs, **kw: arraysig.sig_backprop(
                path, None, derivs, degree, correction=c, **back, **kw
            ),
            lambda batch, length: (*shapes(batch, length), (*batch, count)),
            lambda path, c, derivs: reference.gradient(
                lambda x: reference.signature(x, degree, correction=c, **flags), path, derivs
            ),
            (2, 2, 1),
            tolerance=200.0,
        ),
    ]


def _log(dimension: int, degree: int, method: int, **flags: Any) -> list[Case]:
    channels = dimension * (2 if flags.get("lead_lag") else 1) + bool(flags.get("time_aug"))
    of_path = {"method": method, **flags}
    augmented = {k: v for k, v in flags.items() if k != "end_time"}
    of_tensor = {"method": method, **augmented}
    size, given = (channels, degree), (dimension, degree)
    tensor = arraysig.sig_length(channels, degree)
    count = tensor if method == 0 else arraysig.log_sig_length(channels, degree)

    def logarithm(t: np.ndarray) -> np.ndarray:
        return reference.from_tensor(reference.logarithm(t, *size), *size, method)

    def exponential(numbers: np.ndarray) -> np.ndarray:
        return reference.exponential_less_one(reference.to_tensor(numbers, *size, method), *size)

    def of_walk(path: np.ndarray) -> np.ndarray:
        return logarithm(reference.signature(path, degree, **flags))

    def rows(*numbers: int) -> Callable[[Shape, int], tuple[Shape, ...]]:
        return lambda batch, length: tuple((*batch, n) for n in numbers)

    def path_rows(*numbers: int) -> Callable[[Shape, int], tuple[Shape, ...]]:
        return lambda batch, length: (
            (*batch, length, dimension),
            *((*batch, n) for n in numbers),
        )

    id_ = f"d={dimension},N={degree},method={method}" + ("," + _options(flags) if flags else "")
    gradient = reference.gradient
    return [
        Case(
            f"log_sig[{id_}]",
            lambda path, **kw: arraysig.log_sig(path, degree, **of_path, **kw),
            path_rows(),
            of_walk,
            (2,),
            lambda path, derivs: arraysig.log_sig_backprop(path, derivs, degree, **of_path),
            tolerance=500.0,
        ),
        Case(
            f"log_sig_backprop[{id_}]",
            lambda path, derivs, **kw: arraysig.log_sig_backprop(
                path, derivs, degree, **of_path, **kw
            ),
            path_rows(count),
            lambda path, derivs: gradient(of_walk, path, derivs),
            (2, 1),
            tolerance=2000.0,
        ),
        Case(
            f"sig_to_log_sig[{id_}]",
            lambda t, **kw: arraysig.sig_to_log_sig(t, *given, **of_tensor, **kw),
            rows(tensor),
            logarithm,
            (1,),
            lambda t, derivs: arraysig.sig_to_log_sig_backprop(t, derivs, *given, **of_tensor),
            tolerance=200.0,
        ),
        Case(
            f"sig_to_log_sig_backprop[{id_}]",
            lambda t, derivs, **kw: arraysig.sig_to_log_sig_backprop(
                t, derivs, *given, **of_tensor, **kw
            ),
            rows(tensor, count),
            lambda t, derivs: gradient(logarithm, t, derivs),
            (1, 1),
            tolerance=500.0,
        ),
        Case(
            f"logsig_to_sig[{id_}]",
            lambda log, **kw: arraysig.logsig_to_sig(log, *given, **of_tensor, **kw),
            rows(count),
            exponential,
            (1,),
            lambda log, derivs: arraysig.logsig_to_sig_backprop(log, derivs, *given, **of_tensor),
            tolerance=200.0,
        ),
        Case(
            f"logsig_to_sig_backprop[{id_}]",
            lambda log, derivs, **kw: arraysig.logsig_to_sig_backprop(
                log, derivs, *given, **of_tensor, **kw
            ),
            rows(count, tensor),
            lambda log, derivs: gradient(exponential, log, derivs),
            (1, 1),
            tolerance=500.0,
        ),
    ]


def _log_algebra(dimension: int, degree: int) -> list[Case]:
    size = dimension, degree
    count = arraysig.log_sig_length(*size)

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        factors = [
            reference.levels_of(
                reference.exponential_less_one(reference.to_tensor(x, *size, 2), *size), *size, 1
            )
            for x in (a, b)
        ]
        levels = reference.product(*factors)
        return reference.from_tensor(
            reference.logarithm(np.concatenate(levels[1:]), *size), *size, 2
        )

    def joined(a: np.ndarray, v: np.ndarray) -> np.ndarray:
        return product(a, np.concatenate([v, np.zeros(count - dimension)]))

    def rows(*numbers: int) -> Callable[[Shape, int], tuple[Shape, ...]]:
        return lambda batch, length: tuple((*batch, n) for n in numbers)

    id_, gradient = f"d={dimension},N={degree}", reference.gradient
    combine_back, join_back = arraysig.log_sig_combine_backprop, arraysig.log_sig_join_backprop
    return [
        Case(
            f"log_sig_combine[{id_}]",
            lambda a, b, **kw: arraysig.log_sig_combine(a, b, *size, **kw),
            rows(count, count),
            product,
            (1, 1),
            lambda a, b, derivs: combine_back(derivs, a, b, *size)[0],
            tolerance=1000.0,
        ),
        *[
            Case(
                f"log_sig_combine_backprop[{id_},{which}]",
                lambda derivs, a, b, side=side, **kw: combine_back(derivs, a, b, *size, **kw)[side],
                rows(count, count, count),
                lambda derivs, a, b, side=side: gradient(
                    (lambda x: product(a, x)) if side else (lambda x: product(x, b)),
                    b if side else a,
                    derivs,
                ),
                (1, 1, 1),
                tolerance=2000.0,
            )
            for side, which in enumerate(("first", "second"))
        ],
        Case(
            f"log_sig_join[{id_}]",
            lambda a, v, **kw: arraysig.log_sig_join(a, v, *size, **kw),
            rows(count, dimension),
            joined,
            (1, 1),
            lambda a, v, derivs: join_back(derivs, a, v, *size)[0],
            tolerance=1000.0,
        ),
        Case(
            f"log_sig_join_backprop[{id_}]",
            lambda derivs, a, v, **kw: join_back(derivs, a, v, *size, **kw)[1],
            rows(count, count, dimension),
            lambda derivs, a, v: gradient(lambda x: joined(a, x), v, derivs),
            (1, 1, 1),
            tolerance=2000.0,
        ),
        *[
            case
            for method in (0, 2)
            for case in _linear_log(dimension, degree, method, scalar_term=method == 0)
        ],
    ]


def _linear_log(dimension: int, degree: int, method: int, scalar_term: bool) -> list[Case]:
    size, options = (dimension, degree), {"method": method, "scalar_term": scalar_term}
    lengths = arraysig.log_sig_length if method else arraysig.sig_length
    count = lengths(*size) + scalar_term

    def segment(v: np.ndarray) -> np.ndarray:
        before = 1 if scalar_term else 0
        return np.concatenate([v[:before] * 0, v, np.zeros(count - dimension - before)])

    id_ = f"d={dimension},N={degree},{_options(options)}"
    return [
        Case(
            f"linear_log_sig[{id_}]",
            lambda v, **kw: arraysig.linear_log_sig(v, *size, **options, **kw),
            lambda batch, length: ((*batch, dimension),),
            segment,
            (1,),
            lambda v, derivs: arraysig.linear_log_sig_backprop(derivs, v, *size, **options),
        ),
        Case(
            f"linear_log_sig_backprop[{id_}]",
            lambda derivs, v, **kw: arraysig.linear_log_sig_backprop(
                derivs, v, *size, **options, **kw
            ),
            lambda batch, length: ((*batch, count), (*batch, dimension)),
            lambda derivs, v: derivs[int(scalar_term) :][:dimension],
            (1, 1),
        ),
    ]


def _kernel(
    dimension: int, scheme: dict[str, Any], static: str, *parameters: float, **flags: Any
) -> list[Case]:
    """`scheme` has a pair of dyadic orders, or the order and fold of polynomial cells.

    With the depth of trees it is of branched kernels.
    """
    name = "branched_sig_kernel" if "depth" in scheme else "sig_kernel"
    forward, back = getattr(arraysig, name), getattr(arraysig, f"{name}_backprop")
    static_kernel = getattr(arraysig, static)(*parameters)
    options = {**scheme, "static_kernel": static_kernel, **flags}
    grid = flags.pop("return_grid", False)

    # The battery wants rows: of one number, or of all nodes.
    def call(x: Any, y: Any, **kw: Any) -> Any:
        kernel = forward(x, y, **options, **kw)
        return kernel.reshape(*x.shape[:-2], math.prod(kernel.shape[x.ndim - 2 :]))

    def nodes(length: int) -> Shape:
        if not grid:
            return ()
        orders = scheme.get("dyadic_order", (0, 0))
        steps = [(n - 1) * (1 + flags.get("lead_lag", False)) for n in (length, length + 2)]
        return tuple(s * 2**order + 1 for s, order in zip(steps, orders, strict=True))

    def shapes(batch: Shape, length: int) -> tuple[Shape, ...]:
        return (*batch, length, dimension), (*batch, length + 2, dimension)

    def expected(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        def kernel(a: np.ndarray, b: np.ndarray) -> Any:
            return reference.STATIC_KERNELS[static](a, b, *parameters)

        if "order" in scheme:
            numbers = scheme["order"], scheme["fold"]
            value = reference.polynomial_kernel(x, y, *numbers, kernel, grid, **flags)
        elif "depth" in scheme:
            value = reference.branched_kernel(x, y, *scheme.values(), kernel, grid, **flags)
        else:
            value = reference.signature_kernel(x, y, scheme["dyadic_order"], kernel, grid, **flags)
        return np.asarray(value).reshape(-1)

    def backprop(side: int, derivs: Any, x: Any, y: Any, **kw: Any) -> Any:
        wanted = {"left_deriv": side == 0, "right_deriv": side == 1}
        paths = derivs.reshape((*x.shape[:-2], *nodes(x.shape[-2]))), x, y
        return back(*paths, **options, **wanted, **kw)[side]

    def gradient(side: int, derivs: np.ndarray, *paths: np.ndarray) -> np.ndarray:
        def kernel(path: np.ndarray) -> np.ndarray:
            other = paths[1 - side].astype(complex)
            return expected(path, other) if side == 0 else expected(other, path)

        return reference.gradient(kernel, paths[side], derivs)

    id_ = f"d={dimension},{_options(scheme)},{static_kernel}"
    id_ += "".join(f",{flag}" for flag in flags) + ",grid" * grid
    return [
        Case(
            f"{name}[{id_}]",
            call,
            shapes,
            expected,
            (2, 2),
            lambda x, y, derivs: backprop(0, derivs, x, y),
            tolerance=200.0,
        ),
        Case(
            f"{name}[{id_},second]",
            lambda y, x, **kw: call(x, y, **kw),
            lambda batch, length: shapes(batch, length)[::-1],
            lambda y, x: expected(x, y),
            (2, 2),
            lambda y, x, derivs: backprop(1, derivs, x, y),
            tolerance=200.0,
        ),
        *[
            Case(
                f"{name}_backprop[{id_},{which}]",
                lambda derivs, x, y, side=side, **kw: backprop(side, derivs, x, y, **kw),
                lambda batch, length: (
                    (*batch, math.prod(nodes(length))),
                    *shapes(batch, length),
                ),
                lambda derivs, x, y, side=side: gradient(side, derivs, x, y),
                (1, 2, 2),
                tolerance=500.0,
            )
            for side, which in enumerate(("first", "second"))
        ],
    ]


def _branched(dimension: int, degree: int, levels: int = 0, **options: Any) -> list[Case]:
    """Branched signatures of paths; `levels` are those to which there are corrections."""
    width = sum(dimension**k for k in range(2, levels + 1))
    augmented = {k: v for k, v in options.items() if k in ("time_aug", "lead_lag")}
    back = {k: v for k, v in options.items() if k != "scalar_term"}
    kind = {k: v for k, v in options.items() if k in ("planar", "scalar_term")}
    count = arraysig.branched_sig_length(_channels(dimension, augmented), degree, **kind)

    def shapes(batch: Shape, length: int) -> tuple[Shape, ...]:
        path = (*batch, length, dimension)
        return (path, (*batch, length - 1, width)) if levels else (path,)

    def walk(path: np.ndarray, correction: np.ndarray | None = None) -> np.ndarray:
        return trees.branched_signature(path, degree, correction=correction, **options)

    id_ = f"d={dimension},N={degree}" + (f",correction to {levels}" if levels else "")
    id_ += "".join("," + _options({k: v}) for k, v in options.items())
    ranks = (2, 2) if levels else (2,)
    return [
        Case(
            f"branched_sig[{id_}]",
            lambda path, c=None, **kw: arraysig.branched_sig(
                path, degree, correction=c, **options, **kw
            ),
            shapes,
            walk,
            ranks,
            lambda path, *rest: arraysig.branched_sig_backprop(
                path, None, rest[-1], degree, correction=rest[0] if levels else None, **back
            ),
        ),
        Case(
            f"branched_sig_backprop[{id_}]",
            lambda path, derivs, c=None, **kw: arraysig.branched_sig_backprop(
                path, None, derivs, degree, correction=c, **back, **kw
            ),
            lambda batch, length: _with_derivs(shapes(batch, length), (*batch, count)),
            lambda path, derivs, c=None: reference.gradient(lambda x: walk(x, c), path, derivs),
            (2, 1, *ranks[1:]),
            tolerance=200.0,
        ),
    ]


def _channels(dimension: int, flags: dict[str, Any]) -> int:
    return dimension * (2 if flags.get("lead_lag") else 1) + bool(flags.get("time_aug"))


def _with_derivs(shapes: tuple[Shape, ...], derivs: Shape) -> tuple[Shape, ...]:
    return (shapes[0], derivs, *shapes[1:])


def _branched_coef(
    dimension: int, chosen: list[Any], planar: bool, levels: int = 0, **flags: Any
) -> list[Case]:
    width = sum(dimension**k for k in range(2, levels + 1))
    options = {"planar": planar, **flags}
    wanted = [_element(tree, planar) for tree in chosen]
    degree = max(map(trees.nodes, wanted))
    listed = [None, *trees.elements(_channels(dimension, flags), degree, planar)]
    whole = [_element(tree, planar) for tree in listed]
    places = [whole.index(element) for element in wanted]

    def shapes(batch: Shape, length: int) -> tuple[Shape, ...]:
        path = (*batch, length, dimension)
        return (path, (*batch, length - 1, width)) if levels else (path,)

    def coefficients(path: np.ndarray, c: np.ndarray | None = None) -> np.ndarray:
        given = {"scalar_term": True, "correction": c, **options}
        return trees.branched_signature(path, degree, **given)[places]

    id_ = f"{len(chosen)} trees,d={dimension}" + (f",correction to {levels}" if levels else "")
    id_ += ",planar" * planar + "".join("," + _options({k: v}) for k, v in flags.items())
    ranks = (2, 2) if levels else (2,)
    cases = [
        Case(
            f"branched_sig_coef[{id_}]",
            lambda path, c=None, **kw: arraysig.branched_sig_coef(
                path, chosen, correction=c, **options, **kw
            ),
            shapes,
            coefficients,
            ranks,
            lambda path, *rest: arraysig.branched_sig_coef_backprop(
                path, chosen, None, rest[-1], correction=rest[0] if levels else None, **options
            ),
        ),
        Case(
            f"branched_sig_coef_backprop[{id_}]",
            lambda path, derivs, c=None, **kw: arraysig.branched_sig_coef_backprop(
                path, chosen, None, derivs, correction=c, **options, **kw
            ),
            lambda batch, length: _with_derivs(shapes(batch, length), (*batch, len(chosen))),
            lambda path, derivs, c=None: reference.gradient(
                lambda x: coefficients(x, c), path, derivs
            ),
            (2, 1, *ranks[1:]),
            tolerance=200.0,
        ),
    ]
    if levels:
        return cases
    selection = np.eye(len(whole))[places]
    of_bsig = {k: v for k, v in options.items() if k != "end_time"}
    return [
        *cases,
        Case(
            f"extract_branched_sig_coef[{id_}]",
            lambda bsig, n_jobs=1: arraysig.extract_branched_sig_coef(
                bsig, chosen, dimension, scalar_term=True, **of_bsig
            ),
            lambda batch, length: ((*batch, len(whole)),),
            lambda bsig: bsig[places],
            (1,),
            lambda bsig, derivs: (
                derivs @ array_namespace(derivs).asarray(selection, device=derivs.device)
            ),
        ),
    ]


def _element(tree: Any, planar: bool) -> Any:
    """An element of the basis as a forest, the same for all ways to write it."""
    if tree is None:
        return ()
    if planar:
        return tree if isinstance(tree[-1], tuple) else (tree,)
    return trees.without_order((tree,))


def _branched_algebra(
    dimension: int, degree: int, planar: bool, prepend: bool, scalar_term: bool
) -> list[Case]:
    """Pairs of arguments are rows beside each other, and so are their gradients."""
    kind = {"planar": planar}
    join_kind = {"prepend": prepend, **kind}
    size, whole = (dimension, degree), (dimension, degree, planar)
    count = arraysig.branched_sig_length(*size, scalar_term=scalar_term, **kind)

    def product(one: np.ndarray, two: np.ndarray) -> np.ndarray:
        return np.concatenate([[1.0] * scalar_term, trees.combine(one, two, whole)])

    def combined(both: np.ndarray) -> np.ndarray:
        return product(both[int(scalar_term) : count], both[count + scalar_term :])

    def joined(both: np.ndarray) -> np.ndarray:
        pair = both[int(scalar_term) : count], trees.linear(both[count:], whole)
        return product(*pair[:: -1 if prepend else 1])

    def segment(v: np.ndarray) -> np.ndarray:
        path = np.stack([v * 0, v])
        return trees.branched_signature(path, degree, scalar_term=scalar_term, **kind)

    def beside(arrays: tuple[Any, Any]) -> Any:
        return array_namespace(*arrays).concat(arrays, axis=-1)

    def combine_back(both: Any, derivs: Any, **kw: Any) -> Any:
        pair = both[..., :count], both[..., count:]
        return beside(arraysig.branched_sig_combine_backprop(derivs, *pair, *size, **kind, **kw))

    def join_back(both: Any, derivs: Any, **kw: Any) -> Any:
        pair = both[..., :count], both[..., count:]
        return beside(arraysig.branched_sig_join_backprop(derivs, *pair, *size, **join_kind, **kw))

    id_ = f"d={dimension},N={degree}" + ",planar" * planar + ",scalar_term" * scalar_term
    before = ",prepend" * prepend
    return [
        Case(
            f"branched_sig_combine[{id_}]",
            lambda both, **kw: arraysig.branched_sig_combine(
                both[..., :count], both[..., count:], *size, **kind, **kw
            ),
            lambda batch, length: ((*batch, 2 * count),),
            combined,
            (1,),
            combine_back,
        ),
        Case(
            f"branched_sig_combine_backprop[{id_}]",
            combine_back,
            lambda batch, length: ((*batch, 2 * count), (*batch, count)),
            lambda both, derivs: reference.gradient(combined, both, derivs),
            (1, 1),
            tolerance=200.0,
        ),
        Case(
            f"branched_sig_join[{id_}{before}]",
            lambda both, **kw: arraysig.branched_sig_join(
                both[..., :count], both[..., count:], *size, **join_kind, **kw
            ),
            lambda batch, length: ((*batch, count + dimension),),
            joined,
            (1,),
            join_back,
        ),
        Case(
            f"branched_sig_join_backprop[{id_}{before}]",
            join_back,
            lambda batch, length: ((*batch, count + dimension), (*batch, count)),
            lambda both, derivs: reference.gradient(joined, both, derivs),
            (1, 1),
            tolerance=200.0,
        ),
        Case(
            f"linear_branched_sig[{id_}]",
            lambda v, **kw: arraysig.linear_branched_sig(
                v, *size, scalar_term=scalar_term, **kind, **kw
            ),
            lambda batch, length: ((*batch, dimension),),
            segment,
            (1,),
            lambda v, derivs: arraysig.linear_branched_sig_backprop(
                derivs, v, *size, scalar_term=scalar_term, **kind
            ),
        ),
        Case(
            f"linear_branched_sig_backprop[{id_}]",
            lambda v, derivs, **kw: arraysig.linear_branched_sig_backprop(
                derivs, v, *size, scalar_term=scalar_term, **kind, **kw
            ),
            lambda batch, length: ((*batch, dimension), (*batch, count)),
            lambda v, derivs: reference.gradient(segment, v, derivs),
            (1, 1),
            tolerance=200.0,
        ),
    ]


def _branched_log(
    dimension: int, degree: int, method: int, planar: bool, levels: int = 0, **options: Any
) -> list[Case]:
    """`levels` are those to which paths have corrections; without them also logarithms of rows."""
    width = sum(dimension**k for k in range(2, levels + 1))
    augmented = {k: v for k, v in options.items() if k in ("time_aug", "lead_lag")}
    scalar_term, of_row = options.get("scalar_term", False), {**augmented, "planar": planar}
    of_path, size = {**options, "planar": planar}, (_channels(dimension, augmented), degree)
    walked = {k: v for k, v in of_path.items() if k != "scalar_term"}
    tensor = arraysig.branched_sig_length(*size, planar=planar, scalar_term=scalar_term)
    count = arraysig.branched_log_sig_length(*size, planar=planar) if method else tensor

    def shapes(batch: Shape, length: int) -> tuple[Shape, ...]:
        path = (*batch, length, dimension)
        return (path, (*batch, length - 1, width)) if levels else (path,)

    def logarithm(row: np.ndarray) -> np.ndarray:
        log = trees.logarithm(row[int(scalar_term) :], (*size, planar))
        return np.concatenate([[0.0] * scalar_term, trees.to_format(log, *size, method)])

    def of_walk(path: np.ndarray, c: np.ndarray | None = None) -> np.ndarray:
        return logarithm(trees.branched_signature(path, degree, correction=c, **of_path))

    id_ = f"d={dimension},N={degree},method={method}" + ",planar" * planar
    id_ += f",correction to {levels}" * (levels > 0)
    id_ += "".join("," + _options({k: v}) for k, v in options.items())
    gradient, ranks = reference.gradient, (2, 2) if levels else (2,)
    log_sig, log_sig_back = arraysig.branched_log_sig, arraysig.branched_log_sig_backprop
    cases = [
        Case(
            f"branched_log_sig[{id_}]",
            lambda path, c=None, **kw: log_sig(
                path, degree, method=method, correction=c, **of_path, **kw
            ),
            shapes,
            of_walk,
            ranks,
            lambda path, *rest: log_sig_back(
                path,
                rest[-1],
                degree,
                method=method,
                correction=rest[0] if levels else None,
                **walked,
            ),
            tolerance=500.0,
        ),
        Case(
            f"branched_log_sig_backprop[{id_}]",
            lambda path, derivs, c=None, **kw: log_sig_back(
                path, derivs, degree, method=method, correction=c, **walked, **kw
            ),
            lambda batch, length: _with_derivs(shapes(batch, length), (*batch, count)),
            lambda path, derivs, c=None: gradient(lambda x: of_walk(x, c), path, derivs),
            (2, 1, *ranks[1:]),
            tolerance=2000.0,
        ),
    ]
    if levels:
        return cases
    given = dimension, degree
    of_row["method"] = method
    return [
        *cases,
        Case(
            f"branched_sig_to_log_sig[{id_}]",
            lambda row, **kw: arraysig.branched_sig_to_log_sig(row, *given, **of_row, **kw),
            lambda batch, length: ((*batch, tensor),),
            logarithm,
            (1,),
            lambda row, derivs: arraysig.branched_sig_to_log_sig_backprop(
                row, derivs, *given, **of_row
            ),
            tolerance=200.0,
        ),
        Case(
            f"branched_sig_to_log_sig_backprop[{id_}]",
            lambda row, derivs, **kw: arraysig.branched_sig_to_log_sig_backprop(
                row, derivs, *given, **of_row, **kw
            ),
            lambda batch, length: ((*batch, tensor), (*batch, count)),
            lambda row, derivs: gradient(logarithm, row, derivs),
            (1, 1),
            tolerance=500.0,
        ),
    ]


def _branched_log_join(dimension: int, degree: int, prepend: bool) -> list[Case]:
    """Rows and displacements are beside each other, and so are their gradients."""
    size, options = (dimension, degree), {"prepend": prepend}
    count = arraysig.branched_log_sig_length(*size, planar=True)

    def joined(both: np.ndarray) -> np.ndarray:
        return trees.log_join(both[:count], both[count:], *size, **options)

    def back(both: Any, derivs: Any, **kw: Any) -> Any:
        pair = both[..., :count], both[..., count:]
        arrays = arraysig.branched_log_sig_join_backprop(derivs, *pair, *size, **options, **kw)
        return array_namespace(*arrays).concat(arrays, axis=-1)

    id_ = f"d={dimension},N={degree}" + ",prepend" * prepend
    return [
        Case(
            f"branched_log_sig_join[{id_}]",
            lambda both, **kw: arraysig.branched_log_sig_join(
                both[..., :count], both[..., count:], *size, **options, **kw
            ),
            lambda batch, length: ((*batch, count + dimension),),
            joined,
            (1,),
            back,
            tolerance=1000.0,
        ),
        Case(
            f"branched_log_sig_join_backprop[{id_}]",
            back,
            lambda batch, length: ((*batch, count + dimension), (*batch, count)),
            lambda both, derivs: reference.gradient(joined, both, derivs),
            (1, 1),
            tolerance=2000.0,
        ),
    ]


def _linear_branched_log(
    dimension: int, degree: int, method: int, planar: bool, scalar_term: bool
) -> list[Case]:
    size, options = (dimension, degree), {"method": method, "scalar_term": scalar_term}
    options["planar"] = planar
    lengths = arraysig.branched_log_sig_length if method else arraysig.branched_sig_length
    count, before = lengths(*size, planar=planar) + scalar_term, int(scalar_term)

    def segment(v: np.ndarray) -> np.ndarray:
        return np.concatenate([[0.0] * before, v, np.zeros(count - dimension - before)])

    id_ = f"d={dimension},N={degree},method={method}" + ",planar" * planar
    id_ += ",scalar_term" * scalar_term
    return [
        Case(
            f"linear_branched_log_sig[{id_}]",
            lambda v, **kw: arraysig.linear_branched_log_sig(v, *size, **options, **kw),
            lambda batch, length: ((*batch, dimension),),
            segment,
            (1,),
            lambda v, derivs: arraysig.linear_branched_log_sig_backprop(
                derivs, v, *size, **options
            ),
        ),
        Case(
            f"linear_branched_log_sig_backprop[{id_}]",
            lambda v, derivs, **kw: arraysig.linear_branched_log_sig_backprop(
                derivs, v, *size, **options, **kw
            ),
            lambda batch, length: ((*batch, dimension), (*batch, count)),
            lambda v, derivs: derivs[before:][:dimension],
            (1, 1),
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
        _coef(3, [(0, 1, 1), (2,), (0, 1, 1), (), (0, 1, 2, 2), (1, 0)]),
        _coef(2, [(4, 0, 3), (1, 4)], **_FLAGS[3]),
        _coef(1, [(0, 0, 0)]),
        _stream(3, 3, False),
        _stream(2, 2, True, **_FLAGS[3]),
        _stream(2, 0, True),
        _correction(2, 4, 3),
        _correction(2, 3, 2, time_aug=True, end_time=2.5, scalar_term=True),
        _correction(1, 4, 4),
        _kernel(2, {"dyadic_order": (0, 0)}, "ScaledLinearKernel", 0.3),
        _kernel(
            1, {"dyadic_order": (1, 2)}, "ScaledLinearKernel", 0.3, time_aug=True, end_time=2.5
        ),
        _kernel(2, {"dyadic_order": (0, 1)}, "RBFKernel", 2.0, lead_lag=True),
        _kernel(3, {"dyadic_order": (3, 0)}, "RationalQuadraticKernel", 1.5, 0.7),
        _kernel(2, {"dyadic_order": (1, 1)}, "PolynomialKernel", 3.0, 1.0, 0.05),
        _kernel(2, {"order": 3, "fold": 0}, "ScaledLinearKernel", 0.3),
        _kernel(2, {"order": 3, "fold": 1}, "ScaledLinearKernel", 0.3),
        _kernel(1, {"order": 3, "fold": 2}, "RBFKernel", 2.0, time_aug=True, lead_lag=True),
        _kernel(3, {"order": 5, "fold": 1}, "Matern52Kernel", 2.0),
        _kernel(2, {"dyadic_order": (1, 0)}, "RBFKernel", 2.0, lead_lag=True, return_grid=True),
        _kernel(2, {"order": 4, "fold": 2}, "ScaledLinearKernel", 0.3, return_grid=True),
        _kernel(2, {"depth": 2, "dyadic_order": (0, 0)}, "ScaledLinearKernel", 0.3),
        _kernel(1, {"depth": 3, "dyadic_order": (1, 2)}, "ScaledLinearKernel", 0.15, time_aug=True),
        _kernel(2, {"depth": 1, "dyadic_order": (3, 0)}, "Matern32Kernel", 2.0, lead_lag=True),
        _kernel(3, {"depth": 2, "dyadic_order": (1, 0)}, "RBFKernel", 2.0, return_grid=True),
        _log(2, 3, 1),
        _log(2, 3, 0),
        _log(5, 3, 2),
        _log(1, 2, 2, time_aug=True, lead_lag=True, end_time=-0.5),
        _log_algebra(3, 3),
        _algebra(2, 4, True),
        _algebra(3, 3, False),
        _algebra(1, 5, False),
        _branched(2, 3),
        _branched(2, 2, planar=True, time_aug=True, end_time=2.5, scalar_term=True),
        _branched(1, 3, planar=True, lead_lag=True),
        _branched(2, 1, scalar_term=True),
        _branched(3, 0, planar=True),
        _branched(2, 3, levels=3, planar=True),
        _branched(2, 3, levels=2, time_aug=True, end_time=2.5, scalar_term=True),
        _branched(1, 4, levels=4),
        _branched_coef(2, [((0,), (1,), 0), (1,), None, ((1,), (0,), 0), (((0,), 1), 0)], False),
        _branched_coef(1, [(((0,), 1), (1,)), ((1,), (0,), 1)], True, lead_lag=True),
        _branched_coef(2, [(((1,), 0), (0,), 1), ((1,), 0)], False, 2, time_aug=True),
        _branched_algebra(2, 3, False, prepend=False, scalar_term=False),
        _branched_algebra(1, 4, True, prepend=True, scalar_term=True),
        _branched_algebra(1, 4, False, prepend=True, scalar_term=False),
        _branched_log(2, 3, 0, False, scalar_term=True),
        _branched_log(1, 4, 2, True),
        _branched_log(1, 2, 1, True, time_aug=True, lead_lag=True, end_time=-0.5),
        _branched_log(2, 3, 0, False, levels=3),
        _branched_log(1, 3, 2, True, levels=2, time_aug=True),
        _branched_log_join(2, 2, False),
        _branched_log_join(1, 3, True),
        _linear_branched_log(2, 3, 0, False, True),
        _linear_branched_log(3, 2, 2, True, False),
    ]
    for case in cases
]
