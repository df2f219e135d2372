"""The runner on Ray Data: one streaming pipeline a phase, one actor pool a group of stages.

Rows are light (ids, numbers, keys; no media), so blocks stay small and the object store never matters. Ray restarts
an actor that dies and gives its rows to another; the worker's claims see to it that an item that keeps killing actors
is found out instead of being tried for ever.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
from ray import cloudpickle
from ray.data import ActorPoolStrategy

from demix import library_errors
from demix.config import ConfigError
from demix.engine import ray_start
from demix.engine.nodes import Nodes, asked_on, is_alive
from demix.engine.proof import Proof, UnfitNode
from demix.engine.row import Row, from_columns, to_columns
from demix.engine.runner import EngineSettings, RunOptions, batches, block_rows
from demix.engine.stage_actor import StageActor, call, packed
from demix.engine.worker import Step, WorkerSpec, groups
from demix.errors import BrokenInstallation, MachineTrouble
from demix.machine import GO_ON, trouble_in
from demix.records import Record
from demix.scratch import claim, release
from demix.store import Store

_WINDOW = 1000
"""Rows a processor that are handed to Ray Data at once: hours of work, next to which starting pools again is little."""

_RAY_IN_TROUBLE = (
    ray.exceptions.OutOfDiskError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.ObjectStoreFullError,
    ray.exceptions.LocalRayletDiedError,
    ray.exceptions.TaskUnschedulableError,
    ray.exceptions.ActorUnschedulableError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.RayActorError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.RaySystemError,
)
"""What Ray raises after it has tried again by itself; none of them is about an item."""
_RETRY_ADVICE = "\nFailed to apply UDF transform"
"""How what Ray appends to the words of a worker's error begins: advice about settings that users do not have."""


