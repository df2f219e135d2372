"""One video that is to be scored: where it lies, and, decoded, its pictures and its sound."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from demix.media.audio import mono, resample
from demix.media.limits import MediaLimits
from demix.media.whole import read_whole

SILENT = "has no sound"
"""Why a film without a sound track has no value of what is heard."""


class Unscorable(ValueError):
    """This video has no value of some metric; the message says why. It is listed, and in no average."""


@dataclass(frozen=True)
class Video:
    """A file, not yet opened."""

    name: str
    """Unique in its set: the path below the folder without suffix, or the clip's id."""
    path: Path
    text: str | None = None
    """What it was made from, or shows; None where nobody said."""
    no_text: str = "no text: put it into a .txt or .json beside the video"
    """Why there is none."""
    broken_text: bool = False
    """Whether there would be one, if it could be read."""


@dataclass(frozen=True)
class Clip:
    """A video in memory."""

    name: str
    pictures: np.ndarray
    """uint8 RGB (frames, height, width, 3)."""
    times: np.ndarray
    """Seconds of each picture after the first, float64 (frames,)."""
    fps: Fraction
    wave: np.ndarray | None
    """float32 (channels, samples), in step with the pictures; None for a silent film."""
    sample_rate: int
    text: str | None = None
    no_text: str = ""
    """Why there is no text."""
    sha256: str = ""
    cut: bool = False
    """Whether the file goes on after `pictures`."""

    def mono(self, sample_rate: int) -> np.ndarray:
        """What is heard of the channels, float32 (samples,), at another rate. Raises `Unscorable` for a silent film."""
        if self.wave is None:
            raise Unscorable(SILENT)
        return resample(mono(self.wave), self.sample_rate, sample_rate)

    def at(self, fps: float) -> np.ndarray:
        """Indices of the pictures on the screen at 0, 1/fps, 2/fps ... seconds, for as long as the video lasts.

        Each picture stays until the next; the last one for one frame of the video's own rate.
        """
        seconds = float(self.times[-1]) + 1 / float(self.fps)
        count = max(round(seconds * fps), 1)
        # A microsecond of slack: times are rounded ticks, and an exact tie belongs to the later picture.
        return np.searchsorted(self.times, np.arange(count) / fps + 1e-6, side="right") - 1


def read_clip(video: Video, max_seconds: float, limits: MediaLimits | None = None) -> Clip:
    """Decodes the first `max_seconds` of `video`. Raises `MediaError` for a file that is no video."""
    whole = read_whole(video.path, limits or MediaLimits(), max_seconds)
    facts = whole.probe
    return Clip(
        name=video.name,
        pictures=whole.pictures,
        times=whole.times,
        fps=Fraction(facts.video.average_rate),
        wave=whole.wave,
        sample_rate=whole.sample_rate,
        text=video.text,
        no_text=video.no_text,
        sha256=facts.sha256,
        cut=len(whole.pictures) < facts.video.frames,
    )
