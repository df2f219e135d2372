"""Lists of films: CSV, JSON lines or parquet with the columns `uri`, `kind` (optional), and any others as metadata."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from demix.config import ConfigError
from demix.records import Kind
from demix.redact import redacted
from demix.remote import filesystem, opened
from demix.sources.spans import spans_of
from demix.sources.uri import is_remote, local_path, resolve

SUFFIXES = (".csv", ".jsonl", ".parquet")
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class Listed:
    """One line of a manifest."""

    uri: str
    kind: Kind | None
    metadata: dict[str, str]


def is_manifest(name: str) -> bool:
    return _path_of(name).endswith(SUFFIXES)


def _path_of(name: str) -> str:
    """Without the query that signs an address."""
    return (name.partition("?")[0] if is_remote(name) else name).lower()


def read_manifest(name: str) -> Iterator[Listed]:
    """The lines of the manifest at a path or URI; relative uris start at its folder.

    Raises `ConfigError` naming the manifest, the line, what is wrong and the remedy.
    """
    folder = name.partition("?")[0].rpartition("/")[0] if is_remote(name) else str(local_path(name).absolute().parent)
    for where, row in _rows(name):
        fields = {str(key).strip(): value for key, value in row.items() if key is not None}
        uri, kind = fields.pop("uri", None), fields.pop("kind", None) or None
        if not isinstance(uri, str) or not uri.strip():
            known = ", ".join(map(repr, row)) or "nothing"
            raise ConfigError(f"{name}, {where}: no uri (columns: {known}); give each film a path or URI in column uri")
        if kind is not None and kind not in KINDS:
            raise ConfigError(f"{name}, {where}: kind is {kind!r}; use one of {', '.join(KINDS)}, or leave it empty")
        metadata = _metadata(fields)
        try:
            spans_of(metadata)
        except ValueError as error:
            raise ConfigError(f"{name}, {where}: {error}; leave the field out to use all of the film") from error
        yield Listed(resolve(uri, folder), kind, metadata)


def _rows(name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        content = _content(name)
    except OSError as error:
        raise ConfigError(f"{redacted(name)}: cannot be read ({error}); check the path and access rights") from error
    suffix = PurePosixPath(_path_of(name)).suffix
    if suffix == ".parquet":
        return _parquet_rows(name, content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 at byte {error.start}; save the manifest as UTF-8") from error
    return _csv_rows(name, text) if suffix == ".csv" else _json_rows(name, text)


def _content(name: str) -> bytes:
    if not is_remote(name):
        return local_path(name).read_bytes()
    with opened(*filesystem(name)) as file:
        return file.read()


def _csv_rows(name: str, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            where = f"line {reader.line_num}"
            if None in row or None in row.values():
                raise ConfigError(f"{name}, {where}: not as many fields as the header has; quote fields with commas")
            yield where, row
    except csv.Error as error:
        raise ConfigError(
            f"{name}, line {reader.line_num}: not valid CSV ({error}); quote fields with commas"
        ) from error


def _json_rows(name: str, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    # Not splitlines(): JSON strings may hold U+2028, which it would split at.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigError(
                f"{name}, line {number}: not valid JSON ({error}); one object a line is needed"
            ) from error
        if not isinstance(row, dict):
            raise ConfigError(f"{name}, line {number}: {type(row).__name__} where an object such as "
                              '{"uri": "film.mp4"} is needed')  # fmt: skip
        yield f"line {number}", row


def _parquet_rows(name: str, content: bytes) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        table = pq.read_table(io.BytesIO(content))
    except pa.ArrowException as error:
        raise ConfigError(f"{name}: not a parquet file ({error}); write it anew, or give a .csv or .jsonl") from error
    of_a_dataset = b"demix.table" in (table.schema.metadata or {})
    for number, row in enumerate(table.to_pylist(), start=1):
        if of_a_dataset:  # manifests/sources.parquet: what was found out about the films is no metadata of theirs
            row = {"uri": row["uri"], "kind": row["kind"], **json.loads(row["metadata"])}
        yield f"row {number}", row


def _metadata(fields: Mapping[str, Any]) -> dict[str, str]:
    """Other columns as text; empty ones are left out, and what is no text is written as JSON."""
    return {
        key: value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
        for key, value in fields.items()
        if value is not None and value != ""
    }
