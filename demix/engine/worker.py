"""A worker: a chain of neighbouring stages in one process, fed with rows, answering rows, writing the ledger.

It knows nothing of how it is run: the sequential runner calls it in this process, the Ray runner in an actor.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from demix import weights
from demix.engine import log
from demix.engine.attempt import Answer, Overdue, failure, run_batch
from demix.engine.claims import Claims
from demix.engine.doubts import Doubt, Doubts
from demix.engine.ledger import Entry, Ledger, Status
from demix.engine.row import Row
from demix.errors import BrokenInstallation, DemixError, MachineTrouble, is_defect, place_of
from demix.lazy import text_of
from demix.machine import GO_ON, check_writable, trouble_in
from demix.records import Record
from demix.redact import Addresses
from demix.stage import Context, Failed, Item, Kept, Resources, Stage
from demix.store import Store

_FLUSH_SECONDS = 5.0


@dataclass(frozen=True)
class Step:
    """A stage with the fingerprint that its answers are kept under."""

    stage: Stage
    fingerprint: str
    failures: str
    """What its failures are kept under; another one where limits or time-outs are not the default ones."""

    def key(self, about: Row | Item) -> str:
        """What the ledger keeps the stage's answer under: the item's own key and, where the stage goes by the content
        of records, what they say."""
        if not self.stage.by_content:
            return about.key
        names = (kind.name for kind in self.stage.by_content)
        texts = [about.records[name] if isinstance(about, Row) else text_of(about.records, name) for name in names]
        return f"{about.key}-{hashlib.blake2b(json.dumps(texts).encode(), digest_size=8).hexdigest()}"

    def find(self, ledger: Ledger, keys: Sequence[str], *, fresh: bool = False) -> dict[str, Entry]:
        """What the ledger holds of these items: answers, and failures that came about under the same limits."""
        found = ledger.find(self.stage.name, self.fingerprint, keys, fresh=fresh)
        if self.failures == self.fingerprint:
            return found
        found = {key: entry for key, entry in found.items() if entry.status != "failed"}
        rest = [key for key in keys if key not in found]
        return found | ledger.find(self.stage.name, self.failures, rest, fresh=fresh)

    def statuses(self, ledger: Ledger, keys: Sequence[str]) -> dict[str, Status]:
        """Only their statuses, from the merged files; see `find`."""
        found = ledger.statuses(self.stage.name, self.fingerprint, keys)
        if self.failures == self.fingerprint:
            return found
        found = {key: status for key, status in found.items() if status != "failed"}
        return found | ledger.statuses(self.stage.name, self.failures, [key for key in keys if key not in found])


@dataclass(frozen=True)
class WorkerSpec:
    """All that a worker needs to know; small and picklable."""

    steps: tuple[Step, ...]
    phase: tuple[Step, ...]
    """Every step of the phase: media that went missing are made again by the step that made them."""
    kinds: Mapping[str, type[Record]]
    store: str
    max_attempts: int = 3
    threads: int = 1
    device: str = "auto"
    weights: str | None = None
    """Folder of weights, if not this machine's own choice."""
    fetch_weights: bool = False
    retry_failed: bool = False
    run: str = ""
    """Name of the run, which tells its notes (`demix.engine.doubts`) from those of others."""
    addresses: Addresses = field(default_factory=Addresses)
    """Of films that are named with credentials."""
    may_exit: bool = False
    """Whether a hung stage may take the process with it (somebody restarts it), or only its thread is given up."""


