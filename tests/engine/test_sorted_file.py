"""Guards: reading by id finds exactly the rows asked for, whatever the row groups, and touches no others."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st

from demix.engine.sorted_file import rows_of

IDS = st.sets(st.text("0123456789abcdef", min_size=1, max_size=4), min_size=1, max_size=40)


@given(held=IDS, asked=IDS, size=st.integers(1, 9), twice=st.booleans())
def test_rows_are_those_asked_for(held: set[str], asked: set[str], size: int, twice: bool) -> None:
    ids = sorted([*held, *held] if twice else held)
    table = pa.table({"id": ids, "body": [f"<{name}>" for name in ids]})
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pq.write_table(table, path, row_group_size=size)
        expected = [row for row in table.to_pylist() if row["id"] in asked]
        assert rows_of(path, list(asked)).to_pylist() == expected
        assert rows_of(path, list(asked), ["id"]).to_pylist() == [{"id": row["id"]} for row in expected]
        pq.write_table(table, path, row_group_size=size, write_statistics=False)
        assert rows_of(path, list(asked)).to_pylist() == expected, "also where the file does not say what it holds"


def test_only_the_row_groups_that_may_hold_them_are_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [f"{n:04d}" for n in range(1000)]}), tmp_path / "rows.parquet", row_group_size=100)
    with patch.object(
        pq.ParquetFile, "read_row_group", autospec=True, side_effect=pq.ParquetFile.read_row_group
    ) as read:
        assert rows_of(tmp_path / "rows.parquet", ["0150", "0230"]).num_rows == 2
    assert [call.args[1] for call in read.call_args_list] == [1, 2]


def test_a_file_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    for count in (3, 700):
        pq.write_table(pa.table({"id": [f"{n:04d}" for n in range(count)]}), tmp_path / "aside", row_group_size=100)
        (tmp_path / "aside").rename(path)
        assert rows_of(path, ["0002", f"{count - 1:04d}"]).num_rows == 2 - (count == 3)
