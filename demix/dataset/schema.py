"""The arrow schemas of every parquet file in a dataset, and how such files are written and read.

`python -m demix.dataset.schema` prints the tables of docs/dataset_format.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from demix.dataset.sample import CLIP_RECORDS
from demix.records import SCHEMA_VERSION

ROWS = 256
"""Rows of a row group, and rows held in memory: a row holds a clip's records, which may be 100 kB of JSON."""

VERSION_KEY = b"demix.schema_version"
TABLE_KEY = b"demix.table"


class SchemaError(ValueError):
    """A parquet file that is not what its name says, or of a schema version that this code does not know."""


class Column(NamedTuple):
    name: str
    type: pa.DataType
    about: str
    nullable: bool = False


_TEXT, _INT, _FLOAT = pa.string(), pa.int64(), pa.float64()

_MEMBER = pa.struct(
    [
        pa.field("name", _TEXT, nullable=False),
        pa.field("offset", _INT, nullable=False),
        pa.field("size", _INT, nullable=False),
        pa.field("sha256", _TEXT, nullable=False),
        pa.field("key", _TEXT),
    ]
)

_IDENTITY = (
    Column("source_id", _TEXT, "first 16 hex digits of the sha256 of the source's bytes"),
    Column("uri", _TEXT, "where the source was when the dataset was built"),
    Column("kind", _TEXT, "talking_head, cinematic or web"),
)
_MAYBE_IDENTITY = (_IDENTITY[0]._replace(nullable=True), *_IDENTITY[1:])

_SPAN = (
    Column("start_seconds", _FLOAT, "start_pts · time_base"),
    Column("end_seconds", _FLOAT, "end_pts · time_base"),
    Column("seconds", _FLOAT, "end − start"),
)
_MAYBE_SPAN = tuple(column._replace(nullable=True, about=f"{column.about}; null for a candidate") for column in _SPAN)

_SUBJECT = (
    Column("subject", _TEXT, "candidate or clip"),
    Column("id", _TEXT, "candidate_id or clip_id"),
    *_MAYBE_IDENTITY,
    Column("stage", _TEXT, "where it ended"),
)

_RECORDS = Column("records", _TEXT, "JSON: record name → record, everything that was measured before")

TABLES: Mapping[str, tuple[Column, ...]] = {
    "shard": (
        Column("clip_id", _TEXT, "16 hex digits; the samples' key in the tar"),
        Column("split", _TEXT, "train or test"),
        Column("signature", _TEXT, "the clip's subsets joined by +"),
        Column(
            "members",
            pa.list_(pa.field("item", _MEMBER, nullable=False)),
            "per member: field name, offset of its data in the tar, size, sha256, work-store key (null for txt, json)",
        ),
    ),
    "clips": (
        Column("clip_id", _TEXT, "hash of source_id, span, cut version and bars, if any; rows are sorted by it"),
        *_IDENTITY,
        Column("ordinal", _INT, "0 for the source's first clip"),
        Column("start_pts", _INT, "first pts of the clip on the source's video stream"),
        Column("end_pts", _INT, "pts just after the clip"),
        Column("time_base", _TEXT, 'seconds per pts, e.g. "1/12800"'),
        *_SPAN,
        Column("split", _TEXT, "train or test; all clips of a film are in one"),
        Column("signature", _TEXT, "the clip's subsets joined by +"),
        Column("shard", _TEXT, "path of its tar, relative to the dataset"),
        *(Column(kind.name, _TEXT, f"JSON of the record {kind.__name__}", nullable=True) for kind in CLIP_RECORDS),
    ),
    "sources": (
        Column("candidate_id", _TEXT, "hash of the uri; rows are sorted by it"),
        *_MAYBE_IDENTITY,
        Column("metadata", _TEXT, "JSON: what the source's manifest said of it"),
        Column("status", _TEXT, "kept, dropped or failed"),
        Column("stage", _TEXT, "where it was dropped or failed", nullable=True),
        Column("reason", _TEXT, "why it was dropped; the error's class if it failed", nullable=True),
        Column("message", _TEXT, "the error's message", nullable=True),
        Column("seconds", _FLOAT, "duration, if it could be probed", nullable=True),
        Column("probe", _TEXT, "JSON of the record Probe", nullable=True),
        Column("shots", _TEXT, "JSON of the record Shots", nullable=True),
        Column("clips", _INT, "clips found in it, whatever became of them"),
        Column("kept_clips", _INT, "clips of it in the dataset"),
        Column("kept_seconds", _FLOAT, "their length together"),
    ),
    "rejects": (
        *_SUBJECT,
        Column("reason", _TEXT, "one of the stage's declared reasons"),
        Column("evidence", _TEXT, "JSON: the numbers behind the decision"),
        *_MAYBE_SPAN,
        _RECORDS,
    ),
    "quarantine": (
        *_SUBJECT,
        Column("error", _TEXT, "class of the error"),
        Column("message", _TEXT, "its message"),
        Column("detail", _TEXT, "traceback, or the tail of a child's stderr"),
        Column("attempts", _INT, "how often it was tried"),
        Column("replay", _TEXT, "command that runs the stage on it again"),
        *_MAYBE_SPAN,
        _RECORDS,
    ),
}


