"""The runner for what is over before a cluster would be up: workers in threads of this process.

For stages whose work is done by child processes, which are as many as there are threads. A stage that hangs keeps its
thread; the run goes on without it.
"""

from __future__ import annotations

import copy
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from demix.engine.proof import THIS_MACHINE, Proof
from demix.engine.row import Row
from demix.engine.runner import RunOptions, batches, rows_at_once
from demix.engine.sequential import worker_spec
from demix.engine.worker import Step, Worker
from demix.records import Record
from demix.store import Store


class ThreadRunner:
    """Batches of rows through workers of their own stages, one a processor."""

    def __init__(self, workers: int | None = None):
        self.workers = workers or len(os.sched_getaffinity(0))

    def run(
        self,
        steps: Sequence[Step],
        kinds: Mapping[str, type[Record]],
        store: Store,
        rows: Iterable[Row],
        options: RunOptions,
    ) -> Iterator[Row]:
        own = threading.local()
        workers: list[Worker] = []

        def work(batch: list[Row]) -> list[Row]:
            if not hasattr(own, "worker"):
                own.worker = Worker(worker_spec(copy.deepcopy(tuple(steps)), kinds, store, options))
                workers.append(own.worker)
            done: list[Row] = own.worker(batch)
            return done

        try:
            for batch in self.map(work, batches(rows, rows_at_once(steps, options, self.workers))):
                yield from (row.light() for row in batch)
        finally:
            for worker in workers:
                worker.close()

    def map(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        """Daemons: who is interrupted does not wait for them, and their child processes end with this one."""
        remaining, lock, over = iter(arguments), threading.Lock(), threading.Event()
        answers: SimpleQueue[tuple[str, Any]] = SimpleQueue()

        def work() -> None:
            try:
                while not over.is_set():
                    with lock:
                        argument = next(remaining, _NOTHING)
                    if argument is _NOTHING:
                        break
                    answers.put(("answer", function(argument)))
                answers.put(("end", None))
            except BaseException as error:
                answers.put(("error", error))

        threads = [threading.Thread(target=work, name=f"worker-{n}", daemon=True) for n in range(self.workers)]
        for thread in threads:
            thread.start()
        ended = 0
        try:
            while ended < len(threads):
                what, answer = answers.get()
                if what == "error":
                    raise answer
                if what == "end":
                    ended += 1
                else:
                    yield answer
        finally:
            over.set()

    def on_every_node(self, function: Callable[[Any], Any], argument: Any) -> list[tuple[str, Any]]:
        return [(THIS_MACHINE, function(argument))]

    def require(self, proof: Proof) -> list[tuple[str, str]]:
        return [(THIS_MACHINE, proof.problem(THIS_MACHINE))]

    def close(self) -> None:
        pass


_NOTHING = object()
