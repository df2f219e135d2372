"""The 64 "musical" bands of BandIt: equal steps in pitch, each overlapping its neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np


@dataclass(frozen=True)
class Band:
    """Frequency bins [start, end) of a spectrum, and what each bin's estimate counts in it."""

    start: int
    end: int
    weights: np.ndarray
    """float32 (end - start,): 1 / the number of bands that hold the bin."""

    @property
    def width(self) -> int:
        return self.end - self.start


@cache
def musical_bands(count: int = 64, sample_rate: int = 44_100, n_fft: int = 2048) -> tuple[Band, ...]:
    """Bands whose centres stand at equal distances in pitch between the first bin and half the sample rate. A band
    reaches one band's width down and up; the first and the last take what is left at the ends."""
    bins = n_fft // 2 + 1
    spacing = sample_rate / n_fft
    lowest, highest = spacing, sample_rate / 2
    width = 2.0 ** (np.log2(highest / lowest) / count)
    pitches = np.linspace(max(0.0, _pitch(lowest)), _pitch(highest), count)
    centres = 440.0 * 2.0 ** ((pitches - 69) / 12)
    first = np.floor(centres / width / spacing).astype(int)
    last = np.ceil(centres * width / spacing).astype(int)
    member = np.zeros((count, bins), bool)
    for band in range(count):
        member[band, first[band] : last[band] + 1] = True
    member[0, : first[0]] = True
    member[-1, last[-1] + 1 :] = True
    share = (member / member.sum(axis=0)).astype(np.float32)
    spans = [np.flatnonzero(row) for row in member]
    return tuple(
        Band(int(span[0]), int(span[-1]) + 1, share[band, span[0] : span[-1] + 1]) for band, span in enumerate(spans)
    )


def _pitch(hertz: float) -> float:
    """MIDI note number."""
    return float(69 + 12 * np.log2(hertz / 440.0))
