"""The smallest MTV on samples made from their numbers: everything of a run but the dataset, in one process or many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mtv_train.config import (
    CheckpointSettings,
    LogSettings,
    OptimSettings,
    ParallelSettings,
    StageSettings,
    TrainSettings,
    ValidationSettings,
)
from mtv_train.data.batch import AudioFeatures, BadSample, Batch, Latents
from mtv_train.data.encoders import Encoders
from mtv_train.data.order import StageMix
from mtv_train.data.randomness import generator, stage_seed
from mtv_train.data.settings import DataSettings, LoaderSettings, WindowSettings
from mtv_train.distributed.fsdp import PRECISIONS, parallelize
from mtv_train.distributed.mesh import make_mesh
from mtv_train.distributed.world import World, join
from mtv_train.recipes.tiny import tiny_model
from mtv_train.train.checkpoint import committed
from mtv_train.train.components import make_transformer
from mtv_train.train.journal import Journal
from mtv_train.train.loop import Inputs, Trainer
from mtv_train.train.step import LossStep

WINDOW = WindowSettings(frames=5, stride=4, height=32, width=32)
SUBSETS = ("basic_face", "single_character")


def toy_settings(**parts: Any) -> TrainSettings:
    """Two stages of four steps, batches of four, everything saved and noted."""
    model = tiny_model()
    shape = {"sample_width": 4, "sample_height": 4, "sample_frames": WINDOW.frames, "max_text_seq_length": 4}
    backbone = model.backbone.model_copy(update={"num_attention_heads": 2, **shape})
    settings: dict[str, Any] = {
        "model": model.model_copy(update={"backbone": backbone}),
        "data": DataSettings(window=WINDOW, loader=LoaderSettings(workers=0)),
        "optim": OptimSettings(batch=4, lr=1e-3, warmup_steps=2, ema=0.5),
        "stages": {name: StageSettings(steps=4, weights={name: 1.0}) for name in SUBSETS},
        "parallel": ParallelSettings(precision="float32", activation="none"),
        "checkpoint": CheckpointSettings(every=2, keep_last=10, keep_every=0),
        "validation": ValidationSettings(every=0),
        "log": LogSettings(every=1, tensorboard=False, samples=True),
    }
    return TrainSettings(**{**settings, **parts})


def toy_batch(stage: str, seed: int, ks: tuple[int, ...], settings: TrainSettings) -> Batch:
    """Encoded samples, each a function of (seed, k) alone."""
    shape, mtv = settings.latent_shape, settings.model.mtv
    backbone = settings.model.backbone
    frames = settings.data.window.frames + 2 * mtv.audio_window

    def stacked(purpose: str, *size: int) -> torch.Tensor:
        return torch.stack([torch.randn(size, generator=generator(seed, k, purpose)) for k in ks]).bfloat16()

    tracks = {track: stacked(track, frames, mtv.feature_layers, mtv.feature_dim) for track in mtv.tracks}
    return Batch(
        stage=stage,
        seed=seed,
        ks=ks,
        keys=tuple(f"{stage}-{k}" for k in ks),
        subsets=(stage,) * len(ks),
        captions=("",) * len(ks),
        latents=Latents(stacked("mean", *shape), stacked("logvar", *shape) - 4),
        text=stacked("text", backbone.max_text_seq_length, backbone.text_embed_dim),
        audio=AudioFeatures(tracks, mtv.audio_window),
    )


@dataclass
class ToyLoader:
    """This rank's contiguous slice of every global batch. With `only`, the same samples come again and again."""

    stage: StageMix
    settings: TrainSettings
    world: World
    samples_seen: int
    only: int = 0

    def __iter__(self) -> Iterator[Batch]:
        batch = self.settings.optim.batch
        share = batch // self.world.size
        seed = stage_seed(self.settings.seed, self.stage.name)
        while True:
            first = self.samples_seen + self.world.rank * share
            ks = tuple(k % self.only if self.only else k for k in range(first, first + share))
            self.samples_seen += batch
            yield toy_batch(self.stage.name, seed, ks, self.settings)

    def close(self) -> None:
        pass


@dataclass
class Toy:
    """What a run is made of."""

    settings: TrainSettings
    run: Path
    fingerprint: str = "toy"
    only: int = 0
    stop_after: int = 0
    accept_changes: bool = False
    world: World = field(default_factory=lambda: join("cpu", 1.0))

    def trainer(self) -> Trainer:
        """One rank's, resumed."""
        settings, world = self.settings, self.world
        begun = world.share(bool(committed(self.run)))
        precision = PRECISIONS[settings.parallel.precision]
        model = make_transformer(settings.model, settings.seed, precision, begun=begun)
        model = parallelize(model, make_mesh(world, settings.parallel.replicate), settings.parallel)
        mixes = {name: StageMix(name, stage.weights) for name, stage in settings.stages.items()}

        def loader(mix: StageMix, samples_seen: int, on_bad: Callable[[BadSample], None]) -> ToyLoader:
            return ToyLoader(mix, settings, world, samples_seen, self.only)

        trainer = Trainer(
            settings,
            self.run,
            world,
            model,
            LossStep(model, Encoders(None, None, None), settings, world.device),
            Inputs(mixes, self.fingerprint, loader),
            Journal(settings, self.run, world, flops=1),
            accept_changes=self.accept_changes,
            stop_after=self.stop_after,
        )
        trainer.resume()
        return trainer
