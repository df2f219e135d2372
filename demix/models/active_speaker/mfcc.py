"""Mel-frequency cepstra as `python_speech_features` makes them: what the active-speaker nets were trained on."""

from __future__ import annotations

from typing import Any

import numpy as np

from demix.lazy_module import lazy_module

fft: Any = lazy_module("scipy.fft")

RATE = 16_000
FULL_SCALE = 32_768.0
"""The nets were trained on 16-bit integers: unit-scale floats would shift the energies by 20.8 (natural log)."""
WINDOW, STEP, FFT = 400, 160, 512
"""Samples of a frame (25 ms) and between two frames (10 ms); points of the Fourier transform."""
FILTERS, CEPSTRA, LIFTER, PRE_EMPHASIS = 26, 13, 22, 0.97


def mfcc(samples: np.ndarray) -> np.ndarray:
    """Cepstra float64 (frames, 13) of int16-scaled `samples` (n,) at 16 kHz; the first column is the log energy.

    There are 1 + ceil((n - 400) / 160) frames, at least one; the last is padded with zeros. Frames have no window
    function. So 25 video frames' worth of sound gives 99 rows, not 100: see `rows_for`.
    """
    samples = np.asarray(samples, np.float64)
    emphasised = np.append(samples[:1], samples[1:] - PRE_EMPHASIS * samples[:-1])
    count = 1 + max(-(-(len(samples) - WINDOW) // STEP), 0)
    padded = np.zeros((count - 1) * STEP + WINDOW)
    padded[: len(emphasised)] = emphasised[: len(padded)]
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::STEP]
    power = np.square(np.abs(np.fft.rfft(frames, FFT))) / FFT
    cepstra = fft.dct(_log(power @ _filters().T), type=2, axis=1, norm="ortho")[:, :CEPSTRA]
    cepstra *= 1 + LIFTER / 2 * np.sin(np.pi * np.arange(CEPSTRA) / LIFTER)
    cepstra[:, 0] = _log(power.sum(1))
    return cepstra


def rows_for(wave: np.ndarray, rows: int) -> np.ndarray:
    """Exactly `rows` rows of cepstra, float32 (rows, 13), of `wave` float32 (samples,) at 16 kHz with full scale 1.

    The wave is cut, or continued with silence: `rows` frames need 15 ms more sound than they last.
    """
    needed = (rows - 1) * STEP + WINDOW
    padded = np.zeros(needed, np.float64)
    padded[: len(wave)] = wave[:needed]
    return mfcc(np.clip(np.rint(padded * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1)).astype(np.float32)


def _log(values: np.ndarray) -> np.ndarray:
    return np.log(np.where(values == 0, np.finfo(np.float64).eps, values))


def _filters() -> np.ndarray:
    """Triangles evenly spaced in mel from 0 Hz to half the rate, on whole bins of the transform, (filters, bins)."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, FILTERS + 2) / 2595) - 1)
    bins = np.floor((FFT + 1) * edges / RATE)
    line = np.arange(FFT // 2 + 1)
    low, middle, high = (bins[start : start + FILTERS, None] for start in range(3))
    rising = (line - low) / np.maximum(middle - low, 1)
    falling = (high - line) / np.maximum(high - middle, 1)
    return np.where((line >= low) & (line < middle), rising, np.where((line >= middle) & (line < high), falling, 0.0))
