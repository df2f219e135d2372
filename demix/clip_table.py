"""The clip table: every clip that indexing found, sorted by id; it stands between the phases over sources and clips.

It knows what it was made of, so that clips of other sources or other settings are never taken for those asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from demix.engine.buckets import Buckets
from demix.engine.row import Row, from_columns, to_columns
from demix.store import Store

_KEY = "clips.parquet"
_OF = b"demix.clips_of"
_SCHEMA = pa.schema([(name, pa.string()) for name in to_columns([])])
_PAGE = 4096
_GATHERED = 256
"""Rows at a time on their way to the disk."""
_MANY = 1 << 40
"""Bytes, as far as is known beforehand: there may be any number of clips."""


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

    def count(self) -> int:
        """How many clips there are; 0 where the table does not exist."""
        return int(pq.read_metadata(self.store.local(_KEY)).num_rows) if self.exists() else 0

    def rows(self) -> Iterator[Row]:
        """All clips, read a page at a time; none where the table does not exist."""
        if self.exists():
            for batch in pq.ParquetFile(self.store.local(_KEY)).iter_batches(batch_size=_PAGE):
                yield from from_columns(batch.to_pydict())

    def write(self, rows: Iterable[Row]) -> None:
        """Rows in any order, as many as there are: they are sorted on the disk."""
        with Buckets(_SCHEMA, _MANY) as buckets:
            remaining = iter(rows)
            while some := list(islice(remaining, _GATHERED)):
                buckets.add(pa.table(to_columns(some), schema=_SCHEMA))
            with (
                self.store.write(_KEY) as path,
                pq.ParquetWriter(path, _SCHEMA.with_metadata({_OF: self.of})) as writer,
            ):
                for table in _groups(table for _, table in buckets.read()):
                    writer.write_table(table, row_group_size=_PAGE)


def _groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Tables whose ids follow one another, each sorted and joined to those behind it until a page is full."""
    gathered: list[pa.Table] = []
    for table in tables:
        gathered.append(table.take(pc.sort_indices(table["id"])))
        if sum(map(len, gathered)) >= _PAGE:
            yield pa.concat_tables(gathered)
            gathered = []
    if sum(map(len, gathered)):
        yield pa.concat_tables(gathered)


def remove_clips(store: Store) -> None:
    """Called before the answers change that a table is made of."""
    store.remove_file(_KEY)


def clips_with(store: Store, ids: Sequence[str]) -> list[Row]:
    """These clips of the table, sorted by id, whatever it was made of."""
    columns = pq.read_table(store.local(_KEY), filters=pc.field("id").isin(ids)).to_pydict()
    return sorted(from_columns(columns), key=lambda row: row.id)
