"""Trees and branched (log-)signatures: identities, and what the battery has no row for."""

from __future__ import annotations

import itertools
import json
import math
import pathlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import arraysig
from arraysig._core import trees as tables

from . import reference
from . import reference_trees as slow
from .backends import Backend

GOLDEN = json.loads((pathlib.Path(__file__).parent / "golden.json").read_text())
SIZES = [(1, 6), (2, 4), (3, 3), (5, 2)]
each_kind = pytest.mark.parametrize("planar", [False, True], ids=["", "planar"])
each_size = pytest.mark.parametrize("size", SIZES, ids=str)


def close(got: Any, expected: Any, tolerance: float = 1e-12) -> None:
    """Equal but for rounding, on the scale of the largest."""
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("call", GOLDEN["branched"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_golden_values(xp: Backend, call: str, dtype: str) -> None:
    names = {name: xp.array(values, dtype) for name, values in GOLDEN["branched_inputs"].items()}
    names |= {name: getattr(arraysig, name) for name in arraysig.__all__ if "branched" in name}
    names["arange"] = lambda *args: xp.array(np.arange(*args), dtype)
    got = eval(call, names)
    got = float(got) if call.endswith("]") else xp.numpy(got)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(got, GOLDEN["branched"][call], rtol=tolerance, atol=tolerance)


# ---- Trees --------------------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("size", [*SIZES, (1, 0), (4, 1), (1, 7)], ids=str)
def test_enumeration(size: tuple[int, int], planar: bool) -> None:
    listed = arraysig.trees(*size, planar=planar)
    assert listed == (None, *slow.elements(*size, planar))
    assert len(set(listed)) == len(listed)
    assert len(listed) == arraysig.branched_sig_length(*size, planar=planar, scalar_term=True)
    assert len(listed) - 1 == arraysig.branched_sig_length(*size, planar=planar)
    by_order = [arraysig.trees_of_order(size[0], n, planar=planar) for n in range(size[1] + 1)]
    assert tuple(itertools.chain(*by_order)) == listed
    for n, found in enumerate(by_order[1:], 1):
        assert all(slow.nodes(tree if planar else (tree,)) == n for tree in found)


def test_listed_trees() -> None:
    assert arraysig.trees(2, 2) == (
        *(None, (0,), (1,)),
        *(((0,), 0), ((0,), 1), ((1,), 0), ((1,), 1)),
    )
    assert arraysig.trees(1, 3, planar=True) == (
        *(None, ((0,),), ((0,), (0,)), (((0,), 0),)),
        *(((0,), (0,), (0,)), ((0,), ((0,), 0)), (((0,), 0), (0,)), (((0,), (0,), 0),)),
        ((((0,), 0), 0),),
    )
    assert arraysig.trees_of_order(3, 0) == arraysig.trees_of_order(3, 0, planar=True) == (None,)


def test_counts() -> None:
    length, log_length = arraysig.branched_sig_length, arraysig.branched_log_sig_length
    # Rooted trees (A000081) and the Catalan numbers.
    rooted = [1, 1, 2, 4, 9, 20, 48, 115, 286, 719, 1842, 4766, 12486, 32973, 87811]
    for degree in range(len(rooted)):
        assert length(1, degree) == log_length(1, degree) == sum(rooted[:degree])
    for dimension, degree in itertools.product((1, 2, 7), range(12)):
        catalan = [math.comb(2 * n, n) // (n + 1) * dimension**n for n in range(1, degree + 1)]
        assert length(dimension, degree, planar=True) == sum(catalan)
    assert [log_length(1, n, planar=True) for n in range(6)] == [0, 1, 2, 5, 13, 38]
    assert [log_length(2, n, planar=True) for n in range(6)] == [0, 2, 7, 33, 170, 976]
    for degree in range(1, 7):
        words = [f for f in slow.elements(1, degree, True)]
        letter = {tree: i for i, tree in enumerate(slow.trees_up_to(1, degree, True))}
        lyndon = [f for f in words if reference.is_lyndon(tuple(letter[t] for t in f))]
        assert log_length(1, degree, planar=True) == len(lyndon)
    assert length(2, 3, scalar_term=True) == 21
    assert (length(2, 3), length(2, 3, planar=True)) == (20, 50)


@each_kind
def test_counts_that_do_not_fit(planar: bool) -> None:
    assert arraysig.branched_sig_length(2, 22, planar=planar) > 10**10
    for degree in (64, 10**6, 10**30):
        for name in ("branched_sig_length", "branched_log_sig_length", "trees"):
            with pytest.raises(ValueError, match=f"^{name}: `degree` is too large: .*overflow"):
                getattr(arraysig, name)(2, degree, planar=planar)
        with pytest.raises(ValueError, match="^branched_sig: `degree` is too large: .*overflow"):
            arraysig.branched_sig(np.ones((3, 2)), degree, planar=planar)
        with pytest.raises(ValueError, match="^branched_sig_combine: .*overflow"):
            arraysig.branched_sig_combine(np.ones(6), np.ones(6), 2, degree, planar=planar)


@each_kind
def test_tables_and_results_larger_than_memory(xp: Backend, planar: bool) -> None:
    path, row = xp.array(np.ones((3, 2))), xp.array(np.ones(6))
    options = {"planar": planar}
    for name, args in {
        "branched_sig": (path, 20),
        "branched_sig_backprop": (path, None, row, 20),
        "branched_log_sig": (path, 20),
        "branched_sig_combine": (row, row, 2, 20),
        "branched_sig_join": (row, row[:2], 2, 20),
        "linear_branched_sig": (row[:2], 2, 20),
        "branched_sig_to_log_sig": (row, 2, 20),
        "prepare_branched_sig": (2, 20),
        "prepare_branched_log_sig": (2, 20),
    }.items():
        with pytest.raises(MemoryError, match=f"^{name}: .*GiB"):
            getattr(arraysig, name)(*args, **options)


@each_kind
@each_size
def test_indices(size: tuple[int, int], planar: bool) -> None:
    for scalar_term in (False, True):
        options = {"planar": planar, "scalar_term": scalar_term}
        for i, tree in enumerate(arraysig.trees(*size, planar=planar)[not scalar_term :]):
            assert arraysig.tree_to_idx(tree, *size, **options) == i
            assert arraysig.idx_to_tree(i, *size, **options) == tree
            if tree is not None:  # indices do not depend on the degree
                assert arraysig.tree_to_idx(tree, size[0], size[1] + 3, **options) == i
        with pytest.raises(ValueError, match="^idx_to_tree: `idx` must be below "):
            arraysig.idx_to_tree(i + 1, *size, **options)
    with pytest.raises(ValueError, match="^idx_to_tree: `idx` must be a non-negative"):
        arraysig.idx_to_tree(-1, *size, planar=planar)


@each_kind
def test_indices_of_large_trees(planar: bool, rng: np.random.Generator) -> None:
    for size in ((1, 28), (3, 15), (40, 5)):
        length = arraysig.branched_sig_length(*size, planar=planar)
        before = None
        for idx in [0, *sorted(rng.integers(0, length, size=20).tolist()), length - 1]:
            tree = arraysig.idx_to_tree(idx, *size, planar=planar)
            assert arraysig.tree_to_idx(tree, *size, planar=planar) == idx
            count = slow.nodes(tree if planar else (tree,))
            assert before is None or before <= count <= size[1]
            before = count


def orders(tree: Any) -> Iterator[Any]:
    """All ways to order children, with repetitions."""
    for children in itertools.permutations(tree[:-1]):
        for choice in itertools.product(*(list(orders(child)) for child in children)):
            yield (*choice, tree[-1])


def test_children_without_order_are_sorted() -> None:
    for i, tree in enumerate(arraysig.trees(2, 5)[1:]):
        assert {arraysig.tree_to_idx(other, 2, 5) for other in orders(tree)} == {i}
    labels = np.int64(1), np.int8(0)
    tree = (((labels[0],), labels[1]), (labels[1],), labels[0])
    assert arraysig.idx_to_tree(arraysig.tree_to_idx(tree, 2, 4), 2, 4) == ((0,), ((1,), 0), 1)


def test_a_plane_tree_is_a_forest() -> None:
    path = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]])
    for tree in arraysig.trees(2, 3)[1:]:
        indices = [arraysig.tree_to_idx(t, 2, 3, planar=True) for t in (tree, (tree,))]
        assert indices[0] == indices[1]
        both = arraysig.branched_sig_coef(path, [tree, (tree,)], planar=True)
        assert both[0] == both[1]


