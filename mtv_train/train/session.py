"""A run put together: recipe, dataset, run folder and ranks become a trainer."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKLCogVideoX

from demix.config import ConfigError
from demix.engine.lock import held
from demix.store import atomic
from mtv_train.config import TrainSettings
from mtv_train.data.batch import BadSample
from mtv_train.data.encoders import Encoders
from mtv_train.data.errors import DatasetError
from mtv_train.data.index import DatasetIndex
from mtv_train.data.loader import Loader
from mtv_train.data.order import StageMix
from mtv_train.distributed.failure import configure_log, reported
from mtv_train.distributed.fsdp import PRECISIONS, parallelize
from mtv_train.distributed.mesh import make_mesh
from mtv_train.distributed.ranks import check_ranks
from mtv_train.distributed.world import World, join
from mtv_train.model.transformer import MTVTransformer3DModel
from mtv_train.precompute.caches import captions_cut, open_caches
from mtv_train.train import components
from mtv_train.train.checkpoint import committed, sweep
from mtv_train.train.encoding import sound_encoder, text_encoder, video_encoder
from mtv_train.train.held_out import HeldOut
from mtv_train.train.journal import Journal
from mtv_train.train.loop import Inputs, Often, Trainer
from mtv_train.train.metrics import flops_of
from mtv_train.train.stages import mixes
from mtv_train.train.state import Position
from mtv_train.train.step import LossStep
from mtv_train.train.stopping import Stopping
from mtv_train.train.validate import Validation

SETTINGS = "settings.json"

log = logging.getLogger("mtv_train")


@dataclass(frozen=True)
class Options:
    """What a person asks of one call, besides the settings."""

    device: str = "auto"
    accept_changes: bool = False
    skip_empty_stages: bool = False
    stop_after: int = 0


@dataclass(frozen=True)
class Ended:
    """How a call of `train` ended."""

    position: Position
    asked: str
    """What asked it to end before its time ("SIGTERM", "SIGUSR1", "STOP"), or nothing."""


def train(
    settings: TrainSettings,
    run: Path,
    options: Options,
    on_report: Callable[[Mapping[str, Any]], None] | None = None,
) -> Ended:
    """Join the ranks, build everything, go on where the run stands, train. Raises `ConfigError`, also where another
    call trains in the same folder."""
    world = join(options.device, settings.parallel.timeout_minutes)
    trainer: Trainer | None = None

    def where() -> str:
        if trainer is None:
            return "start"
        return f"step {trainer.position.step + 1} (stage {trainer.position.stage or 'none yet'})"

    with alone(run, world):
        Stopping(run, world).forget()
        if world.first:
            sweep(run)  # what a full disk cut off may be what fills it
        configure_log(run, world)
        with reported(run, world, where):
            trainer = make_trainer(settings, run, world, options, on_report)
            trainer.resume()
            if world.first:
                with atomic(run / SETTINGS) as path:
                    path.write_text(json.dumps(settings.model_dump(mode="json"), indent=2), encoding="utf-8")
            position = trainer.fit()
    world.leave()
    return Ended(position, trainer.stop.asked)


@contextmanager
def alone(run: Path, world: World) -> Iterator[None]:
    """While this is open, no other call trains in `run`. Raises `ConfigError` on all ranks where one does."""
    with ExitStack() as stack:
        refused = ""
        if world.first:
            try:
                stack.enter_context(held(run, "training"))
            except ConfigError as error:
                refused = str(error)
        refused = world.share(refused)
        if refused:
            raise ConfigError(refused)
        yield


def make_trainer(
    settings: TrainSettings,
    run: Path,
    world: World,
    options: Options,
    on_report: Callable[[Mapping[str, Any]], None] | None = None,
) -> Trainer:
    """Everything of a run on this rank, at its beginning."""
    check_ranks(settings, world.size)  # before minutes of loading
    mesh = make_mesh(world, settings.parallel.replicate)
    inputs, index = make_inputs(settings, world, options.skip_empty_stages)
    precision = PRECISIONS[settings.parallel.precision]
    begun = world.share(bool(committed(run)))
    model = components.make_transformer(settings.model, settings.seed, precision, world.device, begun)
    model = cast(MTVTransformer3DModel, parallelize(model, mesh, settings.parallel))
    encoders, vae = make_encoders(settings, world.device)
    step = LossStep(model, encoders, settings, world.device)
    held_out, validate = make_validations(settings, run, world, index, encoders, vae, step)
    flops = flops_of(settings)
    journal = Journal(settings, run, world, flops.forward + flops.backward, on_report)
    if encoders.text is not None:
        encoders.text.on_cut = journal.caption_cut
    return Trainer(
        settings,
        run,
        world,
        model,
        step,
        inputs,
        journal,
        held_out,
        validate,
        accept_changes=options.accept_changes,
        stop_after=options.stop_after,
    )


def make_inputs(settings: TrainSettings, world: World, skip_empty: bool) -> tuple[Inputs, DatasetIndex]:
    """The dataset's windows, the stages' mixtures of them, and how a loader is opened."""
    index = open_index(settings, "train", world)
    check_index(index, world)
    counts = {subset: index.count(subset) for subset in index.subsets}
    stages, notices = mixes(settings.stages, index, counts, skip_empty)
    for notice in notices:
        log.warning("%s", notice)
    caches = open_caches(settings, index)
    if cut := captions_cut(settings, index):
        log.warning("%d clips: the text encoder does not read the end of their captions, which are too long", cut)

    def loader(mix: StageMix, samples_seen: int, on_bad: Callable[[BadSample], None]) -> Loader:
        return Loader(
            index,
            mix,
            settings.seed,
            settings.data.loader,
            batch=settings.optim.batch,
            rank=world.rank,
            world=world.size,
            samples_seen=samples_seen,
            caches=caches,
            on_bad=on_bad,
        )

    return Inputs(stages, index.fingerprint(), loader), index


def open_index(settings: TrainSettings, split: str, world: World) -> DatasetIndex:
    """The index of a split; the first rank makes its file, the others wait and read it. Raises `ConfigError`, on all
    ranks alike."""
    if not settings.data.dataset:
        raise ConfigError("no dataset: give --data DATASET")
    index, refused = None, ""
    if world.first:
        try:
            index = DatasetIndex.open(settings.data, split)
        except DatasetError as error:
            refused = str(error)
    refused = world.share(refused)
    if refused:
        raise ConfigError(refused)
    return index or DatasetIndex.open(settings.data, split)


def check_index(index: DatasetIndex, world: World) -> None:
    """Raises `ConfigError`, on all ranks alike, where a split cannot be trained on (`DatasetIndex.check`)."""
    refused, notice = "", ""
    if world.first:
        try:
            notice = index.check()
        except DatasetError as error:
            refused = str(error)
    refused = world.share(refused)
    if refused:
        raise ConfigError(refused)
    if notice:
        log.warning("%s", notice)


def make_encoders(settings: TrainSettings, device: torch.device) -> tuple[Encoders, AutoencoderKLCogVideoX | None]:
    """The frozen encoders that a run needs in its steps, and the VAE if it is among them. What is read from a cache
    needs none."""
    cached = settings.data.cached
    video = video_encoder(settings, device) if "latents" not in cached else None
    text = text_encoder(settings, device) if "text" not in cached else None
    sound = sound_encoder(settings, device) if "audio" not in cached else None
    return Encoders(video, text, sound), video.vae if video is not None else None


def make_validations(
    settings: TrainSettings,
    run: Path,
    world: World,
    index: DatasetIndex,
    encoders: Encoders,
    vae: AutoencoderKLCogVideoX | None,
    step: LossStep,
) -> tuple[Callable[[Often], Mapping[str, float]] | None, Callable[[str, Often], None] | None]:
    """What is measured and what is sampled in the course of training, as far as it is asked for: `Trainer.held_out` and
    `Trainer.validate`. The windows are from the test split; videos from the train split where there is none."""
    asked = settings.validation
    if not asked.every or not (asked.loss_samples or asked.samples):
        return None, None
    test = _test_split(settings, world)
    if settings.data.cached:  # the windows are encoded once, by encoders that are then let go
        settings = settings.model_copy(update={"data": settings.data.model_copy(update={"cached": ()})})
        encoders, _ = make_encoders(settings, world.device)
    held_out, validate = None, None
    if asked.loss_samples and test is not None:
        measured = HeldOut.make(test, encoders, settings, world)

        def held_out(often: Often) -> Mapping[str, float]:
            return measured.loss(step, step.model, often)

    if asked.samples:
        sampled = Validation.make(test or index, encoders, settings, world)
        precision = PRECISIONS[settings.parallel.precision]
        decoder = vae or components.make_vae(settings.model, settings.seed, precision).to(world.device)

        def validate(name: str, often: Often) -> None:
            for path in sampled.run(step, step.model, decoder, run / "validation", name, often):
                log.info("validation: %s", path)

    return held_out, validate


def _test_split(settings: TrainSettings, world: World) -> DatasetIndex | None:
    """The windows that are not trained on; None, with a warning, where there are none."""
    test = open_index(settings, "test", world)
    if not test.clips:
        log.warning("no window to test on: there is no held-out loss, and validation videos are of the train split")
        return None
    check_index(test, world)
    return test
