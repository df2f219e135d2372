"""Judging without workers: stages that only read records run where the build was started.

A threshold that is moved asks nothing but judges, about clips that have been measured long ago. Starting a cluster and
handing it batches of four would take longer than all of their work.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from demix.engine.attempt import run_batch
from demix.engine.ledger import Entry, Ledger
from demix.engine.row import Row
from demix.engine.worker import Step, entry_of
from demix.lazy import LazyRecords
from demix.records import Record
from demix.stage import Failed, Item


def judge(
    page: Sequence[Row],
    steps: Sequence[Step],
    kinds: Mapping[str, type[Record]],
    ledger: Ledger,
    *,
    retry_failed: bool = False,
) -> Iterator[Row]:
    """Takes rows as far through the steps as answers are known or judges give them; yields those that have ended.

    New answers are in the ledger before anything is yielded. What a judge fails on is left to the workers, who try it
    again and log it.
    """
    rows = {row.id: row for row in page}
    items = [row.item(kinds) for row in page]
    ended: list[Row] = []
    fresh: list[Entry] = []
    for step in steps:
        answers = _answers(step, items, ledger, retry_failed, fresh)
        known = [(item, entry) for item in items if (entry := answers.get(step.key(item))) is not None]
        items = [_going_on(item, step, entry) for item, entry in known if entry.status == "kept"]
        ended += [rows[item.id].ended(entry.status, step.stage.name) for item, entry in known if entry.status != "kept"]
    ledger.append(fresh)
    yield from ended
    yield from (rows[item.id].ended("kept", "") for item in items)


def _answers(
    step: Step, items: Sequence[Item], ledger: Ledger, retry_failed: bool, fresh: list[Entry]
) -> dict[str, Entry]:
    """What is known of the items, by the keys that it is kept under; a judge's new answers are added to `fresh`."""
    known = step.find(ledger, [step.key(item) for item in items])
    if retry_failed:
        known = {key: entry for key, entry in known.items() if entry.status != "failed"}
    unknown = [item for item in items if step.key(item) not in known]
    if not unknown or not step.stage.judges:
        return known
    for item, answer in zip(unknown, run_batch(step.stage, unknown, max_attempts=1), strict=True):
        if not isinstance(answer.outcome, Failed):
            fresh.append(entry_of(step, item, answer))
            known[fresh[-1].id] = fresh[-1]
    return known


def _going_on(item: Item, step: Step, entry: Entry) -> Item:
    if step.stage.adds is None:
        return item
    assert isinstance(item.records, LazyRecords)
    return replace(item, records=item.records.with_text(step.stage.adds.name, entry.body))
