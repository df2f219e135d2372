"""The manifests: what became of every source and every clip, kept or not, as parquet tables.

Rows are written as they come, in one pass; `manifests/commit.json`, written last, holds the hash of every table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import to_json

from demix.dataset import layout
from demix.dataset.sample import CLIP_RECORDS
from demix.dataset.schema import RowWriter, SchemaError
from demix.dataset.tar import sha256_of
from demix.lazy import text_of
from demix.records import SCHEMA_VERSION, Candidate, Clip, ClipMedia, Probe, Record, Shots, Subsets
from demix.store import Place, Store

Table = Literal["clips", "sources", "rejects", "quarantine"]


@dataclass(frozen=True)
class KeptClip:
    """A clip in the dataset: a row of clips.parquet."""

    clip: Clip
    records: Mapping[str, Record]
    split: layout.Split
    shard: str
    """Path of its tar, relative to the dataset."""


@dataclass(frozen=True)
class Rejected:
    """A candidate or clip that a stage dropped: a row of rejects/<stage>/."""

    subject: Candidate | Clip
    stage: str
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    records: Mapping[str, Record] = field(default_factory=dict)
    source_id: str | None = None
    """For a candidate whose content could be read; a clip knows its own."""


@dataclass(frozen=True)
class Quarantined:
    """A candidate or clip that could not be judged: a row of quarantine/."""

    subject: Candidate | Clip
    stage: str
    error: str
    message: str
    detail: str
    attempts: int
    replay: str
    """Command that runs the stage on it again."""
    records: Mapping[str, Record] = field(default_factory=dict)
    source_id: str | None = None


@dataclass(frozen=True)
class SourceRow:
    """What became of a candidate: a row of sources.parquet."""

    candidate: Candidate
    status: Literal["kept", "dropped", "failed"]
    source_id: str | None = None
    stage: str | None = None
    reason: str | None = None
    message: str | None = None
    probe: Probe | None = None
    shots: Shots | None = None
    clips: int = 0
    """Clips found in it, whatever became of them. 0 for a duplicate: they are counted where they are built."""
    kept_clips: int = 0
    kept_seconds: float = 0.0


Row = KeptClip | SourceRow | Rejected | Quarantined


class TableFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: int
    rows: int
    sha256: str


class ManifestCommit(BaseModel):
    """What manifests/commit.json holds: every table by its path relative to the dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    schema_version: int
    files: dict[str, TableFile]


def read_manifest_commit(dataset: Place) -> ManifestCommit | None:
    """None if there is no commit file; raises SchemaError if there is something else in its place."""
    store = Store.at(dataset)
    try:
        return ManifestCommit.model_validate_json(store.read(layout.MANIFEST_COMMIT))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        address = store.address(layout.MANIFEST_COMMIT)
        raise SchemaError(f"{address}: not a commit file of manifests: {error}") from error


