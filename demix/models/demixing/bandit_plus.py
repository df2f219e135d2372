"""BandIt Plus behind the role `demix_three`: on DnR better than the paper's demixer, and under a clear licence."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from demix import weights
from demix.lazy_module import lazy_module
from demix.models.batches import torch_device
from demix.models.demixing import ThreeStems
from demix.models.demixing.rates import RATE, restored, stereo
from demix.models.demixing.settings import BanditPlusSettings
from demix.models.demixing.windows import Network, OverlapAdd, answers
from demix.stage import Resources
from demix.weights.registry import WeightsBroken

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
else:
    torch = lazy_module("torch")
    F = lazy_module("torch.nn.functional")

STEMS = ("speech", "music", "effects")


class BanditPlusDemixer:
    """A `ThreeStemDemixer`. The channels are taken apart each for itself, as in the release."""

    name: ClassVar[str] = "bandit_plus"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "Apache-2.0 (this project); weights of ZFTurbo's release, MIT; architecture Apache-2.0"
    resources: ClassVar[Resources] = Resources(cpus=1, gpus=0.5, pool="demixing")
    bandwidth_hz: float = RATE / 2

    def __init__(self, settings: BanditPlusSettings, device: str = "auto"):
        from demix.models.demixing.bandit_network import BanditPlus

        self.settings = settings
        self.device = torch_device(device)
        path = weights.locate("bandit_plus")["model"]
        self.network = BanditPlus(STEMS)
        try:
            self.network.load_state_dict(weights.load_state(path, prefix="model."))
        except RuntimeError as error:
            raise WeightsBroken(f"{path}: not the released BandIt Plus: {error}") from error
        self.network.eval().to(self.device)

    @classmethod
    def weights(cls, settings: BanditPlusSettings) -> tuple[str, ...]:
        return ("bandit_plus",)

    def separate(self, wave: np.ndarray, sample_rate: int, seed: int) -> ThreeStems:
        """See `ThreeStemDemixer`; nothing in here is random. It says nothing of how sure it is."""
        if wave.shape[1] == 0:
            return ThreeStems(wave, wave, wave, {})
        estimate = self.estimate(torch.from_numpy(stereo(wave, sample_rate))).numpy()
        stems = {name: restored(stem, wave, sample_rate) for name, stem in zip(STEMS, estimate, strict=True)}
        return ThreeStems(**stems, confidence={})

    def estimate(self, wave: torch.Tensor) -> torch.Tensor:
        """(speech, music, effects; 2, samples) of `wave` (2, samples) at 44.1 kHz."""
        with torch.inference_mode():
            return chunked(
                each_channel(self.network),
                wave,
                stems=len(STEMS),
                chunk=self.settings.chunk_samples,
                overlaps=self.settings.overlaps,
                batch=self.settings.batch,
                device=self.device,
            )


def each_channel(network: torch.nn.Module) -> Network:
    """A network for one channel as one for several: the channels become batch."""

    def run(waves: torch.Tensor) -> torch.Tensor:
        batch, channels, _ = waves.shape
        return network(waves.flatten(0, 1)).unflatten(0, (batch, channels)).transpose(1, 2)

    return run


def chunked(
    network: Network,
    wave: torch.Tensor,
    *,
    stems: int,
    chunk: int,
    overlaps: int,
    batch: int,
    device: torch.device | None = None,
) -> torch.Tensor:
    """(stems, channels, samples): chunks of `chunk` samples, `overlaps` over every sample, each faded in and out.

    A wave longer than twice what two chunks share is mirrored at its ends by that much, so that all of it is covered
    equally. A chunk that ends early is mirrored at its end if it is more than half full, else filled with zeros.
    """
    samples = wave.shape[-1]
    step = max(chunk // overlaps, 1)
    border = chunk - step if samples > 2 * (chunk - step) else 0
    if border:
        wave = F.pad(wave, (border, border), mode="reflect")
    whole = wave.shape[-1]
    starts = range(0, whole, step)
    inputs = [_filled(wave[:, start : start + chunk], chunk) for start in starts]
    sums = OverlapAdd(stems, wave.shape[0], whole)
    for start, answer in zip(starts, answers(network, inputs, batch, device), strict=True):
        length = min(chunk, whole - start)
        weight = _fades(chunk, first=start == 0, last=start + step >= whole)[:length]
        sums.add(start, answer[..., :length], weight)
    return sums.mean()[..., border : border + samples]


def _filled(part: torch.Tensor, size: int) -> torch.Tensor:
    missing = size - part.shape[-1]
    mirrored = size // 2 < part.shape[-1]
    return F.pad(part, (0, missing), mode="reflect" if mirrored and missing else "constant")


def _fades(size: int, first: bool, last: bool) -> torch.Tensor:
    """Weight of a chunk's samples: a tenth of it rises from 0, a tenth falls to 0, but not at the ends of the wave."""
    weight = torch.ones(size)
    fade = size // 10
    if not first:
        weight[:fade] = torch.linspace(0, 1, fade)
    if not last:
        weight[size - fade :] = torch.linspace(1, 0, fade)
    return weight
