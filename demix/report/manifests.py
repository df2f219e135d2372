"""A dataset's manifests as rows, streamed: everything that the report counts and shows comes through here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import BaseModel

from demix.dataset import layout
from demix.dataset.sample import CLIP_RECORDS
from demix.dataset.schema import read_rows
from demix.report.words import describe_sound
from demix.store import Place, Store

B = TypeVar("B", bound=BaseModel)
Outcome = Literal["kept", "dropped", "failed"]


class ReportError(ValueError):
    """A folder that cannot be reported on; the message says what is missing and what to do."""


@dataclass(frozen=True)
class Judged:
    """One clip and how it ended."""

    id: str
    source_id: str
    uri: str
    kind: str
    outcome: Outcome
    stage: str
    """Where it was dropped or failed; empty for a kept clip."""
    reason: str
    """Why it was dropped, or the class of the error; empty for a kept clip."""
    start_seconds: float | None
    seconds: float | None
    split: str = ""
    signature: str = ""
    shard: str = ""
    """Path of its tar below the dataset; empty unless kept."""
    message: str = ""
    replay: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    records: Mapping[str, Any] = field(default_factory=dict)
    """Record name -> the record as JSON text or as a mapping."""

    def record(self, name: str, kind: type[B]) -> B | None:
        """The record called `name`, read as `kind`; None where no stage added it."""
        value = self.records.get(name)
        if value is None:
            return None
        return kind.model_validate_json(value) if isinstance(value, str) else kind.model_validate(value)


@dataclass(frozen=True)
class Listed:
    """One candidate file and what became of it."""

    candidate_id: str
    source_id: str
    uri: str
    kind: str
    metadata: Mapping[str, str]
    status: Outcome
    stage: str
    reason: str
    message: str
    seconds: float
    clips: int
    kept_clips: int
    kept_seconds: float
    detector: Mapping[str, Any]
    """The source's Shots record without its shots: which model found them."""
    sound: str = ""
    """Which of its tracks is the film's sound, and why; holds a stranger's text."""
    bars: str = ""
    """The kind of its black bars; empty where they were not measured."""


class Manifests:
    """The manifests and build.json of one dataset. Raises `ReportError` where there is no dataset."""

    def __init__(self, dataset: Place):
        self.dataset = Store.at(dataset)
        if absent := [name for name in (layout.SOURCES, layout.CLIPS) if not self.dataset.exists(name)]:
            raise ReportError(
                f"{self.dataset}: {' and '.join(absent)} not found; give the folder that `demix build --output` wrote, "
                "or give the command again that was interrupted before it had written them"
            )
        there = self.dataset.exists("build.json")
        self.build: dict[str, Any] = json.loads(self.dataset.read("build.json")) if there else {}

    def sources(self) -> Iterator[Listed]:
        for row in self._rows(layout.SOURCES, "sources"):
            shots, probe = _json(row["shots"]), _json(row["probe"])
            yield Listed(
                candidate_id=row["candidate_id"],
                source_id=row["source_id"] or "",
                uri=row["uri"],
                kind=row["kind"],
                metadata=_json(row["metadata"]),
                status=row["status"],
                stage=row["stage"] or "",
                reason=row["reason"] or "",
                message=row["message"] or "",
                seconds=row["seconds"] or 0.0,
                clips=row["clips"],
                kept_clips=row["kept_clips"],
                kept_seconds=row["kept_seconds"],
                detector={key: shots[key] for key in ("model", "revision") if key in shots},
                sound=describe_sound(probe),
                bars=(shots.get("bars") or {}).get("kind", ""),
            )

    def clips(self) -> Iterator[Judged]:
        """Every clip: kept ones first, then dropped ones by stage, then failed ones."""
        for row in self._rows(layout.CLIPS, "clips"):
            records = {kind.name: row[kind.name] for kind in CLIP_RECORDS if row[kind.name]}
            yield _judged(row, row["clip_id"], "kept", records)
        for row in self._ended():
            if row["subject"] == "clip":
                yield _judged(row, row["id"], "failed" if "error" in row else "dropped", _json(row["records"]))

    def ended_candidates(self) -> dict[str, int]:
        """How many candidates the lists under rejects/ and quarantine/ hold, to be compared with sources.parquet."""
        found = {"dropped": 0, "failed": 0}
        for path, table in self._lists():
            status = "failed" if table == "quarantine" else "dropped"
            found[status] += sum(row["subject"] != "clip" for row in self._rows(path, table, ["subject"]))
        return found

    def _ended(self) -> Iterator[dict[str, Any]]:
        for path, table in self._lists():
            yield from self._rows(path, table)

    def _lists(self) -> Iterator[tuple[str, str]]:
        for folder, table in ((layout.REJECTS, "rejects"), (layout.QUARANTINE.rpartition("/")[0], "quarantine")):
            yield from ((path, table) for path in self.dataset.keys(folder) if path.endswith(".parquet"))

    def _rows(self, path: str, table: str, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        return read_rows(self.dataset.local(path), table, columns)


def _judged(row: Mapping[str, Any], clip_id: str, outcome: Outcome, records: Mapping[str, Any]) -> Judged:
    return Judged(
        id=clip_id,
        source_id=row.get("source_id") or "",
        uri=row.get("uri") or "",
        kind=row.get("kind") or "",
        outcome=outcome,
        stage=(row.get("stage") or "") if outcome != "kept" else "",
        reason=row.get("reason") or row.get("error") or "",
        start_seconds=row.get("start_seconds"),
        seconds=row.get("seconds"),
        split=row.get("split") or "",
        signature=row.get("signature") or "",
        shard=row.get("shard") or "",
        message=row.get("message") or "",
        replay=row.get("replay") or "",
        evidence=_json(row.get("evidence")),
        records=records,
    )


def _json(value: Any) -> dict[str, Any]:
    """A JSON column as a mapping; null and empty ones are empty."""
    if not value:
        return {}
    return json.loads(value) if isinstance(value, str) else dict(value)
