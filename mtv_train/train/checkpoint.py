"""Saving and finding the state of a run.

    RUN/checkpoints/step_00000200/   what torch.distributed.checkpoint writes, one file a rank
                     state.json      position, settings, dataset, versions
                     COMMITTED       the hashes of all of these; written last: without it the folder does not count

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

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.optim import Optimizer

from demix.config import ConfigError
from demix.errors import MachineTrouble
from demix.store import atomic, sync_directory
from mtv_train.config import CheckpointSettings
from mtv_train.distributed.ema import Ema
from mtv_train.distributed.world import World
from mtv_train.train.integrity import COMMITTED, damage, digests, mark
from mtv_train.train.restore import restore, tree_of

STATE = "state.json"


def folder_of(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step_{step:08d}"


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.partial")


def sweep(run: Path) -> None:
    """Remove the halves that saves left which were not finished."""
    for half in (run / "checkpoints").glob(".step_*.partial"):
        shutil.rmtree(half, ignore_errors=True)


def size_of(tree: Mapping[str, Any]) -> int:
    """Bytes of all tensors in a tree, of all ranks together."""
    values = [value for value in tree.values() if isinstance(value, Mapping | Tensor)]
    return sum(value.nbytes if isinstance(value, Tensor) else size_of(value) for value in values)


def _of_the_machine(error: BaseException | None) -> str:
    """What the machine could not do, if that is why something failed; "" otherwise."""
    if isinstance(error, OSError):
        return str(error)
    if isinstance(error, CheckpointException):
        return next((said for failure, _ in error.failures.values() if (said := _of_the_machine(failure))), "")
    return ""


def committed(run: Path) -> list[int]:
    """Steps of all committed saves, rising."""
    found = (run / "checkpoints").glob(f"step_*/{COMMITTED}")
    return sorted(int(path.parent.name.removeprefix("step_")) for path in found)


def read_state(run: Path, step: int) -> dict[str, Any]:
    """`state.json` of a committed save. Raises `ConfigError` where there is none."""
    path = _committed_folder(run, step) / STATE
    try:
        return cast(dict[str, Any], json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error


def _committed_folder(run: Path, step: int) -> Path:
    folder = folder_of(run, step)
    if not (folder / COMMITTED).exists():
        have = ", ".join(map(str, committed(run))) or "none"
        raise ConfigError(f"{run}: no committed checkpoint at step {step} (there are: {have})")
    return folder


def check_whole(run: Path, step: int, world: World | None = None) -> None:
    """Raises `DamagedSave` if a committed save is not what was written, and `ConfigError` where there is none. Reads
    all of it, each rank its share."""
    wrong = damage(_committed_folder(run, step), world)
    if not wrong:
        return
    others = [other for other in reversed(committed(run)) if other < step]
    good = next((other for other in others if not damage(folder_of(run, other), world)), None)
    raise DamagedSave(folder_of(run, step), wrong, good)


class DamagedSave(ConfigError):
    """A committed save that is not what was written. `good`: the newest earlier step whose save is whole."""

    def __init__(self, folder: Path, wrong: str, good: int | None):
        self.good = good
        there = (
            f"the newest earlier save that is whole is of step {good}" if good is not None else "no earlier is whole"
        )
        super().__init__(f"{folder} is damaged: {wrong}; {there}")


class Checkpoints:
    """Saves and loads the model, the optimizer and the average of one run, on all ranks together."""

    def __init__(self, run: Path, world: World, settings: CheckpointSettings):
        self.run = run
        self._world = world
        self._settings = settings
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self._what = ""
        """Which save is pending, and how large it is."""

    def save(
        self, step: int, model: nn.Module, optimizer: Optimizer, ema: Ema | None, state: Mapping[str, Any]
    ) -> None:
        """Begin a save: copy everything to memory, then write in the background. Waits for the save before it.

        Raises `MachineTrouble` where there is no room for it, and what went wrong with the one before.
        """
        self.wait()
        target = folder_of(self.run, step)
        aside = _aside(target)
        if self._world.first:
            shutil.rmtree(aside, ignore_errors=True)
            shutil.rmtree(target, ignore_errors=True)
            aside.mkdir(parents=True)
        tree = tree_of(model, optimizer, ema)
        need = size_of(tree)
        self._what = f"the checkpoint of step {step}, {need / 2**30:.2f} GiB,"
        free = self._world.share(shutil.disk_usage(aside).free if self._world.first else 0)
        if free < need:
            raise self._trouble("there is not enough room")
        writing = dcp.async_save(
            tree,
            storage_writer=dcp.FileSystemWriter(aside, single_file_per_rank=True, sync_files=True, overwrite=True),
            process_group=self._world.saving,
        )
        self._pending = self._thread.submit(self._finish, cast("Future[Any]", writing), aside, target, dict(state))
        if self._settings.wait:
            self.wait()

    @property
    def has_failed(self) -> bool:
        """Whether the save under way has ended badly on this rank."""
        return self._pending is not None and self._pending.done() and self._pending.exception() is not None

    def wait(self) -> None:
        """Until the save under way is committed. Raises, on all ranks, what went wrong with it: `MachineTrouble` if the
        machine could not write it."""
        if self._pending is None:
            return
        pending, self._pending = self._pending, None
        error = pending.exception()
        failures = [failure for failure in self._world.gather(_of_the_machine(error)) if failure]
        if failures:
            raise self._trouble(failures[0]) from error
        if any(self._world.gather(error is not None)):
            raise error or RuntimeError(f"{self._what} failed on another rank; its log says why")

    def _trouble(self, why: str) -> MachineTrouble:
        """The error of a save that the machine could not take, whose half is removed."""
        free = shutil.disk_usage(self.run).free
        if self._world.first:
            sweep(self.run)
        saved = committed(self.run)
        there = f"from step {saved[-1]}" if saved else "from the start, as there is no checkpoint yet"
        return MachineTrouble(
            f"{self.run / 'checkpoints'}: {self._what} cannot be written ({why}); {free / 2**30:.2f} GiB are free. "
            f"Make room and give the same command again: it goes on {there}"
        )

    def close(self) -> None:
        """Wait, and end the thread."""
        self.wait()
        self._thread.shutdown()

    def _finish(self, writing: Future[Any], aside: Path, target: Path, state: dict[str, Any]) -> None:
        writing.result()  # on any rank: every rank has written
        hashes = self._hashes(aside)
        if not self._world.first:
            return
        commit(aside, target, state, hashes)
        prune(self.run, self._settings)

    def _hashes(self, aside: Path) -> dict[str, str]:
        """Of all files of a save. Each rank reads those that it wrote."""
        own = [path.name for path in aside.glob(f"__{self._world.rank}_*")]
        ranks: list[Any] = [None] * self._world.size
        try:
            found: Any = digests(aside, [*own, *([".metadata"] if self._world.first else [])])
        except OSError as error:
            found = error  # told to the others, who would wait for it
        dist.all_gather_object(ranks, found, group=self._world.saving)
        for answer in ranks:
            if isinstance(answer, OSError):
                raise answer
        return {name: value for answer in ranks for name, value in answer.items()}

    def load(self, step: int, model: nn.Module, optimizer: Optimizer, ema: Ema | None) -> list[str]:
        """Put a save's values into the model, the optimizer and the average, whatever the number of ranks it had.
        What began afresh, in words (`restore`)."""
        return restore(folder_of(self.run, step), model, optimizer, ema, self._world.saving)


def commit(aside: Path, target: Path, state: Mapping[str, Any], hashes: Mapping[str, str]) -> None:
    """Rename a finished save to its place and mark it; a crash anywhere in here leaves it whole or not counted.
    `hashes`: of the files in it but the state's."""
    with atomic(aside / STATE) as path:
        path.write_text(json.dumps(state, indent=2, sort_keys=True), encoding="utf-8")
    marked = mark({**hashes, **digests(aside, [STATE])})
    os.replace(aside, target)
    sync_directory(target.parent)
    with atomic(target / COMMITTED) as path:
        path.write_text(marked, encoding="utf-8")


def set_aside(run: Path, step: int) -> Path:
    """Rename a damaged save, so that it counts no more; where it lies then."""
    folder = folder_of(run, step)
    aside = folder.with_name(f"damaged_{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)  # one of an earlier time
    os.replace(folder, aside)
    return aside


def prune(run: Path, settings: CheckpointSettings) -> None:
    """Remove saves that the policy does not keep."""
    steps = committed(run)
    for step in steps[: -settings.keep_last]:
        if settings.keep_every and step % settings.keep_every == 0:
            continue
        folder = folder_of(run, step)
        (folder / COMMITTED).unlink()
        shutil.rmtree(folder)
