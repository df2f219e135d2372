"""The index as a file: one row a clip, Arrow IPC, memory-mapped, so that ranks and workers share its pages.

Columns: `key`; `shard`, number into the list of shard addresses in the schema's metadata; `split`; `subsets` joined by
`+`; the length of the pictures in seconds as `length_numerator` / `length_denominator`; and for every member
`<field>:offset`, `<field>:size` (-1 where a clip has none) and `<field>:sha256`. Rows are sorted by key.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from demix.store import atomic
from mtv_train.data.errors import DatasetError

FIELDS = ("mp4", "speech.flac", "effects.flac", "music.flac", "speech2.flac", "txt")
"""Members that training reads."""

VERSION = 2
"""Raised when an index of before would be read wrongly."""

_SHARDS, _NOTES = b"mtv.shards", b"mtv.left_out"


@dataclass(frozen=True)
class Member:
    """Where a member's bytes lie in its shard."""

    offset: int
    size: int
    sha256: bytes


@dataclass(frozen=True)
class ClipRow:
    """A clip as the index knows it."""

    key: str
    shard: int
    split: str
    subsets: tuple[str, ...]
    length: Fraction
    """Seconds of pictures."""
    members: Mapping[str, Member]


def schema() -> pa.Schema:
    columns: list[tuple[str, pa.DataType]] = [
        ("key", pa.string()),
        ("shard", pa.int32()),
        ("split", pa.string()),
        ("subsets", pa.string()),
        ("length_numerator", pa.int64()),
        ("length_denominator", pa.int64()),
    ]
    for field in FIELDS:
        columns += [(f"{field}:offset", pa.int64()), (f"{field}:size", pa.int64()), (f"{field}:sha256", pa.binary(32))]
    return pa.schema(columns)


def write_table(path: Path, rows: Iterable[ClipRow], shards: Sequence[str], left_out: Sequence[str] = ()) -> None:
    """Writes an index: whole, or not at all. `left_out` are keys of clips that cannot be used.

    Raises DatasetError if two clips have one key.
    """
    ordered = sorted(rows, key=lambda row: row.key)
    for before, after in pairwise(ordered):
        if before.key == after.key:
            places = " and in ".join(sorted({shards[before.shard], shards[after.shard]}))
            raise DatasetError(f"sample {before.key} is there twice, in {places}; keys must differ")
    metadata = {_SHARDS: json.dumps(list(shards)).encode(), _NOTES: json.dumps(list(left_out)).encode()}
    table = pa.Table.from_pylist([_flat(row) for row in ordered], schema().with_metadata(metadata))
    # One chunk a column, so that columns are plain arrays when mapped.
    table = table.combine_chunks()
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        atomic(path) as aside,
        pa.OSFile(os.fspath(aside), "wb") as file,
        pa.ipc.new_file(file, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=max(len(table), 1))


def open_table(path: Path) -> tuple[pa.Table, list[str], list[str]]:
    """(the rows, addresses of the shards, keys that were left out) of an index file, mapped, not read.

    Raises DatasetError for a file that is none.
    """
    try:
        table = pa.ipc.open_file(pa.memory_map(os.fspath(path))).read_all()
        metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
        lists: list[list[str]] = [json.loads(metadata[name]) for name in (_SHARDS, _NOTES)]
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise DatasetError(f"{path}: not an index ({error}); remove it, it is made again") from error
    if not table.schema.equals(schema()):
        raise DatasetError(f"{path}: an index of another version; remove it, it is made again")
    return table, lists[0], lists[1]


class Rows:
    """The rows of an index by number. Reads the mapped columns as numpy does: a row by pyarrow takes ten times as
    long, and every sample needs one."""

    def __init__(self, table: pa.Table):
        parts = {name: table[name].chunk(0) if len(table) else table[name].combine_chunks() for name in schema().names}
        self._texts = {name: parts[name] for name in ("key", "split", "subsets")}
        self._numbers = {name: np.from_dlpack(part) for name, part in parts.items() if pa.types.is_integer(part.type)}
        self._hashes = {field: _hashes(parts[f"{field}:sha256"]) for field in FIELDS}

    def __call__(self, number: int) -> ClipRow:
        key, split, subsets = (self._texts[name][number].as_py() for name in ("key", "split", "subsets"))
        members = {}
        for field in FIELDS:
            size = int(self._numbers[f"{field}:size"][number])
            if size >= 0:
                offset = int(self._numbers[f"{field}:offset"][number])
                members[field] = Member(offset, size, self._hashes[field][number].tobytes())
        numerator, denominator = (
            int(self._numbers[name][number]) for name in ("length_numerator", "length_denominator")
        )
        shard = int(self._numbers["shard"][number])
        return ClipRow(key, shard, split, tuple(subsets.split("+")), Fraction(numerator, denominator), members)


def _hashes(column: pa.Array) -> np.ndarray:
    """(rows, 32) bytes, a view."""
    held = column.buffers()[1]
    flat = np.frombuffer(b"" if held is None else held, np.uint8, 32 * len(column), 32 * column.offset)
    return flat.reshape(-1, 32)


def _flat(row: ClipRow) -> dict[str, Any]:
    flat: dict[str, Any] = {
        "key": row.key,
        "shard": row.shard,
        "split": row.split,
        "subsets": "+".join(row.subsets),
        "length_numerator": row.length.numerator,
        "length_denominator": row.length.denominator,
    }
    for field in FIELDS:
        member = row.members.get(field, Member(-1, -1, bytes(32)))
        flat |= {f"{field}:offset": member.offset, f"{field}:size": member.size, f"{field}:sha256": member.sha256}
    return flat
