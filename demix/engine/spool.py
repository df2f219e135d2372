"""Rows that wait for the next pass of a phase: in a file, so that this process's memory does not grow with them."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Iterator

from demix.engine.row import Row
from demix.scratch import temporary_folder


class Spool:
    """Rows in the order in which they came. Read once, after all were added."""

    def __init__(self) -> None:
        with temporary_folder() as folder:  # the file has no name, and is gone when it is closed
            self._file = tempfile.TemporaryFile(dir=os.path.dirname(folder))  # noqa: SIM115  (closed when read)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, row: Row) -> None:
        pickle.dump(row, self._file)
        self._count += 1

    def __iter__(self) -> Iterator[Row]:
        self._file.seek(0)
        with self._file:
            for _ in range(self._count):
                yield pickle.load(self._file)