class Worker:
    """Call it with rows; it answers the same rows, further on."""

    def __init__(self, spec: WorkerSpec):
        self.spec = spec
        weights.use(spec.weights)
        self.store = Store(spec.store)
        self.ledger = Ledger(self.store)
        self.claims = Claims(self.store)
        self.doubts = Doubts(self.store, spec.run)
        self.log = log.get_logger("engine.worker")
        if self.store.remote:
            log.send_to(self.store)
        self._opened: dict[str, Stage] = {}
        self._unwritten: list[Entry] = []
        self._written_at = time.monotonic()
        self._passed: set[str] = set()
        """Stages that have kept an item here, and so work here."""
        self._in_doubt: set[str] = set()
        """Stages on which there are notes of failures in doubt, by whatever worker."""

    def __call__(self, rows: Sequence[Row]) -> list[Row]:
        going = {row.id: row for row in rows if row.state == "going"}
        after_death = self.claims.deaths(list(going))
        self._in_doubt = {note.entry.stage for note in self.doubts.of()}
        try:
            for step in self.spec.steps:
                ids = [name for name, row in going.items() if row.state == "going"]
                if ids:
                    keys = [step.key(going[name]) for name in ids]
                    deaths = after_death.get(step.stage.name, {})
                    prior = step.find(self.ledger, keys, fresh=bool(after_death))
                    self._advance(step, ids, going, prior, deaths)
        finally:
            self._flush()  # also where a stage ends the run: what was answered before may have cost money
            log.deliver()
        return [going.get(row.id, row) for row in rows]

    def close(self) -> None:
        for stage in self._opened.values():
            stage.close()
        self._opened.clear()

    def _advance(
        self, step: Step, ids: list[str], rows: dict[str, Row], prior: dict[str, Entry], deaths: Mapping[str, int]
    ) -> None:
        """Takes the rows through one step: known answers from the ledger, the others by running the stage."""
        unknown = []
        for name in ids:
            entry = prior.get(step.key(rows[name]))
            if entry is None or (entry.status == "failed" and self.spec.retry_failed and not deaths):
                unknown.append(name)
            else:
                rows[name] = self._apply(step, rows[name], entry)
        size = 1 if deaths else max(1, step.stage.batch_size)
        for start in range(0, len(unknown), size):
            items = [rows[name].item(self.spec.kinds) for name in unknown[start : start + size]]
            for item, answer in zip(items, self._run(step, items, deaths), strict=True):
                entry = entry_of(step, item, answer)
                self._note(entry, answer, item)
                rows[item.id] = self._apply(step, rows[item.id], entry)

    def _note(self, entry: Entry, answer: Answer, item: Item) -> None:
        """Writes an answer, or a note of it as long as the item may not be at fault."""
        doubt = answer.doubt
        if doubt is not None and not (doubt.fault == "program" and entry.stage in self._passed):
            self._in_doubt.add(entry.stage)
            self._flush()  # `add` may end the run
            self.doubts.add(entry, doubt, str(getattr(item.subject, "uri", "")) or item.id)
            return
        self._write(entry)
        if isinstance(answer.outcome, Kept):  # items are dropped before the stage has done much
            self._passed.add(entry.stage)
            if entry.stage in self._in_doubt:
                # This one passed after them: it was the items.
                self._in_doubt.remove(entry.stage)
                notes = self.doubts.of(entry.stage)
                self.ledger.append([note.entry for note in notes])
                self.doubts.remove(notes)

    def _apply(self, step: Step, row: Row, entry: Entry) -> Row:
        if entry.status != "kept":
            return row.ended(entry.status, step.stage.name)
        return row.with_text(step.stage.adds, entry.body)

    def _run(self, step: Step, items: list[Item], deaths: Mapping[str, int]) -> list[Answer]:
        """Answers of one stage for a batch. Items that keep killing their worker are not run again."""
        if len(items) == 1 and deaths.get(items[0].id, 0) >= self.spec.max_attempts:
            killed = Failed(
                "WorkerDied",
                f"the worker died {deaths[items[0].id]} times while running {step.stage.name} on this item alone",
            )
            return [Answer(killed, deaths[items[0].id], 0.0, Doubt("machine", "WorkerDied"))]
        with self.claims.held(step.stage.name, [item.id for item in items]):
            lost = {item.id: answer for item in items if (answer := self._restore(step, item)) is not None}
            ready = [item for item in items if item.id not in lost]
            try:
                answered = run_batch(self.open(step), ready, max_attempts=self.spec.max_attempts) if ready else []
            except Overdue as error:
                answered = self._give_up(step, ready, deaths, error)
            known = lost | dict(zip((item.id for item in ready), answered, strict=True))
            failed = [item for item in items if isinstance(known[item.id].outcome, Failed)]
            for item in failed:
                self._log_failure(step, item, known[item.id])
            if failed:
                self._check_machine()
        return [known[item.id] for item in items]

    def _check_machine(self) -> None:
        """Raises `MachineTrouble` where the machine is not in order: asked before an item is charged with a failure,
        whose own error may have hidden it."""
        self.store.check()
        check_writable(Path(tempfile.gettempdir()))

    def _give_up(self, step: Step, items: list[Item], deaths: Mapping[str, int], error: Overdue) -> list[Answer]:
        if len(items) == 1:
            answer = Answer(failure(error), 1, step.stage.timeout_seconds)
            if self.spec.may_exit:
                self._log_failure(step, items[0], answer)
                self._write(entry_of(step, items[0], answer))
                self._exit()
            self._opened.pop(step.stage.name, None)  # a thread hangs in it; whoever comes next gets a fresh one
            return [answer]
        if self.spec.may_exit:
            self._exit()
        self._opened.pop(step.stage.name, None)
        return [self._run(step, [item], deaths)[0] for item in items]

    def _exit(self) -> NoReturn:
        """Ends the process around a hung thread. The claim stays behind, so the batch is next tried item by item."""
        self._flush()
        self.log.error("worker_exits", extra=log.event(reason="a stage hangs"))
        log.deliver(at_once=True)
        os._exit(70)

    def restore_media(self, step: Step, item: Item) -> bool:
        """Makes again what an earlier stage made and a purge removed, if this stage is going to read it.

        False when that failed: the item cannot be run.
        """
        return self._restore(step, item) is None

    def _restore(self, step: Step, item: Item) -> Answer | None:
        """See `restore_media`; the answer for an item that cannot be run."""
        for key in self._inputs(step.stage, item):
            if self.store.exists(key):
                continue
            maker = next(maker for maker in self.spec.phase if key in _media(maker.stage, item))
            if (lost := self._restore(maker, item)) is not None:
                return lost
            try:
                answer = run_batch(self.open(maker), [item], max_attempts=self.spec.max_attempts)[0]
            except Overdue as error:
                if self.spec.may_exit:
                    self._exit()
                self._opened.pop(maker.stage.name, None)
                answer = Answer(failure(error), 1, maker.stage.timeout_seconds)
            if not isinstance(answer.outcome, Kept):
                self._log_failure(maker, item, answer)
                why = "a file that an earlier stage made is gone and could not be made again; see the log"
                return Answer(Failed("MediaLost", why), answer.attempts, answer.seconds, answer.doubt)
            self.log.info("media_restored", extra=log.event(stage=maker.stage.name, item=item.id, key=key))
        return None

    def _inputs(self, stage: Stage, item: Item) -> Iterator[str]:
        declared = stage.inputs(item)
        if declared is not None:
            yield from declared
            return
        for maker in self.spec.phase:
            if maker.stage.adds in stage.needs:
                yield from _media(maker.stage, item)

    def open(self, step: Step) -> Stage:
        """The step's stage, ready to run."""
        stage = self._opened.get(step.stage.name)
        if stage is None:
            started = time.perf_counter()
            stage = step.stage
            if self.spec.fetch_weights:
                weights.ensure(stage.weights())
            _open(stage, Context(self.store, step.fingerprint, self.spec.threads, self.spec.device))
            self._opened[stage.name] = stage
            seconds = round(time.perf_counter() - started, 3)
            self.log.info("stage_opened", extra=log.event(stage=stage.name, seconds=seconds))
        return stage

    def _write(self, entry: Entry) -> None:
        self._unwritten.append(entry)
        if time.monotonic() - self._written_at > _FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        self.ledger.append(self._unwritten)
        self._unwritten = []
        self._written_at = time.monotonic()

    def _log_failure(self, step: Step, item: Item, answer: Answer) -> None:
        fields = {"stage": step.stage.name, "item": item.id, "source": getattr(item.subject, "source_id", item.id)}
        self.log.warning("item_failed", extra=log.event(**fields, attempts=answer.attempts, why=str(answer.outcome)))


