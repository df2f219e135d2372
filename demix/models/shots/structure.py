"""Judges hard cuts by the picture's structure: what a key frame's refresh or a lamp changes is not what a cut changes.

The adaptive detector measures colours; it takes the refreshed colours of a key frame for a cut, and misses cuts between
dark shots. The correlation of tiny mean-free pictures does neither: over a cut it is low and falls from one frame to
the next, while the frames around change little.
"""

from __future__ import annotations

import numpy as np

from demix.models.shots.settings import StructureSettings

_AROUND = 2
"""Neighbouring changes on each side that a cut must stand out from."""


class StructureJudge:
    """Takes tiny mean-free pictures one by one; keeps two numbers a frame."""

    def __init__(self, settings: StructureSettings):
        self._settings = settings
        self._before: np.ndarray | None = None
        self._alike: list[float] = []
        self._change: list[float] = []

    def add(self, tiny: np.ndarray) -> None:
        """`tiny` float32 (values,), mean-free; see `demix.models.shots.gradual.tiny_picture`."""
        before = tiny if self._before is None else self._before
        energy = float(np.sqrt(np.dot(before, before) * np.dot(tiny, tiny)))
        self._alike.append(float(np.dot(before, tiny)) / energy if energy > 0 else 1.0)
        self._change.append(float(np.sqrt(np.mean(np.square(tiny - before)))))
        self._before = tiny

    def cuts(self, proposed: list[int]) -> list[int]:
        """The proposed cuts but those over which the structure stays, and the cuts that structure alone shows."""
        settings = self._settings
        if not settings.enabled:
            return proposed
        kept = {cut for cut in proposed if self._alike[cut] < settings.same}
        change = np.asarray(self._change)
        for frame in np.flatnonzero(np.asarray(self._alike) < settings.different):
            neighbours = np.r_[change[max(1, frame - _AROUND) : frame], change[frame + 1 : frame + 1 + _AROUND]]
            if neighbours.size and change[frame] > settings.ratio * neighbours.max() + settings.least_change:
                kept.add(int(frame))
        return sorted(kept)
