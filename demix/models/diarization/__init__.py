"""Role: who speaks when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from demix.models.base import Judge
from demix.records import Turn


@dataclass(frozen=True)
class Speech:
    turns: tuple[Turn, ...]
    """Sorted by start; turns of different speakers may overlap. Speakers are numbered 0, 1, ... by first appearance."""
    confidence: float
    """0..1."""


class Diarizer(Judge, Protocol):
    """Constructed with `threads` (CPU threads)."""

    def diarize(self, wave: np.ndarray, sample_rate: int) -> Speech:
        """`wave` float32 mono (samples,) at any rate."""
