"""A mouth that moves more than the rest of its face, while there is speech."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from demix.lazy_module import lazy_module
from demix.models.active_speaker.timing import sounding

cv2: Any = lazy_module("cv2")

SCALE = 0.5
"""Crops are halved before the flow: pixels of compressed film carry no more."""
FACE = (slice(4, 82), slice(28, 84))
MOUTH = (slice(54, 80), slice(40, 72))
UPPER = (slice(12, 48), slice(32, 80))
"""Rows and columns in the halved crop, whose face box is rows 0-80 and columns 16-96: forehead to chin between the
ears; from under the nose to the chin; brows to nose."""


class MouthFlow:
    """Dense optical flow (Farneback) between consecutive crops, less the face's own median motion; a face speaks where
    the mean motion of the mouth exceeds that of the upper face by a factor, over the speech within two seconds.

    It answers "this mouth moves as in speech while there is speech", not "this sound comes from this mouth": dubbing,
    chewing and laughing pass. Needs no weights.
    """

    name: ClassVar[str] = "mouth_flow"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "Apache-2.0 (this project; no weights)"

    threshold: ClassVar[float] = 0.25
    """Of ln((mouth + floor) / (upper face + floor)). Measured: .29 to 1.3 in windows of speech, -.1 to .12 without."""
    floor: ClassVar[float] = 0.1
    """Motion in pixels of the 224 crop per 1/25 s that is only noise."""
    window_seconds: ClassVar[float] = 2.0
    """Length of the stretch around a frame that decides about it: shorter ones follow syllables, not speech."""
    most_motion: ClassVar[float] = 0.9
    """Mean motion of the upper face, in the same pixels, above which (head turning, camera shake, a coarse picture)
    nothing can be said of the mouth."""
    least_seconds: ClassVar[float] = 0.4
    """Sound that must fall on the track for a decision."""
    silence_db: ClassVar[float] = -60.0
    """dBFS: frames with less sound say nothing of who speaks."""

    def __init__(self, threads: int = 1):
        cv2.setNumThreads(threads)

    def score(self, faces: np.ndarray, fps: float, wave: np.ndarray, sample_rate: int) -> np.ndarray | None:
        """Log ratio of mouth to upper-face motion less the threshold, float32 (frames,), above 0 where it speaks.

        None when less than `least_seconds` of sound falls on the track, or the upper face moves more than
        `most_motion` on average. `faces` uint8 (frames, 224, 224) at `fps`; `wave` float32 (samples,), their sound.
        """
        heard = sounding(wave, sample_rate, fps, len(faces), self.silence_db)
        if heard.sum() < max(self.least_seconds * fps, 1) or len(faces) < 2:
            return None
        motion = _motion(faces) * fps / 25
        if motion[heard, 1].mean() > self.most_motion:
            return None
        mouth, upper = _around(motion, heard, round(self.window_seconds * fps)).T
        return (np.log((mouth + self.floor) / (upper + self.floor)) - self.threshold).astype(np.float32)


def _motion(faces: np.ndarray) -> np.ndarray:
    """Mean motion of mouth and upper face against the whole face, in pixels of the crop a frame, (frames, 2)."""
    small = [cv2.resize(face, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_AREA) for face in faces]
    rows = []
    for before, after in pairwise(small):
        flow = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)
        residual = np.hypot(*np.moveaxis(flow - np.median(flow[FACE], axis=(0, 1)), 2, 0))
        rows.append((residual[MOUTH].mean() / SCALE, residual[UPPER].mean() / SCALE))
    return np.array([*rows, rows[-1]])


def _around(values: np.ndarray, chosen: np.ndarray, window: int) -> np.ndarray:
    """Mean of `values` (frames, n) over the chosen frames within half a window of every frame; 0 where none is near."""
    half = max(window // 2, 1)
    sums = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), values * chosen[:, None]]), axis=0)
    counts = np.cumsum(np.concatenate([[0], chosen]))
    first = np.clip(np.arange(len(values)) - half, 0, None)
    last = np.clip(np.arange(len(values)) + half + 1, None, len(values))
    return (sums[last] - sums[first]) / np.maximum(counts[last] - counts[first], 1)[:, None]
