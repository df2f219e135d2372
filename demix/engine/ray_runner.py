"""The runner on Ray: pools of actors, placed by `demix.engine.placement`, fed by `demix.engine.ray_pass`.

Not on Ray Data, whose streaming this engine once stood on: its pools never shrink to nothing, so stages that want GPUs
keep them from one another for ever; it refuses batches of any size beside GPUs; its input must be known beforehand, so
that all pools ran dry and loaded their models anew window by window; and it knows no passes. Rows are light, so what it
is good at, blocks in shared memory, is nothing that is needed here.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import ray

from demix import library_errors
from demix.engine import ray_start
from demix.engine.nodes import Nodes, asked_on, is_alive
from demix.engine.placement import Node
from demix.engine.proof import Proof, UnfitNode
from demix.engine.ray_errors import own_errors
from demix.engine.ray_head import HeadWatch
from demix.engine.ray_work import RayWork
from demix.engine.row import Row
from demix.engine.runner import EngineSettings, RunOptions
from demix.engine.stage_actor import call, packed
from demix.engine.worker import Step
from demix.errors import MachineTrouble
from demix.machine import GO_ON
from demix.records import Record
from demix.scratch import claim, release
from demix.store import Store

_REFUSED_SECONDS = 60.0
"""How long `map` asks other nodes, where one after the other says that it is not fit."""
_REFUSED_PAUSE = 0.5


class RayRunner:
    """Starts or joins a cluster when it is made."""

    def __init__(self, settings: EngineSettings):
        # A head that this process starts stays on this machine's loopback address.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        self.started = not ray.is_initialized()
        self._session: Path | None = None
        self._claim: int | None = None
        self._logs_elsewhere = True
        self._nodes: Nodes | None = None
        if self.started:
            self._session = ray_start.start(settings.address)
            self._claim = None if self._session is None else claim(self._session)
        self._head = HeadWatch()

    @property
    def workers(self) -> int:
        return max(1, int(ray.cluster_resources().get("CPU", 1)))

    def nodes(self) -> list[Node]:
        """The nodes that are there now and fit for work. Raises `ConfigError` where none is."""
        if self._nodes is not None:
            self._nodes.placement()  # says which are left out
        fit = None if self._nodes is None else self._nodes.fit()
        return [
            Node(
                node["NodeID"],
                cpus=node["Resources"].get("CPU", 0.0),
                gpus=node["Resources"].get("GPU", 0.0),
                memory=node["Resources"].get("memory", 0.0) / 1e9,
            )
            for node in ray.nodes()
            if node["Alive"] and (fit is None or node["NodeID"] in fit)
        ]

    def run(
        self,
        steps: Sequence[Step],
        kinds: Mapping[str, type[Record]],
        store: Store,
        rows: Iterable[Row],
        options: RunOptions,
    ) -> Iterator[Row]:
        self._logs_elsewhere = options.log_folder is not None
        if options.log_folder is not None:
            library_errors.logged_to(options.log_folder / "ray.log")
        work = RayWork(steps, kinds, store, options, self.nodes, self._nodes.packed if self._nodes else None)
        return work.run(iter(rows))

    def map(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        limit = 2 * self.workers
        waiting = (packed(function, argument) for argument in arguments)
        running = {self._called(packing): packing for packing in islice(waiting, limit)}
        refused = 0.0
        while running:
            [done], _ = ray.wait(list(running), num_returns=1)
            packing = running.pop(done)
            try:
                with own_errors():
                    answer = ray.get(done)
            except UnfitNode as error:
                refused = refused or time.monotonic()
                if time.monotonic() - refused > _REFUSED_SECONDS:
                    raise MachineTrouble(
                        f"{error}. No other node has answered since: look at the nodes, {GO_ON}"
                    ) from error
                time.sleep(_REFUSED_PAUSE)
                running[self._called(packing)] = packing  # on another node
                continue
            refused = 0.0
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
                with own_errors():
                    answers.append((node["NodeManagerAddress"], ray.get(ref)))
            except MachineTrouble:
                if is_alive(node["NodeID"]):
                    raise
        return answers

    def require(self, proof: Proof) -> list[tuple[str, str]]:
        self._nodes = Nodes(proof)
        return self._nodes.problems()

    def close(self) -> None:
        self._head.close()
        if self.started:
            ray.shutdown()
        # Ray's logs are evidence where something went wrong, or where nobody else keeps any: until Ray is started next.
        if self._session and self._logs_elsewhere and not isinstance(sys.exc_info()[1], Exception):
            ray_start.remove(self._session)
        release(self._claim)
        self._claim = None
