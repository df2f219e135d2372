"""Moving pictures with known transitions, made of coloured noise: small, fast, always the same."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

SIZE = (160, 90)


def shot(seed: int, frames: int, pan: float = 1.0) -> list[np.ndarray]:
    """`frames` pictures uint8 BGR (90, 160, 3) of a camera panning `pan` pixels a frame over a texture of its own."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (12, 40, 3)).astype(np.uint8)
    texture = cv2.resize(coarse, (800, 160), interpolation=cv2.INTER_CUBIC)
    noise = random.integers(-3, 4, (frames, 90, 160, 3))
    lefts = np.clip(np.arange(frames) * abs(pan), 0, 640).astype(int)
    views = [texture[30:120, left : left + 160] for left in (lefts if pan >= 0 else lefts[::-1])]
    return [np.clip(view + grain, 0, 255).astype(np.uint8) for view, grain in zip(views, noise, strict=True)]


def dissolve(before: list[np.ndarray], after: list[np.ndarray], frames: int) -> list[np.ndarray]:
    """The last `frames` of one shot mixed into the first of the other."""
    shares = np.arange(1, frames + 1) / (frames + 1)
    mixed = [
        cv2.addWeighted(old, 1 - share, new, share, 0)
        for old, new, share in zip(before[-frames:], after[:frames], shares, strict=True)
    ]
    return before[:-frames] + mixed + after[frames:]


def fade(before: list[np.ndarray], after: list[np.ndarray], frames: int, colour: int = 0) -> list[np.ndarray]:
    """One shot into one colour over `frames`, five frames of that, and out of it over `frames` into the other."""
    blank = np.full_like(before[0], colour)
    shares = np.arange(1, frames + 1) / (frames + 1)
    out = [cv2.addWeighted(old, 1 - s, blank, s, 0) for old, s in zip(before[-frames:], shares, strict=True)]
    back = [cv2.addWeighted(new, s, blank, 1 - s, 0) for new, s in zip(after[:frames], shares, strict=True)]
    return before[:-frames] + out + [blank] * 5 + back + after[frames:]


def joined(shots: Sequence[list[np.ndarray]]) -> tuple[list[np.ndarray], tuple[int, ...]]:
    """Shots one after another with hard cuts, and the first frame of each but the first."""
    cuts = np.cumsum([len(pictures) for pictures in shots])[:-1]
    return [picture for pictures in shots for picture in pictures], tuple(int(cut) for cut in cuts)
