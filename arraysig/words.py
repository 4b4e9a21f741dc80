"""Words over an alphabet of channels, which index the coefficients of signatures."""

from __future__ import annotations

import itertools
from typing import Any

from ._core import check
from ._core.docs import documented
from ._core.lie import by_length, lyndon

__all__ = [
    "idx_to_word",
    "is_lyndon",
    "lyndon_words",
    "lyndon_words_of_length",
    "word_to_idx",
    "words",
    "words_of_length",
]

Word = tuple[int, ...]

LARGEST = 2**63 - 1


def augmented_channels(dimension: int, time_aug: bool, lead_lag: bool) -> int:
    """Channels of paths after augmentation.

    >>> augmented_channels(3, True, True)
    7
    """
    return dimension * (2 if lead_lag else 1) + (1 if time_aug else 0)


def tensor_length(channels: int, degree: int) -> int:
    """Words of length 1 to `degree` over `channels` letters.

    -1 if 64 bits can not count them, and the empty one.

    >>> tensor_length(2, 3)
    14
    """
    if channels == 0 or degree == 0:
        return 0
    if channels > 1 and degree > 63:
        return -1
    total = degree if channels == 1 else channels * (channels**degree - 1) // (channels - 1)
    return total if total < LARGEST else -1


def check_listed(
    function: str, name: str, alphabet_size: int, length: int, lyndon: bool = False
) -> None:
    """MemoryError where the words of `length` letters are more than a list can hold."""
    letters = min(length, 64)  # more are too many in any case
    count = min(alphabet_size**letters, LARGEST)
    if lyndon:  # about one in `letters` of all words, and not less than half of that
        count //= 2 * letters + 1
    check.table_bytes(function, name, length, 64 * count)  # bytes that each takes at least


def check_word(function: str, name: str, word: Any, alphabet_size: int | None) -> Word:
    """A tuple of letters; they are below `alphabet_size` where that is given."""
    if not isinstance(word, tuple):
        raise TypeError(f"{function}: `{name}` must be a tuple of integers, got {word!r}")
    letters = tuple([check.non_negative_int(function, name, letter) for letter in word])
    if alphabet_size is not None and any(letter >= alphabet_size for letter in letters):
        raise ValueError(
            f"{function}: `{name}` must have letters below {alphabet_size}, got {word!r}"
        )
    return letters


def position(word: Word, alphabet_size: int) -> int:
    """Index among all words, the empty one included."""
    index = 0
    for letter in word:
        index = index * alphabet_size + letter + 1
    return index


@documented
def words_of_length(alphabet_size: int, length: int) -> list[Word]:
    """List the words of one length, in the order of a level of a signature.

    Parameters
    ----------
    alphabet_size : int
        Letters are 0 to ``alphabet_size - 1``; at least 1.
    length : int
        Letters of each word, at least 0.

    Returns
    -------
    list of tuples of int
        In lexicographic order.

    Raises
    ------
    TypeError
        If an argument is not an integer.
    ValueError
        If an argument is out of range.
    MemoryError
        If the words are more than the memory of the machine holds.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.words_of_length(2, 2)
    [(0, 0), (0, 1), (1, 0), (1, 1)]
    """
    name = "words_of_length"
    alphabet_size = check.positive_int(name, "alphabet_size", alphabet_size)
    length = check.non_negative_int(name, "length", length)
    check_listed(name, "length", alphabet_size, length)
    return list(itertools.product(range(alphabet_size), repeat=length))


@documented
def words(alphabet_size: int, max_length: int) -> list[Word]:
    """List the words up to a length, in the order of a signature with scalar term.

    Parameters
    ----------
    alphabet_size : int
        Letters are 0 to ``alphabet_size - 1``; at least 1.
    max_length : int
        Letters of the longest words, at least 0.

    Returns
    -------
    list of tuples of int
        The empty word, then by length, then in lexicographic order.

    Raises
    ------
    TypeError
        If an argument is not an integer.
    ValueError
        If an argument is out of range.
    MemoryError
        If the words are more than the memory of the machine holds.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.words(2, 2)
    [(), (0,), (1,), (0, 0), (0, 1), (1, 0), (1, 1)]
    """
    alphabet_size = check.positive_int("words", "alphabet_size", alphabet_size)
    max_length = check.non_negative_int("words", "max_length", max_length)
    check_listed("words", "max_length", alphabet_size, max_length)
    return [
        word
        for length in range(max_length + 1)
        for word in itertools.product(range(alphabet_size), repeat=length)
    ]