BAD_TREES = [
    ([0], TypeError),
    ("0", TypeError),
    (0, TypeError),
    ((), ValueError),
    ((2,), ValueError),
    ((-1,), ValueError),
    ((0.0,), ValueError),
    ((True,), ValueError),
    (((False,), 0), ValueError),
    (("0",), ValueError),
    (([0], 0), ValueError),
    ((0, 0), ValueError),
    ((None, 0), ValueError),
    (((), 0), ValueError),
    (((2,), 0), ValueError),
]


@each_kind
@pytest.mark.parametrize(("tree", "error"), BAD_TREES, ids=repr)
def test_what_is_no_tree(tree: Any, error: type[Exception], planar: bool) -> None:
    options = {"planar": planar}
    with pytest.raises(error, match="^tree_to_idx: `tree` must be "):
        arraysig.tree_to_idx(tree, 2, 3, **options)
    path, calls = np.ones((3, 2)), {}
    calls["branched_sig_coef"] = lambda t: arraysig.branched_sig_coef(path, t, **options)
    calls["branched_sig_coef_backprop"] = lambda t: arraysig.branched_sig_coef_backprop(
        path, t, None, np.ones(2), **options
    )
    calls["extract_branched_sig_coef"] = lambda t: arraysig.extract_branched_sig_coef(
        np.ones(6), t, 2, **options
    )
    calls["prepare_branched_sig_coef"] = lambda t: arraysig.prepare_branched_sig_coef(
        2, t, **options
    )
    for name, call in calls.items():
        with pytest.raises(error, match=f"^{name}: `trees` must be "):
            call([(0,), tree])
        with pytest.raises(ValueError, match=f"^{name}: `trees` must not be empty"):
            call([])
        with pytest.raises(TypeError, match=f"^{name}: `trees` must be .*'0'"):
            call("0")


def test_forests_and_tuples_of_trees_without_order() -> None:
    path = np.ones((3, 2))
    for forest in (((0,), (1,)), (((0,), 1),)):  # tuples where lists are meant, among them
        with pytest.raises(ValueError, match="^branched_sig_coef: `trees` must be a tree"):
            arraysig.branched_sig_coef(path, forest)
        assert arraysig.branched_sig_coef(path, forest, planar=True).shape == (1,)
        with pytest.raises(ValueError, match="^tree_to_idx: `tree` must be a tree"):
            arraysig.tree_to_idx(forest, 2, 3)
    with pytest.raises(ValueError, match="^tree_to_idx: `tree` must be a tree or an ordered"):
        arraysig.tree_to_idx(((0,), ()), 2, 3, planar=True)


@each_kind
def test_trees_that_are_not_there(planar: bool) -> None:
    kind = {"planar": planar}
    with pytest.raises(ValueError, match="^tree_to_idx: `tree` must not be empty without"):
        arraysig.tree_to_idx(None, 2, 3, **kind)
    assert arraysig.tree_to_idx(None, 2, 3, scalar_term=True, **kind) == 0
    assert arraysig.idx_to_tree(0, 2, 3, scalar_term=True, **kind) is None
    with pytest.raises(ValueError, match="^tree_to_idx: `tree` must have at most 2 nodes"):
        arraysig.tree_to_idx((((0,), 0), 0), 2, 2, **kind)
    rows, name = np.ones((2, 6 if not planar else 10)), "extract_branched_sig_coef"
    with pytest.raises(ValueError, match=f"^{name}: `trees` must not have the empty tree"):
        arraysig.extract_branched_sig_coef(rows, [(0,), None], 2, **kind)
    with pytest.raises(IndexError, match=f"^{name}: `trees` must fit the .* coefficients"):
        arraysig.extract_branched_sig_coef(rows, (((0,), 0), 0), 2, **kind)
    last = arraysig.trees(2, 2, **kind)[-1]
    assert arraysig.extract_branched_sig_coef(rows, last, 2, **kind).shape == (2, 1)
    with pytest.raises(IndexError, match=f"^{name}: `trees` must fit"):
        arraysig.extract_branched_sig_coef(rows[:, 1:], last, 2, **kind)
    with pytest.raises(ValueError, match=f"^{name}: `bsig` must have shape"):
        arraysig.extract_branched_sig_coef(np.ones(()), (0,), 2, **kind)


# ---- Slow definitions ---------------------------------------------------------------------------


def directional(function: Callable[[np.ndarray], np.ndarray], x: Any, change: Any) -> np.ndarray:
    """Derivative along a change, by an imaginary step."""
    return function(x + 1e-100j * change).imag / 1e-100


def adjoint(gradient: Any, change: Any) -> float:
    return float((gradient * change).sum())


@each_kind
@each_size
@pytest.mark.parametrize("levels", [0, 2, 9], ids=lambda n: f"to {n}")
def test_paths(size: tuple[int, int], planar: bool, levels: int, rng: np.random.Generator) -> None:
    d, degree = size
    levels = min(levels, degree)
    path, change = rng.normal(size=(2, 5, d))
    width = sum(d**k for k in range(2, levels + 1))
    c = rng.normal(size=(4, width)) / 2 if levels else None
    options = {"planar": planar, "correction": c}

    def bsig(x: np.ndarray) -> np.ndarray:
        return slow.branched_signature(x, degree, **options)

    got = arraysig.branched_sig(path, degree, **options)
    close(got, bsig(path))
    derivs = rng.normal(size=got.shape)
    gradient = arraysig.branched_sig_backprop(path, None, derivs, degree, **options)
    expected = (directional(bsig, path, change) * derivs).sum()
    assert adjoint(gradient, change) == pytest.approx(expected, rel=1e-11)
    # The largest tree among the chosen: without it corrections to `levels` would not fit.
    some = [*rng.permutation(len(got) - 1)[:7], len(got) - 1]
    chosen = [arraysig.trees(*size, planar=planar)[i + 1] for i in some]
    close(arraysig.branched_sig_coef(path, chosen, **options), got[some])
    sparse = np.zeros_like(derivs)
    sparse[some] = derivs[some]
    gradient = arraysig.branched_sig_coef_backprop(path, chosen, None, derivs[some], **options)
    close(gradient, arraysig.branched_sig_backprop(path, None, sparse, degree, **options))


@each_kind
@each_size
def test_products(size: tuple[int, int], planar: bool, rng: np.random.Generator) -> None:
    whole, kind = (*size, planar), {"planar": planar}
    length = arraysig.branched_sig_length(*size, planar=planar)
    one, two, derivs, *changes = rng.normal(size=(5, length))
    v, w = rng.normal(size=(2, size[0]))
    close(arraysig.branched_sig_combine(one, two, *size, **kind), slow.combine(one, two, whole))
    close(arraysig.linear_branched_sig(v, *size, **kind), slow.linear(v, whole))
    both = arraysig.branched_sig_combine_backprop(derivs, one, two, *size, **kind)
    for gradient, change, function, x in (
        (both[0], changes[0], lambda x: slow.combine(x, two.astype(complex), whole), one),
        (both[1], changes[1], lambda x: slow.combine(one.astype(complex), x, whole), two),
    ):
        expected = (directional(function, x, change) * derivs).sum()
        assert adjoint(gradient, change) == pytest.approx(expected, rel=1e-11)
    for prepend in (False, True):

        def joined(a: np.ndarray, x: np.ndarray, prepend: bool = prepend) -> np.ndarray:
            pair = a, slow.linear(x, whole)
            return slow.combine(*(pair[::-1] if prepend else pair), whole)

        options = {"prepend": prepend, **kind}
        close(arraysig.branched_sig_join(one, v, *size, **options), joined(one, v))
        gradients = arraysig.branched_sig_join_backprop(derivs, one, v, *size, **options)
        expected = (directional(lambda x: joined(x, v + 0j), one, changes[0]) * derivs).sum()
        assert adjoint(gradients[0], changes[0]) == pytest.approx(expected, rel=1e-11)
        expected = (directional(lambda x: joined(one + 0j, x), v, w) * derivs).sum()
        assert adjoint(gradients[1], w) == pytest.approx(expected, rel=1e-11)