class RayRunner:
    """Starts or joins a cluster when it is made."""

    def __init__(self, settings: EngineSettings):
        # A head that this process starts stays on this machine's loopback address.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
        self.started = not ray.is_initialized()
        self._session: Path | None = None
        self._claim: int | None = None
        self._logs_elsewhere = True
        self._nodes: Nodes | None = None
        if self.started:
            self._session = ray_start.start(settings.address)
            self._claim = None if self._session is None else claim(self._session)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.raise_original_map_exception = True
        _keep_errors_in_the_log()

    @property
    def workers(self) -> int:
        return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def run(
        self,
        steps: Sequence[Step],
        kinds: Mapping[str, type[Record]],
        store: Store,
        rows: Iterable[Row],
        options: RunOptions,
    ) -> Iterator[Row]:
        # Ray Data wants to know its input beforehand. A window of it at a time, which Ray's store holds, not this
        # process, keeps the driver's memory flat.
        self._logs_elsewhere = options.log_folder is not None
        if options.log_folder is not None:
            library_errors.logged_to(options.log_folder / "ray.log")
        remaining = iter(rows)
        window = _WINDOW * self.workers
        size = block_rows(options, self.workers)
        while blocks := [_put(block) for block in batches(islice(remaining, window), size)]:
            yield from self._run_window(steps, kinds, store, blocks, options)

    def _run_window(
        self,
        steps: Sequence[Step],
        kinds: Mapping[str, type[Record]],
        store: Store,
        blocks: list[ray.ObjectRef],
        options: RunOptions,
    ) -> Iterator[Row]:
        dataset = ray.data.from_arrow_refs(blocks)
        pools = groups(steps)
        for position, group in enumerate(pools):
            spec = WorkerSpec(
                steps=group,
                phase=tuple(steps),
                kinds=kinds,
                store=store.root,
                max_attempts=options.engine.max_attempts,
                threads=options.engine.threads,
                device=options.engine.device if _gpus(group, options.engine) else "cpu",
                weights=options.engine.weights,
                fetch_weights=options.engine.fetch_weights,
                retry_failed=options.retry_failed,
                run=options.run,
                may_exit=True,
            )
            dataset = dataset.map_batches(
                StageActor,
                fn_constructor_args=(cloudpickle.dumps(spec), position == len(pools) - 1, options.log_folder),
                batch_size=None,
                batch_format="pyarrow",
                **_placement(group, len(pools), options.engine, len(blocks)),
            )
        with _own_errors():
            for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield from from_columns(batch.to_pydict())

    def map(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        limit = 2 * self.workers
        waiting = (packed(function, argument) for argument in arguments)
        running = {self._called(packing): packing for packing in islice(waiting, limit)}
        while running:
            [done], _ = ray.wait(list(running), num_returns=1)
            packing = running.pop(done)
            try:
                with _own_errors():
                    answer = ray.get(done)
            except UnfitNode:
                running[self._called(packing)] = packing  # on another node
                continue
            running.update((self._called(packing), packing) for packing in islice(waiting, 1))
            yield answer

    def _called(self, packing: bytes) -> ray.ObjectRef:
        """Has any fit node answer what is packed."""
        placement = self._nodes.placement() if self._nodes else {}
        remote = ray.remote(num_cpus=1, max_retries=3)(call).options(**placement)
        return remote.remote(packing, self._nodes.packed if self._nodes else None)

    def on_every_node(self, function: Callable[[Any], Any], argument: Any) -> list[tuple[str, Any]]:
        packing = packed(function, argument)
        asked = [(node, asked_on(node["NodeID"], packing)) for node in ray.nodes() if node["Alive"]]
        answers = []
        for node, ref in asked:
            try:
                with _own_errors():
                    answers.append((node["NodeManagerAddress"], ray.get(ref)))
            except MachineTrouble:
                if is_alive(node["NodeID"]):
                    raise
        return answers

    def require(self, proof: Proof) -> list[tuple[str, str]]:
        self._nodes = Nodes(proof)
        return self._nodes.problems()

    def close(self) -> None:
        if self.started:
            ray.shutdown()
        # Ray's logs are evidence where something went wrong, or where nobody else keeps any: until Ray is started next.
        if self._session and self._logs_elsewhere and not isinstance(sys.exc_info()[1], Exception):
            ray_start.remove(self._session)
        release(self._claim)
        self._claim = None


@contextmanager
def _own_errors() -> Iterator[None]:
    """Around what waits for workers: raises their errors without an actor's traceback, and Ray's own as trouble."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause = trouble_in(error.cause) or error.cause
        said = str(cause).partition(_RETRY_ADVICE)[0]
        for kind in (ConfigError, UnfitNode, MachineTrouble, BrokenInstallation):
            if isinstance(cause, kind):
                raise kind(said) from None
        raise
    except _RAY_IN_TROUBLE as error:
        said = " ".join(str(error).split())[:300]
        raise MachineTrouble(
            f"Ray cannot go on: {type(error).__name__}: {said}; look at memory, nodes and disk (Ray's own files lie in "
            f"/tmp/ray), {GO_ON}"
        ) from error


def _keep_errors_in_the_log() -> None:
    """What ends a run is raised, and said in a sentence; Ray Data also logs it, with hundreds of lines of traceback."""
    logger = logging.getLogger("ray.data")
    logger.setLevel(logging.ERROR)
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)


def _put(block: Sequence[Row]) -> ray.ObjectRef:
    return ray.put(pa.table(to_columns(block)))


def _placement(group: tuple[Step, ...], pools: int, engine: EngineSettings, blocks: int) -> dict[str, Any]:
    """Actor pool and resources of one group of stages, so that all pools together fit on the cluster."""
    resources = group[0].stage.resources
    available = float(ray.cluster_resources().get("CPU", 1))
    wanted = _gpus(group, engine)
    # Every pool needs one worker at least: on a small machine several pools share a processor.
    cpus = min(resources.cpus, available / pools)
    pool = engine.pools.get(resources.pool)
    most = max(1, int(ray.cluster_resources()["GPU"] / wanted) if wanted else int(available / pools / cpus))
    most = pool.max_workers if pool and pool.max_workers else most
    most = max(1, min(most, blocks))
    least = min(pool.min_workers if pool else most, most)
    placement: dict[str, Any] = {"compute": ActorPoolStrategy(min_size=least, max_size=most), "num_cpus": cpus}
    return placement | ({"num_gpus": wanted} if wanted else {})


def _gpus(group: tuple[Step, ...], engine: EngineSettings) -> float:
    """GPUs for one worker of a group: what its stages want, if GPUs are to be used and the cluster has as many."""
    wanted = group[0].stage.resources.gpus if engine.device != "cpu" else 0.0
    there = float(ray.cluster_resources().get("GPU", 0))
    if wanted <= there:
        return wanted
    if engine.device == "auto":
        return 0.0
    names = ", ".join(step.stage.name for step in group)
    raise ConfigError(f"{names}: {wanted:g} GPU(s) wanted, the cluster has {there:g}; set engine.device to auto or cpu")
