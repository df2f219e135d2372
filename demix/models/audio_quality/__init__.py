"""Role: score how good a clip's sound is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from demix.models.base import Judge


class QualityScorer(Judge, Protocol):
    def score(self, waves: Sequence[np.ndarray], sample_rate: int) -> list[dict[str, float]]:
        """One dict of named, finite scores per wave, float32 (channels, samples) in [-1, 1]."""
