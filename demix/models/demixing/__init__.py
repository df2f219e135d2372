"""Role: take a film's sound apart. Two independent demixers answer, and the stage compares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from demix.models.base import Judge


@dataclass(frozen=True)
class ThreeStems:
    """float32 (channels, samples), each with exactly the mix's shape."""

    speech: np.ndarray
    effects: np.ndarray
    music: np.ndarray
    confidence: dict[str, float]
    """speech, effects, music -> 0..1: how sure the model is of that track; 0 says "cannot know"."""


@dataclass(frozen=True)
class TwoStems:
    speech: np.ndarray
    others: np.ndarray


class ThreeStemDemixer(Judge, Protocol):
    bandwidth_hz: float
    """Above this the model's stems hold nothing (or nothing meaningful)."""

    def separate(self, wave: np.ndarray, sample_rate: int, seed: int) -> ThreeStems:
        """`wave` float32 (channels, samples) at any rate. Same wave and seed, same answer, bit for bit."""


class TwoStemDemixer(Judge, Protocol):
    bandwidth_hz: float

    def separate(self, wave: np.ndarray, sample_rate: int, seed: int) -> TwoStems: ...