@each_size
@pytest.mark.parametrize("kind", ["0", "planar 0", "planar 1", "planar 2"])
def test_logarithms(size: tuple[int, int], kind: str, rng: np.random.Generator) -> None:
    planar, method = "planar" in kind, int(kind[-1])
    options, whole = {"planar": planar, "method": method}, (*size, planar)
    # Any rows, not only signatures, for which more terms cancel.
    row, change = rng.normal(size=(2, arraysig.branched_sig_length(*size, planar=planar)))

    def log(x: np.ndarray) -> np.ndarray:
        return slow.to_format(slow.logarithm(x, whole), *size, method)

    got = arraysig.branched_sig_to_log_sig(row, *size, **options)
    close(got, log(row))
    derivs = rng.normal(size=got.shape)
    gradient = arraysig.branched_sig_to_log_sig_backprop(row, derivs, *size, **options)
    expected = (directional(log, row, change) * derivs).sum()
    assert adjoint(gradient, change) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("prepend", [False, True])
@each_size
def test_joins_of_logarithms(
    size: tuple[int, int], prepend: bool, rng: np.random.Generator
) -> None:
    log, change, derivs = rng.normal(size=(3, arraysig.branched_log_sig_length(*size, planar=True)))
    v, w = rng.normal(size=(2, size[0]))

    def joined(a: np.ndarray, x: np.ndarray) -> np.ndarray:
        return slow.log_join(a, x, *size, prepend)

    got = arraysig.branched_log_sig_join(log, v, *size, prepend=prepend)
    close(got, joined(log, v), 1e-11)
    both = arraysig.branched_log_sig_join_backprop(derivs, log, v, *size, prepend=prepend)
    expected = (directional(lambda x: joined(x, v + 0j), log, change) * derivs).sum()
    assert adjoint(both[0], change) == pytest.approx(expected, rel=1e-10)
    expected = (directional(lambda x: joined(log + 0j, x), v, w) * derivs).sum()
    assert adjoint(both[1], w) == pytest.approx(expected, rel=1e-10)


@each_kind
@pytest.mark.parametrize("flags", [{}, {"time_aug": True}, {"lead_lag": True}], ids=str)
def test_exact_arithmetic(xp: Backend, planar: bool, flags: dict[str, bool]) -> None:
    points = [[0, 0], [1, -2], [3, 1], [2, 2]]
    exact = np.array([[Fraction(x, 4) for x in point] for point in points])
    row = np.array([Fraction(n, 8) for n in (3, -1, 2, 5, 1, -4, 0, 7, -2, 1, 6, 3)])
    given = {} if flags.get("lead_lag") else {"correction": row}
    for options, of_library in (
        ({}, {}),
        (given, {k: xp.array(np.array(v, dtype=float)) for k, v in given.items()}),
    ):
        kind = {"planar": planar, "end_time": 1, **flags}
        expected = slow.branched_signature(exact, 3, **kind, **options)
        got = arraysig.branched_sig(xp.array(np.array(points) / 4), 3, **kind, **of_library)
        close(xp.numpy(got), expected.astype(float), 1e-15)
        channels = 2 * (1 + flags.get("lead_lag", False)) + flags.get("time_aug", False)
        log = slow.logarithm(expected, (channels, 3, planar))
        kind["method"] = 0
        got = arraysig.branched_log_sig(xp.array(np.array(points) / 4), 3, **kind, **of_library)
        close(xp.numpy(got), log.astype(float), 3e-15)


@each_kind
@each_size
def test_coproducts(xp: Backend, size: tuple[int, int], planar: bool) -> None:
    """Of whole numbers products are exact, so that every term of a coproduct counts."""
    rng = np.random.default_rng(5)
    length = arraysig.branched_sig_length(*size, planar=planar)
    one, two = (rng.integers(1, 10, size=length).astype(float) for _ in range(2))
    got = arraysig.branched_sig_combine(xp.array(one), xp.array(two), *size, planar=planar)
    expected = slow.combine(one, two, (*size, planar))
    np.testing.assert_array_equal(xp.numpy(got), expected)


# ---- Identities ---------------------------------------------------------------------------------


@each_kind
@each_size
def test_paths_piece_by_piece(
    size: tuple[int, int], planar: bool, rng: np.random.Generator
) -> None:
    d, degree = size
    kind = {"planar": planar}
    path = rng.normal(size=(3, 6, d))
    whole = arraysig.branched_sig(path, degree, **kind)
    steps = np.diff(path, axis=1)
    forth = arraysig.linear_branched_sig(steps[:, 0], *size, **kind)
    for t in range(1, 5):
        forth = arraysig.branched_sig_join(forth, steps[:, t], *size, **kind)
    close(forth, whole)
    back = arraysig.branched_sig(path[:, :1], degree, **kind)
    assert not back.any()
    for t in range(4, -1, -1):
        back = arraysig.branched_sig_join(back, steps[:, t], *size, prepend=True, **kind)
    close(back, whole)
    halves = [arraysig.branched_sig(half, degree, **kind) for half in (path[:, :3], path[:, 2:])]
    close(arraysig.branched_sig_combine(*halves, *size, **kind), whole)
    # Chen's identity with corrections, a row for each segment.
    c = rng.normal(size=(3, 5, sum(d**k for k in range(2, degree + 1))))
    whole = arraysig.branched_sig(path, degree, correction=c, **kind)
    halves = [
        arraysig.branched_sig(path[:, :3], degree, correction=c[:, :2].copy(), **kind),
        arraysig.branched_sig(path[:, 2:], degree, correction=c[:, 2:].copy(), **kind),
    ]
    close(arraysig.branched_sig_combine(*halves, *size, **kind), whole)
    inverse = arraysig.branched_sig(path[:, ::-1], degree, correction=-c[:, ::-1], **kind)
    close(arraysig.branched_sig_combine(whole, inverse, *size, **kind), np.zeros_like(whole), 1e-10)


