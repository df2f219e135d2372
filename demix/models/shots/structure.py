"""Judges hard cuts by the picture's structure: what a key frame's refresh or a lamp changes is not what a cut changes.

The adaptive detector measures colours; it takes the refreshed colours of a key frame for a cut, and misses cuts between
dark shots. The correlation of tiny mean-free pictures does neither: over a cut it is low and falls from one frame to
the next, while the frames around change little.
"""

from __future__ import annotations

import numpy as np

from demix.models.shots.settings import StructureSettings
from demix.models.shots.tiny import Tiny, joined, row_products

_AROUND = 2
"""Neighbouring changes on each side that a cut must stand out from."""


class StructureJudge:
    """Takes tiny pictures (`demix.models.shots.tiny`), a block at a time; keeps two numbers a frame."""

    def __init__(self, settings: StructureSettings):
        self._settings = settings
        self._before: Tiny | None = None
        """The last picture of the block before."""
        self._alike: list[np.ndarray] = []
        self._change: list[np.ndarray] = []

    def add(self, tiny: Tiny) -> None:
        """`tiny`: the next frames in display order."""
        before = joined([tiny[:1] if self._before is None else self._before, tiny[:-1]])
        product, own, its = row_products(before, tiny), tiny.energy, before.energy
        energy = np.sqrt(np.maximum(own * its, 0))
        self._alike.append(np.where(energy > 0, product / np.maximum(energy, 1e-30), 1.0))
        self._change.append(np.sqrt(np.maximum(own + its - 2 * product, 0)))
        self._before = tiny[-1:]

    def seen(self) -> tuple[np.ndarray, np.ndarray]:
        """float64 (frames,) twice: how much each frame correlates with the one before, and how much it differs from it
        (grey levels)."""
        if not self._alike:
            return np.zeros(0), np.zeros(0)
        return np.concatenate(self._alike), np.concatenate(self._change)

    def cuts(self, proposed: list[int]) -> list[int]:
        """`judged` by what was seen."""
        return judged(proposed, *self.seen(), self._settings)


def judged(proposed: list[int], alike: np.ndarray, change: np.ndarray, settings: StructureSettings) -> list[int]:
    """The proposed cuts but those over which the structure stays, and the cuts that structure alone shows; see
    `StructureJudge.seen`."""
    if not settings.enabled:
        return proposed
    kept = {cut for cut in proposed if alike[cut] < settings.same}
    for frame in np.flatnonzero(alike < settings.different):
        neighbours = np.r_[change[max(1, frame - _AROUND) : frame], change[frame + 1 : frame + 1 + _AROUND]]
        if neighbours.size and change[frame] > settings.ratio * neighbours.max() + settings.least_change:
            kept.add(int(frame))
    return sorted(kept)
