"""Videos sampled in the course of training, with the sound that they were made from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor, nn

from mtv_train.config import TrainSettings
from mtv_train.data.batch import Batch, ClipWaves
from mtv_train.data.encoders import Encoders
from mtv_train.data.index import DatasetIndex
from mtv_train.data.loader import Loader
from mtv_train.data.order import StageMix
from mtv_train.data.randomness import generator, stage_seed
from mtv_train.data.settings import LoaderSettings, WindowSettings
from mtv_train.distributed.world import World
from mtv_train.sample.film import write_film
from mtv_train.sample.pictures import decode
from mtv_train.sample.track import Track
from mtv_train.train.sampler import sample
from mtv_train.train.step import LossStep


@dataclass(frozen=True)
class Validation:
    """The windows that videos are sampled for, the same throughout a run: this rank's part of them, encoded."""

    batches: tuple[Batch, ...]
    sounds: tuple[Tensor, ...]
    """The mix of all tracks of each, float32 (samples,)."""
    settings: TrainSettings
    world: World

    @classmethod
    def make(cls, index: DatasetIndex, encoders: Encoders, settings: TrainSettings, world: World) -> Validation:
        """Loads and encodes the windows, dealt to the ranks evenly; what is over is sampled and not written."""
        rounds = -(-settings.validation.samples // world.size)
        mix = StageMix("validation", {name: 1.0 for name in index.subsets if index.count(name)})
        loader = Loader(
            index,
            mix,
            settings.seed,
            LoaderSettings(workers=0, max_bad_share=1.0),
            batch=rounds * world.size,
            rank=world.rank,
            world=world.size,
        )
        try:
            own = next(iter(loader)).split(rounds)
        finally:
            loader.close()
        sounds = tuple(mixed(_waves(batch), settings.data.window) for batch in own)
        device = world.device
        return cls(tuple(encoders(batch.to(device)) for batch in own), sounds, settings, world)

    def run(
        self, step: LossStep, model: nn.Module, vae: nn.Module, folder: Path, name: str, often: Callable[[], None]
    ) -> list[Path]:
        """Sample all windows on all ranks; each rank writes its own as `folder/<name>_<number>.mp4`. `often` is called
        after every sampling step, on all ranks; what it raises ends this."""
        validation = self.settings.validation
        was_training = model.training
        model.eval()
        written = []
        for batch, sound in zip(self.batches, self.sounds, strict=True):
            [number] = batch.ks
            shape = self.settings.latent_shape
            noise = torch.randn(
                shape, generator=generator(stage_seed(self.settings.seed, "validation"), number, "start")
            )
            latents = sample(
                model,
                step.conditions(batch),
                noise[None].to(self.world.device),
                step.schedule,
                self.settings.diffusion.prediction,
                validation.steps,
                validation.guidance,
                often,
            )
            if number < validation.samples:
                video = decode(vae, latents, self.settings.model.latent_scale)
                path = folder / f"{name}_{number}.mp4"
                window = self.settings.data.window
                write_film(path, video[0], Track(sound[None].numpy(), window.sample_rate), window.rate)
                written.append(path)
        model.train(was_training)
        return written


def _waves(batch: Batch) -> ClipWaves:
    if batch.waves is None:
        raise ValueError("validation needs the tracks themselves; load without caches")
    return batch.waves[0]


def mixed(clip: ClipWaves, window: WindowSettings) -> Tensor:
    """The window's part of the sum of a clip's tracks, at most 1 in magnitude, float32 (samples,)."""
    total = torch.stack(list(clip.waves.values())).sum(0)
    start = round(Fraction(clip.first) / window.rate * window.sample_rate)
    length = round(Fraction(window.frames) / window.rate * window.sample_rate)
    part = total[start : start + length]
    return part / max(1.0, float(part.abs().max())) if part.numel() else part
