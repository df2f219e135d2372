"""Guards the rows that wait for the next pass: all of them, in order, or an error."""

from __future__ import annotations

import pytest

from demix.engine.row import Row
from demix.engine.spool import Spool


def row(number: int) -> Row:
    return Row(str(number), str(number), "clip", "{}", {"probe": "x" * number})


def test_rows_come_back_as_they_were_added() -> None:
    spool = Spool()
    for number in range(50):
        spool.add(row(number))
    assert len(spool) == 50
    assert list(spool) == [row(number) for number in range(50)]


def test_a_row_that_is_missing_is_an_error_and_not_the_end() -> None:
    spool = Spool()
    for number in range(3):
        spool.add(row(number))
    spool._file.truncate(10)
    with pytest.raises(Exception, match=r"truncated|ran out|EOF"):
        list(spool)