def arrow_schema(table: str) -> pa.Schema:
    """The schema of one of `TABLES`, with its name and version in the metadata."""
    fields = [pa.field(column.name, column.type, nullable=column.nullable) for column in TABLES[table]]
    return pa.schema(fields, {TABLE_KEY: table.encode(), VERSION_KEY: str(SCHEMA_VERSION).encode()})


class RowWriter:
    """A parquet file of one table, written row by row. The bytes depend on the rows only (and on pyarrow's version)."""

    def __init__(self, path: Path, table: str):
        self.rows = 0
        self._schema = arrow_schema(table)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd", compression_level=3)
        self._held: list[Mapping[str, Any]] = []

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._writer.close()

    def close(self) -> None:
        """Writes what is held, and ends the file. May be called again."""
        self._flush()
        self._writer.close()

    def add(self, row: Mapping[str, Any]) -> None:
        self._held.append(row)
        self.rows += 1
        if len(self._held) == ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(pa.Table.from_pylist(self._held, self._schema), row_group_size=ROWS)
            self._held = []


def write_rows(path: Path, table: str, rows: Iterable[Mapping[str, Any]]) -> int:
    """Writes all `rows` as a parquet file, streaming, and returns their number."""
    with RowWriter(path, table) as writer:
        for row in rows:
            writer.add(row)
    return writer.rows


def read_rows(file: Path | BinaryIO, table: str, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a parquet file, streamed as dictionaries.

    Raises SchemaError unless it is whole and a `table` of our version; FileNotFoundError.
    """
    try:
        with pq.ParquetFile(file) as parquet:
            check_schema(parquet.schema_arrow, table)
            for batch in parquet.iter_batches(ROWS, columns=None if columns is None else list(columns)):
                yield from batch.to_pylist()
    except FileNotFoundError:
        raise
    except (pa.ArrowInvalid, OSError, SchemaError) as error:
        raise SchemaError(f"{getattr(file, 'name', file)}: {error}") from error


def check_schema(found: pa.Schema, table: str) -> None:
    """Raises SchemaError unless `found` is that of `table` in our version."""
    metadata = found.metadata or {}
    version = metadata.get(VERSION_KEY, b"none").decode()
    if version != str(SCHEMA_VERSION):
        raise SchemaError(f"schema version {version}, and this demix reads {SCHEMA_VERSION}: use the demix of then")
    if metadata.get(TABLE_KEY) != table.encode() or not found.equals(arrow_schema(table)):
        raise SchemaError(f"the columns are not those of the table {table!r}")


def markdown() -> str:
    """All tables as Markdown, for docs/dataset_format.md."""
    return "\n\n".join(_markdown(name, columns) for name, columns in TABLES.items())


def _markdown(name: str, columns: Sequence[Column]) -> str:
    lines = [f"### Table `{name}`", "", "| column | type | |", "|---|---|---|"]
    for column in columns:
        kind = "list of struct" if pa.types.is_list(column.type) else str(column.type)
        lines.append(f"| `{column.name}` | {kind}{', or null' if column.nullable else ''} | {column.about} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown())
