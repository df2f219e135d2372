"""Role: find where shots begin and end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from demix.models.base import Judge


@dataclass(frozen=True)
class Boundaries:
    """Frame indices in display order, 0-based."""

    frames: int
    pts: tuple[int, ...]
    """pts of every frame, ascending."""
    cuts: tuple[int, ...]
    """First frame of each new shot after a hard cut."""
    graduals: tuple[tuple[int, int], ...]
    """[first, last] frame of each fade or dissolve."""


class ShotDetector(Judge, Protocol):
    def detect(self, frames: Iterator[tuple[int, np.ndarray]], rate: float) -> Boundaries:
        """`frames` yields (pts, small BGR picture uint8 (height, width, 3)) in display order; `rate` in frames/s."""
