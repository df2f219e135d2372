"""The ledger: what every stage answered about every item, kept so that nothing is ever judged twice.

One row per (item, stage, fingerprint). Workers append small immutable parts (`ledger/parts/*.parquet`, written aside,
synced, renamed); at the start and the end of a phase the driver merges them into one file per stage and fingerprint,
sorted by item, so that a batch of items is found by reading a few row groups. Merging holds a bucket of answers at a
time (`demix.engine.buckets`), not all of a run. A crash between any two steps leaves rows twice at worst, and reading
takes the better of two equal keys, so nothing is lost or doubled.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demix.engine.buckets import Buckets
from demix.engine.sorted_file import rows_of
from demix.records import Record
from demix.redact import redacted
from demix.stage import Dropped, Failed, Kept, Outcome
from demix.store import Store

Status = Literal["kept", "dropped", "failed"]

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("stage", pa.string()),
        ("fingerprint", pa.string()),
        ("status", pa.string()),
        ("body", pa.string()),
        ("attempts", pa.int32()),
        ("seconds", pa.float64()),
    ]
)
_PARTS = "ledger/parts"
_ROW_GROUP = 256
_ALONE: dict[str, Any] = {"use_threads": False, "pre_buffer": False}
"""How Parquet is read: what is read at once is small, and Arrow's threads each keep memory that they freed."""


@dataclass(frozen=True)
class Entry:
    """One stage's answer about one item. `seconds` is the work it took, not part of the answer."""

    id: str
    stage: str
    fingerprint: str
    status: Status
    body: str
    """JSON: the record (kept), reason and evidence (dropped), or error, message and detail (failed)."""
    attempts: int = 1
    seconds: float = 0.0

    @classmethod
    def of(cls, item: str, stage: str, fingerprint: str, outcome: Outcome, attempts: int, seconds: float) -> Entry:
        match outcome:
            case Kept(record):
                status: Status = "kept"
                body = "null" if record is None else record.model_dump_json()
            case Dropped(reason, evidence):
                status, body = "dropped", json.dumps({"reason": reason, "evidence": dict(evidence)}, sort_keys=True)
            case Failed(error, message, detail):
                told = {"error": error, "message": redacted(message), "detail": redacted(detail)}
                status, body = "failed", json.dumps(told)
        return cls(item, stage, fingerprint, status, body, attempts, seconds)

    @property
    def reason(self) -> str:
        """Why a dropped entry was dropped; empty for the others."""
        return str(json.loads(self.body)["reason"]) if self.status == "dropped" else ""

    def record(self, kind: type[Record] | None) -> Record | None:
        """The record that a kept entry holds."""
        return None if kind is None else kind.model_validate_json(self.body)


