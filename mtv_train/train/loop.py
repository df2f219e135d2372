"""The loop: stages, steps, and what happens between them. The same on one CPU process and on a cluster."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from demix.config import ConfigError
from mtv_train.config import StageSettings, TrainSettings
from mtv_train.data.batch import BadSample, Batch
from mtv_train.data.order import StageMix
from mtv_train.distributed.ema import Ema
from mtv_train.distributed.fsdp import sync_gradients
from mtv_train.distributed.ranks import check_ranks
from mtv_train.distributed.world import World
from mtv_train.train import identity, optim
from mtv_train.train.checkpoint import Checkpoints, DamagedSave, check_whole, committed, read_state, set_aside
from mtv_train.train.journal import Journal
from mtv_train.train.state import Position, remaining
from mtv_train.train.step import LossStep
from mtv_train.train.stopping import Stopped, Stopping

log = logging.getLogger("mtv_train")

Often = Callable[[], None]


class Loading(Protocol):
    """What the loop needs of a loader (`mtv_train.data.loader.Loader`)."""

    def __iter__(self) -> Iterator[Batch]: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Inputs:
    """Where the samples come from."""

    mixes: dict[str, StageMix]
    """The stages that are trained, in order."""
    fingerprint: str
    """The dataset's."""
    loader: Callable[[StageMix, int, Callable[[BadSample], None]], Loading]
    """A loader of a stage from a sample number on, told whom to call about bad samples."""


