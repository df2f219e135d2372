"""Tells light that comes and goes from cuts: after a flash the picture is again what it was before.

A camera's flash, lightning and a strobe change a picture as abruptly as a cut does. Over a cut it stays changed.
"""

from __future__ import annotations

import numpy as np

from demix.models.shots.gradual import Looked
from demix.models.shots.tiny import Tiny, joined, row_products

_ANY, _LIGHT = 3, 8
"""Frames after which a change has come back at once, whatever was shown meanwhile, and those within which light has:
pictures of the same structure, or of next to none."""
_CLOSER = 0.35
"""Share of the change (its mean square) that may remain between the pictures before and behind: what moved meanwhile.
Jump cuts lead to pictures that are alike, too, but stay changed."""
_SAME_STRUCTURE = 0.5
"""Correlation of a picture in a flash with the one before it, at least,"""
_BLANK = 0.35
"""or its contrast over that of the one before it, at most."""


REACH = _LIGHT + 1
"""Frames before a frame that it is compared with."""


class Returns:
    """Compares pictures with those before: takes tiny ones (`demix.models.shots.tiny`), a block at a time."""

    def __init__(self) -> None:
        self._before: Tiny | None = None
        """The last pictures of the blocks before."""
        self._seen: list[np.ndarray] = []

    def add(self, tiny: Tiny) -> None:
        """`tiny`: the next frames in display order."""
        held = joined([tiny[:1]] * REACH + [tiny] if self._before is None else [self._before, tiny])
        columns = [tiny.energy]
        for distance in range(1, REACH + 1):
            before = held[REACH - distance : -distance]
            structure = tiny.energy + before.energy - 2 * row_products(before, tiny)
            columns.append(structure + np.square(tiny.means - before.means).mean(axis=1))
        self._seen.append(np.stack(columns, axis=1).astype(np.float32))
        self._before = held[-REACH:]

    def seen(self) -> np.ndarray:
        """float32 (frames, 1 + REACH): the variance of each picture, and its mean squared difference from the one 1, 2,
        ... frames before."""
        return np.concatenate(self._seen) if self._seen else np.zeros((0, 1 + REACH), np.float32)


def flashes(returns: np.ndarray, alike: np.ndarray) -> np.ndarray:
    """bool (frames,): whether a frame lies within a flash. See `Returns.seen` and `StructureJudge.seen`."""
    lit, begun = np.zeros((2, len(returns)), bool)
    for frames in range(1, _LIGHT + 1):
        ends = np.arange(frames + 1, len(returns))  # the first frame behind
        begins = ends - frames
        found = (returns[ends, frames + 1] <= _CLOSER * returns[begins, 1]) & ~begun[begins]
        if frames > _ANY:
            blank = returns[begins, 0] <= _BLANK**2 * returns[begins - 1, 0]
            found &= (alike[begins] >= _SAME_STRUCTURE) | blank
        for begin in begins[found]:
            lit[begin : begin + frames] = begun[begin] = True
    return lit


def steady_change(
    alike: np.ndarray, change: np.ndarray, returns: np.ndarray, lit: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """`StructureJudge.seen` with every frame behind a flash compared with the one before it: a flash beside a cut would
    hide it."""
    alike, change = np.where(lit, 1.0, alike), np.where(lit, 0.0, change)
    for frame in np.flatnonzero(lit[:-1] & ~lit[1:]) + 1:
        distance = 1 + int(np.argmin(lit[:frame][::-1]))
        if distance <= REACH:
            square = float(returns[frame, distance])
            energy = float(returns[frame, 0] + returns[frame - distance, 0])
            alike[frame], change[frame] = 1 - square / max(energy, 1e-6), square**0.5
    return alike, change


def without_flashes(looked: Looked, lit: np.ndarray, step: int) -> Looked:
    """What is known of fades and dissolves, of every `step`-th frame: flashes have the contrast between what it was
    before and is behind them, and no dissolve goes through one."""
    flashing = lit[::step][: len(looked.contrast)]
    if not flashing.any() or flashing.all():
        return looked
    place, steady = np.arange(len(flashing)), ~flashing
    contrast = looked.contrast.copy()
    contrast[place[flashing]] = np.interp(place[flashing], place[steady], contrast[place[steady]])
    before = np.concatenate([[0], np.cumsum(flashing)])
    first, last = looked.hits[:, -2].astype(int), np.minimum(looked.hits[:, -1].astype(int), len(flashing) - 1)
    return Looked(contrast, looked.hits[before[last + 1] == before[first]])
