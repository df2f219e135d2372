"""Buckets give back every row once, in the order of its id's beginning, however many there are."""

from __future__ import annotations

from unittest.mock import patch

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.engine import buckets
from demix.engine.buckets import Buckets
from demix.engine.ledger import Entry, Ledger
from demix.stage import Kept
from demix.store import Store

SCHEMA = pa.schema([("id", pa.string()), ("number", pa.int64())])
ids = st.text("0123456789abcdef", min_size=8, max_size=8)


@given(st.lists(st.lists(ids, max_size=6), max_size=12), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_every_row_comes_back_once_in_the_bucket_of_its_id(tables: list[list[str]], size: int) -> None:
    rows = [(name, number) for number, name in enumerate(name for names in tables for name in names)]
    numbered = iter(rows)
    with patch.object(buckets, "_BUCKET", size), Buckets(SCHEMA, len(rows)) as made:
        for names in tables:
            mine = [next(numbered) for _ in names]
            made.add(pa.table({"id": [one for one, _ in mine], "number": [one for _, one in mine]}, schema=SCHEMA))
        read = [(prefix, table.to_pylist()) for prefix, table in made.read()]
    assert [prefix for prefix, _ in read] == sorted(prefix for prefix, _ in read)
    assert all(row["id"].startswith(prefix) for prefix, found in read for row in found)
    assert sorted((row["id"], row["number"]) for _, found in read for row in found) == sorted(rows)


def test_a_ledger_of_many_buckets_answers_as_one_of_a_single_one(tmp_path) -> None:
    entries = [Entry.of(f"{n * 40503 % 65536:04x}", "s", "f", Kept(), 1, 0.1) for n in range(400)]
    names = [entry.id for entry in entries]
    found = []
    for place, size in (("one", 1 << 24), ("many", 500)):
        with patch.object(buckets, "_BUCKET", size):
            ledger = Ledger(Store(tmp_path / place))
            for start in range(0, 400, 40):
                ledger.append(entries[start : start + 40])
                if start == 200:
                    ledger.compact()
            ledger.compact()
        found.append(ledger.find("s", "f", names))
    assert found[0] == found[1]
    assert len(found[0]) == len(set(names)) == 400
