"""What travels between workers: an item as a light row of strings, which Arrow holds as it is.

Records stay JSON on the way, and are read only by the worker that needs them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from demix.lazy import LazyRecords
from demix.records import Record, Subject
from demix.stage import Item


@dataclass(frozen=True)
class Row:
    """An item on its way through a phase. `state` is going, kept, dropped or failed; `stage` where it ended."""

    id: str
    key: str
    """What the ledger keeps answers about it under; see `Item.key`."""
    kind: str
    subject: str
    records: Mapping[str, str] = field(default_factory=dict)
    state: str = "going"
    stage: str = ""

    @classmethod
    def of(cls, subject: Subject, records: Mapping[str, Record] | None = None) -> Row:
        bodies = {name: record.model_dump_json() for name, record in (records or {}).items()}
        return cls(subject.id, subject.key, subject.name, subject.model_dump_json(), bodies)

    def parse_subject(self) -> Subject:
        """As the type of its kind, of all those that are imported here."""
        kinds = {kind.name: kind for kind in Subject.__subclasses__()}
        return kinds[self.kind].model_validate_json(self.subject)

    def item(self, kinds: Mapping[str, type[Record]]) -> Item:
        """The row as a stage sees it; `kinds` names the type of every record that the row may hold."""
        return Item(self.parse_subject(), LazyRecords(self.records, kinds))

    def with_text(self, kind: type[Record] | None, text: str) -> Row:
        """With one more record, given as JSON; None: a stage that adds none."""
        return self if kind is None else replace(self, records={**self.records, kind.name: text})

    def ended(self, state: str, stage: str) -> Row:
        return replace(self, state=state, stage=stage)

    def light(self) -> Row:
        """Without the records, for the way back to the driver."""
        return replace(self, records={})


def to_columns(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Rows as columns of strings."""
    return {
        "id": [row.id for row in rows],
        "key": [row.key for row in rows],
        "kind": [row.kind for row in rows],
        "subject": [row.subject for row in rows],
        "records": [json.dumps(dict(row.records)) for row in rows],
        "state": [row.state for row in rows],
        "stage": [row.stage for row in rows],
    }


def from_columns(columns: Mapping[str, Sequence[Any]]) -> list[Row]:
    names = ("id", "key", "kind", "subject", "records", "state", "stage")
    rows = zip(*(columns[name] for name in names), strict=True)
    return [
        Row(id_, key, kind, subject, json.loads(records), state, stage)
        for id_, key, kind, subject, records, state, stage in rows
    ]
