"""Words over an alphabet of channels: lengths of what they index. Pure Python integers."""

from __future__ import annotations

LARGEST = 2**63 - 1


def tensor_length(channels: int, degree: int) -> int:
    """Words of length 1 to `degree` over `channels` letters; -1 if more than 64 bits can count.

    >>> tensor_length(2, 3)
    14
    """
    if channels == 0 or degree == 0:
        return 0
    if channels == 1:
        return degree
    if degree > 63:
        return -1
    total = channels * (channels**degree - 1) // (channels - 1)
    return total if total <= LARGEST else -1
