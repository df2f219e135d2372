"""Spleeter 2stems, the paper's second demixer, in PyTorch: the same gain, the same edges as the package.

The spectrum is TensorFlow's: 4096 zeros before the wave, frames of 4096 every 1024 samples, a periodic Hann window, no
centring, and zeros for what the last frame lacks. Above 11025 Hz (bin 1024) both stems are silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from demix import weights
from demix.lazy_module import lazy_module
from demix.models.batches import in_batches, torch_device
from demix.models.demixing import TwoStems
from demix.models.demixing.rates import restored, stereo
from demix.models.demixing.settings import SpleeterSettings
from demix.stage import Resources
from demix.weights.tensorflow import read_bundle

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from torch import nn
else:
    torch = lazy_module("torch")
    F = lazy_module("torch.nn.functional")
    nn = lazy_module("torch.nn")

SIZE, HOP = 4096, 1024
GAIN = 2 / 3
"""Hann windows, used twice, at a quarter's hop, sum to 1.5."""
EPSILON = 1e-10
"""Keeps the masks defined where both networks answer 0: each gets a half."""


class Spleeter:
    """A `TwoStemDemixer`."""

    name: ClassVar[str] = "spleeter"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "Apache-2.0 (this project); architecture and weights of deezer/spleeter, MIT"
    resources: ClassVar[Resources] = Resources(cpus=1, gpus=0.5, pool="demixing")
    bandwidth_hz: float = 11_025.0

    def __init__(self, settings: SpleeterSettings, device: str = "auto"):
        from demix.models.demixing.spleeter_network import unets

        self.settings = settings
        self.device = torch_device(device)
        files = weights.locate("spleeter_2stems")
        self.networks = unets(read_bundle(files["index"], files["data"])).to(self.device)

    @classmethod
    def weights(cls, settings: SpleeterSettings) -> tuple[str, ...]:
        return ("spleeter_2stems",)

    def separate(self, wave: np.ndarray, sample_rate: int, seed: int) -> TwoStems:
        """See `TwoStemDemixer`; nothing in here is random."""
        if wave.shape[1] == 0:
            return TwoStems(wave, wave)
        stems = estimate(
            self.networks, torch.from_numpy(stereo(wave, sample_rate)), self.settings.batch, self.device
        ).numpy()
        return TwoStems(*(restored(stem, wave, sample_rate) for stem in stems))


def estimate(networks: nn.ModuleDict, wave: torch.Tensor, batch: int, device: torch.device) -> torch.Tensor:
    """(vocals, accompaniment; 2, samples) of `wave` (2, samples) at 44.1 kHz."""
    from demix.models.demixing.spleeter_network import BINS

    with torch.inference_mode():
        spectrum = forward_transform(wave)
        mask = masks(networks, spectrum[..., :BINS].abs(), batch, device)
        return inverse_transform(spectrum * F.pad(mask, (0, spectrum.shape[-1] - BINS)), wave.shape[-1])


def masks(networks: nn.ModuleDict, magnitude: torch.Tensor, batch: int, device: torch.device) -> torch.Tensor:
    """(vocals, accompaniment; channels, frames, bins): shares of the power, which sum to 1; from `magnitude` (channels,
    frames, bins)."""
    from demix.models.demixing.spleeter_network import FRAMES, INSTRUMENTS

    frames = magnitude.shape[1]
    padded = F.pad(magnitude, (0, 0, 0, -frames % FRAMES))
    segments = list(padded.unflatten(1, (-1, FRAMES)).transpose(0, 1))

    def answer(some: list[torch.Tensor]) -> list[torch.Tensor]:
        mix = torch.stack(some).to(device)
        power = torch.stack([networks[name](mix) for name in INSTRUMENTS], dim=1).square()
        return list(((power + EPSILON / 2) / (power.sum(dim=1, keepdim=True) + EPSILON)).cpu())

    with torch.inference_mode():
        found = torch.cat(in_batches(lambda some: answer(list(some)), segments, batch), dim=2)
    return found[:, :, :frames]


def forward_transform(wave: torch.Tensor) -> torch.Tensor:
    """Complex (channels, frames, 2049) of a wave (channels, samples)."""
    length = wave.shape[-1] + SIZE
    frames = -(-length // HOP)
    padded = F.pad(wave, (SIZE, (frames - 1) * HOP + SIZE - length))
    found = torch.stft(padded, SIZE, HOP, window=torch.hann_window(SIZE), center=False, return_complex=True)
    return found.transpose(1, 2)


def inverse_transform(spectrum: torch.Tensor, samples: int) -> torch.Tensor:
    """Waves (..., samples) of spectra (..., frames, 2049). The overlapping frames are just summed, as TensorFlow does:
    at the end, where fewer overlap, the wave fades."""
    frames = spectrum.shape[-2]
    pieces = torch.fft.irfft(spectrum, SIZE) * torch.hann_window(SIZE) * GAIN
    flat = pieces.reshape(-1, frames, SIZE).transpose(1, 2)
    length = (frames - 1) * HOP + SIZE
    summed = F.fold(flat, output_size=(1, length), kernel_size=(1, SIZE), stride=(1, HOP))
    return summed.reshape(*spectrum.shape[:-2], length)[..., SIZE : SIZE + samples]
