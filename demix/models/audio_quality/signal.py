"""Quality from the signal alone: no weights, no opinion of taste, only what is plainly measurable."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pyloudnorm
from scipy import signal

from demix.media.audio import SILENCE_DB, rms_db

FRAME_SECONDS = 0.05
SILENT_FRAME_DB = -60.0
PLATEAU_SAMPLES = 3
STEP = 1.5 / 2**15
"""Neighbouring samples of a 16-bit plateau differ by no more than one step, whatever the rounding."""


class SignalQuality:
    """Scores, all finite:

    - `clipped_share`: share of samples on flat tops near the peak (0..1), the worst channel's
    - `bandwidth_hz`: highest frequency that the louder moments still reach, 50 dB below their speech band
    - `noise_floor_db`: 5th percentile of the 50 ms frame levels, dBFS
    - `dynamics_db`: 95th percentile of the frame levels above that floor
    - `loudness_lufs`: integrated loudness (ITU-R BS.1770-4), -120 where everything is gated
    - `silent_share`: share of 50 ms frames below -60 dBFS (0..1)
    - `dc_offset`: largest mean of a channel (0..1)
    - `holes_share`: share of the band's time-frequency cells that are empty beside full ones, as coarse codecs leave
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
        "noise_floor_db": float(floor),
        "dynamics_db": float(loud - floor),
        "loudness_lufs": loudness_lufs(wave, sample_rate),
        "silent_share": float(np.mean(levels < SILENT_FRAME_DB)),
        "dc_offset": float(np.abs(wave.mean(axis=1, dtype=np.float64)).max()),
        "holes_share": holes_share(frequencies, power, bandwidth),
    }


def frame_levels(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """RMS of each 50 ms frame in dBFS, float (frames,); at least one frame."""
    size = min(max(round(FRAME_SECONDS * sample_rate), 1), wave.shape[-1])
    frames = wave[:, : wave.shape[-1] // size * size].reshape(len(wave), -1, size)
    return np.array([rms_db(frames[:, index]) for index in range(frames.shape[1])])


def clipped_share(channel: np.ndarray) -> float:
    """Share of samples (samples,) that lie in runs of three or more equal samples within 5 % of the peak.

    Flat tops are looked for at the wave's own peak, so that clipping is found after the level was turned down too.
    """
    peak = float(np.abs(channel).max())
    if peak < 0.01:
        return 0.0
    top = np.abs(channel) >= 0.95 * peak
    flat = (np.abs(np.diff(channel)) <= STEP) & top[1:] & top[:-1]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]]).astype(np.int8)))
    runs = edges[1::2] - edges[::2] + 1
    return float(runs[runs >= PLATEAU_SAMPLES].sum() / len(channel))


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
    size = min(2048, wave.shape[1])
    frequencies, _, power = signal.spectrogram(wave, sample_rate, "hann", size, size // 2, mode="psd")
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


def holes_share(frequencies: np.ndarray, power: np.ndarray, bandwidth: float) -> float:
    """Share of cells from 1 kHz to `bandwidth` that are 35 dB below the same bin's median over loud frames."""
    band = (frequencies >= 1000) & (frequencies <= bandwidth)
    if not band.any():
        return 0.0
    inside = power[band]
    loud = inside.sum(axis=0) > 0.1 * np.percentile(inside.sum(axis=0), 90)
    if inside[:, loud].size == 0:
        return 0.0
    usual = np.median(inside[:, loud], axis=1, keepdims=True)
    return float(np.mean(inside[:, loud] < usual * 10**-3.5))
