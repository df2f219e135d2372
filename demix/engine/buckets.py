"""Sorts a table too large for memory into buckets by how its ids begin, in scratch files of a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.compute as pc

from demix.scratch import temporary_folder

_HEX = "0123456789abcdef"
_BUCKET = 512 << 10
"""Bytes of a bucket, about, as long as `_MOST_DIGITS` suffice."""
_MOST_DIGITS = 2
"""Digits of the id that tell its bucket: 256 files are open at once, which every system allows."""
_GATHERED_BYTES, _GATHERED_TABLES = 512 << 10, 16
"""What is gathered before it is sorted out; a table read from a file takes more memory than it says."""


class Buckets:
    """Add tables, then read them bucket by bucket. `size` is their bytes in all, about; ids begin in hex digits."""

    def __init__(self, schema: pa.Schema, size: int):
        self.schema = schema
        self._digits = next((digits for digits in range(_MOST_DIGITS) if size <= _BUCKET * 16**digits), _MOST_DIGITS)
        self._gathered: list[pa.Table] = []
        self._writers: dict[str, pa.ipc.RecordBatchStreamWriter] = {}

    def __enter__(self) -> Buckets:
        self._files = ExitStack()
        self._folder = Path(self._files.enter_context(temporary_folder()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def add(self, table: pa.Table) -> None:
        self._gathered.append(table)
        if len(self._gathered) >= _GATHERED_TABLES or sum(one.nbytes for one in self._gathered) >= _GATHERED_BYTES:
            self._sort_out()

    def read(self) -> Iterator[tuple[str, pa.Table]]:
        """(beginning of the ids, rows) of every bucket, in order, empty ones too. Nothing can be added afterwards."""
        self._sort_out()
        for writer in self._writers.values():
            writer.close()
        for digits in product(_HEX, repeat=self._digits):
            prefix = "".join(digits)
            yield prefix, self._table(prefix)

    def _table(self, prefix: str) -> pa.Table:
        if prefix not in self._writers:
            return self.schema.empty_table()
        with pa.OSFile(str(self._folder / f"bucket-{prefix}"), "rb") as file:
            return pa.ipc.open_stream(file).read_all()

    def _sort_out(self) -> None:
        """Appends what is gathered to the files of its buckets."""
        if not self._gathered:
            return
        table = pa.concat_tables(self._gathered)
        self._gathered = []
        prefixes = pc.utf8_slice_codeunits(table["id"], 0, self._digits)
        for prefix in pc.unique(prefixes).to_pylist():
            self._writer(prefix).write_table(table.filter(pc.equal(prefixes, prefix)))

    def _writer(self, prefix: str) -> pa.ipc.RecordBatchStreamWriter:
        if prefix not in self._writers:
            file = self._files.enter_context(pa.OSFile(str(self._folder / f"bucket-{prefix}"), "wb"))
            self._writers[prefix] = pa.ipc.new_stream(file, self.schema)
        return self._writers[prefix]
