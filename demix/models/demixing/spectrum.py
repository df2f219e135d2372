"""Short-time spectra and the few operations on them that the `lite` demixers need.

Spectra are complex64 (channels, bins, frames), masks and powers float32 (bins, frames), gates float32 (frames,).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from demix.lazy_module import lazy_module

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

ndimage: Any = lazy_module("scipy.ndimage")

TINY = 1e-12


@dataclass(frozen=True)
class Transform:
    """STFT with a Hann window (the nearest power of two) and a quarter of it as hop; exactly invertible."""

    sample_rate: int
    window_seconds: float = 0.0464

    @property
    def size(self) -> int:
        return int(2 ** round(np.log2(self.window_seconds * self.sample_rate)))

    @property
    def hop(self) -> int:
        return self.size // 4

    @property
    def frame_seconds(self) -> float:
        return self.hop / self.sample_rate

    @property
    def frequencies(self) -> np.ndarray:
        return np.fft.rfftfreq(self.size, 1 / self.sample_rate)

    def forward(self, wave: np.ndarray) -> np.ndarray:
        """(channels, samples) -> (channels, bins, frames); frame t is centred on sample t * hop."""
        samples = torch.from_numpy(np.ascontiguousarray(wave, np.float32))
        window = torch.hann_window(self.size)
        spectrum = torch.stft(samples, self.size, self.hop, window=window, pad_mode="constant", return_complex=True)
        return spectrum.numpy()

    def inverse(self, spectrum: np.ndarray, samples: int) -> np.ndarray:
        window = torch.hann_window(self.size)
        wave = torch.istft(
            torch.from_numpy(np.ascontiguousarray(spectrum)), self.size, self.hop, window=window, length=samples
        )
        return wave.numpy()


def spread(values: np.ndarray, hop_seconds: float, frames: int, frame_seconds: float) -> np.ndarray:
    """A track of one value per `hop_seconds`, read at the middle of each of `frames` spectral frames."""
    index = (np.arange(frames) * frame_seconds / hop_seconds).astype(int)
    return values[np.clip(index, 0, len(values) - 1)].astype(np.float32)


def runs(active: np.ndarray) -> list[tuple[int, int]]:
    """[start, end) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def hysteresis(probability: np.ndarray, onset: float, offset: float, pad: int) -> np.ndarray:
    """1.0 from where `probability` exceeds `offset` to where it falls below, if it exceeds `onset` in between; each
    such span is widened by `pad` frames, because voiceless beginnings and ends of words stay below any threshold."""
    gate = np.zeros(len(probability), np.float32)
    for start, end in runs(probability > offset):
        if probability[start:end].max() > onset:
            gate[max(start - pad, 0) : end + pad] = 1
    return gate


def centre_similarity(spectrum: np.ndarray) -> np.ndarray:
    """How equal the first two channels are per cell (0..1, smoothed): film speech sits in the middle. 1 for mono."""
    if len(spectrum) < 2:
        return np.ones(spectrum.shape[1:], np.float32)
    left, right = spectrum[0], spectrum[1]
    common = ndimage.uniform_filter((left * right.conj()).real, (3, 5))
    power = ndimage.uniform_filter((np.abs(left) ** 2 + np.abs(right) ** 2) / 2, (3, 5))
    return np.clip(common / (power + TINY), 0, 1)


def trusted_centre(spectrum: np.ndarray, weight: np.ndarray, least: float) -> np.ndarray:
    """Similarity of the channels as a mask; all ones where the speech itself is not in the middle: its similarity,
    cells counted by `weight`, is not above `least`."""
    similarity = centre_similarity(spectrum)
    centred = (similarity * weight).sum() / (weight.sum() + TINY)
    return similarity if centred > least else np.ones_like(similarity)


def noise_power(power: np.ndarray, idle: np.ndarray, fewest: int = 8) -> np.ndarray:
    """Background power per bin (bins, 1): the mean of the idle frames. With fewer than `fewest` of them the level is
    not known; then a low quantile over time is taken, which speech leaves free in most bins."""
    if np.count_nonzero(idle) >= fewest:
        return power[:, idle].mean(axis=1, keepdims=True)
    return 1.5 * np.quantile(power, 0.1, axis=1, keepdims=True)


def sample_gate(gate: np.ndarray, hop: int, samples: int, fade: int) -> np.ndarray:
    """A frame gate as a sample gate (samples,), exactly 0 outside and with raised-cosine flanks of `fade` samples
    inside each span (none at the wave's own ends)."""
    smooth = np.zeros(samples, np.float32)
    for start, end in runs(gate > 0):
        first, last = max(start * hop - hop // 2, 0), min(end * hop - hop // 2, samples)
        if end == len(gate):
            last = samples
        width = last - first
        if width <= 0:
            continue
        ramp = min(fade, width // 2)
        flank = (0.5 - 0.5 * np.cos(np.pi * (np.arange(ramp) + 0.5) / max(ramp, 1))).astype(np.float32)
        span = np.ones(width, np.float32)
        if first > 0:
            span[:ramp] = flank
        if last < samples:
            span[width - ramp :] = flank[::-1]
        smooth[first:last] = span
    return smooth
