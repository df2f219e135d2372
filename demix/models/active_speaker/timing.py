"""Frames, samples and the 25 frames a second that the nets were trained on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from demix.media.audio import rms_db

NET_FPS = 25
"""Frames a second of everything the nets saw."""


def sounding(wave: np.ndarray, sample_rate: int, fps: float, frames: int, silence_db: float) -> np.ndarray:
    """Which of `frames` frames have sound of more than `silence_db` dBFS, boolean (frames,)."""
    edges = [round(index * sample_rate / fps) for index in range(frames + 1)]
    return np.array([rms_db(wave[a:b]) > silence_db for a, b in pairwise(edges)])


def at_net_rate(frames: int, fps: float) -> np.ndarray:
    """Numbers of the frames, of `frames` at `fps`, that are shown in the middle of each 1/25 s; at least one."""
    count = max(round(frames * NET_FPS / fps), 1)
    return np.minimum(((np.arange(count) + 0.5) * fps / NET_FPS).astype(int), frames - 1)


def from_net_rate(values: np.ndarray, frames: int, fps: float) -> np.ndarray:
    """Values of 1/25 s each (n,) as values of `frames` frames at `fps`: those in the middle of each frame."""
    return values[np.minimum(((np.arange(frames) + 0.5) * NET_FPS / fps).astype(int), len(values) - 1)]


def spans(frames: int, length: int, flush: bool) -> list[tuple[int, int, int]]:
    """Chunks (start, end, first frame that the chunk answers for) of `length` frames that cover `frames` frames.

    The last is as short as it happens to be, as in the references; with `flush`, it is `length` long too (if there
    are as many frames), reaches back over the one before, and answers only for what that left out.
    """
    starts = range(0, frames, length)
    if flush and frames > length:
        return [(min(start, frames - length), min(start + length, frames), start) for start in starts]
    return [(start, min(start + length, frames), start) for start in starts]


def smoothed(scores: np.ndarray, drop_last: bool = False) -> np.ndarray:
    """Means over five frames (n,), fewer at the ends. `drop_last`: as the references' demos, which lose the last score
    from the last windows."""
    end = len(scores) - 1 if drop_last else len(scores)
    return np.array([scores[max(i - 2, 0) : min(i + 3, end)].mean() for i in range(len(scores))])