@dataclass
class Trainer:
    """One rank's part of a run. `model` is sharded already."""

    settings: TrainSettings
    run: Path
    world: World
    model: nn.Module
    step: LossStep
    inputs: Inputs
    journal: Journal
    held_out: Callable[[Often], Mapping[str, float]] | None = None
    """Losses of what is not trained on, by subset and "all"; on all ranks. It gets what to call often, which may raise
    `Stopped`."""
    validate: Callable[[str, Often], None] | None = None
    """Samples videos, on all ranks; it gets a name for the files besides."""
    accept_changes: bool = False
    stop_after: int = 0
    """Save and end after so many steps of this call; 0: only when all stages are done."""
    position: Position = field(default_factory=Position)

    def __post_init__(self) -> None:
        check_ranks(self.settings, self.world.size)
        settings = self.settings
        self.stages: dict[str, StageSettings] = {name: settings.stages[name] for name in self.inputs.mixes}
        self.total_steps = sum(stage.steps for stage in self.stages.values())
        self.optimizer = optim.make_optimizer(self.model, settings.optim)
        self.ema = Ema(self.model, settings.optim.ema) if settings.optim.ema else None
        self.checkpoints = Checkpoints(self.run, self.world, settings.checkpoint)
        self.stop = Stopping(self.run, self.world)
        self._trained = optim.trained_parameters(self.model)
        self._done_here = 0
        self._saved = -1

    def resume(self) -> None:
        """Go on from the newest committed checkpoint, if there is one. All settings of this call are in force then;
        what the checkpoint does not hold begins afresh, and the log names it.

        Raises `ConfigError` if it was written under other settings or on other data, unless that is accepted; if it is
        the save of another model; and if it is damaged, unless `checkpoint.on_damage` says to fall back.
        """
        step = self._newest()
        if step is None:
            return
        saved = read_state(self.run, step)
        for change in identity.check(saved, self.settings, self.inputs.fingerprint, self.accept_changes):
            log.warning("accepted: %s", change)
        self.position = Position.from_json(saved["position"])
        if self.position.stage not in self.stages:
            raise ConfigError(
                f"{self.run} stands in stage {self.position.stage}, which is not trained now "
                f"(stages: {', '.join(self.stages)}); put it back or give another --run"
            )
        if self.ema is not None:
            self.ema.updates, self.ema.start_share = identity.average(saved)
        for afresh in self.checkpoints.load(step, self.model, self.optimizer, self.ema):
            log.warning("%s", afresh)
        self._saved = step
        log.info(
            "resumed at step %d, stage %s, sample %d",
            self.position.step,
            self.position.stage,
            self.position.samples_seen,
        )

    def _newest(self) -> int | None:
        """The step of the save to go on from, which is whole; None where the run has none."""
        steps = self.world.share(committed(self.run))
        if not steps:
            return None
        try:
            check_whole(self.run, steps[-1], self.world)
        except DamagedSave as damaged:
            if damaged.good is None:
                raise ConfigError(f"{damaged}: restore it from a copy, or begin anew with another --run") from damaged
            if self.settings.checkpoint.on_damage == "stop":
                raise ConfigError(
                    f"{damaged}; restore the damaged one from a copy, or go on from step {damaged.good} with "
                    "--set checkpoint.on_damage=fall_back"
                ) from damaged
            log.warning("%s; going on from there", damaged)
            if self.world.first:
                for step in steps:
                    if step > damaged.good:
                        log.warning("put aside: %s", set_aside(self.run, step))
            self.world.barrier()
            return damaged.good
        return int(steps[-1])

    def fit(self) -> Position:
        """Train what is left of all stages; where the run stands afterwards. `stop.asked` tells what ended it early."""
        self.model.train()
        self.journal.begin(self.position)
        with self.stop.listening():
            for name in remaining(self.position, self.stages):
                self._stage(name)
                if self._stopping:
                    break
            self.checkpoints.close()
        self.journal.close()
        return self.position

    @property
    def _stopping(self) -> bool:
        return bool(self.stop_after and self._done_here >= self.stop_after) or bool(self.stop.asked)

    def _stage(self, name: str) -> None:
        stage = self.stages[name]
        if self.position.stage != name:
            self.position = self.position.entered(name, stage.reset_optimizer)
            if stage.reset_optimizer:
                optim.drop_state(self.optimizer)
            log.info("stage %s: %d steps from %s", name, stage.steps, dict(self.inputs.mixes[name].weights))
        loader = self.inputs.loader(self.inputs.mixes[name], self.position.samples_seen, self.journal.bad_sample)
        try:
            batches = iter(loader)
            while self.position.stage_step < stage.steps and not self._stopping:
                began = time.monotonic()
                batch = next(batches)
                self.journal.meter.waited += time.monotonic() - began
                self.train_on(batch)
                self._after_step(stage)
        finally:
            loader.close()
        self._save()

    def train_on(self, batch: Batch) -> None:
        """One optimizer step."""
        settings, parallel = self.settings.optim, self.settings.parallel
        rate = optim.learning_rate(settings, self.position.step, self.position.optimizer_step, self.total_steps)
        optim.set_learning_rate(self.optimizer, rate)
        parts = batch.split(len(batch) // parallel.micro_batch)
        for number, part in enumerate(parts):
            last = number == len(parts) - 1
            sync_gradients(self.model, last or not parallel.defer_reduce, last)
            losses = self.step(part)
            # Gradients are summed over micro-batches and ranks, so every sample weighs 1 / batch wherever it is.
            (losses.sum() / settings.batch).backward()
            self.journal.trained_on(part, losses)
        norm = optim.clip_gradients(self._trained, settings.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update()
        self.journal.stepped(norm, rate)
        self.position = self.position.trained(settings.batch)
        self._done_here += 1

    def _after_step(self, stage: StageSettings) -> None:
        if self.stop.agree(trouble=self.checkpoints.has_failed):
            self.checkpoints.wait()  # raises
        step = self.position.step
        at_end = self.position.stage_step >= stage.steps
        save = step % self.settings.checkpoint.every == 0
        validation = self.settings.validation.every
        validate = bool(validation) and (step % validation == 0 or step == self.total_steps)
        if step % self.settings.log.every == 0 or save or validate or at_end or self._stopping:
            # Before every save, so that numbers that are none are found and not saved.
            self.journal.report(self.position, stage.steps, self.total_steps)
        if save:
            self._save()
        if validate and not self.stop.asked:
            with suppress(Stopped):
                self._validate()
            self.model.train()
            self.journal.paused()
        self.journal.profile(step)

    def _validate(self) -> None:
        """Raises `Stopped`, on all ranks, if the run is asked to end meanwhile."""
        self._validate_as("parameters", f"step_{self.position.step:08d}")
        if self.ema is not None:
            with self.ema.applied():
                self._validate_as("average", f"step_{self.position.step:08d}_average")

    def _validate_as(self, of: str, name: str) -> None:
        if self.held_out is not None:
            self.journal.held_out(self.position, self.held_out(self.stop.check), of)
        if self.validate is not None:
            self.validate(name, self.stop.check)

    def _save(self) -> None:
        if self._saved == self.position.step:
            return
        state: dict[str, Any] = {
            **identity.describe(self.settings, self.inputs.fingerprint, self.world.size),
            "position": self.position.to_json(),
            **({"ema": self.ema.to_json()} if self.ema is not None else {}),
        }
        self.checkpoints.save(self.position.step, self.model, self.optimizer, self.ema, state)
        self._saved = self.position.step
