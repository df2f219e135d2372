"""Role: does this mouth speak."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from demix.models.base import Judge


class ActiveSpeakerJudge(Judge, Protocol):
    """Constructed with `threads` (CPU threads)."""

    def score(self, faces: np.ndarray, fps: float, wave: np.ndarray, sample_rate: int) -> np.ndarray | None:
        """Scores float32 (frames,), above 0 where this face speaks; None where it cannot be decided.

        `faces` uint8 grey (frames, 224, 224): the face crops of one track, consecutive frames at `fps`, cut with the
        geometry of `demix.models.active_speaker.crops`. `wave` float32 mono, the sound of exactly those frames.
        """