def write_manifests(dataset: Place, rows: Iterable[Row]) -> ManifestCommit:
    """Writes all manifests of a dataset from one stream of rows of every kind, and removes those of an earlier build.

    The kinds may be mixed, but rows of one table must come sorted: clips by clip id, sources by candidate id, rejects
    of a stage and quarantine by (candidates before clips, id). ValueError otherwise, and the old manifests stay.
    """
    store = Store.at(dataset)
    with ExitStack() as files:
        tables = _Tables(store, files)
        for row in rows:
            tables.add(row)
        described = tables.close()
        store.remove_file(layout.MANIFEST_COMMIT, durable=True)
    # Left: all tables have their names now.
    for path in store.files(layout.MANIFESTS):
        if path not in described and (path.endswith(".parquet") or layout.is_aside(Path(path).name)):
            store.remove_file(path)
    store.remove_empty_folders(layout.REJECTS)
    commit = ManifestCommit(schema_version=SCHEMA_VERSION, files=described)
    with store.write(layout.MANIFEST_COMMIT) as aside:
        aside.write_text(commit.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return commit


def kept_clip(row: Mapping[str, Any]) -> KeptClip:
    """A row of clips.parquet as it was written. Raises pydantic's ValidationError if a column is not what it says."""
    fields = {name: row[name] for name in Clip.model_fields if name not in ("id", "bars")}
    texts = {kind: row[kind.name] for kind in CLIP_RECORDS if row[kind.name] is not None}
    records = {kind.name: kind.model_validate_json(text) for kind, text in texts.items()}
    media = records.get(ClipMedia.name)
    return KeptClip(
        Clip(id=row["clip_id"], **fields, bars=media.bars if isinstance(media, ClipMedia) else None),
        records,
        row["split"],
        row["shard"],
    )


def clip_columns(kept: KeptClip) -> dict[str, Any]:
    """The row of clips.parquet for a kept clip."""
    clip = kept.clip
    subsets = kept.records[Subsets.name]
    assert isinstance(subsets, Subsets)
    columns = clip.model_dump(exclude={"id", "bars"}) | _span(clip)
    columns |= {"clip_id": clip.id, "split": kept.split, "signature": subsets.signature, "shard": kept.shard}
    names = (kind.name for kind in CLIP_RECORDS)
    return columns | {name: text_of(kept.records, name) if name in kept.records else None for name in names}


class _Tables:
    """The open tables; those that every dataset has are there from the start."""

    def __init__(self, dataset: Store, files: ExitStack):
        self._writers: dict[str, tuple[RowWriter, Path]] = {}
        self._last: dict[str, tuple[str, str]] = {}
        self._dataset, self._files = dataset, files
        self._open(layout.CLIPS, "clips")
        self._open(layout.SOURCES, "sources")
        self._open(layout.QUARANTINE, "quarantine")

    def add(self, row: Row) -> None:
        path, table, key, columns = _described_row(row)
        if path not in self._writers:
            self._open(path, table)
        if key <= self._last.get(path, ("", "")):
            raise ValueError(f"{path}: {key} comes after {self._last[path]}; rows must be sorted, each once")
        self._last[path] = key
        self._writers[path][0].add(columns)

    def close(self) -> dict[str, TableFile]:
        """Ends all tables, which do not have their names yet, and describes them."""
        for writer, _ in self._writers.values():
            writer.close()
        return {path: _described(writer, file) for path, (writer, file) in sorted(self._writers.items())}

    def _open(self, path: str, table: Table) -> None:
        aside = self._files.enter_context(self._dataset.write(path))
        self._writers[path] = self._files.enter_context(RowWriter(aside, table)), aside


def _described(writer: RowWriter, file: Path) -> TableFile:
    return TableFile(bytes=file.stat().st_size, rows=writer.rows, sha256=sha256_of(file))


def _described_row(row: Row) -> tuple[str, Table, tuple[str, str], dict[str, Any]]:
    """Path, table, sort key and columns of a row."""
    if isinstance(row, KeptClip):
        return layout.CLIPS, "clips", ("clip", row.clip.id), clip_columns(row)
    if isinstance(row, SourceRow):
        return layout.SOURCES, "sources", ("candidate", row.candidate.id), _source_columns(row)
    columns = _ended_columns(row)
    key = (columns["subject"], columns["id"])
    if isinstance(row, Rejected):
        return layout.rejects_path(row.stage), "rejects", key, columns
    return layout.QUARANTINE, "quarantine", key, columns


def _source_columns(row: SourceRow) -> dict[str, Any]:
    return {
        "candidate_id": row.candidate.id,
        "source_id": row.source_id,
        "uri": row.candidate.uri,
        "kind": row.candidate.kind,
        "metadata": _json(row.candidate.metadata),
        "status": row.status,
        "stage": row.stage,
        "reason": row.reason,
        "message": None if row.message is None else _text(row.message),
        "seconds": row.probe and row.probe.seconds,
        "probe": row.probe and row.probe.model_dump_json(),
        "shots": row.shots and row.shots.model_dump_json(),
        "clips": row.clips,
        "kept_clips": row.kept_clips,
        "kept_seconds": row.kept_seconds,
    }


def _ended_columns(row: Rejected | Quarantined) -> dict[str, Any]:
    subject = row.subject
    columns: dict[str, Any] = {
        "subject": subject.name,
        "id": subject.id,
        "source_id": subject.source_id if isinstance(subject, Clip) else row.source_id,
        "uri": subject.uri,
        "kind": subject.kind,
        "stage": row.stage,
        "records": "{" + ",".join(f"{_json(name)}:{text_of(row.records, name)}" for name in row.records) + "}",
    }
    if isinstance(subject, Clip):
        columns |= _span(subject)
    if isinstance(row, Rejected):
        return columns | {"reason": row.reason, "evidence": _json(row.evidence)}
    texts = {name: _text(getattr(row, name)) for name in ("error", "message", "detail", "replay")}
    return columns | texts | {"attempts": row.attempts}


def _span(clip: Clip) -> dict[str, float]:
    return {"start_seconds": float(clip.start), "end_seconds": float(clip.end), "seconds": float(clip.seconds)}


def _text(text: str) -> str:
    """A stranger's or a library's words; what is not Unicode (parts of file names) is replaced."""
    return text.encode("utf-8", "replace").decode()


def _json(value: Mapping[str, Any] | str) -> str:
    """Compact JSON; NaN and infinities, which JSON lacks, become null as they do in records."""
    return to_json(value, inf_nan_mode="null").decode()
