"""Reading some rows of a Parquet file: only the row groups that may hold them. It is sorted by id, or has one group."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ID = "id"
"""The column that files are sorted by."""


def rows_of(path: Path, ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of `path` whose id is among `ids` (at least one), in the file's order.

    `pq.read_table` with a filter gives the same, but opens a dataset of one file each time, which takes several times
    as long as reading a row group.
    """
    state = path.stat()
    metadata = _metadata(path, (state.st_ino, state.st_mtime_ns, state.st_size))
    with pq.ParquetFile(path, metadata=metadata) as file:
        wanted = pa.array(ids, pa.string())
        found = [
            pa.schema([file.schema_arrow.field(name) for name in columns or file.schema_arrow.names]).empty_table()
        ]
        for group in _groups(metadata, min(ids), max(ids)):
            # One at a time: ids that lie far apart are in many. Arrow's threads would each keep memory that they freed.
            table = file.read_row_group(group, columns=columns, use_threads=False)
            found.append(table.filter(pc.is_in(table[ID], value_set=wanted)))
    return pa.concat_tables(found)


@lru_cache(maxsize=32)
def _metadata(path: Path, state: tuple[int, ...]) -> pq.FileMetaData:
    """What the file says of itself, read once for each of its states: of a large file it is megabytes."""
    return pq.read_metadata(path)


def _groups(metadata: pq.FileMetaData, first: str, last: str) -> range:
    """Row groups that may hold ids from `first` to `last`: all, if the file does not say what they hold."""
    place, count = metadata.schema.names.index(ID), metadata.num_row_groups

    def told(group: int) -> Any:
        return metadata.row_group(group).column(place).statistics

    ends = [told(group) for group in (0, count - 1)] if count else []
    if not all(known is not None and known.has_min_max for known in ends):
        return range(count)
    begin = bisect_left(range(count), first, key=lambda group: told(group).max)
    return range(begin, bisect_right(range(count), last, key=lambda group: told(group).min))
