"""The runner without Ray: the same stages, one after the other, in this process. For tests, replay and debugging."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from demix.engine.proof import THIS_MACHINE, Proof
from demix.engine.row import Row
from demix.engine.runner import RunOptions, batch_of, batches
from demix.engine.worker import Step, Worker, WorkerSpec
from demix.records import Record
from demix.store import Store


def worker_spec(
    steps: tuple[Step, ...], kinds: Mapping[str, type[Record]], store: Store, options: RunOptions
) -> WorkerSpec:
    """A worker in this process that holds every stage of a phase."""
    return WorkerSpec(
        steps=steps,
        phase=steps,
        kinds=kinds,
        store=store.root,
        max_attempts=options.engine.max_attempts,
        threads=options.engine.threads,
        device=options.engine.device,
        weights=options.engine.weights,
        fetch_weights=options.engine.fetch_weights,
        retry_failed=options.retry_failed,
        run=options.run,
    )


class SequentialRunner:
    """Batches of rows through one worker that holds every stage."""

    workers = 1

    def run(
        self,
        steps: Sequence[Step],
        kinds: Mapping[str, type[Record]],
        store: Store,
        rows: Iterable[Row],
        options: RunOptions,
    ) -> Iterator[Row]:
        worker = Worker(worker_spec(tuple(steps), kinds, store, options))
        size = max(options.engine.batch_rows, batch_of(steps))
        try:
            for batch in batches(rows, size):
                yield from (row.light() for row in worker(batch))
        finally:
            worker.close()

    def map(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        return map(function, arguments)

    def on_every_node(self, function: Callable[[Any], Any], argument: Any) -> list[tuple[str, Any]]:
        return [(THIS_MACHINE, function(argument))]

    def require(self, proof: Proof) -> list[tuple[str, str]]:
        return [(THIS_MACHINE, proof.problem(THIS_MACHINE))]

    def close(self) -> None:
        pass
