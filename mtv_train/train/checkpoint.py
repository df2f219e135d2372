"""Saving and finding the state of a run.

    RUN/checkpoints/step_00000200/   what torch.distributed.checkpoint writes, one file a rank
                     state.json      position, settings, dataset, versions
                     COMMITTED       written last: without it the folder does not count

Everything is written to `.step_00000200.partial` first, by threads while training goes on, then renamed, then
committed. Whatever dies when, the newest committed save is whole.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

from demix.config import ConfigError
from demix.store import atomic, sync_directory
from mtv_train.config import CheckpointSettings
from mtv_train.distributed.ema import Ema
from mtv_train.distributed.world import World

COMMITTED = "COMMITTED"
STATE = "state.json"


def folder_of(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step_{step:08d}"


def committed(run: Path) -> list[int]:
    """Steps of all committed saves, rising."""
    found = (run / "checkpoints").glob(f"step_*/{COMMITTED}")
    return sorted(int(path.parent.name.removeprefix("step_")) for path in found)


def read_state(run: Path, step: int) -> dict[str, Any]:
    """`state.json` of a committed save. Raises `ConfigError` where there is none."""
    path = folder_of(run, step) / STATE
    if not (path.parent / COMMITTED).exists():
        have = ", ".join(map(str, committed(run))) or "none"
        raise ConfigError(f"{run}: no committed checkpoint at step {step} (there are: {have})")
    return cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))


class Checkpoints:
    """Saves and loads the model, the optimizer and the average of one run, on all ranks together."""

    def __init__(self, run: Path, world: World, settings: CheckpointSettings):
        self.run = run
        self._world = world
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None

    def save(
        self, step: int, model: nn.Module, optimizer: Optimizer, ema: Ema | None, state: Mapping[str, Any]
    ) -> None:
        """Begin a save: copy everything to memory, then write in the background. Waits for the save before it.

        Raises what went wrong with that one.
        """
        self.wait()
        target = folder_of(self.run, step)
        aside = target.with_name(f".{target.name}.partial")
        if self._world.first:
            shutil.rmtree(aside, ignore_errors=True)
            shutil.rmtree(target, ignore_errors=True)
            aside.mkdir(parents=True)
        self._world.barrier()
        writing = dcp.async_save(
            _tree(model, optimizer, ema),
            storage_writer=dcp.FileSystemWriter(aside, single_file_per_rank=True, sync_files=True, overwrite=True),
            process_group=self._world.saving,
        )
        self._pending = self._thread.submit(self._finish, cast("Future[Any]", writing), aside, target, dict(state))
        if self._settings.wait:
            self.wait()

    def wait(self) -> None:
        """Until the save under way is committed. Raises what went wrong with it."""
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()
            self._world.barrier()

    def close(self) -> None:
        """Wait, and end the thread."""
        self.wait()
        self._thread.shutdown()

    def _finish(self, writing: Future[Any], aside: Path, target: Path, state: dict[str, Any]) -> None:
        writing.result()  # on any rank: every rank has written
        if not self._world.first:
            return
        commit(aside, target, state)
        prune(self.run, self._settings)

    def load(self, step: int, model: nn.Module, optimizer: Optimizer, ema: Ema | None) -> None:
        """Put a save's values into the model, the optimizer and the average, whatever the number of ranks it had."""
        tree = _tree(model, optimizer, ema)
        dcp.load(tree, storage_reader=dcp.FileSystemReader(folder_of(self.run, step)), process_group=self._world.saving)
        set_model_state_dict(model, tree["model"])
        set_optimizer_state_dict(model, optimizer, tree["optimizer"])


def _tree(model: nn.Module, optimizer: Optimizer, ema: Ema | None) -> dict[str, Any]:
    tree = {"model": get_model_state_dict(model), "optimizer": get_optimizer_state_dict(model, optimizer)}
    return {**tree, **({"ema": dict(ema.average)} if ema is not None else {})}


def commit(aside: Path, target: Path, state: Mapping[str, Any]) -> None:
    """Rename a finished save to its place and mark it; a crash anywhere in here leaves it whole or not counted."""
    with atomic(aside / STATE) as path:
        path.write_text(json.dumps(state, indent=2, sort_keys=True), encoding="utf-8")
    os.replace(aside, target)
    sync_directory(target.parent)
    with atomic(target / COMMITTED) as path:
        path.write_text("", encoding="utf-8")


def prune(run: Path, settings: CheckpointSettings) -> None:
    """Remove saves that the policy does not keep."""
    steps = committed(run)
    for step in steps[: -settings.keep_last]:
        if settings.keep_every and step % settings.keep_every == 0:
            continue
        folder = folder_of(run, step)
        (folder / COMMITTED).unlink()
        shutil.rmtree(folder)