@each_kind
@each_size
def test_products_are_associative(
    size: tuple[int, int], planar: bool, rng: np.random.Generator
) -> None:
    def times(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return arraysig.branched_sig_combine(a, b, *size, planar=planar)

    a, b, c = rng.normal(size=(3, 2, arraysig.branched_sig_length(*size, planar=planar)))
    close(times(times(a, b), c), times(a, times(b, c)))
    close(times(a, 0 * a), a)
    close(times(0 * a, a), a)


@each_kind
def test_both_routes_to_logarithms(xp: Backend, planar: bool, rng: np.random.Generator) -> None:
    path, c = xp.array(rng.normal(size=(2, 5, 2))), xp.array(rng.normal(size=(4, 4 + 8)) / 2)
    for method, correction in itertools.product((0, 1, 2, 3) if planar else (0,), (None, c)):
        kind = {"planar": planar, "correction": correction}
        of = {"planar": planar, "method": method}
        bsig = arraysig.branched_sig(path, 3, **kind)
        expected = xp.numpy(arraysig.branched_sig_to_log_sig(bsig, 2, 3, **of))
        got = arraysig.branched_log_sig(path, 3, **kind, method=method)
        close(xp.numpy(got), expected)
        derivs = xp.array(rng.normal(size=expected.shape))
        inner = arraysig.branched_sig_to_log_sig_backprop(bsig, derivs, 2, 3, **of)
        expected = arraysig.branched_sig_backprop(path, None, inner, 3, **kind)
        got = arraysig.branched_log_sig_backprop(path, derivs, 3, **kind, method=method)
        close(xp.numpy(got), xp.numpy(expected))
    default = arraysig.branched_log_sig(path, 3, planar=planar)
    explicit = arraysig.branched_log_sig(path, 3, planar=planar, method=int(planar))
    np.testing.assert_array_equal(xp.numpy(default), xp.numpy(explicit))


@pytest.mark.parametrize("size", [(1, 5), (2, 4), (3, 3)], ids=str)
def test_logarithms_are_lie_elements(size: tuple[int, int], rng: np.random.Generator) -> None:
    path = rng.normal(size=(4, size[0]))
    c = rng.normal(size=sum(size[0] ** k for k in range(2, size[1] + 1)))
    _, brackets = slow.lyndon_basis(*size)
    for correction in (None, c):
        options = {"planar": True, "correction": correction}
        log = arraysig.branched_log_sig(path, size[1], method=0, **options)
        coordinates = arraysig.branched_log_sig(path, size[1], method=2, **options)
        close(coordinates @ brackets, log)
    before, after = (
        arraysig.branched_log_sig(part, size[1], method=2, planar=True)
        for part in (path[:3], path[1:])
    )
    whole = arraysig.branched_log_sig(path, size[1], method=2, planar=True)
    close(arraysig.branched_log_sig_join(before, path[3] - path[2], *size), whole)
    first = path[1] - path[0]
    close(arraysig.branched_log_sig_join(after, first, *size, prepend=True), whole)


@each_kind
def test_logarithms_of_segments(xp: Backend, planar: bool, rng: np.random.Generator) -> None:
    v = rng.normal(size=(2, 2))
    row = rng.normal(size=4 + 8)
    path = xp.array(np.stack([0 * v, v], axis=1))
    log = xp.numpy(
        arraysig.branched_log_sig(path, 3, planar=planar, method=0, correction=xp.array(row))
    )
    expected = slow.logarithm_of_segment(np.zeros(2), row, 2, (2, 3, planar))
    expected = np.tile(expected[slow.hopf(2, 3, planar).basis], (2, 1))
    expected[:, :2] = v
    close(log, expected)  # the increment on leaves, the correction on chains, and nothing else
    for method in (0, 1, 2, 3) if planar else (0,):
        options = {"planar": planar, "method": method}
        plain = arraysig.branched_log_sig(path, 3, **options)
        linear = arraysig.linear_branched_log_sig(xp.array(v), 2, 3, **options)
        close(xp.numpy(plain), xp.numpy(linear))


@each_kind
@pytest.mark.parametrize("flags", [{}, {"time_aug": True, "end_time": 2.0}], ids=str)
def test_zero_is_no_correction(
    xp: Backend, planar: bool, flags: dict[str, Any], rng: np.random.Generator
) -> None:
    path, options = xp.array(rng.normal(size=(2, 5, 2))), {"planar": planar, **flags}
    plain = arraysig.branched_sig(path, 4, **options)
    log = arraysig.branched_log_sig(path, 4, **options)
    derivs = xp.array(rng.normal(size=xp.numpy(plain).shape))
    gradient = arraysig.branched_sig_backprop(path, None, derivs, 4, **options)
    for shape in ((4,), (4, 12), (2, 4, 28), (2, 0, 4), (0,)):
        with_zero = {**options, "correction": xp.array(np.zeros(shape))}
        close(xp.numpy(arraysig.branched_sig(path, 4, **with_zero)), xp.numpy(plain))
        close(xp.numpy(arraysig.branched_log_sig(path, 4, **with_zero)), xp.numpy(log))
        got = arraysig.branched_sig_backprop(path, None, derivs, 4, **with_zero)
        close(xp.numpy(got), xp.numpy(gradient))


@each_kind
def test_flags_are_augmented_paths(xp: Backend, planar: bool, rng: np.random.Generator) -> None:
    path = xp.array(rng.normal(size=(2, 4, 1)))
    for flags in ({"time_aug": True}, {"lead_lag": True}, {"time_aug": True, "lead_lag": True}):
        options, end = {"planar": planar}, {"end_time": -1.5}
        longer = arraysig.transform_path(path, **flags, **end)
        whole = arraysig.branched_sig(longer, 3, **options)
        got = arraysig.branched_sig(path, 3, **flags, **end, **options)
        close(xp.numpy(got), xp.numpy(whole))
        log = arraysig.branched_log_sig(path, 3, **flags, **end, **options)
        close(xp.numpy(log), xp.numpy(arraysig.branched_log_sig(longer, 3, **options)))
        again = arraysig.branched_sig_to_log_sig(got, 1, 3, **flags, **options)
        close(xp.numpy(again), xp.numpy(log))
        tree = ((0,), (1,), 1)
        one = arraysig.branched_sig_coef(path, tree, **flags, **end, **options)
        same = arraysig.extract_branched_sig_coef(got, tree, 1, **flags, **options)
        close(xp.numpy(one), xp.numpy(same))


@each_kind
@pytest.mark.parametrize("levels", [0, 4], ids=["", "correction"])
def test_scaling_and_permutations(planar: bool, levels: int, rng: np.random.Generator) -> None:
    path, degree = rng.normal(size=(5, 3)), 4
    listed = arraysig.trees(3, degree, planar=planar)[1:]
    blocks = [rng.normal(size=(3,) * k) for k in range(2, levels + 1)]

    def bsig(path: np.ndarray, blocks: list[np.ndarray]) -> np.ndarray:
        row = np.concatenate([np.zeros(0), *(b.ravel() for b in blocks)])
        return arraysig.branched_sig(path, degree, planar=planar, correction=row)

    plain = bsig(path, blocks)
    powers = [slow.nodes(tree if planar else (tree,)) for tree in listed]
    scaled = bsig(-0.5 * path, [(-0.5) ** b.ndim * b for b in blocks])
    close(scaled, (-0.5) ** np.array(powers) * plain)
    order = [2, 0, 1]

    def renamed(tree: Any) -> Any:
        return (*map(renamed, tree[:-1]), order[tree[-1]])

    moved = [tuple(map(renamed, tree)) if planar else renamed(tree) for tree in listed]
    at = [arraysig.tree_to_idx(tree, 3, degree, planar=planar) for tree in moved]
    close(bsig(path[:, order], [b[np.ix_(*[order] * b.ndim)] for b in blocks]), plain[at])


@pytest.mark.parametrize("levels", [0, 4], ids=["", "correction"])
def test_products_of_planar_coefficients_are_sums_over_shuffles(
    levels: int, rng: np.random.Generator
) -> None:
    row = rng.normal(size=sum(2**k for k in range(2, levels + 1)))
    path, forests = rng.normal(size=(4, 2)), arraysig.trees(2, 3, planar=True)[1:]
    bsig = arraysig.branched_sig(path, 4, planar=True, correction=row)
    for one, two in itertools.product(forests, repeat=2):
        if slow.nodes(one) + slow.nodes(two) <= 4:
            numbers = [
                bsig[[arraysig.tree_to_idx(f, 2, 4, planar=True) for f in found]]
                for found in ([one, two], slow.shuffles(one, two))
            ]
            assert numbers[0].prod() == pytest.approx(numbers[1].sum(), abs=1e-12)


@pytest.mark.parametrize("levels", [0, 4], ids=["", "correction"])
def test_trees_are_sums_of_their_plane_trees(levels: int, rng: np.random.Generator) -> None:
    row = rng.normal(size=sum(2**k for k in range(2, levels + 1)))
    path = rng.normal(size=(4, 2))
    bsig = arraysig.branched_sig(path, 4, correction=row)
    planar = arraysig.branched_sig(path, 4, planar=True, correction=row)
    for number, tree in zip(bsig, arraysig.trees(2, 4)[1:], strict=True):
        at = [arraysig.tree_to_idx(other, 2, 4, planar=True) for other in orders(tree)]
        assert number == pytest.approx(planar[at].sum(), abs=1e-12)


def test_roots_integrate_products_of_their_children(rng: np.random.Generator) -> None:
    """Gauss-Legendre quadrature along each segment, exact for polynomials."""
    path = rng.normal(size=(4, 2))
    nodes, weights = np.polynomial.legendre.leggauss(4)
    trees = arraysig.trees(2, 4)[1:]
    children = sorted({child for tree in trees for child in tree[:-1]}, key=repr)
    integrals = np.zeros(len(trees))
    for t, (start, end) in enumerate(itertools.pairwise(path)):
        for node, weight in zip((1 + nodes) / 2, weights / 2, strict=True):
            before = np.concatenate([path[: t + 1], [start + node * (end - start)]])
            values = dict(zip(children, arraysig.branched_sig_coef(before, children), strict=True))
            for i, (*above, root) in enumerate(trees):
                product = math.prod(values[child] for child in above)
                integrals[i] += weight * product * (end - start)[root]
    close(arraysig.branched_sig(path, 4), integrals)


@pytest.mark.parametrize("size", [(1, 8), (3, 4)], ids=str)
def test_segments_and_tree_factorials(size: tuple[int, int], rng: np.random.Generator) -> None:
    v = rng.normal(size=size[0])

    def of_tree(tree: Any) -> float:
        number = math.prod(map(of_tree, tree[:-1])) * v[tree[-1]]
        return float(number / slow.nodes((tree,)))

    def of_forest(forest: Any) -> float:  # what grows like s^n and is integrated once more
        if not forest:
            return 1.0
        *others, (*children, root) = forest
        return of_forest(others) * of_forest(children) * float(v[root]) / slow.nodes(forest)

    for planar, number in ((False, of_tree), (True, of_forest)):
        if planar and size[0] == 1:
            size = (1, 6)
        listed = arraysig.trees(*size, planar=planar)[1:]
        got = arraysig.linear_branched_sig(v, *size, planar=planar)
        close(got, [number(tree) for tree in listed], 1e-14)
        assert arraysig.linear_branched_sig(v, *size, planar=planar, scalar_term=True)[0] == 1


def test_words_are_chains_and_forests_of_leaves(rng: np.random.Generator) -> None:
    path = rng.normal(size=(5, 3))
    words = arraysig.words(3, 4)
    chains = [slow.chain(word[::-1]) or None for word in words]  # the leaf is integrated first
    leaves = [tuple((letter,) for letter in word) or None for word in words]
    expected = arraysig.sig(path, 4, scalar_term=True)
    close(arraysig.branched_sig_coef(path, chains), expected)
    close(arraysig.branched_sig_coef(path, chains, planar=True), expected)
    close(arraysig.branched_sig_coef(path, leaves, planar=True), expected)


def test_chosen_trees_of_many_nodes() -> None:
    path = np.array([[0.0], [0.25], [1.0]])
    tree: Any = (0,)
    for _ in range(20):
        tree = (tree, 0)
    bush = (*((0,),) * 7, 0)
    got = arraysig.branched_sig_coef(path, [tree, bush, None])
    close(got, [1 / math.factorial(21), 1 / 8, 1], 1e-15)
    assert got[0] == pytest.approx(1 / math.factorial(21))


# ---- Ito calculus -------------------------------------------------------------------------------


def test_ito_correction_gives_sums_over_left_points(xp: Backend, rng: np.random.Generator) -> None:
    path = np.cumsum(rng.normal(size=(2, 50, 1)), axis=1) / 7
    steps = np.diff(path[..., 0], axis=1)
    w = path[..., 0] - path[:, :1, 0]
    trees = [(0,), ((0,), 0), ((0,), (0,), 0), (((0,), 0), 0)]
    correction = xp.array(-(steps**2)[..., None] / 2)
    for planar in (False, True):
        options = {"planar": planar, "correction": correction}
        got = xp.numpy(arraysig.branched_sig_coef(xp.array(path), trees, **options))
        squares, cubes = (steps**2).sum(-1), (steps**3).sum(-1)
        chain = (w[:, -1] ** 2 - squares) / 2  # the sum of w dw, at left points
        close(chain, (w[:, :-1] * steps).sum(-1))
        bush = (w[:, :-1] ** 2 * steps).sum(-1) - cubes / 6
        hermite = (w[:, -1] ** 3 - 3 * w[:, -1] * squares) / 6
        expected = [w[:, -1], chain, bush / 2 if planar else bush, hermite]
        close(got, np.stack(expected, axis=-1))


def test_logarithms_of_steps_give_iterated_sums(rng: np.random.Generator) -> None:
    path, degree = rng.normal(size=(6, 2)), 4
    steps = np.diff(path, axis=0)
    power, rows = steps, []
    for k in range(2, degree + 1):
        power = (power[..., :, None] * steps[..., None, :]).reshape(5, -1)
        rows.append(power * (-1) ** (k + 1) / k)  # log(1 + z)
    correction = np.concatenate(rows, axis=-1)
    words = arraysig.words(2, degree)[1:]
    chains = [slow.chain(word[::-1]) for word in words]
    got = arraysig.branched_sig_coef(path, chains, correction=correction)
    expected = []
    for word in words:
        total = 0.0
        for at in itertools.combinations(range(5), len(word)):
            total += math.prod(steps[t, i] for t, i in zip(at, word, strict=True))
        expected.append(total)
    close(got, expected)


def test_entries_of_corrections_are_chains_from_the_root(rng: np.random.Generator) -> None:
    still = np.zeros((2, 2))
    row = rng.normal(size=4 + 8)
    words = [w for w in arraysig.words(2, 3) if len(w) > 1]
    chains = [slow.chain(word) for word in words]
    assert chains[:4] == [((0,), 0), ((1,), 0), ((0,), 1), ((1,), 1)]
    for planar in (False, True):
        options = {"correction": row, "planar": planar}
        np.testing.assert_array_equal(arraysig.branched_sig_coef(still, chains, **options), row)


def test_ito_formula(rng: np.random.Generator) -> None:
    """d(w^3) = 3 w^2 dw + 3 w dt, and d(u v^2) with two channels, on a fine grid."""
    count = 100_000
    path = np.concatenate([np.zeros((1, 2)), rng.normal(scale=count**-0.5, size=(count, 2))])
    path = path.cumsum(axis=0)
    ito = -np.eye(2).ravel() / (2 * count)
    trees = [((0,), (0,), 0), ((1,), (1,), 0), ((0,), (1,), 1), ((0,), 2)]
    *got, of_time = arraysig.branched_sig_coef(path, trees, correction=ito, time_aug=True)
    assert of_time == pytest.approx(path[:, 0].mean(), abs=1e-4)
    left, steps = path[:-1], np.diff(path, axis=0)
    u, v = left.T
    sums = [(u * u * steps[:, 0]).sum(), (v * v * steps[:, 0]).sum(), (u * v * steps[:, 1]).sum()]
    np.testing.assert_allclose(got, sums, atol=0.01)
    end = path[-1]
    assert end[0] ** 3 == pytest.approx(3 * got[0] + 3 * u.mean(), abs=0.03)
    assert end[0] * end[1] ** 2 == pytest.approx(got[1] + 2 * got[2] + u.mean(), abs=0.03)
    # Integrals in the sense of Stratonovich are far from it.
    ordinary = arraysig.branched_sig_coef(path, trees[:3])
    assert end[0] ** 3 == pytest.approx(3 * ordinary[0])
    assert np.abs(ordinary - got).max() > 0.1


def test_iterated_ito_integrals_are_martingales(rng: np.random.Generator) -> None:
    count, steps = 20_000, 100
    increments = rng.normal(scale=steps**-0.5, size=(count, steps, 2))
    path = np.concatenate([np.zeros((count, 1, 2)), increments], axis=1).cumsum(axis=1)
    variances = {
        (0,): 1,
        ((0,), 0): 1 / 2,
        ((0,), 1): 1 / 2,
        ((0,), (0,), 0): 1,  # E w^4 = 3 t^2
        ((0,), (0,), 1): 1,
        ((0,), (1,), 0): 1 / 3,
        (((0,), 1), 0): 1 / 6,
    }
    ito = -np.eye(2).ravel() / (2 * steps)
    got = arraysig.branched_sig_coef(path, list(variances), correction=ito)
    error = got.std(axis=0) / count**0.5
    assert np.all(np.abs(got.mean(axis=0)) < 5 * error)
    np.testing.assert_allclose(got.var(axis=0), list(variances.values()), rtol=0.1)
    ordinary = arraysig.branched_sig_coef(path, ((0,), 0)).mean()
    assert ordinary == pytest.approx(1 / 2, abs=0.05)


# ---- Formats, shapes, types ---------------------------------------------------------------------


@each_kind
def test_degree_zero_and_points(xp: Backend, planar: bool) -> None:
    path, v = xp.array(np.ones((2, 4, 3))), xp.array(np.ones((2, 3)))
    none, one = xp.array(np.zeros((2, 0))), xp.array(np.full((2, 1), 5.0))
    kind = {"planar": planar}
    for scalar_term in (False, True):
        options = {"scalar_term": scalar_term, **kind}
        row = one if scalar_term else none
        for bsig in (
            arraysig.branched_sig(path, 0, **options),
            arraysig.linear_branched_sig(v, 3, 0, **options),
            arraysig.branched_sig_combine(row, row, 3, 0, **kind),
            arraysig.branched_sig_join(row, v, 3, 0, **kind),
        ):
            np.testing.assert_array_equal(xp.numpy(bsig), np.ones((2, int(scalar_term))))
        logs = [
            arraysig.branched_log_sig(path, 0, method=0, **options),
            arraysig.linear_branched_log_sig(v, 3, 0, method=0, **options),
            arraysig.branched_sig_to_log_sig(row, 3, 0, method=0, **kind),
        ]
        for log in logs:
            np.testing.assert_array_equal(xp.numpy(log), np.zeros((2, int(scalar_term))))
        for gradient, like in (
            (arraysig.branched_sig_backprop(path, None, row, 0, **kind), path),
            (arraysig.branched_log_sig_backprop(path, row, 0, method=0, **kind), path),
            (arraysig.linear_branched_sig_backprop(row, v, 3, 0, **options), v),
            (arraysig.branched_sig_join_backprop(row, row, v, 3, 0, **kind)[1], v),
            (arraysig.branched_sig_combine_backprop(row, row, row, 3, 0, **kind)[0], row),
            (arraysig.branched_sig_to_log_sig_backprop(row, row, 3, 0, method=0, **kind), row),
        ):
            np.testing.assert_array_equal(xp.numpy(gradient), np.zeros(xp.numpy(like).shape))
        point = xp.numpy(arraysig.branched_sig(path[:, :1], 3, **options))
        assert point.sum() == 2 * scalar_term
        log = arraysig.branched_log_sig(path[:, :1], 3, method=0, **options)
        assert not xp.numpy(log).any()
        timed = arraysig.branched_sig(path[:, :1], 2, time_aug=True, **options)
        assert xp.numpy(timed).sum() == 2 * scalar_term
    for method in (1, 2, 3) if planar else ():
        assert arraysig.branched_log_sig(path, 0, method=method, **kind).shape == (2, 0)
        assert not xp.numpy(arraysig.branched_log_sig(path[:, :1], 3, method=method, **kind)).any()
    if planar:
        assert arraysig.branched_log_sig_join(none, v, 3, 0).shape == (2, 0)
        gradients = arraysig.branched_log_sig_join_backprop(none, none, v, 3, 0)
        assert not xp.numpy(gradients[1]).any()
    for trees in (None, [None, None]):
        got = arraysig.branched_sig_coef(path, trees, **kind)
        np.testing.assert_array_equal(xp.numpy(got), np.ones((2, 2 if trees else 1)))
        derivs = xp.array(np.ones(xp.numpy(got).shape))
        gradient = arraysig.branched_sig_coef_backprop(path, trees, None, derivs, **kind)
        assert not xp.numpy(gradient).any()


@each_kind
def test_scalar_terms(xp: Backend, planar: bool, rng: np.random.Generator) -> None:
    path, kind = xp.array(rng.normal(size=(2, 5, 2))), {"planar": planar}
    with_term = xp.numpy(arraysig.branched_sig(path, 3, scalar_term=True, **kind))
    plain = xp.numpy(arraysig.branched_sig(path, 3, **kind))
    np.testing.assert_array_equal(with_term[:, 1:], plain)
    np.testing.assert_array_equal(with_term[:, 0], 1)
    spoilt = with_term.copy()
    spoilt[:, 0] = np.nan  # is not read
    rows = [xp.array(a) for a in (plain, spoilt)]
    derivs = rng.normal(size=spoilt.shape)
    v = xp.array(rng.normal(size=(2, 2)))
    calls: list[tuple[Callable[..., Any], float]] = [
        (lambda row: arraysig.branched_sig_combine(row, row, 2, 3, **kind), 1),
        (lambda row: arraysig.branched_sig_join(row, v, 2, 3, **kind), 1),
        (lambda row: arraysig.branched_sig_to_log_sig(row, 2, 3, method=0, **kind), 0),
    ]
    for call, scalar in calls:
        short, long = (xp.numpy(call(row)) for row in rows)
        np.testing.assert_array_equal(long[:, 0], scalar)
        np.testing.assert_array_equal(long[:, 1:], short)
    bad = derivs.copy()
    bad[:, 0] = np.nan
    short_derivs, long_derivs = xp.array(derivs[:, 1:].copy()), xp.array(bad)
    backs: list[Callable[..., Any]] = [
        lambda row, g: arraysig.branched_sig_combine_backprop(g, row, row, 2, 3, **kind)[0],
        lambda row, g: arraysig.branched_sig_combine_backprop(g, row, row, 2, 3, **kind)[1],
        lambda row, g: arraysig.branched_sig_join_backprop(g, row, v, 2, 3, **kind)[0],
        lambda row, g: arraysig.branched_sig_to_log_sig_backprop(row, g, 2, 3, method=0, **kind),
    ]
    for back in backs:
        short, long = (
            xp.numpy(back(*given)) for given in zip(rows, (short_derivs, long_derivs), strict=True)
        )
        np.testing.assert_array_equal(long[:, 0], 0)
        np.testing.assert_array_equal(long[:, 1:], short)
    for gradients in (
        [
            arraysig.branched_sig_backprop(path, None, g, 3, **kind)
            for g in (short_derivs, long_derivs)
        ],
        [
            arraysig.branched_log_sig_backprop(path, g, 3, method=0, **kind)
            for g in (short_derivs, long_derivs)
        ],
        [
            arraysig.branched_sig_join_backprop(g, row, v, 2, 3, **kind)[1]
            for row, g in zip(rows, (short_derivs, long_derivs), strict=True)
        ],
    ):
        np.testing.assert_array_equal(*map(xp.numpy, gradients))


@pytest.mark.parametrize("count", [1, 67])
@each_kind
def test_rows_together_and_alone(count: int, planar: bool, rng: np.random.Generator) -> None:
    size, kind = (2, 4), {"planar": planar}
    path, derivs = rng.normal(size=(count, 6, 2)), None
    rows = rng.normal(size=(2, count, arraysig.branched_sig_length(*size, **kind)))
    derivs = rng.normal(size=rows[0].shape)
    c = rng.normal(size=(count, 5, 4 + 8))
    calls: list[tuple[Callable[..., Any], tuple[np.ndarray, ...]]] = [
        (lambda x: arraysig.branched_sig(x, 4, **kind), (path,)),
        (lambda x, c: arraysig.branched_sig(x, 4, correction=c, **kind), (path, c)),
        (lambda x: arraysig.branched_log_sig(x, 4, **kind), (path,)),
        (lambda a, b: arraysig.branched_sig_combine(a, b, *size, **kind), tuple(rows)),
        (lambda x, g: arraysig.branched_sig_backprop(x, None, g, 4, **kind), (path, derivs)),
        (
            lambda g, a, b: arraysig.branched_sig_combine_backprop(g, a, b, *size, **kind)[0],
            (derivs, *rows),
        ),
    ]
    for call, arrays in calls:
        together = call(*arrays)
        for i in range(0, count, 11):
            close(together[i], call(*(a[i] for a in arrays)), 1e-13)


@each_kind
def test_threads_give_equal_bits(planar: bool, rng: np.random.Generator) -> None:
    path, options = rng.normal(size=(150, 20, 3)), {"planar": planar, "n_jobs": 2}
    for function in (arraysig.branched_sig, arraysig.branched_log_sig):
        first = function(path, 3, **options)
        np.testing.assert_array_equal(function(path, 3, **options), first)
        close(first, function(path, 3, planar=planar), 1e-13)


@each_kind
def test_single_precision(planar: bool, rng: np.random.Generator) -> None:
    steps = rng.normal(size=(20_000, 2)) / np.sqrt(20_000)
    path = np.cumsum(steps, axis=0, dtype=np.float32)
    for correction in (None, np.array([-0.5, 0, 0, -0.5], dtype=np.float32) / 20_000):
        options = {"planar": planar, "correction": correction}
        got = arraysig.branched_sig(path, 4, **options)
        assert got.dtype == np.float32
        if correction is not None:
            options["correction"] = correction.astype(float)
        exact = arraysig.branched_sig(path.astype(float), 4, **options)
        sizes = [slow.nodes(t if planar else (t,)) for t in arraysig.trees(2, 4, planar=planar)[1:]]
        for n in range(1, 5):
            level = np.array(sizes) == n
            error = np.linalg.norm(got[level] - exact[level]) / np.linalg.norm(exact[level])
            assert error < 1e-5


HAVING_METHOD = {
    "branched_log_sig": (np.ones((4, 2)), 2),
    "branched_log_sig_backprop": (np.ones((4, 2)), np.ones(6), 2),
    "branched_sig_to_log_sig": (np.ones(6), 2, 2),
    "branched_sig_to_log_sig_backprop": (np.ones(6), np.ones(6), 2, 2),
    "linear_branched_log_sig": (np.ones(2), 2, 2),
    "linear_branched_log_sig_backprop": (np.ones(6), np.ones(2), 2, 2),
    "prepare_branched_log_sig": (2, 2),
}


@pytest.mark.parametrize("name", HAVING_METHOD)
def test_bad_methods(name: str) -> None:
    function, args = getattr(arraysig, name), HAVING_METHOD[name]
    for planar in (False, True):
        with pytest.raises(
            ValueError, match=f"^{name}: `method` must be None, 0, 1, 2 or 3, got 4"
        ):
            function(*args, method=4, planar=planar)
        for method in (1.0, "1", True):
            with pytest.raises(TypeError, match=f"^{name}: `method` must be an integer"):
                function(*args, method=method, planar=planar)
    for method in (1, 2, 3):
        with pytest.raises(ValueError, match=f"^{name}: `method` must be 0 without `planar`"):
            function(*args, method=method)
    if "linear" in name or name == "branched_log_sig":
        for method in (None, 1, 2, 3):
            with pytest.raises(
                ValueError, match=f"^{name}: `scalar_term` must be False for method"
            ):
                function(*args, method=method, planar=True, scalar_term=True)


def test_lengths_that_fit_nothing(xp: Backend) -> None:
    """Longer or shorter by one than what is right, which is 6 or 10, with 7 or 11, and 7 logs."""

    def ones(*shape: int) -> Any:
        return xp.array(np.ones(shape))

    path, v = ones(4, 2), ones(2)
    for planar, wrong in ((False, (5, 8)), (True, (9, 12))):
        kind, right = {"planar": planar}, ones(wrong[0] + 1)
        for n in wrong:
            bad = ones(n)
            for name, argument, args in (
                ("branched_sig_backprop", "bsig_derivs", (path, None, bad, 2)),
                ("branched_sig_combine", "bsig1", (bad, bad, 2, 2)),
                ("branched_sig_combine", "bsig2", (right, bad, 2, 2)),
                ("branched_sig_combine_backprop", "derivs", (bad, right, right, 2, 2)),
                ("branched_sig_join", "bsig", (bad, v, 2, 2)),
                ("branched_sig_join_backprop", "derivs", (bad, right, v, 2, 2)),
                ("linear_branched_sig_backprop", "derivs", (bad, v, 2, 2)),
                ("branched_sig_to_log_sig", "bsig", (bad, 2, 2)),
                ("branched_sig_to_log_sig_backprop", "bsig", (bad, right, 2, 2)),
            ):
                with pytest.raises(ValueError, match=rf"^{name}: `{argument}` must have shape \("):
                    getattr(arraysig, name)(*args, **kind)
        for width in (1, 3):
            for name, args in {
                "branched_sig_join": (right, ones(width), 2, 2),
                "branched_sig_join_backprop": (right, right, ones(width), 2, 2),
                "linear_branched_sig": (ones(width), 2, 2),
                "linear_branched_log_sig": (ones(width), 2, 2),
            }.items():
                with pytest.raises(ValueError, match=rf"^{name}: `displacement` must have shape"):
                    getattr(arraysig, name)(*args, **kind)
    log = ones(7)
    for n in (6, 8):
        bad = ones(n)
        for name, argument, args, options in (
            ("branched_log_sig_join", "blogsig", (bad, v, 2, 2), {}),
            ("branched_log_sig_join_backprop", "derivs", (bad, log, v, 2, 2), {}),
            ("branched_log_sig_backprop", "blogsig_derivs", (path, bad, 2), {"planar": True}),
            (
                *("linear_branched_log_sig_backprop", "derivs"),
                *((bad, v, 2, 2), {"planar": True, "method": 2}),
            ),
        ):
            with pytest.raises(ValueError, match=rf"^{name}: `{argument}` must have shape \("):
                getattr(arraysig, name)(*args, **options)
    with pytest.raises(ValueError, match=r"^branched_sig_backprop: `bsig` must have shape \(6,\)"):
        arraysig.branched_sig_backprop(path, ones(7), ones(6), 2)
    with pytest.raises(ValueError, match=r"^branched_sig_coef_backprop: `coefs` must have shape"):
        arraysig.branched_sig_coef_backprop(path, (0,), ones(2), ones(1))
    with pytest.raises(ValueError, match=r"^branched_sig_coef_backprop: `derivs` must have shape"):
        arraysig.branched_sig_coef_backprop(path, (0,), None, ones(2))


def test_what_is_not_read_changes_nothing(xp: Backend, rng: np.random.Generator) -> None:
    path, derivs = xp.array(rng.normal(size=(2, 4, 2))), xp.array(rng.normal(size=(2, 20)))
    junk = xp.array(np.full((2, 20), np.nan))
    got = [arraysig.branched_sig_backprop(path, b, derivs, 3) for b in (None, junk)]
    np.testing.assert_array_equal(*map(xp.numpy, got))
    chosen = [(0,), ((1,), 0)]
    got = [
        arraysig.branched_sig_coef_backprop(path, chosen, coefs, derivs[:, :2])
        for coefs in (None, junk[:, :2])
    ]
    np.testing.assert_array_equal(*map(xp.numpy, got))


# ---- Tables -------------------------------------------------------------------------------------


def everything(planar: bool, rng: np.random.Generator) -> list[np.ndarray]:
    """Results that need all tables."""
    kind, path, found = {"planar": planar}, rng.normal(size=(2, 5, 2)), []
    bsig = arraysig.branched_sig(path, 4, **kind)
    v = path[:, 0].copy()
    found += [bsig, arraysig.branched_sig_combine(bsig, bsig, 2, 4, **kind)]
    found += arraysig.branched_sig_combine_backprop(bsig, bsig, bsig, 2, 4, **kind)
    found += arraysig.branched_sig_join_backprop(bsig, bsig, v, 2, 4, **kind)
    found.append(arraysig.branched_sig_backprop(path, None, bsig, 4, **kind))
    log = arraysig.branched_log_sig(path, 4, method=2 if planar else 0, **kind)
    found.append(log)
    if planar:
        found += arraysig.branched_log_sig_join_backprop(log, log, v, 2, 4)
    return found


@each_kind
def test_cleared_tables_are_made_again(planar: bool) -> None:
    first = everything(planar, np.random.default_rng(1))
    arraysig.clear_cache()
    for made in (tables._matrix, tables._bilinear, tables._entries):
        assert made.cache_info().currsize == 0
    for a, b in zip(first, everything(planar, np.random.default_rng(1)), strict=True):
        np.testing.assert_array_equal(a, b)


def bush(labels: Sequence[int]) -> Any:
    return (*[(label,) for label in labels], 0)


def chain(length: int) -> Any:
    tree: Any = (0,)
    for _ in range(length - 1):
        tree = (tree, 0)
    return tree


def test_chosen_trees_of_many_words() -> None:
    path = np.random.default_rng(0).normal(size=(4, 13))
    line = path[:, :1]
    moved = float(line[-1, 0] - line[0, 0])
    got = arraysig.branched_sig_coef(line, [bush([0] * 19), chain(150)])
    close(got, [moved**20 / 20, moved**150 / math.factorial(150)], 1e-10)
    wide = tuple((label,) for label in range(13))  # one word, of 13 letters
    close(
        arraysig.branched_sig_coef(path, wide, planar=True),
        arraysig.sig_coef(path, tuple(range(13))),
    )
    for call in (
        lambda tree: arraysig.branched_sig_coef(path, tree),
        lambda tree: arraysig.branched_sig_coef_backprop(path, tree, None, np.ones(1)),
        lambda tree: arraysig.prepare_branched_sig_coef(13, tree),
    ):
        with pytest.raises(ValueError, match="`trees` must be sums of words that 64 bits"):
            call(bush([0] * 25))
        with pytest.raises(MemoryError, match="`trees` are sums of up to 479001600 different"):
            call(bush(range(12)))
        for tree in (chain(201), chain(5000), bush([0] * 200)):
            with pytest.raises(ValueError, match="`trees` must be a tree, .* of up to 200 nodes"):
                call(tree)


def test_entries_are_counted_at_any_size() -> None:
    """Numbers of elements whose product 64 bits do not hold."""
    rng = np.random.default_rng(0)
    columns = rng.integers(0, 3, (3, 50)) + np.array([[2**40], [2**41], [2**42]])
    expected: dict[Any, int] = {}
    for column in columns.T.tolist():
        expected[tuple(column)] = expected.get(tuple(column), 0) + 1
    got = {tuple(c[:3]): c[3] for c in tables.counted(columns).T.tolist()}
    assert got == expected
    assert sum(got.values()) == 50


@pytest.mark.parametrize("degree", [0, 1, 2])
@each_kind
def test_results_are_not_the_arguments(xp: Backend, degree: int, planar: bool) -> None:
    size = 2, degree
    length = arraysig.branched_sig_length(*size, planar=planar)
    rng = np.random.default_rng(0)
    of_log = arraysig.branched_log_sig_length(*size, planar=True)
    columns = [  # in Fortran's order, which results do not take over
        xp.array(np.asfortranarray(rng.normal(size=(3, n)))) for n in (length, length, 2, of_log)
    ]
    bsig, derivs, v, log = columns
    kind: dict[str, Any] = {"planar": planar, "method": 0}
    found = {
        "to_log": arraysig.branched_sig_to_log_sig(bsig, *size, **kind),
        "of_log": arraysig.branched_sig_to_log_sig_backprop(bsig, derivs, *size, **kind),
        "linear": arraysig.linear_branched_log_sig_backprop(derivs, v, *size, **kind),
        "plain": arraysig.linear_log_sig_backprop(log[:, :2], v, 2, min(degree, 1)),
        "join": arraysig.branched_log_sig_join_backprop(log, log, v, *size)[0],
        "combine": arraysig.branched_sig_combine_backprop(derivs, bsig, bsig, *size, planar=planar)[
            0
        ],
    }
    for name, result in found.items():
        assert xp.contiguous(result), name
        for given in columns:
            assert not np.shares_memory(xp.numpy(result), xp.numpy(given)), name


# ---- Torch --------------------------------------------------------------------------------------


TORCH: dict[str, Callable[[Any], Any]] = {
    "branched_sig": lambda x: arraysig.branched_sig(x, 3),
    "branched_sig, planar": lambda x: arraysig.branched_sig(x, 3, planar=True, scalar_term=True),
    "branched_sig, time": lambda x: arraysig.branched_sig(x, 2, time_aug=True, planar=True),
    "branched_sig, correction": lambda x: arraysig.branched_sig(
        x, 3, correction=x.new_tensor([0.5, 1.0, -1.0, 2.0])
    ),
    "branched_sig_coef": lambda x: arraysig.branched_sig_coef(
        x, [((0,), (1,), 0), None, (((1,), 0), 1)]
    ),
    "branched_sig_combine": lambda x: arraysig.branched_sig_combine(
        arraysig.branched_sig(x, 3), arraysig.branched_sig(2 * x, 3), 2, 3
    ),
    "branched_sig_combine, planar": lambda x: arraysig.branched_sig_combine(
        *(arraysig.branched_sig(a, 3, planar=True) for a in (x, 2 * x)), 2, 3, planar=True
    ),
    "branched_sig_join": lambda x: arraysig.branched_sig_join(
        arraysig.branched_sig(x, 3), x[..., 0, :], 2, 3, prepend=True
    ),
    "branched_log_sig": lambda x: arraysig.branched_log_sig(x, 3),
    "branched_log_sig, planar": lambda x: arraysig.branched_log_sig(x, 3, planar=True, method=2),
    "branched_log_sig, correction": lambda x: arraysig.branched_log_sig(
        x, 2, planar=True, correction=x.new_tensor([0.5, 1.0, -1.0, 2.0])
    ),
    "branched_log_sig_join": lambda x: arraysig.branched_log_sig_join(
        arraysig.branched_log_sig(x, 2, planar=True, method=2), x[..., 0, :], 2, 2
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_torch(torch_xp: Backend, name: str, rng: np.random.Generator) -> None:
    import torch

    function = TORCH[name]
    x = torch_xp.array(rng.normal(size=(1, 3, 2))).requires_grad_()
    fast = torch_xp.emulate
    assert torch.autograd.gradcheck(function, (x,), check_forward_ad=True, fast_mode=fast)
    assert torch.autograd.gradgradcheck(function, (x,), check_fwd_over_rev=True, fast_mode=True)
    one = x.detach()[0]
    reverse = torch.func.jacrev(function)(one)
    torch.testing.assert_close(torch.func.jacfwd(function)(one), reverse)
    several = torch_xp.array(rng.normal(size=(3, 4, 2)))
    torch.testing.assert_close(torch.func.vmap(function)(several), function(several))
    torch.testing.assert_close(
        torch.func.vmap(torch.func.jacrev(function))(several),
        torch.stack([torch.func.jacrev(function)(x) for x in several]),
    )


def test_corrections_are_constant(torch_xp: Backend) -> None:
    path = torch_xp.array(np.ones((3, 2)))
    for name, args in {
        "branched_sig": (2,),
        "branched_log_sig": (2,),
        "branched_sig_coef": (((0,), 0),),
    }.items():
        correction = torch_xp.array(np.ones(4)).requires_grad_()
        with pytest.raises(NotImplementedError, match=f"^{name}: `correction` is constant"):
            getattr(arraysig, name)(path, *args, correction=correction)


# ---- Other libraries ----------------------------------------------------------------------------


@each_kind
@pytest.mark.parametrize("size", [(1, 5), (2, 4), (3, 3)], ids=str)
def test_pysiglib(size: tuple[int, int], planar: bool, rng: np.random.Generator) -> None:
    pysiglib = pytest.importorskip("pysiglib")
    d, degree = size
    kind, path = {"planar": planar}, rng.normal(size=(9, 5, d)) / 2
    pysiglib.prepare_branched_sig(d, degree, **kind)
    assert arraysig.trees(*size, **kind) == tuple(pysiglib.trees(*size, **kind))
    bsig = arraysig.branched_sig(path, degree, **kind)
    derivs, v = rng.normal(size=bsig.shape), path[:, 0].copy()
    listed = arraysig.trees(*size, **kind)
    chosen = [listed[i] for i in rng.permutation(len(listed) - 1)[:6] + 1]
    pysiglib.prepare_branched_sig_coef(d, chosen, **kind)
    coefs = arraysig.branched_sig_coef(path, chosen, **kind)
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
        ("branched_sig", (path, degree), {}),
        ("branched_sig_backprop", (path, bsig, derivs, degree), {}),
        ("branched_sig_combine", (bsig, derivs, d, degree), {}),
        ("branched_sig_combine_backprop", (derivs, bsig, bsig[::-1].copy(), d, degree), {}),
        ("branched_sig_join", (bsig, v, d, degree), {}),
        ("branched_sig_join", (bsig, v, d, degree), {"prepend": True}),
        ("branched_sig_join_backprop", (derivs, bsig, v, d, degree), {}),
        ("linear_branched_sig", (v, d, degree), {"scalar_term": True}),
        ("linear_branched_sig_backprop", (derivs, v, d, degree), {}),
        ("branched_sig_coef", (path, chosen), {}),
        ("branched_sig_coef_backprop", (path, chosen, coefs, derivs[:, :6].copy()), {}),
        ("extract_branched_sig_coef", (bsig, chosen, d), {}),
    ]
    for method in (0, 1, 2, 3) if planar else (0,):
        pysiglib.prepare_branched_log_sig(d, degree, method, **kind)
        option = {"method": method}
        calls.append(("branched_log_sig", (path, degree), option))
        if method < 3:
            log = arraysig.branched_log_sig(path, degree, **option, **kind)
            grad = rng.normal(size=log.shape)
            calls.append(("branched_sig_to_log_sig", (bsig, d, degree), option))
            calls.append(("branched_sig_to_log_sig_backprop", (bsig, grad, d, degree), option))
            calls.append(("linear_branched_log_sig", (v, d, degree), option))
            calls.append(("linear_branched_log_sig_backprop", (grad, v, d, degree), option))
    if planar:  # its corrections of trees without order are wrong where these branch
        row = rng.normal(size=sum(d**k for k in range(2, degree + 1)))
        calls.append(("branched_sig", (path, degree), {"correction": row}))
    for name, args, options in calls:
        expected = getattr(pysiglib, name)(*args, **options, **kind)
        got = getattr(arraysig, name)(*args, **options, **kind)
        both = [x if isinstance(x, tuple) else (x,) for x in (got, expected)]
        for a, b in zip(*both, strict=True):
            close(a, b, 1e-10)
    if planar:
        count = arraysig.branched_log_sig_length(*size, planar=True)
        log, grad = (rng.normal(size=(9, count)) for _ in range(2))
        for prepend in (False, True):
            got = arraysig.branched_log_sig_join(log, v, *size, prepend=prepend)
            close(got, pysiglib.branched_log_sig_join(log, v, *size, prepend=prepend), 1e-10)
            both = arraysig.branched_log_sig_join_backprop(grad, log, v, *size, prepend=prepend)
            other = pysiglib.branched_log_sig_join_backprop(grad, log, v, *size, prepend=prepend)
            for a, b in zip(both, other, strict=True):
                close(a, b, 1e-10)
