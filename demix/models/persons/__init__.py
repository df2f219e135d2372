"""Role: find the persons on a frame."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from demix.models.base import Judge
from demix.records import Box


class PersonDetector(Judge, Protocol):
    """Constructed with `threads` (CPU threads) and `smallest` (side in pixels of the smallest face or person wanted).

    A model whose persons are the boxes of a face model may name that model in a class attribute `same_as_faces`.
    """

    def detect(self, frames: np.ndarray) -> list[list[Box]]:
        """`frames` uint8 RGB (frames, height, width, 3); boxes in pixels with scores in 0..1, per frame."""
