"""Audiobox Aesthetics: four scores of how a sound is liked, learnt from people's answers (Tjandra et al. 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from demix import weights
from demix.lazy_module import lazy_module
from demix.media.audio import mono
from demix.models.audio_quality.settings import AudioboxSettings
from demix.models.batches import in_batches, torch_device
from demix.models.missing import MissingPackage
from demix.stage import Resources
from demix.weights import WeightsBroken
from demix.weights.files import load_pickle

if TYPE_CHECKING:
    import torch
    from torch import nn
else:
    torch = lazy_module("torch")
    nn = lazy_module("torch.nn")

RATE = 16_000
WINDOW = 10 * RATE
"""Samples of a window. Windows do not overlap; the last is filled up with silence that a mask hides."""
AXES = ("CE", "CU", "PC", "PQ")
CONFIG = (
    "proj_num_layer", "proj_ln", "proj_act_fn", "proj_dropout", "nth_layer", "use_weighted_layer_sum", "precision",
    "normalize_embed", "output_dim",
)  # fmt: skip
"""What the checkpoint says of its own shape."""


class AudioboxQuality:
    """A `QualityScorer`. Scores of 1 to 10:

    - `CE` content enjoyment: how much the sound is liked
    - `CU` content usefulness: how likely it can be used in a production
    - `PC` production complexity: how many things sound; low is no fault
    - `PQ` production quality: noise, distortion, bandwidth, balance

    They are opinions: speech is rated higher than sound effects, so a limit keeps more of the one than of the other.
    """

    name: ClassVar[str] = "audiobox"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "CC-BY-4.0 (code and weights: facebookresearch/audiobox-aesthetics); parts MIT (WavLM)"
    resources: ClassVar[Resources] = Resources(gpus=0.25, pool="audio_quality")

    @classmethod
    def weights(cls, settings: AudioboxSettings) -> tuple[str, ...]:
        return ("audiobox",)

    def __init__(self, settings: AudioboxSettings, device: str = "auto"):
        self.settings = settings
        self.device = torch_device(device)
        network, self.targets = load(weights.locate("audiobox")["model"])
        self.network = network.to(self.device)

    def score(self, waves: Sequence[np.ndarray], sample_rate: int) -> list[dict[str, float]]:
        """CE, CU, PC, PQ per wave, float32 (channels, samples): means over its windows, weighed by their length."""
        cut = [windows(at_rate(wave, sample_rate)) for wave in waves]
        flat = [window for found in cut for window in found]
        answers = iter(in_batches(self._answers, flat, self.settings.batch))
        return [self._mean([(next(answers), valid) for _, valid in found]) for found in cut]

    def _answers(self, found: Sequence[tuple[torch.Tensor, int]]) -> list[np.ndarray]:
        """The net's own scores (axes,) per window, about 0 with spread 1."""
        sound = torch.stack([window for window, _ in found])[:, None]  # (windows, 1, samples)
        valid = torch.tensor([count for _, count in found])
        mask = torch.arange(WINDOW) < valid[:, None, None]
        with torch.inference_mode():
            answer = self.network({"wav": sound.to(self.device), "mask": mask.to(self.device)})
        return list(torch.stack([answer[axis] for axis in AXES], 1).double().cpu().numpy())

    def _mean(self, found: Sequence[tuple[np.ndarray, int]]) -> dict[str, float]:
        shares = np.array([valid for _, valid in found], float)
        answers = np.stack([answer for answer, _ in found])
        mean = (answers * shares[:, None]).sum(0) / shares.sum()
        return {
            axis: float(value * self.targets[axis]["std"] + self.targets[axis]["mean"])
            for axis, value in zip(AXES, mean, strict=True)
        }


def at_rate(wave: np.ndarray, sample_rate: int) -> torch.Tensor:
    """Mono float32 (samples,) at 16 kHz, resampled by torchaudio as the reference does."""
    from torchaudio.functional import resample

    return resample(torch.from_numpy(mono(wave)), sample_rate, RATE)


def windows(sound: torch.Tensor) -> list[tuple[torch.Tensor, int]]:
    """Windows (`WINDOW` samples,) of `sound` (samples,) and how many samples of each are sound; at least one window."""
    parts = sound.split(WINDOW) if len(sound) else (torch.zeros(1),)
    return [(nn.functional.pad(part, (0, WINDOW - len(part))), len(part)) for part in parts]


def load(path: Path) -> tuple[nn.Module, Mapping[str, Mapping[str, float]]]:
    """The net of the released checkpoint, and mean and spread of each axis. Raises `WeightsBroken`."""
    network_class = _network_class()
    found: Any = load_pickle(path)
    try:
        config = {name: found["model_cfg"][name] for name in CONFIG}
        targets = {axis: found["target_transform"][axis] for axis in AXES}
        state = {name.removeprefix("model."): value for name, value in found["state_dict"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise WeightsBroken(
            f"{path}: not the released checkpoint of audiobox-aesthetics ({error} is missing)"
        ) from error
    network: nn.Module = network_class(**config, target_transform=targets)
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise WeightsBroken(f"{path}: not the weights of audiobox-aesthetics: {error}") from error
    return network.eval(), targets


def _network_class() -> Any:
    try:
        from audiobox_aesthetics.model.aes import AesMultiOutput
    except ImportError as error:
        raise MissingPackage("audiobox", "the package audiobox_aesthetics", "paper") from error
    return AesMultiOutput
