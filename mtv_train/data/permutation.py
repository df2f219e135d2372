"""A keyed permutation of 0..size-1 that is computed, not stored: a Feistel network with cycle walking.

Constant time and memory for any size, so that reaching position 1,000,000 costs what reaching position 10 does.
"""

from __future__ import annotations

_ROUNDS = 6
_MASK = (1 << 64) - 1


def permuted(position: int, size: int, key: int) -> int:
    """The image of `position` under the permutation of range(size) that `key` (64 bits) names.

    Raises ValueError unless 0 <= position < size.
    """
    if not 0 <= position < size:
        raise ValueError(f"position {position} is not within 0..{size - 1}")
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    value = position
    while True:  # fewer than four turns on average: the network's domain is less than four times `size`
        value = _feistel(value, half, key)
        if value < size:
            return value


def _feistel(value: int, half: int, key: int) -> int:
    """A permutation of the numbers of 2 * half bits."""
    mask = (1 << half) - 1
    left, right = value >> half, value & mask
    for turn in range(_ROUNDS):
        left, right = right, left ^ (_mix(right + key + (turn << 56)) & mask)
    return left << half | right


def _mix(value: int) -> int:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input changes every bit of the output."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ value >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ value >> 27) * 0x94D049BB133111EB) & _MASK
    return value ^ value >> 31
