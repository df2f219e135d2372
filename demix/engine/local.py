"""The runner for few clips on one machine: worker processes of our own, which are there in a second.

Ray's own processes take many. A worker that dies is started again and given its rows once more; as on Ray, its claims
see to it that an item that keeps killing workers is found out.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from demix import models, processes
from demix.engine.proof import THIS_MACHINE, Proof
from demix.engine.row import Row
from demix.engine.runner import EngineSettings, RunOptions, batches, rows_at_once
from demix.engine.sequential import worker_spec
from demix.engine.threads import ThreadRunner
from demix.engine.worker import Step
from demix.errors import MachineTrouble
from demix.machine import GO_ON
from demix.records import Record
from demix.store import Store

_OUTPUT = "workers.log"
"""In the folder of logs: what libraries print in workers."""

_First = tuple[str, bytes, Path | None, dict[str, dict[str, str]]]
"""The message that makes a process a worker; see `demix.engine.local_worker`."""


class LocalRunner:
    """Batches of rows through worker processes, one a processor, which live as long as the runner."""

    def __init__(self, workers: int | None = None):
        self._threads = ThreadRunner(workers)
        self.workers = self._threads.workers
        self._lock = threading.Lock()
        self._idle: list[_Process] = []
        self._all: list[_Process] = []
        self._closed = False

    def run(
        self,
        steps: Sequence[Step],
        kinds: Mapping[str, type[Record]],
        store: Store,
        rows: Iterable[Row],
        options: RunOptions,
    ) -> Iterator[Row]:
        spec = replace(worker_spec(tuple(steps), kinds, store, options), device="cpu", may_exit=True)
        first = ("worker", pickle.dumps(spec), options.log_folder, models.MODELS)
        most = options.engine.max_attempts

        def work(batch: list[Row]) -> list[Row]:
            # By turns each item may kill its workers so often; nothing else ends them.
            done: list[Row] = self._asked(("rows", batch), first, (len(batch) + 1) * most + 1)
            return done

        for batch in self._side_by_side(work, batches(rows, rows_at_once(steps, options, self.workers))):
            yield from batch

    def map(self, function: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        return self._side_by_side(lambda argument: self._asked(("call", function, argument), None, 3), arguments)

    def on_every_node(self, function: Callable[[Any], Any], argument: Any) -> list[tuple[str, Any]]:
        return [(THIS_MACHINE, function(argument))]

    def require(self, proof: Proof) -> list[tuple[str, str]]:
        return [(THIS_MACHINE, proof.problem(THIS_MACHINE))]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for process in self._all:
                process.end()
            self._all, self._idle = [], []

    def _side_by_side(self, work: Callable[[Any], Any], arguments: Iterable[Any]) -> Iterator[Any]:
        try:
            yield from self._threads.map(work, arguments)
        except BaseException:
            self.close()  # nobody waits for what the other workers do
            raise

    def _asked(self, message: Any, first: _First | None, most: int) -> Any:
        """A worker's answer. `first` makes a process such a worker that is none yet. Raises what the worker raises, and
        `MachineTrouble` where so many of them die."""
        for _ in range(most):
            process = self._taken(None if first is None else first[2])
            try:
                if first is not None:
                    process.become(first)
                answer = process.ask(message)
            except _Died:
                process.end()
                continue  # where the runner was closed, there is no other to take
            except BaseException:
                self._put_back(process)
                raise
            self._put_back(process)
            return answer
        raise MachineTrouble(
            f"{most} worker processes died one after the other, with nothing to show why; look at memory and at the "
            f"system's log, {GO_ON}"
        )

    def _taken(self, log_folder: Path | None) -> _Process:
        with self._lock:
            if self._closed:
                raise RuntimeError("the runner is closed")
            if self._idle:
                return self._idle.pop()
            process = _Process(log_folder)
            self._all.append(process)
            return process

    def _put_back(self, process: _Process) -> None:
        with self._lock:
            self._idle.append(process)


class _Died(Exception):
    """A worker process is gone."""


class _Process:
    """A process of `demix.engine.local_worker`."""

    def __init__(self, log_folder: Path | None):
        self._channel, theirs = Pipe()
        self._was: _First | None = None
        command = [sys.executable, "-P", "-m", "demix.engine.local_worker", str(theirs.fileno())]
        with theirs, open(_output(log_folder), "ab") as output:
            self._process = processes.popen(
                command, stdout=output, stderr=output, env=_environment(), pass_fds=(theirs.fileno(),)
            )

    def become(self, first: _First) -> None:
        """Makes it another worker, if it is not that one yet."""
        if self._was != first:
            self.ask(first)
            self._was = first

    def ask(self, message: Any) -> Any:
        """Raises what the other side raises, `_Died` if it does not answer any more."""
        sent = pickle.dumps(message)
        try:
            self._channel.send_bytes(sent)
            what, answer = pickle.loads(self._channel.recv_bytes())
        except (EOFError, ConnectionError):
            raise _Died from None
        if what == "error":
            raise answer
        return answer

    def end(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def _output(log_folder: Path | None) -> str:
    if log_folder is None:
        return os.devnull
    log_folder.mkdir(parents=True, exist_ok=True)
    return str(log_folder / _OUTPUT)


def _environment() -> dict[str, str]:
    """As this process has it, with our own code in reach, and one thread for numeric libraries, as in Ray's workers."""
    folders = os.pathsep.join(os.path.abspath(folder or ".") for folder in sys.path)
    return {"OMP_NUM_THREADS": "1"} | dict(os.environ) | {"PYTHONPATH": folders}


def fits(steps: Sequence[Step], engine: EngineSettings) -> bool:
    """Whether all stages of a phase may share workers that have no GPU, one a processor, and can be sent to them."""
    together = len({step.stage.resources for step in steps if not step.stage.judges}) <= 1
    ours = all(type(step.stage).__module__ != "__main__" for step in steps)
    no_gpu = engine.device == "cpu" or (engine.device == "auto" and not has_gpu())
    return together and ours and no_gpu and not engine.pools


def has_gpu(_: object = None) -> bool:
    """Whether this machine shows one."""
    return Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists()
