"""A phase: a list of stages over a table of items, run until every item has ended.

The driver side of the engine. It asks the ledger which items still need work, hands those to a runner, and afterwards
walks the ledger to say how every item ended. It holds one page of items at a time, so its memory does not grow with
the dataset.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from demix.engine.claims import Claims
from demix.engine.doubts import Doubts, settle
from demix.engine.judging import judge
from demix.engine.ledger import Entry, Ledger, Status
from demix.engine.row import Row
from demix.engine.runner import Runner, RunOptions
from demix.engine.worker import Step
from demix.fingerprint import failure_fingerprint, fingerprint
from demix.records import Probe, Record
from demix.stage import Item, Stage
from demix.store import Store

_PAGE = 2048


class PhaseError(RuntimeError):
    """A phase that cannot be run or that lost an item; says what to do."""


@dataclass(frozen=True)
class End:
    """How an item ended. `entry` is the answer that ended it: None for an item that went through every stage."""

    item: Item
    entry: Entry | None
    missing: str = ""
    """Name of the stage that has not answered yet; empty when the item has ended."""

    @property
    def state(self) -> str:
        return "pending" if self.missing else self.entry.status if self.entry else "kept"


@dataclass(frozen=True)
class Survey:
    """How many items a phase has, how many of them have not ended, and how much film those are."""

    items: int
    pending: int
    film_seconds: float


def film_seconds(row: Row) -> float:
    """The length of film that a row stands for: that of a clip or, as its probe has found it, of a source; 0 if nobody
    knows yet."""
    seconds = getattr(row.parse_subject(), "seconds", None)
    if seconds is None and Probe.name in row.records:
        seconds = Probe.model_validate_json(row.records[Probe.name]).seconds
    return float(seconds or 0.0)


class Phase:
    """`stages` over `rows`; `base` names the records that every row already holds, with their fingerprints."""

    def __init__(
        self,
        name: str,
        stages: Sequence[Stage],
        store: Store,
        rows: Callable[[], Iterable[Row]],
        base: Mapping[type[Record], str] | None = None,
    ):
        self.name = name
        self.store = store
        self.ledger = Ledger(store)
        self.rows = rows
        base = base or {}
        self.kinds = {kind.name: kind for kind in (*base, *(stage.adds for stage in stages)) if kind is not None}
        self.steps = tuple(_steps(stages, {kind.name: text for kind, text in base.items()}, self.ledger))

    def run(
        self,
        runner: Callable[[], Runner],
        options: RunOptions,
        on_done: Callable[[Row], None],
        on_judged: Callable[[Row], None] | None = None,
    ) -> None:
        """Runs what is pending: what only has to be judged at once and here, the rest by a runner, which is asked for
        only if there is a rest. `on_done` is told of every item that has ended, `on_judged`, if given, of those that
        were only judged.

        Raises `MachineTrouble` or `BrokenInstallation` where failures are not the items', and `PhaseError` if an item
        is still pending afterwards: that would be a bug.
        """
        Claims(self.store).clear()
        options = options.model_copy(update={"run": uuid.uuid4().hex})
        doubts = Doubts(self.store, options.run)
        doubts.clear()
        self.ledger.compact()
        for page in _pages(self.pending(options.retry_failed)):
            for row in judge(page, self.steps, self.kinds, self.ledger, retry_failed=options.retry_failed):
                (on_judged or on_done)(row)
        self.ledger.compact()
        if next(self.pending(options.retry_failed), None) is not None:
            rows = self.pending(options.retry_failed)
            passed: set[str] = set()
            for row in runner().run(self.steps, self.kinds, self.store, rows, options):
                passed.update(self._passed(row))
                on_done(row)
            self.ledger.compact()
            self._settle(doubts, passed)
        lost = next(self.pending(), None)
        if lost is not None:
            raise PhaseError(f"{self.name}: {lost.id} did not come to an end; please report this")

    def _passed(self, row: Row) -> Iterator[str]:
        """The stages that let a row through."""
        for step in self.steps:
            if step.stage.name == row.stage:
                return
            yield step.stage.name

    def _settle(self, doubts: Doubts, passed: set[str]) -> None:
        """Charges the items with the failures that are still in doubt, or raises what they tell of."""
        notes = doubts.of()
        prints = {step.stage.name: step.fingerprint for step in self.steps}
        settle(notes, passed, lambda stage: self.ledger.kept_any(stage, prints[stage]))
        self.ledger.append([note.entry for note in notes])
        doubts.remove(notes)
        self.ledger.compact()

    def survey(self, retry_failed: bool = False, length: Callable[[Row], float] = film_seconds) -> Survey:
        """What there is and what is left to do, from one walk over the ledger. `length`: of the film of a row."""
        pending, seconds = 0, 0.0
        for row in self.pending(retry_failed):
            pending += 1
            seconds += length(row)
        return Survey(sum(1 for _ in self.rows()), pending, seconds)

    def pending(self, retry_failed: bool = False) -> Iterator[Row]:
        """The rows that a stage has not answered yet (or, if asked, has failed on)."""
        for page in _pages(self.rows()):
            rows = {row.key: row for row in page}
            for _, statuses in self.statuses(page):
                for key, status in statuses.items():
                    if status is None or (status == "failed" and retry_failed):
                        yield rows[key]

    def statuses(self, page: Sequence[Row], *, beyond: bool = False) -> Iterator[tuple[Step, dict[str, Status | None]]]:
        """Step by step, what is known of the rows (by their keys) that all steps before have kept; with `beyond` also
        of those that a step before has not answered yet, as if it kept them."""
        going = {row.key: row for row in page}
        decisive = {kind for step in self.steps for kind in step.stage.by_content}
        for step in self.steps:
            # Where a record is not there yet that the step goes by, nobody can say what its answer is kept under.
            sure = {key: row for key, row in going.items() if all(k.name in row.records for k in step.stage.by_content)}
            keys = {key: step.key(row) for key, row in sure.items()}
            known = step.statuses(self.ledger, list(keys.values()))
            found = {key: known.get(keys[key]) if key in keys else None for key in going}
            yield step, found
            going = {key: row for key, row in going.items() if found[key] == "kept" or (beyond and found[key] is None)}
            if step.stage.adds in decisive:
                kept = [keys[key] for key in going if found[key] == "kept"]
                entries = step.find(self.ledger, kept)
                going = {
                    key: row.with_text(step.stage.adds, entries[keys[key]].body) if found[key] == "kept" else row
                    for key, row in going.items()
                }

    def progress(self) -> tuple[Counter[str], Counter[str]]:
        """By stage: how many items it has answered, and how many it has not of those that no stage before is known to
        have ended."""
        done: Counter[str] = Counter()
        to_run: Counter[str] = Counter()
        for page in _pages(self.rows()):
            for step, statuses in self.statuses(page, beyond=True):
                unknown = sum(status is None for status in statuses.values())
                done[step.stage.name] += len(statuses) - unknown
                to_run[step.stage.name] += unknown
        return done, to_run

    def ends(self, size: int = _PAGE) -> Iterator[End]:
        """How every item ended, with all its records; `size` of them are looked up at a time."""
        for page in _pages(self.rows(), size):
            found = self.page_ends(page)
            found.reverse()
            while found:
                yield found.pop()  # what is read of its records goes with it

    def page_ends(self, page: Sequence[Row]) -> list[End]:
        """How some items ended, in their order."""
        return ends_of(page, self.steps, self.kinds, self.ledger)


def ends_of(page: Sequence[Row], steps: Sequence[Step], kinds: Mapping[str, type[Record]], ledger: Ledger) -> list[End]:
    """How the items of a page ended at these steps, in their order, as the ledger has it."""
    rows = {row.key: row for row in page}
    ends: dict[str, End] = {}
    for step in steps:
        going = {key: step.key(row) for key, row in rows.items() if key not in ends}
        entries = step.find(ledger, list(going.values()))
        for key, kept_under in going.items():
            entry = entries.get(kept_under)
            if entry is None:
                ends[key] = End(rows[key].item(kinds), None, step.stage.name)
            elif entry.status != "kept":
                ends[key] = End(rows[key].item(kinds), entry)
            else:
                rows[key] = rows[key].with_text(step.stage.adds, entry.body)
    return [ends.get(key) or End(row.item(kinds), None) for key, row in rows.items()]


def _steps(stages: Sequence[Stage], known: dict[str, str], ledger: Ledger) -> Iterator[Step]:
    """Stages with their fingerprints. Raises `PhaseError` for a stage whose needs nobody before it meets."""
    for stage in stages:
        absent = [kind.name for kind in stage.needs if kind.name not in known]
        if absent:
            raise PhaseError(
                f"stage {stage.name} needs {', '.join(absent)}, which no stage before it adds; reorder them"
            )
        text = _fingerprint(stage, known, ledger)
        if stage.adds is not None:
            known[stage.adds.name] = text
        yield Step(stage, text, failure_fingerprint(stage, text))


def _fingerprint(stage: Stage, known: Mapping[str, str], ledger: Ledger) -> str:
    """A stage's fingerprint. A work store that an earlier version made with just these settings goes on under what
    that version said, as every answer in it stands under that."""
    text, former = fingerprint(stage, known), fingerprint(stage, known, former=True)
    left = text != former and not ledger.holds(stage.name, text) and ledger.holds(stage.name, former)
    return former if left else text


def _pages(rows: Iterable[Row], size: int = _PAGE) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while page := list(islice(remaining, size)):
        yield page
