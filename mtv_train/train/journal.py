"""The diary of a run: gathers numbers from the steps and writes them down."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mtv_train.config import TrainSettings
from mtv_train.data.batch import BadSample, Batch
from mtv_train.distributed.world import World
from mtv_train.train.checkpoint import committed
from mtv_train.train.metrics import Meter, flat_numbers, line, peak_tflops, refuse_not_finite
from mtv_train.train.sinks import Sink, make_sinks
from mtv_train.train.state import Position

log = logging.getLogger("mtv_train")


class Journal:
    """One rank's. All ranks gather; the first writes.

    `flops`: of the forward and backward pass of one sample, for MFU. `on_report` gets every log line's numbers on
    every rank (Ray Train wants them).
    """

    def __init__(
        self,
        settings: TrainSettings,
        run: Path,
        world: World,
        flops: int,
        on_report: Callable[[Mapping[str, Any]], None] | None = None,
    ):
        self.meter = Meter()
        self._settings = settings
        self._run = run
        self._world = world
        self._flops = flops
        self._on_report = on_report
        self._peak = peak_tflops(settings.log, world.device)
        self._rate = 0.0
        self._last_step = 0
        self._cut_said = False
        run.mkdir(parents=True, exist_ok=True)
        self._profiler: torch.profiler.profile | None = None
        self._sinks: list[Sink] = []
        self._samples = (run / f"samples-{world.rank}.jsonl").open("a") if settings.log.samples else None

    def begin(self, position: Position) -> None:
        """The loop starts (again) from here."""
        self._last_step = position.step
        self.meter = Meter()
        if self._world.first:
            settings = self._settings
            self._sinks = make_sinks(self._run, settings.log, settings.model_dump(mode="json"), position.step)
        self._world.barrier()

    def paused(self) -> None:
        """Something else than training took time: begin to measure anew."""
        self.meter = Meter()

    def trained_on(self, batch: Batch, losses: Tensor) -> None:
        """A micro-batch."""
        self.meter.add(batch.subsets, losses)
        if self._samples is not None:
            for k, key, subset, loss in zip(batch.ks, batch.keys, batch.subsets, losses.tolist(), strict=True):
                row = {"stage": batch.stage, "k": k, "key": key, "subset": subset, "loss": loss}
                self._samples.write(json.dumps(row) + "\n")
            self._samples.flush()

    def stepped(self, norm: Tensor, rate: float) -> None:
        """An optimizer step."""
        self.meter.norms.append(norm)
        self._rate = rate

    def bad_sample(self, bad: BadSample) -> None:
        """A sample that could not be used and was replaced."""
        self.meter.bad += 1
        log.warning("bad sample %d: %s: %s (%s); %s instead", bad.k, bad.key, bad.message, bad.kind, bad.replaced_by)

    def caption_cut(self, caption: str, words: str) -> None:
        """A caption that is longer than the text encoder takes. The first is said, all are counted."""
        self.meter.cut += 1
        if not self._cut_said:
            self._cut_said = True
            log.warning(
                "a caption is longer than the text encoder takes (%d tokens), so its end is not read: %r; such "
                "captions are counted as captions_cut",
                self._settings.model.backbone.max_text_seq_length,
                words,
            )

    def report(self, position: Position, stage_steps: int, total_steps: int) -> None:
        """Gather and write the numbers since the last report; on all ranks. Raises `NotFinite`."""
        if not self.meter.norms:
            return
        numbers = self.meter.gathered(self._world)
        tflops = numbers["samples_per_second"] * self._flops / self._world.size / 1e12
        numbers |= {
            "stage": position.stage,
            "stage_step": position.stage_step,
            "stage_steps": stage_steps,
            "steps": total_steps,
            "lr": self._rate,
            "tflops": tflops,
            "mfu": tflops / self._peak if self._peak else 0.0,
            "samples_seen": position.samples_seen,
            "total_samples": position.total_samples,
        }
        saved = self._world.share(max(committed(self._run), default=None))
        refuse_not_finite(numbers, self._last_step + 1, position.step, saved)
        numbers[f"loss_of_stage/{position.stage}"] = numbers["loss"]
        log.info("%s", line({"step": position.step, **numbers}))
        for sink in self._sinks:
            sink.write(position.step, flat_numbers(numbers))
        if self._on_report is not None:
            self._on_report({"step": position.step, **flat_numbers(numbers)})
        self._last_step = position.step
        self.meter = Meter()

    def held_out(self, position: Position, losses: Mapping[str, float], of: str) -> None:
        """Write the losses of a validation, `of` "parameters" or "average"."""
        if not losses:
            return
        name = "held_out" if of == "parameters" else f"held_out_{of}"
        parts = " ".join(f"{subset} {loss:.4f}" for subset, loss in losses.items() if subset != "all")
        log.info("step %d: held-out loss of the %s %.4f (%s)", position.step, of, losses["all"], parts)
        for sink in self._sinks:
            sink.write(position.step, flat_numbers({name: losses}))

    def profile(self, step: int) -> None:
        """Start or stop torch's profiler where the settings say so."""
        settings = self._settings.log
        if settings.profile_from and step + 1 == settings.profile_from:
            self._profiler = torch.profiler.profile(record_shapes=True, profile_memory=True)
            self._profiler.start()
        elif self._profiler is not None and step + 1 >= settings.profile_from + settings.profile_steps:
            self._profiler.stop()
            folder = self._run / "profile"
            folder.mkdir(parents=True, exist_ok=True)
            self._profiler.export_chrome_trace(str(folder / f"rank-{self._world.rank}.json"))
            log.info("profile written to %s", folder)
            self._profiler = None

    def close(self) -> None:
        """Write out what is open."""
        for sink in self._sinks:
            sink.close()
        if self._samples is not None:
            self._samples.close()
