"""AV-Align (Yariv et al. 2024): do peaks of motion and onsets of sound come together? Both published versions.

The score is the intersection over union of two lists of times. The paper warns of it (section 7.2): in films, real
videos score lowest of all, for most of their sound has no moving cause in the picture.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self, get_args

import cv2
import numpy as np
import torch

from demix.models.compiling import compiling
from mtv_train.evaluate.metric import Arrays, Column, Unscorable
from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.suite import Suite
from mtv_train.evaluate.video import Clip

Version = Literal["2023", "2025"]
SAMPLE_RATE = 22_050
"""What librosa loads at by default, and so what the published scores were measured at."""
FLOOR = 0.1
"""Pixels of mean motion below which a peak is none (version 2025)."""


class AVAlign:
    """2023 (the paper's first code): every local maximum of motion counts, and may serve several onsets. 2025 (the
    corrected code): peaks below `FLOOR` are none, and each serves one onset only. The paper does not say which."""

    name: ClassVar[str] = "av_align"
    revision: ClassVar[str] = "1"
    columns: ClassVar[tuple[Column, ...]] = (
        Column("av_align_2023", "AV-Align (2023)", "higher", decimals=3),
        Column("av_align_2025", "AV-Align (2025)", "higher", decimals=3),
    )

    @classmethod
    def build(cls, settings: EvaluateSettings, suite: Suite, device: torch.device) -> Self:
        return cls()

    @classmethod
    def depends_on(cls, settings: EvaluateSettings) -> dict[str, Any]:
        return {}

    def measure(self, clip: Clip) -> Arrays:
        return {
            "onsets": onsets(clip.mono(SAMPLE_RATE)),
            "motion": motion([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in clip.pictures]),
            "fps": np.array(float(clip.fps)),
        }

    @staticmethod
    def score(measured: Arrays) -> dict[str, float]:
        fps = float(measured["fps"])
        found = {}
        for version in get_args(Version):
            peaks = motion_peaks(measured["motion"], fps, version)
            found[f"av_align_{version}"] = agreement(measured["onsets"], peaks, fps, version)
        return found


def onsets(wave: np.ndarray) -> np.ndarray:
    """Seconds of the onsets in float32 `wave` (samples,) at `SAMPLE_RATE`, as librosa's defaults find them."""
    _compile()
    return _onsets(wave)


def _onsets(wave: np.ndarray) -> np.ndarray:
    # Compiles itself on import: seconds that only this metric needs.
    from librosa.onset import onset_detect, onset_strength

    strength = onset_strength(y=wave, sr=SAMPLE_RATE)
    return np.asarray(onset_detect(onset_envelope=strength, sr=SAMPLE_RATE, units="time"), np.float64)


@functools.cache
def _compile() -> None:
    with compiling():
        _onsets(np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE).astype(np.float32))


def motion(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Mean length of the Farneback flow into each grey picture from the one before, pixels, (frames,); the first
    repeats the second. Raises `Unscorable` below two pictures."""
    if len(pictures) < 2:
        raise Unscorable("a single picture has no motion")
    lengths = []
    for before, after in itertools.pairwise(pictures):
        flow = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 3, 15, 3, 5, 1.2, 0)
        lengths.append(float(np.mean(np.hypot(flow[..., 0], flow[..., 1]))))
    return np.array([lengths[0], *lengths])


def motion_peaks(lengths: np.ndarray, fps: float, version: Version) -> np.ndarray:
    """Seconds of the strict local maxima of motion; the first and the last picture are none."""
    inner = lengths[1:-1]
    highest = (inner > lengths[:-2]) & (inner > lengths[2:])
    if version == "2025":
        highest &= inner >= FLOOR
    return (np.flatnonzero(highest) + 1) / fps


def agreement(sounds: np.ndarray, pictures: np.ndarray, fps: float, version: Version) -> float:
    """Intersection over union, 0..1, of times of sound and of motion; less than one frame apart is together.

    Raises `Unscorable` where there is neither (the published code divides by zero).
    """
    if len(sounds) + len(pictures) == 0:
        raise Unscorable("neither an onset of sound nor a peak of motion")
    free, hits = list(pictures), 0
    for sound in sounds:
        near = next((peak for peak in free if peak - 1 / fps < sound < peak + 1 / fps), None)
        if near is not None:
            hits += 1
            if version == "2025":
                free.remove(near)
    return hits / (len(sounds) + len(pictures) - hits)
