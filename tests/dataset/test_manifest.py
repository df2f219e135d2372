"""Manifests: every row lands in its table, sorted, in the documented columns, in bytes that depend on the rows only."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from demix import records
from demix.dataset import layout, schema
from demix.dataset.manifest import (
    KeptClip,
    Quarantined,
    Rejected,
    Row,
    SourceRow,
    read_manifest_commit,
    write_manifests,
)
from demix.dataset.schema import SchemaError, arrow_schema, read_rows, write_rows
from demix.dataset.tar import sha256_of
from demix.records import Candidate, Clip, Demixing, Record, Shot, Shots
from tests.dataset.making import Maker, tree

CANDIDATES = [
    Candidate(id=f"{n:016x}", uri=f"/films/{n}.mkv", kind="cinematic", metadata={"title": "é"}) for n in range(4)
]


def clip(number: int) -> Clip:
    return Clip(
        id=f"{number:016x}",
        source_id="a" * 16,
        uri="/films/a.mkv",
        kind="web",
        ordinal=number,
        start_pts=number * 100,
        end_pts=number * 100 + 50,
        time_base="1/25",
    )


def rows(maker: Maker) -> Iterator[Row]:
    """A little of everything."""
    for sample in sorted((maker.sample(n) for n in range(3)), key=lambda sample: sample.clip.id):
        yield KeptClip(sample.clip, sample.records, "train", "shards/train/x/demix-train-x-000000.tar")
    yield Rejected(CANDIDATES[0], "probe", "not_media", {"size": 0})
    yield Rejected(clip(1), "length", "too_short", {"seconds": 1.5, "level": -math.inf})
    yield Rejected(clip(2), "length", "too_short", {}, {"demixing": maker.sample(0).record(Demixing)})
    yield Quarantined(
        CANDIDATES[1], "probe", "MediaError", "bad \udcff name", "tail", 3, "demix replay", source_id="b" * 16
    )
    yield Quarantined(clip(3), "demixing", "MemoryError", "no memory", "trace", 3, "demix replay")
    yield SourceRow(CANDIDATES[0], "dropped", stage="probe", reason="not_media")
    shots = Shots(
        model="adaptive",
        revision="1",
        shots=(Shot(start_pts=0, end_pts=9, begins="start", ends="end"),),
        frames=9,
        cuts=(),
        graduals=(),
    )
    yield SourceRow(CANDIDATES[2], "kept", "a" * 16, shots=shots, clips=6, kept_clips=3, kept_seconds=1.5)


def test_every_row_is_where_the_format_says(maker: Maker, tmp_path: Path) -> None:
    write_manifests(tmp_path / "data", rows(maker))
    paths = {
        layout.CLIPS: ("clips", 3),
        layout.SOURCES: ("sources", 2),
        layout.QUARANTINE: ("quarantine", 2),
        "manifests/rejects/probe/part-000000.parquet": ("rejects", 1),
        "manifests/rejects/length/part-000000.parquet": ("rejects", 2),
    }
    assert set(tree(tmp_path / "data")) == {*paths, layout.MANIFEST_COMMIT}
    for path, (table, count) in paths.items():
        found = pq.read_table(tmp_path / "data" / path)
        assert found.num_rows == count
        assert found.schema.equals(arrow_schema(table), check_metadata=True)


def test_columns_hold_what_was_measured(maker: Maker, tmp_path: Path) -> None:
    """Records come back as they were; evidence that JSON cannot say (infinity) is null; no word is lost to encoding."""
    write_manifests(tmp_path / "data", rows(maker))
    first = next(read_rows(tmp_path / "data" / layout.CLIPS, "clips"))
    sample = next(s for s in map(maker.sample, range(3)) if s.clip.id == first["clip_id"])
    assert Demixing.model_validate_json(first["demixing"]) == sample.record(Demixing)
    assert (first["signature"], first["seconds"], first["persons"]) == (sample.signature, 0.5, None)
    path = tmp_path / "data" / layout.rejects_path("length")
    short, with_records = read_rows(path, "rejects")
    assert json.loads(short["evidence"]) == {"seconds": 1.5, "level": None}
    assert (short["subject"], short["source_id"], short["start_seconds"]) == ("clip", "a" * 16, 4.0)
    assert Demixing.model_validate(json.loads(with_records["records"])["demixing"])
    candidate, failed = read_rows(tmp_path / "data" / layout.QUARANTINE, "quarantine")
    assert (candidate["subject"], candidate["message"], candidate["seconds"]) == ("candidate", "bad ? name", None)
    assert (failed["error"], failed["attempts"], failed["seconds"]) == ("MemoryError", 3, 2.0)
    source = list(read_rows(tmp_path / "data" / layout.SOURCES, "sources"))[1]
    assert json.loads(source["metadata"]) == {"title": "é"}
    assert Shots.model_validate_json(source["shots"]).frames == 9


def test_bytes_depend_on_the_rows_only(maker: Maker, tmp_path: Path) -> None:
    write_manifests(tmp_path / "one", rows(maker))
    write_manifests(tmp_path / "two", rows(maker))
    write_manifests(tmp_path / "two", rows(maker))
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_the_commit_file_describes_every_table(maker: Maker, tmp_path: Path) -> None:
    data = tmp_path / "data"
    commit = write_manifests(data, rows(maker))
    assert commit == read_manifest_commit(data)
    assert {path: file.sha256 for path, file in commit.files.items()} == {
        path: sha256_of(data / path) for path in tree(data) if path != layout.MANIFEST_COMMIT
    }
    (data / layout.MANIFEST_COMMIT).write_text("{")
    with pytest.raises(SchemaError, match="not a commit file"):
        read_manifest_commit(data)


def test_tables_of_an_earlier_build_are_removed(maker: Maker, tmp_path: Path) -> None:
    """A stage that drops nothing any more leaves no list behind, nor does a killed writer leave its half."""
    data = tmp_path / "data"
    write_manifests(data, rows(maker))
    (data / "manifests" / f".{'0' * 32}.tmp.parquet").write_bytes(b"half")
    write_manifests(data, [])
    assert set(tree(data)) == {layout.CLIPS, layout.SOURCES, layout.QUARANTINE, layout.MANIFEST_COMMIT}
    assert not (data / layout.REJECTS / "length").exists()


@pytest.mark.parametrize("wrong", [[2, 1], [1, 1]])
def test_rows_out_of_order_are_refused_and_the_old_tables_stay(tmp_path: Path, wrong: list[int]) -> None:
    write_manifests(tmp_path, [Rejected(clip(1), "length", "too_short")])
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="must be sorted"):
        write_manifests(tmp_path, [Rejected(clip(number), "length", "too_short") for number in wrong])
    assert tree(tmp_path) == before


def test_a_stage_name_cannot_leave_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be a stage's name"):
        write_manifests(tmp_path, [Rejected(clip(1), "../../x", "too_short")])


def test_more_rows_than_are_held_in_memory(tmp_path: Path) -> None:
    """Streaming over many row groups loses none."""
    total = schema.ROWS * 2 + 1
    write_manifests(tmp_path, (Rejected(clip(number), "length", "too_short") for number in range(total)))
    path = tmp_path / layout.rejects_path("length")
    assert [row["id"] for row in read_rows(path, "rejects", ["id"])] == [f"{n:016x}" for n in range(total)]
    assert pq.ParquetFile(path).num_row_groups == 3


@pytest.mark.parametrize("damage", ["other table", "other version", "no version", "truncated", "flipped", "empty"])
def test_reading_something_else_is_an_error_that_names_the_file(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "clips.parquet"
    write_rows(path, "sources" if damage == "other table" else "clips", [])
    data = path.read_bytes()
    if damage.endswith("version"):
        table = pq.read_table(path)
        metadata = {b"demix.schema_version": b"99"} if damage == "other version" else {}
        pq.write_table(table.replace_schema_metadata(metadata), path)
    elif damage == "truncated":
        path.write_bytes(data[:-5])
    elif damage == "flipped":
        path.write_bytes(data[:-20] + bytes([data[-20] ^ 255]) + data[-19:])
    elif damage == "empty":
        path.write_bytes(b"")
    with pytest.raises(SchemaError, match=r"clips\.parquet"):
        list(read_rows(path, "clips"))


def test_every_record_of_a_clip_has_a_column() -> None:
    """A record that a stage adds and that no manifest holds would disappear."""

    kinds = {kind for kind in vars(records).values() if isinstance(kind, type) and issubclass(kind, Record)}
    named = {kind.name for kind in kinds if kind.name}
    columns = set(arrow_schema("clips").names) | set(arrow_schema("sources").names)
    assert named - {"candidate", "source", "clip"} <= columns
