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
    """Takes tiny mean-free pictures, a block at a time; keeps two numbers a frame."""

    def __init__(self, settings: StructureSettings):
        self._settings = settings
        self._before: np.ndarray | None = None
        self._alike: list[float] = []
        self._change: list[float] = []

    def add(self, tiny: np.ndarray) -> None:
        """`tiny` float32 (frames, values), mean-free; see `demix.models.shots.gradual.tiny_pictures`."""
        before = np.concatenate([tiny[:1] if self._before is None else self._before, tiny[:-1]])
        energy = np.sqrt(_products(before, before) * _products(tiny, tiny))
        self._alike += np.where(energy > 0, _products(before, tiny) / np.maximum(energy, 1e-30), 1.0).tolist()
        self._change += np.sqrt(np.mean(np.square(tiny - before), axis=1)).tolist()
        self._before = tiny[-1:]

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


def _products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Inner product of each row with the other's row."""
    return np.einsum("ij,ij->i", one, other)
