"""Tiny pictures and their inner products, which are the same to the last bit whichever are computed together.

A film is measured in spans, side by side, and the answers must be those of the whole film. A matrix product of floats
depends on the shape of the matrices and on the processor. Here the pictures hold whole numbers, and each product is
taken in two halves whose sums stay below 2^24, where float32 is exact in any order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from demix.lazy_module import lazy_module

cv2: Any = lazy_module("cv2")

_SIZE = (32, 18)
_COLOURS = 3
PIXELS = _SIZE[0] * _SIZE[1]
VALUES = PIXELS * _COLOURS
_HALVES = (slice(0, VALUES // 2), slice(VALUES // 2, VALUES))


def tiny_pictures(pictures: np.ndarray) -> np.ndarray:
    """uint8 BGR (frames, height, width, 3) as float32 (frames, values): 32 x 18 pixels each in a row, less 128."""
    small = np.stack([cv2.resize(picture, _SIZE, interpolation=cv2.INTER_AREA) for picture in pictures])
    return small.reshape(len(pictures), VALUES).astype(np.float32) - 128


def products(tiny: np.ndarray) -> np.ndarray:
    """float64 (frames, frames): mean product of the values of any two pictures, every colour's mean taken off."""
    sums = _sums(tiny)
    whole = sum((tiny[:, half] @ tiny[:, half].T).astype(np.float64) for half in _HALVES)
    return np.asarray(_centred(whole, sums @ sums.T))


def row_products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """float64 (frames,): the same of each picture of `one` and that of `other` in its place."""
    halves = (np.einsum("ij,ij->i", one[:, half], other[:, half]).astype(np.float64) for half in _HALVES)
    return _centred(sum(halves), np.einsum("ij,ij->i", _sums(one), _sums(other)))


def means(tiny: np.ndarray) -> np.ndarray:
    """float64 (frames, 3): the mean of each colour."""
    return _sums(tiny) / PIXELS


def centred(difference: np.ndarray) -> np.ndarray:
    """One picture, or the difference of two, without every colour's mean."""
    colours = difference.reshape(PIXELS, _COLOURS)
    return (colours - colours.mean(axis=0)).reshape(-1)


def _sums(tiny: np.ndarray) -> np.ndarray:
    """float64 (frames, 3): the sum of each colour, a whole number."""
    return tiny.reshape(len(tiny), PIXELS, _COLOURS).sum(axis=1, dtype=np.float64)


def _centred(whole: np.ndarray, of_sums: np.ndarray) -> np.ndarray:
    return (whole - of_sums / PIXELS) / VALUES
