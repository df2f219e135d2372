"""MVSEP-CDX23: the paper's first demixer, an HTDemucs trained on DnR v2; three checkpoints may be averaged."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from demix import weights
from demix.lazy_module import lazy_module
from demix.models.batches import torch_device
from demix.models.demixing import ThreeStems
from demix.models.demixing.cdx23_windows import segmented, shifted_mean
from demix.models.demixing.rates import RATE, restored, stereo
from demix.models.demixing.settings import Cdx23Settings
from demix.stage import Resources

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")


SOURCES = ("music", "effects", "speech")
"""What the release's output channels are, by index; the names in the file do not count."""


class Cdx23:
    """A `ThreeStemDemixer`. As in the release the mix is not normalised, and the stems need not sum to it."""

    name: ClassVar[str] = "cdx23"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "MIT (demucs); weights of MVSEP-CDX23: none stated, do not pass on"
    resources: ClassVar[Resources] = Resources(cpus=1, gpus=0.5, pool="demixing")
    requires: ClassVar[tuple[str, str]] = ("demucs", "paper")
    bandwidth_hz: float = RATE / 2

    def __init__(self, settings: Cdx23Settings, device: str = "auto"):
        from demix.models.demixing.cdx23_checkpoint import load

        self.settings = settings
        self.device = torch_device(device)
        self.networks = [load(path).to(self.device) for path in checkpoints(settings)]

    @classmethod
    def weights(cls, settings: Cdx23Settings) -> tuple[str, ...]:
        return ("cdx23",) if settings.checkpoints == 1 else ("cdx23", "cdx23_ensemble")

    def separate(self, wave: np.ndarray, sample_rate: int, seed: int) -> ThreeStems:
        """See `ThreeStemDemixer`; `seed` draws the shifts. It says nothing of how sure it is."""
        if wave.shape[1] == 0:
            return ThreeStems(wave, wave, wave, {})
        estimate = self.estimate(torch.from_numpy(stereo(wave, sample_rate)), seed).numpy()
        stems = {name: restored(stem, wave, sample_rate) for name, stem in zip(SOURCES, estimate, strict=True)}
        return ThreeStems(**stems, confidence={})

    def estimate(self, wave: torch.Tensor, seed: int) -> torch.Tensor:
        """(music, effects, speech; 2, samples) of `wave` (2, samples) at 44.1 kHz: the mean over the networks."""
        draw = random.Random(seed)
        with _seeded(seed), torch.inference_mode():
            total = torch.zeros(len(SOURCES), *wave.shape)
            for network in self.networks:
                separate = partial(
                    segmented,
                    network,
                    segment=int(network.samplerate * network.segment),
                    overlap=self.settings.overlap,
                    size_for=network.valid_length,
                    stems=len(SOURCES),
                    batch=self.settings.batch,
                    device=self.device,
                )
                total += shifted_mean(separate, wave, self.settings.shifts, int(0.5 * network.samplerate), draw)
            return total / len(self.networks)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Python's own generator at a known place, and where it was afterwards: the network draws its positions from it."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def checkpoints(settings: Cdx23Settings) -> list[Path]:
    """The files of the checkpoints that are averaged. Raises `WeightsMissing`."""
    return [path for name in Cdx23.weights(settings) for path in weights.locate(name).values()]