@documented
def word_to_idx(word: Word, alphabet_size: int, *, scalar_term: bool = False) -> int:
    """Find the index of a word in a signature.

    Parameters
    ----------
    word : tuple of int
        Letters, the earliest first.
    alphabet_size : int
        Channels of the signature (after augmentation, if there was any), at least 1.
    scalar_term : bool, default False
        Whether the signature has the scalar term in front.

    Returns
    -------
    int
        Position along the last axis.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a letter is out of range, or the word is empty without `scalar_term`.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.word_to_idx((0, 1), 2)
    3
    >>> arraysig.word_to_idx((), 2, scalar_term=True)
    0
    """
    name = "word_to_idx"
    alphabet_size = check.positive_int(name, "alphabet_size", alphabet_size)
    letters = check_word(name, "word", word, alphabet_size)
    if not check.flag(name, "scalar_term", scalar_term):
        if not letters:
            raise ValueError(
                f"{name}: `word` must not be empty for a signature without scalar term, got ()"
            )
        return position(letters, alphabet_size) - 1
    return position(letters, alphabet_size)


@documented
def idx_to_word(idx: int, alphabet_size: int, *, scalar_term: bool = False) -> Word:
    """Find the word at an index of a signature.

    Parameters
    ----------
    idx : int
        Position along the last axis, at least 0.
    alphabet_size : int
        Channels of the signature (after augmentation, if there was any), at least 1.
    scalar_term : bool, default False
        Whether the signature has the scalar term in front.

    Returns
    -------
    tuple of int
        The letters, the earliest first.

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a value is out of range.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.idx_to_word(3, 2)
    (0, 1)
    """
    name = "idx_to_word"
    number = check.non_negative_int(name, "idx", idx)
    alphabet_size = check.positive_int(name, "alphabet_size", alphabet_size)
    number += not check.flag(name, "scalar_term", scalar_term)
    letters = []
    while number:
        number, letter = divmod(number - 1, alphabet_size)
        letters.append(letter)
    return tuple(reversed(letters))


@documented
def is_lyndon(word: Word) -> bool:
    """Tell whether a word is smaller than all its proper suffixes.

    Parameters
    ----------
    word : tuple of int
        Letters; the empty word is not a Lyndon word.

    Returns
    -------
    bool
        Whether it is a Lyndon word.

    Raises
    ------
    TypeError
        If `word` is not a tuple of integers.
    ValueError
        If a letter is negative.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.is_lyndon((0, 0, 1)), arraysig.is_lyndon((1, 0))
    (True, False)
    """
    letters = check_word("is_lyndon", "word", word, None)
    return bool(letters) and all(letters < letters[i:] for i in range(1, len(letters)))


@documented
def lyndon_words_of_length(alphabet_size: int, length: int) -> list[Word]:
    """List the Lyndon words of one length.

    Parameters
    ----------
    alphabet_size : int
        Letters are 0 to ``alphabet_size - 1``; at least 1.
    length : int
        Letters of each word, at least 0; none has length 0.

    Returns
    -------
    list of tuples of int
        In lexicographic order.

    Raises
    ------
    TypeError
        If an argument is not an integer.
    ValueError
        If an argument is out of range.
    MemoryError
        If the words are more than the memory of the machine holds.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.lyndon_words_of_length(2, 4)
    [(0, 0, 0, 1), (0, 0, 1, 1), (0, 1, 1, 1)]
    """
    name = "lyndon_words_of_length"
    alphabet_size = check.positive_int(name, "alphabet_size", alphabet_size)
    length = check.non_negative_int(name, "length", length)
    check_listed(name, "length", alphabet_size, length, lyndon=True)
    return [word for word in lyndon(alphabet_size, length) if len(word) == length]


@documented
def lyndon_words(alphabet_size: int, max_length: int) -> list[Word]:
    """List the Lyndon words up to a length.

    Parameters
    ----------
    alphabet_size : int
        Letters are 0 to ``alphabet_size - 1``; at least 1.
    max_length : int
        Letters of the longest words, at least 0.

    Returns
    -------
    list of tuples of int
        By length, then in lexicographic order.

    Raises
    ------
    TypeError
        If an argument is not an integer.
    ValueError
        If an argument is out of range.
    MemoryError
        If the words are more than the memory of the machine holds.

    Notes
    -----
    Words smaller than all their proper suffixes; they index bases of the free Lie algebra. They are
    made one from the other [1]_.

    References
    ----------
    .. [1] J.-P. Duval, "Generation of a section of conjugation classes and Lyndon word tree of
       bounded length", Theoretical Computer Science 60 (1988), 255-283.

    Examples
    --------
    >>> import arraysig
    >>> arraysig.lyndon_words(2, 3)
    [(0,), (1,), (0, 1), (0, 0, 1), (0, 1, 1)]
    """
    alphabet_size = check.positive_int("lyndon_words", "alphabet_size", alphabet_size)
    max_length = check.non_negative_int("lyndon_words", "max_length", max_length)
    check_listed("lyndon_words", "max_length", alphabet_size, max_length, lyndon=True)
    return by_length(alphabet_size, max_length)