def _open(stage: Stage, context: Context) -> None:
    """Opens a stage; what goes wrong there has to do with no item."""
    try:
        stage.open(context)
    except DemixError:
        raise
    except Exception as error:
        trouble = trouble_in(error, f"stage {stage.name}")
        if isinstance(error, MemoryError):
            trouble = MachineTrouble(f"stage {stage.name}: no memory to load its models; use fewer workers, {GO_ON}")
        if trouble is not None:
            raise trouble from error
        if is_defect(error):
            raise BrokenInstallation(
                f"stage {stage.name} cannot be opened: {type(error).__name__} in {place_of(error)}: {error}; a fault "
                "of this program or of a library whose version does not fit: `demix doctor` checks them"
            ) from error
        raise


def entry_of(step: Step, item: Item, answer: Answer) -> Entry:
    """An answer as the ledger keeps it."""
    outcome, attempts, seconds = answer.outcome, answer.attempts, answer.seconds
    fingerprint = step.failures if isinstance(outcome, Failed) else step.fingerprint
    return Entry.of(step.key(item), step.stage.name, fingerprint, outcome, attempts, seconds)


def _media(stage: Stage, item: Item) -> tuple[str, ...]:
    """Keys of the files that a stage made for an item."""
    return stage.media(item[stage.adds]) if stage.adds is not None and stage.adds in item else ()


def groups(steps: Sequence[Step]) -> list[tuple[Step, ...]]:
    """Neighbouring steps with equal resources, which share a worker. Judges need next to nothing: they are with the
    steps before them, or after them where there are none before."""
    grouped: list[tuple[Step, ...]] = []
    for step in steps:
        if grouped and (step.stage.judges or not _measures(grouped[-1]) or _alike(grouped[-1], step)):
            grouped[-1] = (*grouped[-1], step)
        else:
            grouped.append((step,))
    return grouped


def resources_of(group: Sequence[Step]) -> Resources:
    """What a worker of a group occupies."""
    return next((step.stage.resources for step in group if not step.stage.judges), group[0].stage.resources)


def _measures(group: Sequence[Step]) -> bool:
    return not all(step.stage.judges for step in group)


def _alike(group: Sequence[Step], step: Step) -> bool:
    return resources_of(group) == step.stage.resources
