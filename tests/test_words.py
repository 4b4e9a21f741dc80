"""Words: orders, indices, Lyndon words, and the coefficients that they select."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import arraysig
from arraysig._core import dispatch

from .backends import Backend


@pytest.mark.parametrize(("d", "n"), [(1, 0), (1, 4), (2, 0), (2, 5), (3, 3), (5, 2)])
def test_words_are_ordered_as_signatures(d: int, n: int) -> None:
    words = arraysig.words(d, n)
    assert words[0] == ()
    assert words == sorted(words, key=lambda w: (len(w), w))
    assert len(set(words)) == len(words) == arraysig.sig_length(d, n, scalar_term=True)
    assert words == list(
        itertools.chain(*(arraysig.words_of_length(d, length) for length in range(n + 1)))
    )
    for i, word in enumerate(words):
        assert arraysig.word_to_idx(word, d, scalar_term=True) == i
        assert arraysig.idx_to_word(i, d, scalar_term=True) == word
        if word:
            assert arraysig.word_to_idx(word, d) == i - 1
            assert arraysig.idx_to_word(i - 1, d) == word


@pytest.mark.parametrize(("d", "n"), [(1, 5), (2, 8), (3, 5), (4, 4)])
def test_lyndon_words_are_those_smaller_than_their_rotations(d: int, n: int) -> None:
    expected = [
        word
        for word in arraysig.words(d, n)
        if word and all(word < word[i:] + word[:i] for i in range(1, len(word)))
    ]
    assert arraysig.lyndon_words(d, n) == expected
    assert [w for w in arraysig.words(d, n) if arraysig.is_lyndon(w)] == expected
    for length in range(n + 1):
        of_length = [w for w in expected if len(w) == length]
        assert arraysig.lyndon_words_of_length(d, length) == of_length


def test_extracted_coefficients(xp: Backend, rng: np.random.Generator) -> None:
    path = rng.normal(size=(2, 5, 2))
    chosen = [(4, 0), (2,), (), (4, 0)]
    flags = {"time_aug": True, "lead_lag": True}
    sig = xp.array(arraysig.sig(path, 2, scalar_term=True, **flags))
    got = arraysig.extract_sig_coef(sig, chosen, 2, scalar_term=True, **flags)
    words = arraysig.words(5, 2)
    expected = xp.numpy(sig)[:, [words.index(word) for word in chosen]]
    np.testing.assert_array_equal(xp.numpy(got), expected)
    assert xp.contiguous(got)
    one = arraysig.extract_sig_coef(sig, (1, 1), 2, scalar_term=True, **flags)
    assert one.shape == (2, 1)
    assert arraysig.extract_sig_coef(sig, [], 2, scalar_term=True, **flags).shape == (2, 0)


def test_extraction_is_differentiable() -> None:
    torch = pytest.importorskip("torch")
    leaf = torch.arange(6.0).requires_grad_()
    arraysig.extract_sig_coef(leaf, [(1,), (1, 0), (1,)], 2).sum().backward()
    assert leaf.grad.tolist() == [0, 2, 0, 0, 1, 0]


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ([0, 1], TypeError),
        (1, TypeError),
        ("01", TypeError),
        ((0.0, 1), TypeError),
        ((True,), TypeError),
        ((0, -1), ValueError),
        ((0, 2), ValueError),
        ((), ValueError),
    ],
    ids=repr,
)
def test_bad_words(word: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="^word_to_idx: `word` must "):
        arraysig.word_to_idx(word, 2)
    with pytest.raises(error, match="^extract_sig_coef: `words` must "):
        arraysig.extract_sig_coef(np.ones(6), [(0,), word], 2)


def test_words_that_are_too_long() -> None:
    with pytest.raises(ValueError, match=r"^extract_sig_coef: `sig` must have shape"):
        arraysig.extract_sig_coef(np.ones(()), (0,), 2)
    with pytest.raises(IndexError, match=r"^extract_sig_coef: `words` must fit .*\(0, 0, 1\)"):
        arraysig.extract_sig_coef(np.ones(6), [(0, 0, 1)], 2)


@pytest.mark.parametrize("size", [16, 10**6, 10**18])
def test_lists_that_are_too_long(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if size == 16:  # of which memory would hold the lists
        monkeypatch.setattr(dispatch, "HOST_BYTES", 2**16)
    for name in ("words", "words_of_length", "lyndon_words", "lyndon_words_of_length"):
        with pytest.raises(MemoryError, match=rf"^{name}: `(max_)?length` is too large: .* {size}"):
            getattr(arraysig, name)(2, size)
        assert getattr(arraysig, name)(2, 5)
    for method in (0, 1, 2):
        with pytest.raises((MemoryError, ValueError), match="^log_sig_basis: `degree` is too"):
            arraysig.log_sig_basis(2, size, method=method)
    for name, planar in (("trees", False), ("trees", True), ("trees_of_order", False)):
        with pytest.raises((MemoryError, ValueError), match=f"^{name}: `.*` is too large"):
            getattr(arraysig, name)(1, size, planar=planar)


def test_numpy_integers_are_letters() -> None:
    assert arraysig.word_to_idx((np.int64(1), np.int8(0)), np.int32(2)) == 4
    assert arraysig.is_lyndon((np.int64(0), 1))


@pytest.mark.parametrize("bad", [-1, 1.0, None, "2", True])
def test_bad_sizes(bad: Any) -> None:
    for name, parameter in (
        ("words", "max_length"),
        ("words_of_length", "length"),
        ("lyndon_words", "max_length"),
        ("lyndon_words_of_length", "length"),
    ):
        function = getattr(arraysig, name)
        with pytest.raises((TypeError, ValueError), match=f"^{name}: `alphabet_size` must "):
            function(bad, 2)
        with pytest.raises((TypeError, ValueError), match=f"^{name}: `{parameter}` must "):
            function(2, bad)
    with pytest.raises((TypeError, ValueError), match="^idx_to_word: `idx` must "):
        arraysig.idx_to_word(bad, 2)
    with pytest.raises((TypeError, ValueError), match="^is_lyndon: `word` must "):
        arraysig.is_lyndon((bad,))
