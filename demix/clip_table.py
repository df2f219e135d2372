"""The clip table: every clip that indexing found, sorted by id; it stands between the phases over sources and clips.

It knows what it was made of, so that clips of other sources or other settings are never taken for those asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demix.engine.row import Row, from_columns, to_columns
from demix.store import Store

_KEY = "clips.parquet"
_OF = b"demix.clips_of"
_SCHEMA = pa.schema([(name, pa.string()) for name in to_columns([])])
_PAGE = 4096


class ClipTable:
    """The table in a work store. `of` stands for all that it depends on."""

    def __init__(self, store: Store, of: str):
        self.store = store
        self.of = of.encode()

    def exists(self) -> bool:
        """Whether there is a table, made of just this."""
        if not self.store.exists(_KEY):
            return False
        return (pq.read_schema(self.store.local(_KEY)).metadata or {}).get(_OF) == self.of

    def rows(self) -> Iterator[Row]:
        """All clips, read a page at a time; none where the table does not exist."""
        if self.exists():
            for batch in pq.ParquetFile(self.store.local(_KEY)).iter_batches(batch_size=_PAGE):
                yield from from_columns(batch.to_pydict())

    def write(self, rows: Sequence[Row]) -> None:
        columns = to_columns(sorted(rows, key=lambda row: row.id))
        with self.store.write(_KEY) as path:
            pq.write_table(pa.table(columns, schema=_SCHEMA.with_metadata({_OF: self.of})), path, row_group_size=_PAGE)


def remove_clips(store: Store) -> None:
    """Called before the answers change that a table is made of."""
    store.remove(_KEY)


def clips_with(store: Store, ids: Sequence[str]) -> list[Row]:
    """These clips of the table, sorted by id, whatever it was made of."""
    columns = pq.read_table(store.local(_KEY), filters=pc.field("id").isin(ids)).to_pydict()
    return sorted(from_columns(columns), key=lambda row: row.id)
