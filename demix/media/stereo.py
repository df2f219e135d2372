"""What is heard of a sound with several channels: the one place that decides it, for demixers, diarizers, active
speaker detection, training and metrics alike.

The mean of two channels loses what is in opposite phase in them (a wrongly wired microphone, surround that was matrixed
into stereo), and halves what is in one of them only. A listener in a room hears both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from demix.media.layouts import by_count, downmix

_ABSENT_POWER = 1e-4
"""A channel 40 dB below the other one is no channel: a microphone that was not plugged in."""
_OPPOSITE = -0.6
"""Similarity of two channels (1: equal, 0: unrelated, -1: opposite) from which they count as opposite. Unrelated
channels hardly ever reach it by chance, being averaged over `_AVERAGED` cells."""
_DOUBTFUL = -0.3
"""Similarity up to which the sum is right; in between it fades from sum to difference."""
_SHARE = 0.01
"""Of a wave's power: where less than this is in opposite phase, the mean loses nothing that can be heard beside the
rest, and is taken as it is."""
_WINDOW = 2048
_AVERAGED = (5, 5)
"""Bins and frames."""


@dataclass(frozen=True)
class StereoImage:
    """What is wrong with the two channels of a clip as a whole."""

    only: Literal["left", "right"] | None = None
    """The one channel that holds sound."""
    inverted: bool = False
    """Whether the right channel is the left one in opposite phase, more or less."""

    @classmethod
    def of(cls, wave: np.ndarray) -> StereoImage:
        """Of `wave` (channels, samples). Other numbers of channels than two have no faults of this kind."""
        if len(wave) != 2:
            return cls()
        left, right = (float(np.square(channel, dtype=np.float64).sum()) for channel in wave)
        if min(left, right) < _ABSENT_POWER * max(left, right):
            return cls(only="left" if left > right else "right")
        common = float(np.multiply(wave[0], wave[1], dtype=np.float64).sum())
        return cls(inverted=2 * common < _OPPOSITE * (left + right))

    def aligned(self, wave: np.ndarray) -> np.ndarray:
        """`wave` (channels, samples) without the fault: one channel, or both in phase."""
        if self.only is not None:
            return wave[:1] if self.only == "left" else wave[1:]
        return wave * np.array([[1], [-1]], wave.dtype) if self.inverted else wave

    def restored(self, wave: np.ndarray) -> np.ndarray:
        """A part of an aligned wave as a part of the wave that it came from."""
        if self.only is not None:
            silent = np.zeros_like(wave)
            return np.concatenate([wave, silent] if self.only == "left" else [silent, wave])
        return self.aligned(wave)


def heard(wave: np.ndarray) -> np.ndarray:
    """`wave` (channels, samples) as one channel, float32 (samples,), in which nothing cancels out.

    The mean of the channels where nothing is in opposite phase, exactly; else the mean of the channels with the phase
    of the quieter one turned in those parts of the spectrum that are. More than two channels are taken in the order of
    masters and made two. Raises ValueError for a wave without channels.
    """
    if wave.ndim != 2 or not len(wave):
        raise ValueError(f"a wave is (channels, samples), not {wave.shape}")
    if len(wave) > 2:
        wave = downmix(wave, by_count(len(wave)))
    image = StereoImage.of(wave)
    if image.only is not None:
        return np.ascontiguousarray(image.aligned(wave)[0], dtype=np.float32)
    if len(wave) == 1 or not _is_opposite(wave, image):
        return wave.mean(axis=0, dtype=np.float64).astype(np.float32)
    if wave.shape[1] < _WINDOW:
        return image.aligned(wave).mean(axis=0, dtype=np.float64).astype(np.float32)
    return _turned(wave)


def _is_opposite(wave: np.ndarray, image: StereoImage) -> bool:
    """Whether a part of two channels that can be heard is in opposite phase."""
    side, middle = (float(np.square(part, dtype=np.float64).sum()) for part in (wave[0] - wave[1], wave[0] + wave[1]))
    # Cheap, and enough for most film: what is in opposite phase is nearly all in the difference.
    if side * 1.3 < _SHARE * (side + middle):
        return False
    if wave.shape[1] < _WINDOW:
        return image.inverted
    similarity, power = _similarity(_spectrum(wave, _WINDOW))
    return float(power[similarity < _OPPOSITE].sum()) > _SHARE * float(power.sum())


def _spectrum(wave: np.ndarray, hop: int) -> np.ndarray:
    """complex64 (2, bins, frames), windows of `_WINDOW` that begin half a window before the wave."""
    from scipy import signal

    transform = signal.stft(wave, window="hann", nperseg=_WINDOW, noverlap=_WINDOW - hop)[2]
    return np.asarray(transform, np.complex64)


def _similarity(spectrum: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Similarity of the channels per cell, averaged over its neighbours, and their power, float32 (bins, frames)."""
    from scipy import ndimage

    left, right = spectrum
    power = (np.abs(left) ** 2 + np.abs(right) ** 2) / 2
    common = ndimage.uniform_filter((left * right.conj()).real, _AVERAGED)
    return common / (ndimage.uniform_filter(power, _AVERAGED) + 1e-20), power


def _turned(wave: np.ndarray) -> np.ndarray:
    """The mean of two channels, the quieter turned where it is opposite to the louder."""
    from scipy import signal

    hop = _WINDOW // 4
    left, right = (float(np.square(channel, dtype=np.float64).sum()) for channel in wave)
    spectrum = _spectrum(wave if left >= right else wave[::-1], hop)
    opposite = np.clip((_DOUBTFUL - _similarity(spectrum)[0]) / (_DOUBTFUL - _OPPOSITE), 0, 1)
    mixed = (spectrum[0] + (1 - 2 * opposite) * spectrum[1]) / 2
    samples = signal.istft(mixed, window="hann", nperseg=_WINDOW, noverlap=_WINDOW - hop)[1]
    return np.ascontiguousarray(samples[: wave.shape[1]], dtype=np.float32)
