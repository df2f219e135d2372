"""Tiny pictures and their inner products, which are the same to the last bit whichever are computed together.

A film is measured in spans, side by side, and the answers must be those of the whole film. A matrix product of floats
depends on the shape of the matrices and on the processor. Here the pictures hold whole numbers, and each product is
taken in two halves whose sums stay below 2^24, where float32 is exact in any order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from demix.lazy_module import lazy_module

cv2: Any = lazy_module("cv2")

_SIZE = (32, 18)
_COLOURS = 3
PIXELS = _SIZE[0] * _SIZE[1]
VALUES = PIXELS * _COLOURS
_HALVES = (slice(0, VALUES // 2), slice(VALUES // 2, VALUES))
_OF_COLOUR = np.tile(np.eye(_COLOURS, dtype=np.float32), (PIXELS, 1))
"""A product with it adds up each colour; the sums are whole numbers below 2^24."""


@dataclass(frozen=True)
class Tiny:
    """Tiny pictures, and what every product of them takes."""

    values: np.ndarray
    """float32 (frames, values): 32 x 18 pixels BGR each in a row, less 128."""
    sums: np.ndarray
    """float64 (frames, 3): the sum of each colour."""
    energy: np.ndarray
    """float64 (frames,): the product of each picture with itself; see `row_products`."""

    @classmethod
    def of(cls, values: np.ndarray) -> Tiny:
        sums = (values @ _OF_COLOUR).astype(np.float64)
        return cls(values, sums, _row_products(values, sums, values, sums))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, some: slice) -> Tiny:
        return Tiny(self.values[some], self.sums[some], self.energy[some])

    @property
    def means(self) -> np.ndarray:
        """float64 (frames, 3): the mean of each colour."""
        return self.sums / PIXELS


def tiny_pictures(pictures: np.ndarray) -> Tiny:
    """Of uint8 BGR (frames, height, width, 3)."""
    small = np.empty((len(pictures), *_SIZE[::-1], _COLOURS), np.uint8)
    for picture, its in zip(pictures, small, strict=True):
        cv2.resize(picture, _SIZE, dst=its, interpolation=cv2.INTER_AREA)
    return Tiny.of(small.reshape(len(small), VALUES).astype(np.float32) - 128)


def joined(parts: Iterable[Tiny]) -> Tiny:
    """The pictures of all of them."""
    values, sums, energy = zip(*((one.values, one.sums, one.energy) for one in parts), strict=True)
    return Tiny(np.concatenate(values), np.concatenate(sums), np.concatenate(energy))


def products(tiny: Tiny) -> np.ndarray:
    """float64 (frames, frames): mean product of the values of any two pictures, every colour's mean taken off."""
    whole = sum((tiny.values[:, half] @ tiny.values[:, half].T).astype(np.float64) for half in _HALVES)
    return np.asarray(_centred(whole, tiny.sums @ tiny.sums.T))


def row_products(one: Tiny, other: Tiny) -> np.ndarray:
    """float64 (frames,): the same of each picture of `one` and that of `other` in its place."""
    return _row_products(one.values, one.sums, other.values, other.sums)


def centred(difference: np.ndarray) -> np.ndarray:
    """The values of one picture, or the difference of two, without every colour's mean."""
    colours = difference.reshape(PIXELS, _COLOURS)
    return (colours - colours.mean(axis=0)).reshape(-1)


def _row_products(one: np.ndarray, its: np.ndarray, other: np.ndarray, others: np.ndarray) -> np.ndarray:
    halves = (np.einsum("ij,ij->i", one[:, half], other[:, half]).astype(np.float64) for half in _HALVES)
    return _centred(sum(halves), np.einsum("ij,ij->i", its, others))


def _centred(whole: np.ndarray, of_sums: np.ndarray) -> np.ndarray:
    return (whole - of_sums / PIXELS) / VALUES
