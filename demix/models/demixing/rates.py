"""Between a clip's sound and the stereo at 44.1 kHz that the learned demixers were trained on."""

from __future__ import annotations

import numpy as np

from demix.media.audio import resample

RATE = 44_100


def stereo(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """`wave` (1 or 2 channels, samples) as float32 (2, samples at 44.1 kHz); one channel is taken twice."""
    if wave.ndim != 2 or wave.shape[0] not in (1, 2):
        raise ValueError(f"a clip's sound has one or two channels: (channels, samples), not {wave.shape}")
    return np.broadcast_to(resample(wave, sample_rate, RATE), (2, resampled_length(wave, sample_rate))).copy()


def restored(stem: np.ndarray, wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """A stem (2, samples at 44.1 kHz) of `wave` in its shape and at its rate, float32."""
    if wave.shape[0] == 1:
        stem = stem.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
    back = resample(stem, RATE, sample_rate)[:, : wave.shape[1]]
    return np.pad(back, ((0, 0), (0, wave.shape[1] - back.shape[1])))


def resampled_length(wave: np.ndarray, sample_rate: int) -> int:
    """Samples of `wave` at 44.1 kHz."""
    return round(wave.shape[-1] * RATE / sample_rate)
