"""Quality from the signal alone: no weights, no opinion of taste, only what is plainly measurable."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from demix.lazy_module import lazy_module
from demix.media.audio import SILENCE_DB, rms_db

pyloudnorm: Any = lazy_module("pyloudnorm")
signal: Any = lazy_module("scipy.signal")

FRAME_SECONDS = 0.05
SILENT_FRAME_DB = -60.0
QUIET_PEAK = 0.01
SHORTEST_HALF_WAVE = 8
"""Samples; a shorter half-wave has too few of them to tell a flat top from a round one."""


class SignalQuality:
    """Scores, all finite:

    - `clipped_share`: share of samples on flat tops (0..1), the worst channel's
    - `bandwidth_hz`: highest frequency that the louder moments still reach, 50 dB below their speech band
    - `cut_off_hz`: where a filled spectrum ends as if cut with a knife, as telephones and coarse codecs leave it; half
      the sample rate where there is no such edge
    - `noise_floor_db`: 5th percentile of the 50 ms frame levels, dBFS
    - `dynamics_db`: 95th percentile of the frame levels above that floor
    - `loudness_lufs`: integrated loudness (ITU-R BS.1770-4), -120 where everything is gated
    - `silent_share`: share of 50 ms frames below -60 dBFS (0..1)
    - `dc_offset`: largest mean of a channel (0..1)
    """

    name: ClassVar[str] = "signal"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "Apache-2.0 (this project); loudness by pyloudnorm, MIT"

    def score(self, waves: Sequence[np.ndarray], sample_rate: int) -> list[dict[str, float]]:
        """One dict per wave, float32 (channels, samples) in [-1, 1]; any length from one sample on."""
        return [_scores(wave, sample_rate) for wave in waves]


def _scores(wave: np.ndarray, sample_rate: int) -> dict[str, float]:
    levels = frame_levels(wave, sample_rate)
    frequencies, power = _spectrogram(wave, sample_rate)
    bandwidth = bandwidth_hz(frequencies, power)
    floor, loud = np.percentile(levels, [5, 95])
    return {
        "clipped_share": max(clipped_share(channel) for channel in wave),
        "bandwidth_hz": bandwidth,
        "cut_off_hz": cut_off_hz(frequencies, power, bandwidth),
        "noise_floor_db": float(floor),
        "dynamics_db": float(loud - floor),
        "loudness_lufs": loudness_lufs(wave, sample_rate),
        "silent_share": float(np.mean(levels < SILENT_FRAME_DB)),
        "dc_offset": float(np.abs(wave.mean(axis=1, dtype=np.float64)).max()),
    }


def frame_levels(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """RMS of each 50 ms frame in dBFS, float (frames,); at least one frame."""
    size = min(max(round(FRAME_SECONDS * sample_rate), 1), wave.shape[-1])
    frames = wave[:, : wave.shape[-1] // size * size].reshape(len(wave), -1, size)
    return np.array([rms_db(frames[:, index]) for index in range(frames.shape[1])])


def clipped_share(channel: np.ndarray) -> float:
    """Share of samples (samples,) that lie on flat tops of the loud half-waves.

    A half-wave has a flat top if more than 55 % of it is within 15 % of its own peak: a sine has 35 %, hard-clipped
    sound 60 % and more, also after a lossy codec has made the tops wavy and the level was turned down, which is what
    films contain; equal neighbouring samples, the usual sign, are gone by then. Square waves count as clipped.
    """
    centred = channel - channel.mean()
    size = np.abs(centred)
    peak = np.quantile(size, 0.999)
    if peak < QUIET_PEAK:
        return 0.0
    begins = np.concatenate([[0], np.flatnonzero(np.diff(np.signbit(centred))) + 1])
    tops = np.maximum.reduceat(size, begins)
    lengths = np.diff(np.append(begins, len(size)))
    near_top = np.add.reduceat((size >= 0.85 * np.repeat(tops, lengths)).astype(int), begins)
    flat = (tops >= 0.7 * peak) & (lengths >= SHORTEST_HALF_WAVE) & (near_top > 0.55 * lengths)
    return float(near_top[flat].sum() / len(channel))


def loudness_lufs(wave: np.ndarray, sample_rate: int) -> float:
    """Integrated loudness of up to five channels; shorter waves than a gating block count as one block."""
    seconds = wave.shape[1] / sample_rate
    block = 0.4
    if seconds < block:
        wave = np.tile(wave, (1, math.ceil(block / seconds) + 1))
    meter = pyloudnorm.Meter(sample_rate, block_size=block)
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        value = float(meter.integrated_loudness(wave[:5].T.astype(np.float64)))
    return max(value, SILENCE_DB) if math.isfinite(value) else SILENCE_DB


def _spectrogram(wave: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies (bins,) and power (bins, frames) of the mean over channels of the power."""
    padded = np.pad(wave, ((0, 0), (0, max(0, 2048 - wave.shape[1]))))
    frequencies, _, power = signal.spectrogram(padded, sample_rate, "hann", 2048, 1024, mode="psd")
    return frequencies, power.mean(axis=0)


def bandwidth_hz(frequencies: np.ndarray, power: np.ndarray, depth_db: float = 50.0) -> float:
    """Highest frequency at which the 95th percentile over time is within `depth_db` of the strongest of 300..3400 Hz.

    The speech band is the reference, not the overall peak: rumble below it must not make a sound look narrow.
    """
    loud = np.percentile(power, 95, axis=1)
    smooth = np.convolve(loud, np.ones(5) / 5, "same")
    speech_band = (frequencies >= 300) & (frequencies <= 3400)
    reference = smooth[speech_band].max() if speech_band.any() else smooth.max()
    if reference <= 1e-14:
        return 0.0
    return float(frequencies[np.flatnonzero(smooth >= reference * 10 ** (-depth_db / 10))[-1]])


def cut_off_hz(frequencies: np.ndarray, power: np.ndarray, bandwidth: float) -> float:
    """`bandwidth` if the spectrum is filled up to there and falls 20 dB at once, otherwise the highest frequency.

    A flute or a sine has little bandwidth too, but that is no damage: between its partials the spectrum is empty.
    """
    loud = 10 * np.log10(np.percentile(power, 95, axis=1) + 1e-14)
    below = loud[(frequencies > 0.8 * bandwidth) & (frequencies < 0.95 * bandwidth)]
    above = loud[(frequencies > 1.1 * bandwidth) & (frequencies < 1.25 * bandwidth)]
    speech_band = loud[(frequencies >= 300) & (frequencies <= min(3400.0, bandwidth))]
    if min(len(below), len(above), len(speech_band)) == 0:
        return float(frequencies[-1])
    filled = np.mean(speech_band > loud.max() - 50) >= 0.9
    return bandwidth if filled and np.median(below) - np.median(above) >= 20 else float(frequencies[-1])
