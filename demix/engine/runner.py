"""How work is distributed: the contract that the sequential and the Ray runner meet."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field

from demix.config import ConfigError, Settings
from demix.engine.placement import StageCost
from demix.engine.proof import Proof
from demix.engine.row import Row
from demix.engine.worker import Step
from demix.records import Record
from demix.store import Store


class PoolSettings(Settings):
    """Size of one pool of workers."""

    min_workers: int = Field(1, ge=1)
    """Workers that the pool has where they fit, however little it has to do beside others."""
    max_workers: int | None = Field(None, ge=1)
    """Workers that it may grow to; null: as many as there is room for."""


class GpuSettings(Settings):
    """GPUs that are not there yet, or no longer: which are waited for, and how long. While a build waits, it says so
    every half minute."""

    least: int = Field(0, ge=0)
    """GPUs that the cluster must have before work begins that wants some: for clusters that grow. 0: with `device:
    auto` those that are there, be it none."""
    wait_seconds: float = Field(900.0, ge=0)
    """How long a build waits for them, and for a node that brings back what all nodes have lost, before it ends."""


class EngineSettings(Settings):
    """How the work is distributed; changes nothing in the dataset."""

    runner: str = "auto"
    """`auto`: Ray, but for little work on one machine, which processes of our own have done before Ray is up. `ray`:
    always Ray. `sequential`: everything in this process, for debugging."""
    address: str | None = None
    """Ray cluster to join: `auto`, `local` (start one on this machine) or host:port. Null: the cluster that this job or
    machine belongs to, else a local one."""
    batch_rows: int = Field(4, ge=1)
    """Items handed to a worker at a time, where its models do not take more at once. Small: a worker that dies costs
    at most these."""
    max_attempts: int = 3
    """Attempts at an item before it is quarantined."""
    threads: int = 1
    """Threads of numeric libraries per worker."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run. `auto`: on GPUs where the cluster has some when a phase begins, else on processors, which is
    said; `cuda`: GPUs or nothing."""
    gpus: GpuSettings = GpuSettings()
    weights: str | None = None
    """Folder of the models' weights, at the same path on every node. Null: the environment variable DEMIX_WEIGHTS, else
    a folder in the user's cache."""
    fetch_weights: bool = False
    """Fetch missing weights when work begins, once a node. Off: `demix weights fetch` brings them, and a build that
    lacks some says so and stops."""
    pools: dict[str, PoolSettings] = Field(default_factory=dict)
    """Sizes per pool name; stages name their pool."""


class RunOptions(Settings):
    """What one run of a phase asks of a runner."""

    engine: EngineSettings = EngineSettings()
    total: int = 0
    """Pending items, as far as known: for sizing blocks."""
    retry_failed: bool = False
    run: str = ""
    """A name that no other run has; `Phase.run` gives it."""
    log_folder: Path | None = None
    media_seconds: float = 0.0
    """Of film or clips, that the pending items are; 0 if nobody knows."""
    costs: dict[str, StageCost] = Field(default_factory=dict, exclude=True)
    """Stage -> what it is known to cost, for the placement."""
    on_part: Callable[[str, float], None] | None = Field(None, exclude=True)
    """Told, in this process, of parts of items that have not ended: the item's id, and how many seconds more of its
    film are done."""


class Runner(Protocol):
    @property
    def workers(self) -> int:
        """How much goes on side by side."""

    def run(
        self,
        steps: Sequence[Step],
        kinds: Mapping[str, type[Record]],
        store: Store,
        rows: Iterable[Row],
        options: RunOptions,
    ) -> Iterator[Row]:
        """Takes every row through all steps; yields each, without its records, once it has ended."""

    def map(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        """`function` of each argument, side by side, results in any order; an exception ends the run."""

    def on_every_node(self, function: Callable[[Any], Any], argument: Any) -> list[tuple[str, Any]]:
        """(node, `function(argument)` there) for every node; one that is lost meanwhile is left out."""

    def require(self, proof: Proof) -> list[tuple[str, str]]:
        """From now on only nodes get work on which the proof holds, those too that join later. (node, its problem) of
        every node there is; the problem is empty where a node is fit."""

    def close(self) -> None: ...


def block_rows(options: RunOptions, workers: int) -> int:
    """Items that a worker is handed at a time: as many as the settings say, but where there are few of them, so few
    that all workers have some until the end."""
    most = options.engine.batch_rows
    return max(1, min(most, options.total // (4 * workers))) if options.total else most


def rows_at_once(steps: Sequence[Step], options: RunOptions, workers: int) -> int:
    """Items that a worker of some steps is handed at a time: whole batches of what takes several items at once."""
    need = batch_of(steps)
    if need == 1:
        return block_rows(options, workers)
    return need * max(1, options.engine.batch_rows // need)


def batch_of(steps: Sequence[Step]) -> int:
    """Items that the hungriest of some steps takes at once."""
    return max((step.stage.batch_size for step in steps if not step.stage.judges), default=1)


def batches(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """The rows in lists of at most so many."""
    remaining = iter(rows)
    while batch := list(islice(remaining, size)):
        yield batch


def one_machine(settings: EngineSettings) -> bool:
    """Whether Ray would be started here and for this run only: it takes seconds, so that what is little work is better
    done without."""
    if settings.runner != "auto" or settings.address not in (None, "local"):
        return False
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        return False
    running = Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray" / "ray_current_cluster"
    return settings.address == "local" or not (os.environ.get("RAY_ADDRESS") or running.exists())


def make_runner(settings: EngineSettings) -> Runner:
    """The runner that the settings name. Ray is imported only here: it takes seconds."""
    if settings.runner == "sequential":
        from demix.engine.sequential import SequentialRunner

        return SequentialRunner()
    if settings.runner in ("auto", "ray"):
        from demix.engine.ray_runner import RayRunner

        return RayRunner(settings)
    raise ConfigError(f"engine.runner: {settings.runner!r}; choose auto, ray or sequential")