class Ledger:
    """All entries of one build, in its work store."""

    def __init__(self, store: Store):
        self.store = store

    def append(self, entries: Sequence[Entry]) -> None:
        """Adds entries as one new part: durable when this returns."""
        if entries:
            table = pa.Table.from_pylist([vars(entry) for entry in entries], schema=SCHEMA)
            with self.store.write(f"{_PARTS}/{uuid.uuid4().hex}.parquet") as path:
                pq.write_table(table, path)

    def compact(self) -> None:
        """Merges all parts into the sorted files. Only the driver calls this, while no worker runs."""
        parts = self.store.keys(_PARTS)
        if not parts:
            return
        files = [key for key in self.store.keys("ledger") if key.endswith(".parquet")]
        size = sum(_bytes(self.store.local(key)) for key in files)  # with what is merged: it is read again
        names: set[str] = set()
        with Buckets(SCHEMA, size) as fresh:
            for part in parts:
                table = pq.ParquetFile(self.store.local(part)).read(use_threads=False)
                names |= set(pc.unique(_names(table)).to_pylist())
                fresh.add(table)
            self._merge(fresh, sorted(names))
        for part in parts:
            self.store.remove_file(part)

    def find(self, stage: str, fingerprint: str, ids: Sequence[str], *, fresh: bool = False) -> dict[str, Entry]:
        """Entries of one stage for some items. `fresh` also reads parts not merged yet (slow, for crash recovery)."""
        found: dict[str, Entry] = {}
        files = [self._file(stage, fingerprint), *(self.store.keys(_PARTS) if fresh else ())]
        for key in files:
            for row in self._read(key, ids).to_pylist():
                entry = Entry(**row)
                if (entry.stage, entry.fingerprint) != (stage, fingerprint):
                    continue  # a part holds answers of all stages
                if entry.id not in found or _better(entry, found[entry.id]):
                    found[entry.id] = entry
        return found

    def statuses(self, stage: str, fingerprint: str, ids: Sequence[str]) -> dict[str, Status]:
        """Only the statuses, from the merged files: cheap enough to ask for every item of a large build."""
        table = self._read(self._file(stage, fingerprint), ids, columns=["id", "status"])
        return dict(zip(table["id"].to_pylist(), table["status"].to_pylist(), strict=True))

    def holds(self, stage: str, fingerprint: str) -> bool:
        """Whether there are merged answers of a stage under this fingerprint."""
        return self.store.exists(self._file(stage, fingerprint))

    def kept_any(self, stage: str, fingerprint: str) -> bool:
        """Whether a stage has kept anything, by the merged answers."""
        if not self.holds(stage, fingerprint):
            return False
        statuses = pq.read_table(self.store.local(self._file(stage, fingerprint)), columns=["status"], **_ALONE)
        return "kept" in pc.unique(statuses["status"]).to_pylist()

    def totals(self, stage: str, fingerprint: str) -> tuple[int, float]:
        """(entries, seconds of work) of one stage."""
        if not self.holds(stage, fingerprint):
            return 0, 0.0
        key = self._file(stage, fingerprint)
        seconds = pq.read_table(self.store.local(key), columns=["seconds"], **_ALONE)["seconds"]
        return len(seconds), float(pc.sum(seconds).as_py() or 0.0)

    def _merge(self, fresh: Buckets, names: Sequence[str]) -> None:
        """Writes the merged files of these names anew, with what is fresh."""
        keys = {name: _merged_file(name) for name in names}
        with ExitStack() as stack:
            old = {name: self.store.local(key) for name, key in keys.items() if self.store.exists(key)}
            paths = {name: stack.enter_context(self.store.write(key)) for name, key in keys.items()}
            writers = {name: stack.enter_context(pq.ParquetWriter(path, SCHEMA)) for name, path in paths.items()}
            for prefix, table in fresh.read():
                known = _names(table)
                mine = (pc.field("id") >= prefix) & (pc.field("id") < prefix + "g")  # "g" follows all hex digits
                for name, writer in writers.items():
                    tables = [table.filter(pc.equal(known, name))]
                    tables += [pq.read_table(old[name], filters=mine, schema=SCHEMA, **_ALONE)] if name in old else []
                    merged = _deduplicate(pa.concat_tables(tables))
                    if len(merged):
                        writer.write_table(merged, row_group_size=_ROW_GROUP)

    def _read(self, key: str, ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        if not ids or not self.store.exists(key):
            return SCHEMA.empty_table()
        return rows_of(self.store.local(key), ids, columns)

    def _file(self, stage: str, fingerprint: str) -> str:
        return _merged_file(f"{stage}-{fingerprint}")


def _merged_file(name: str) -> str:
    return f"ledger/{name}.parquet"


def _bytes(path: Path) -> int:
    """How much the rows of a Parquet file are in memory, about."""
    told = pq.read_metadata(path)
    return sum(told.row_group(number).total_byte_size for number in range(told.num_row_groups))


def _names(table: pa.Table) -> pa.Array:
    """Of every row, the name that its merged file goes by."""
    return pc.binary_join_element_wise(table["stage"], table["fingerprint"], "-")


def _better(new: Entry, old: Entry) -> bool:
    """An answer beats a failure, then more attempts count; the text decides ties, so that order never does."""
    return _rank(new) > _rank(old)


def _rank(entry: Entry) -> tuple[bool, int, str, str]:
    return entry.status != "failed", entry.attempts, entry.status, entry.body


def _deduplicate(table: pa.Table) -> pa.Table:
    """Sorted by id, the better of equal ones."""
    if pc.count_distinct(table["id"]).as_py() == len(table):
        return table.take(pc.sort_indices(table["id"]))
    best: dict[str, Entry] = {}
    rows: Iterable[dict] = table.to_pylist()
    for row in rows:
        entry = Entry(**row)
        if entry.id not in best or _better(entry, best[entry.id]):
            best[entry.id] = entry
    return pa.Table.from_pylist([vars(best[key]) for key in sorted(best)], schema=SCHEMA)
