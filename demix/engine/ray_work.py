"""A phase on Ray: what its stages want, the placement, and one pass after the other."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import ray
from ray import cloudpickle
from ray.autoscaler.sdk import request_resources
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from demix.engine import log
from demix.engine.claims import Claims
from demix.engine.ledger import Ledger
from demix.engine.placement import Impossible, Node, Pass, Placement, Pool, place
from demix.engine.placement_text import lines
from demix.engine.ray_gpus import LOOK_SECONDS, SAY_SECONDS, on_gpus
from demix.engine.ray_pass import RayPass
from demix.engine.ray_pool import RayPool
from demix.engine.row import Row
from demix.engine.runner import RunOptions, batch_of, rows_at_once
from demix.engine.spool import Spool
from demix.engine.stage_actor import StageActor
from demix.engine.wishes import wish
from demix.engine.worker import Step, WorkerSpec, groups
from demix.errors import MachineTrouble
from demix.machine import GO_ON
from demix.records import Record
from demix.store import Store

_LOG = log.get_logger("engine.placement")
_ITEM_SECONDS = 10.0
"""Of media, of an item whose length nobody knows."""
_MANY = 100_000
"""Items, where nobody knows how many there are."""


class RayWork:
    """One run of a phase. `nodes()` says which nodes there are now; `proof` is what workers must show, packed."""

    def __init__(
        self,
        steps: Sequence[Step],
        kinds: Mapping[str, type[Record]],
        store: Store,
        options: RunOptions,
        nodes: Callable[[], list[Node]],
        proof: bytes | None = None,
    ):
        self._proof = proof
        self._steps, self._kinds, self._store, self._options = tuple(steps), kinds, store, options
        self._nodes = nodes
        self._groups = groups(steps)
        self._gpus = False
        self._placed_before = False

    def run(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Yields the rows that have ended, without their records."""
        wanting = [step.stage.name for step in self._steps if step.stage.resources.gpus]
        try:
            self._gpus = on_gpus(wanting, self._options.engine, self._nodes, _tell)
            yield from self._passes(rows)
        finally:
            request_resources(num_cpus=0)  # nodes that came for this run may go

    def _passes(self, rows: Iterator[Row]) -> Iterator[Row]:
        done, source = 0, rows
        while done < len(self._groups):
            placement = self._placed(done)
            crews = placement.passes[0].crews
            spool = None if done + len(crews) == len(self._groups) else Spool()
            under_way = self._pass(done, [crew.pool for crew in crews], spool)
            yield from under_way.run(source)
            Ledger(self._store).compact()  # so that the workers of the next pass find what these have answered
            if under_way.left is not None:
                source = chain(spool or (), under_way.left, source)
            elif spool is None:
                return
            else:
                done, source = done + len(crews), iter(spool)

    def _pass(self, done: int, pools: Sequence[Pool], spool: Spool | None) -> RayPass:
        engine = self._options.engine
        return RayPass(
            [self._pool(done, done + number, pool) for number, pool in enumerate(pools)],
            self._nodes,
            Claims(self._store),
            _tell,
            ask=_ask_for_more,
            spool=spool,
            max_attempts=engine.max_attempts,
            wait_seconds=engine.gpus.wait_seconds,
        )

    def _placed(self, first: int) -> Placement:
        """The placement of the groups from the `first` on, on the cluster as it is now, which is told. Waits where that
        has lost what they need."""
        began = said = time.monotonic()
        wishes = [wish(group, self._options, self._gpus) for group in self._groups[first:]]
        media_seconds = self._options.media_seconds or _ITEM_SECONDS * (self._options.total or _MANY)
        while True:
            nodes, now = self._nodes(), time.monotonic()
            try:
                placement = place(nodes, wishes, media_seconds)
            except Impossible as error:
                empty = not any(node.cpus for node in nodes)  # a head that gives no work waits for nodes that do
                if empty:
                    request_resources(num_cpus=1)
                if not self._placed_before and not empty:
                    raise
                if now - began >= self._options.engine.gpus.wait_seconds:
                    raise MachineTrouble(f"{error}; none has come (engine.gpus.wait_seconds), {GO_ON}") from None
                if now - said >= SAY_SECONDS:
                    said = now
                    _tell(f"waiting for a node: {error} ({now - began:.0f} s so far)")
                time.sleep(LOOK_SECONDS)
                continue
            self._placed_before = True
            for line in lines(placement, nodes, self._options.media_seconds):
                _tell(line)
            return placement

    def _pool(self, first: int, index: int, pool: Pool) -> RayPool:
        """The pool of the group `index` in a pass that begins with the group `first`. Rows come into a pass without
        what earlier ones have added: its first workers look that up."""
        mine = self._groups[index]
        before = [step for group in self._groups[:first] for step in group] if index == first else []
        options = self._options
        spec = WorkerSpec(
            steps=(*before, *mine),
            phase=self._steps,
            kinds=self._kinds,
            store=self._store.root,
            max_attempts=options.engine.max_attempts,
            threads=options.engine.threads,
            device=options.engine.device if pool.gpus else "cpu",
            weights=options.engine.weights,
            fetch_weights=options.engine.fetch_weights,
            retry_failed=options.retry_failed,
            run=options.run,
            may_exit=True,
        )
        packed = ray.put(cloudpickle.dumps(spec))

        def start(node: str) -> tuple[Any, ray.ObjectRef]:
            actor = ray.remote(StageActor).options(
                num_cpus=pool.cpus,
                num_gpus=pool.gpus,
                memory=pool.memory * 1e9 or None,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
            )
            made = actor.remote()
            return made, made.begin.remote(packed, options.log_folder, self._proof, pool.gpus > 0)

        workers = pool.most or max(1, int(sum(node.cpus for node in self._nodes())))
        return RayPool(pool, start, rows_at_once(mine, options, workers), whole=batch_of(mine) > 1)


def _ask_for_more(planned: Pass) -> None:
    """Tells a cluster that can grow what could be used: twice what there is, as long as there is work for so many."""
    bundles: list[dict[str, float]] = []
    for crew in planned.crews:
        pool = crew.pool
        wants = {"CPU": pool.cpus} | ({"GPU": pool.gpus} if pool.gpus else {})
        bundles += [wants] * min(2 * crew.workers, pool.most or _MANY)
    request_resources(bundles=bundles)


def _tell(text: str) -> None:
    """Something that whoever watches should know, and who reads the log."""
    print(text, file=sys.stderr, flush=True)
    _LOG.info("placement", extra=log.event(said=text))
