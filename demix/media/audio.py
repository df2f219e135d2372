"""Sound of files that this project made itself (FLAC, WAV): reading, writing, levels, rates.

Waves are float32 (channels, samples) with full scale at 1.0 everywhere.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import soundfile
import soxr  # type: ignore[import-untyped]

from demix.media.stereo import heard

SILENCE_DB = -120.0
"""The level that stands for "no sound at all" in records, so that every level is finite."""


def read_wave(path: Path) -> tuple[np.ndarray, int]:
    """Samples float32 (channels, samples) in [-1, 1) and the sample rate in Hz.

    Raises `soundfile.LibsndfileError` when the file is absent or broken.
    """
    samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.ascontiguousarray(samples.T), int(sample_rate)


def write_flac(path: Path, wave: np.ndarray, sample_rate: int, bits: int = 16) -> None:
    """Writes `wave` (channels, samples), rounded to `bits` (16 or 24); what is beyond full scale is clipped.

    A wave that `read_wave` read from a FLAC of that depth comes back bit for bit: libsndfile would scale floats by
    2^15 - 1 when writing but by 2^15 when reading, so the rounding is done here. Same wave, same bytes.
    """
    if bits not in (16, 24):
        raise ValueError(f"FLAC is written with 16 or 24 bits, not {bits}")
    if wave.ndim != 2:
        raise ValueError(f"a wave is (channels, samples), not {wave.shape}")
    if not np.isfinite(wave).all():
        raise ValueError("the wave holds samples that are not finite")
    full_scale = 2.0 ** (bits - 1)
    rounded = np.clip(np.rint(wave.astype(np.float64) * full_scale), -full_scale, full_scale - 1)
    # libsndfile takes integers left-aligned: 24 bits travel in the upper three bytes of an int32.
    samples = rounded.astype(np.int16) if bits == 16 else rounded.astype(np.int32) << 8
    soundfile.write(path, samples.T, sample_rate, format="FLAC", subtype=f"PCM_{bits}")


def rms_db(wave: np.ndarray, floor: float = SILENCE_DB) -> float:
    """Root mean square of all samples of all channels in dBFS (a full-scale square is 0, a full-scale sine -3.01).

    Never below `floor`, which also stands for an empty wave.
    """
    if wave.size == 0:
        return floor
    power = float(np.mean(np.square(wave, dtype=np.float64)))
    return max(10 * math.log10(power), floor) if power > 0 else floor


def mono(wave: np.ndarray) -> np.ndarray:
    """What is heard of `wave` (channels, samples), float32 (samples,); see `demix.media.stereo`. The mean of the
    channels, where nothing in them cancels out."""
    return heard(wave)


def resample(wave: np.ndarray, rate_from: int, rate_to: int) -> np.ndarray:
    """`wave` (..., samples) at another rate, float32, with exactly round(samples * rate_to / rate_from) samples.

    soxr in its high quality: linear phase, no delay, and the same bits on every run.
    """
    if rate_from == rate_to:
        return wave.astype(np.float32, copy=False)
    length = round(wave.shape[-1] * rate_to / rate_from)
    rows = wave.reshape(math.prod(wave.shape[:-1]), wave.shape[-1]).astype(np.float32, copy=False)
    resampled = np.zeros((len(rows), length), np.float32)
    for row, out in zip(rows, resampled, strict=True):
        samples = soxr.resample(row, rate_from, rate_to, quality="HQ")[:length]
        out[: len(samples)] = samples
    return resampled.reshape(*wave.shape[:-1], length)
