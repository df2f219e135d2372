"""RNNoise (Xiph.Org), the recurrent speech enhancer whose weights travel in the library that `pyrnnoise` brings."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from demix.lazy_module import lazy_module
from demix.media.audio import resample
from demix.models.last_answer import last_answer

rnnoise: Any = lazy_module("pyrnnoise.rnnoise")

RATE = 48000
HOP = 480
DELAY = 960
"""Samples by which the library's output lags its input (found by correlation)."""
WARM_UP_SECONDS = 4
"""The network adapts to the background as it goes; it hears the beginning backwards first, so that it knows it from the
start (and does not come out of a voice where there is none yet)."""


@dataclass(frozen=True)
class Enhanced:
    """`wave` (samples,) is what RNNoise takes for speech, aligned with its input; `voice` its voice probability per
    10 ms."""

    wave: np.ndarray
    voice: np.ndarray


@last_answer
def enhance(wave: np.ndarray, sample_rate: int) -> Enhanced:
    """Runs RNNoise over a mono wave (samples,) at any rate; the answer has the same rate and sample count."""
    samples = resample(wave, sample_rate, RATE)
    lead = min(WARM_UP_SECONDS * RATE, len(samples)) // HOP * HOP
    tail = np.zeros(DELAY + HOP, np.float32)
    frames = np.concatenate([samples[:lead][::-1], samples, tail])
    frames = frames[: len(frames) // HOP * HOP].reshape(-1, HOP)
    voice, output = _process(frames)
    aligned = output[lead + DELAY : lead + DELAY + len(samples)]
    back = resample(aligned, RATE, sample_rate)[: len(wave)]
    first = (lead + DELAY) // HOP
    return Enhanced(np.pad(back, (0, len(wave) - len(back))), voice[first : first + -(-len(samples) // HOP)])


def _process(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voice probability per frame and the output samples, from frames (n, HOP) in [-1, 1]."""
    # The binding's own wrapper rounds to 16 bits on the way in and out; the library itself works on floats.
    buffer = np.ascontiguousarray(frames * 2**15, np.float32)
    voice = np.zeros(len(buffer), np.float32)
    state = rnnoise.create()
    try:
        for index, frame in enumerate(buffer):
            pointer = frame.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
            voice[index] = rnnoise.lib.rnnoise_process_frame(state, pointer, pointer)
    finally:
        rnnoise.destroy(state)
    return voice, buffer.reshape(-1) / 2**15
