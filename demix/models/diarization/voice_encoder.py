"""The voice encoder of Resemblyzer: what a voice is like, as one vector (Wan et al. 2018, "GE2E")."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from scipy.signal import get_window
from torch import nn
from torch.nn import functional

from demix.models import carried

RATE = 16_000
HOP = 0.01
"""Seconds between two columns of the spectrogram."""
BANDS = 40
WINDOW = RATE // 40
"""Samples behind one column."""
LINEAR_MELS, LOG_STEP = 15, math.log(6.4) / 27
"""Slaney's mel scale: 15 equal steps up to 1000 Hz, then steps of this logarithm."""


class VoiceEncoder(nn.Module):
    """Three recurrent layers and a projection; the last state describes the voice."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(BANDS, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        """Spectrograms (n, columns, bands) of equal length, best of 1.6 s -> unit vectors (n, 256), none negative."""
        _, (hidden, _) = self.lstm(mels)
        return functional.normalize(self.linear(hidden[-1]).relu(), dim=1)


def load() -> VoiceEncoder:
    """The encoder with its weights, on the CPU, in evaluation mode."""
    encoder = VoiceEncoder()
    encoder.load_state_dict(carried.load("voice_encoder"))
    return encoder.eval()


def mel_spectrogram(wave: np.ndarray) -> np.ndarray:
    """Power in mel bands of `wave`, float32 mono (samples,) at `RATE`: (columns, bands), float32, not logarithmic.

    What the encoder was trained on: the defaults of `librosa.feature.melspectrogram`, which is not used because it
    compiles for half a minute on its first call.
    """
    padded = np.pad(wave, WINDOW // 2)  # columns are centred on their time
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[:: round(RATE * HOP)]
    spectrum = np.fft.rfft(frames * get_window("hann", WINDOW)).astype(np.complex64)
    return np.square(np.abs(spectrum)) @ _mel_filters().T


@cache
def _mel_filters() -> np.ndarray:
    """Triangles of equal area over the frequencies of the spectrum, (bands, frequencies), on Slaney's mel scale."""
    edges = _hertz(np.linspace(0, _mel(RATE / 2), BANDS + 2))
    frequencies = np.fft.rfftfreq(WINDOW, 1 / RATE)
    rising = (frequencies - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - frequencies) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(np.minimum(rising, falling), 0)
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


def _mel(hertz: float) -> float:
    """Slaney's scale above 1000 Hz, where it is logarithmic."""
    return LINEAR_MELS + math.log(hertz / 1000) / LOG_STEP


def _hertz(mels: np.ndarray) -> np.ndarray:
    above = np.maximum(mels - LINEAR_MELS, 0)
    return np.minimum(mels / LINEAR_MELS, 1) * 1000 * np.exp(above * LOG_STEP)
