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
from demix.engine.proof import Proof
from demix.engine.row import Row
from demix.engine.worker import Step
from demix.records import Record
from demix.store import Store


class PoolSettings(Settings):
    """Size of one pool of workers."""

    min_workers: int = 1
    """Workers that the pool starts with."""
    max_workers: int | None = None
    """Workers that it may grow to; null: as many as the cluster's processors allow."""


class EngineSettings(Settings):
    """How the work is distributed; changes nothing in the dataset."""

    runner: str = "auto"
    """`auto`: Ray, but for little work on one machine, which processes of our own have done before Ray is up. `ray`:
    always Ray. `sequential`: everything in this process, for debugging."""
    address: str | None = None
    """Ray cluster to join: `auto`, `local` (start one on this machine) or host:port. Null: the cluster that this job or
    machine belongs to, else a local one."""
    batch_rows: int = 4
    """Items handed to a worker at a time. Small: a worker that dies costs at most these."""
    max_attempts: int = 3
    """Attempts at an item before it is quarantined."""
    threads: int = 1
    """Threads of numeric libraries per worker."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run. `auto`: on GPUs where the cluster has some, else on processors; `cuda`: GPUs or nothing."""
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
