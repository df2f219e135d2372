"""Tracks of a clip, decoded from its stems' bytes in this process: mono, at the audio encoder's rate."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from demix.media.audio import mono, resample
from mtv_train.data.errors import SampleError
from mtv_train.data.settings import WindowSettings


def samples_at(frame: int, window: WindowSettings) -> int:
    """Samples of a track before a frame of the window's clock."""
    return round(frame / window.rate * window.sample_rate)


def read_track(data: bytes, key: str, track: str, frames: int, window: WindowSettings) -> np.ndarray:
    """A whole stem as float32 (samples,), exactly as long as `frames` of video.

    A stem that ends up to a frame early is filled up with silence, and an empty member is silence throughout; one that
    ends earlier raises SampleError (`short`), one that cannot be decoded too (`sound`).
    """
    if not data:
        return np.zeros(samples_at(frames, window), np.float32)
    try:
        wave, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise SampleError(key, "sound", f"{track}: {error.error_string}") from error  # not where in memory it lay
    resampled = resample(mono(np.ascontiguousarray(wave.T)), int(rate), window.sample_rate)
    length = samples_at(frames, window)
    if len(resampled) < length - samples_at(1, window):
        seconds = len(resampled) / window.sample_rate
        raise SampleError(key, "short", f"{track} ends after {seconds:.2f} s, the pictures do not")
    exact = np.zeros(length, np.float32)
    exact[: min(length, len(resampled))] = resampled[:length]
    return exact
