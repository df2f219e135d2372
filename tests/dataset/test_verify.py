"""`verify` is silent about a good dataset, and finds every kind of tampering, naming the file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demix.dataset import layout
from demix.dataset.schema import write_rows
from demix.dataset.shard_check import check_shard
from demix.dataset.verify import verify
from demix.media import sandbox
from demix.media.errors import MediaError
from demix.store import Store
from tests.dataset.making import FRAMES, SAMPLES, Maker, build, make_stem, make_video
from tests.dataset.tampering import Folder, edit_caption


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, video_folder: Path) -> Path:
    root = tmp_path_factory.mktemp("dataset")
    maker = Maker(Store(root / "work"), video_folder)
    build(maker.samples(2, 4), maker, root / "data", target_bytes=500_000)
    return root / "data"


@pytest.fixture
def data(good: Path, tmp_path: Path) -> Folder:
    shutil.copytree(good, tmp_path / "data")
    return Folder(tmp_path / "data")


def found(data: Folder) -> str:
    """All that is found without decoding."""
    return "\n".join(f"{problem.file}: {problem.what}" for problem in verify(data.path, decode=False))


def found_by_decoding(data: Folder, stem: str) -> str:
    """All that is found in one shard."""
    return "\n".join(f"{problem.file}: {problem.what}" for problem in check_shard(data.path, stem).problems)


def test_a_good_dataset_has_no_problems(good: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert verify(good, workers=2, progress=lambda done, total: seen.append((done, total))) == []
    count = len(Folder(good).shards())
    assert seen == [(number, count) for number in range(1, count + 1)]


def test_a_flipped_bit_anywhere_in_a_shard_is_found(data: Folder) -> None:
    """In media, in a header, in the padding at the end: each names the shard."""
    stem = data.shards()[0]
    path = data.path / f"{stem}.tar"
    whole = path.read_bytes()
    for at in (5, 600, len(whole) // 2, len(whole) - 1):
        broken = bytearray(whole)
        broken[at] ^= 4
        path.write_bytes(broken)
        assert f"{stem}.tar: has {len(whole)} bytes, sha256" in found(data)


def test_the_changed_member_is_named(data: Folder) -> None:
    stem = data.big_shard()
    clip = list(data.read(stem))[-1]

    def flip(part: bytearray) -> None:
        part[len(part) // 2] ^= 1

    data.patch(stem, clip, "speech.flac", flip)
    assert f"{stem}.tar:{clip}.speech.flac: its content is not what the index says" in found(data)


def test_swapped_members_are_found(data: Folder) -> None:
    """Effects under the name of music and the other way round, with every hash made right."""
    stem = data.big_shard()
    clips = data.read(stem)
    name, members = next(iter(clips.items()))
    members["music.flac"], members["effects.flac"] = members["effects.flac"], members["music.flac"]
    if len(members["music.flac"]) == len(members["effects.flac"]):
        pytest.skip("stems of equal size: nothing but the hashes outside could tell")
    data.rewrite(stem, clips)
    assert f"{stem}.tar:{name}.json: says that .effects.flac has" in found(data)


def test_members_in_another_order_are_found(data: Folder) -> None:
    stem = data.big_shard()
    clips = {name: dict(sorted(members.items())) for name, members in data.read(stem).items()}
    data.rewrite(stem, clips, index=False)
    assert f"{stem}.tar: holds" in found(data)
    data.rewrite(stem, clips)
    assert "does not have the members mp4, speech.flac" in found(data)


@pytest.mark.parametrize("cut", [1, 512, 20_000])
def test_a_truncated_shard_is_found(data: Folder, cut: int) -> None:
    """Also when its commit file was made to agree."""
    stem = data.big_shard()
    path = data.path / f"{stem}.tar"
    path.write_bytes(path.read_bytes()[:-cut])
    assert f"{stem}.tar: has {path.stat().st_size} bytes" in found(data)
    data.recommit(stem)
    problems = verify(data.path, decode=False)
    assert [(problem.file, "is not a tar as we write it" in problem.what) for problem in problems] == [
        (f"{stem}.tar", True)
    ]


@pytest.mark.parametrize("suffix", [".tar", ".parquet", ".commit.json"])
def test_a_missing_file_of_a_shard_is_found(data: Folder, suffix: str) -> None:
    stem = data.big_shard()
    (data.path / f"{stem}{suffix}").unlink()
    assert f"{stem}{suffix}: is missing" in found(data)


def test_a_deleted_shard_is_found(data: Folder) -> None:
    stem = data.big_shard()
    clips = list(data.read(stem))
    for suffix in (".tar", ".parquet", ".commit.json"):
        (data.path / f"{stem}{suffix}").unlink()
    for clip in clips:
        assert f"manifests/clips.parquet: clip {clip} is in no shard; it should be in {stem}.tar" in found(data)


def test_an_edited_caption_is_found(data: Folder) -> None:
    """In the text alone; in text and record with all hashes of the shard made right: the manifest knows better."""
    stem = data.big_shard()
    clips = data.read(stem)
    name, members = next(iter(clips.items()))
    members["txt"] += b"!"
    data.rewrite(stem, clips)
    assert f"{stem}.tar:{name}.json: its caption is not the text of the .txt member" in found(data)
    edit_caption(members, "Somebody else's words.")
    data.rewrite(stem, clips)
    assert f"manifests/clips.parquet: clip {name}: its caption is not the .txt in {stem}.tar" in found(data)


def test_an_edited_record_is_found(data: Folder) -> None:
    """A measured number changed in the sample only, all hashes made right."""
    stem = data.big_shard()
    clips = data.read(stem)
    name, members = next(iter(clips.items()))
    members["json"] = members["json"].replace(b'"residual_db":-90.0', b'"residual_db":-99.0')
    data.rewrite(stem, clips)
    assert f"clip {name}: its columns and records are not those of the .json in {stem}.tar" in found(data)


def test_a_broken_record_is_found(data: Folder) -> None:
    stem = data.big_shard()
    for broken in (b"{", b"[]", b'{"records":{"clip_media":{"fps":"0/1"}}}'):
        clips = data.read(stem)
        name, members = next(iter(clips.items()))
        members["json"] = broken
        data.rewrite(stem, clips)
        assert f"{stem}.tar:{name}.json: is not a sample's record" in found(data)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("uri", "/elsewhere/other.mkv"),
        ("ordinal", 77),
        ("start_seconds", 123.0),
        ("end_pts", 999_999_999),
        ("split", "neither"),
        ("signature", "basic_face"),
        ("shard", "shards/train/basic_face/demix-train-basic_face-000000.tar"),
        ("source_id", "9" * 16),
        ("caption", '{"model":"lite"}'),
        ("subsets", None),
        ("kind", "cartoon"),
    ],
)
def test_an_edited_manifest_is_found(data: Folder, column: str, value: Any) -> None:
    """A value changed in one row, with manifests/commit.json made right."""
    names: list[str] = []

    def change(rows: list[dict[str, Any]]) -> None:
        names.append(rows[1]["clip_id"])
        rows[1][column] = value

    data.edit_table(layout.CLIPS, "clips", change)
    assert f"manifests/clips.parquet: clip {names[0]}" in found(data)


def test_an_edited_table_without_its_commit_file_is_found(data: Folder) -> None:
    """Evidence of a decision is nowhere else in the dataset: the hash of its table proves it."""
    path = layout.rejects_path("length")
    before = (data.path / layout.MANIFEST_COMMIT).read_bytes()
    data.edit_table(path, "rejects", lambda rows: rows[0].__setitem__("evidence", '{"seconds":9}'))
    (data.path / layout.MANIFEST_COMMIT).write_bytes(before)
    assert f"{path}: was changed" in found(data)


@pytest.mark.parametrize(
    ("path", "table", "what"),
    [
        (layout.CLIPS, "clips", "but not listed"),
        (layout.SOURCES, "sources", "was dropped or failed, but is not listed"),
        (layout.rejects_path("length"), "rejects", "dropped or failed are listed"),
        (layout.rejects_path("probe"), "rejects", "is dropped, but the lists say nothing"),
        (layout.QUARANTINE, "quarantine", "dropped or failed are listed"),
    ],
)
def test_a_removed_row_is_found(data: Folder, path: str, table: str, what: str) -> None:
    """Of any manifest, with manifests/commit.json made right: the counts do not add up any more."""

    def change(rows: list[dict[str, Any]]) -> None:
        del rows[-1]

    data.edit_table(path, table, change)
    assert what in found(data)


@pytest.mark.parametrize("path", [layout.CLIPS, layout.SOURCES, layout.QUARANTINE, layout.MANIFEST_COMMIT])
def test_a_missing_or_broken_manifest_is_found(data: Folder, path: str) -> None:
    whole = (data.path / path).read_bytes()
    (data.path / path).write_bytes(whole[: len(whole) // 2])
    assert path in found(data)
    (data.path / path).unlink()
    assert f"{path}: is missing" in found(data)


@pytest.mark.parametrize("field", ["speech.flac", "effects.flac", "music.flac"])
def test_a_stem_of_another_length_is_found(data: Folder, tmp_path: Path, field: str) -> None:
    """One sample too few, in a file that is whole, with every hash and size made right."""
    stem = data.big_shard()
    clips = data.read(stem)
    name, members = next(iter(clips.items()))
    make_stem(tmp_path / "short.flac", 1, SAMPLES - 1)
    members[field] = (tmp_path / "short.flac").read_bytes()
    data.rewrite(stem, clips)
    wrong = f"{stem}.tar:{name}.{field}: has samples {SAMPLES - 1}, its record says {SAMPLES}"
    assert wrong in found_by_decoding(data, stem)


@pytest.mark.parametrize(("frames", "seconds", "what"), [
    (FRAMES + 1, None, f"has frames {FRAMES + 1}"),
    (FRAMES, 0.6, "video and audio differ by a frame or more"),
])  # fmt: skip
def test_another_film_is_found(data: Folder, tmp_path: Path, frames: int, seconds: float | None, what: str) -> None:
    """A video with one frame more, or with sound that does not fit."""
    stem = data.big_shard()
    clips = data.read(stem)
    name, members = next(iter(clips.items()))
    make_video(tmp_path / "other.mp4", frames, seconds)
    members["mp4"] = (tmp_path / "other.mp4").read_bytes()
    data.rewrite(stem, clips)
    assert f"{stem}.tar:{name}.mp4: {what}" in found_by_decoding(data, stem)


def test_media_that_do_not_decode_are_found(data: Folder) -> None:
    """Noise of the right size under a right hash; the clips around it are still measured."""
    stem = data.big_shard()
    clips = data.read(stem)
    name, members = next(iter(clips.items()))
    for field in ("mp4", "music.flac"):
        members[field] = bytes(reversed(members[field]))
    data.rewrite(stem, clips)
    files = {problem.file for problem in check_shard(data.path, stem).problems}
    assert files == {f"{stem}.tar:{name}.{field}" for field in ("mp4", "music.flac")}


def test_a_member_that_kills_its_decoder_is_found(data: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash of the sandboxed child is blamed on the member it was at; what comes after is measured all the same."""
    stem = data.big_shard()
    row = data.rows(stem)[0]
    deadly = row["members"][1]["offset"]
    stream = sandbox.stream
    seen: list[bytearray] = []

    def crashing(function: str, arguments: Any, limits: Any, *, seconds: float) -> Iterator[bytearray]:
        offsets = [span[1] for span in arguments["spans"]]
        dies = deadly in offsets
        spans = arguments["spans"][: offsets.index(deadly)] if dies else arguments["spans"]
        for record in stream(function, {**arguments, "spans": spans}, limits, seconds=seconds):
            seen.append(record)
            yield record
        if dies:
            raise MediaError("crash", "killed by signal 11")

    monkeypatch.setattr(sandbox, "stream", crashing)
    (problem,) = check_shard(data.path, stem).problems
    assert problem.file == f"{stem}.tar:{row['clip_id']}.speech.flac"
    assert "killed by signal 11" in problem.what
    assert len(seen) == 4 * len(data.rows(stem)) - 1


def test_a_clip_in_two_shards_is_found(data: Folder) -> None:
    """Copied into another shard, all hashes made right."""
    train = [stem for stem in data.shards() if "/train/" in stem]
    clip, members = next(iter(data.read(train[0]).items()))
    clips = dict(sorted((data.read(train[1]) | {clip: members}).items()))
    data.rewrite(train[1], clips)
    assert f"{train[1]}.tar: clip {clip} is in {train[0]}.tar as well" in found(data)


def test_a_clip_twice_in_a_shard_is_found(data: Folder) -> None:
    stem = data.big_shard()
    rows = data.rows(stem)
    write_rows(data.path / f"{stem}.parquet", "shard", [rows[0], *rows])
    data.recommit(stem)
    text = found(data)
    assert f"{stem}.parquet: the clips are not sorted by id, each once" in text
    assert f"{stem}.tar: holds" in text


def test_a_removed_source_is_found(data: Folder) -> None:
    """Its clips are there, but it is listed no more."""

    def change(rows: list[dict[str, Any]]) -> None:
        del rows[0]

    data.edit_table(layout.SOURCES, "sources", change)
    assert "0 clips and 0 kept are said" in found(data)


def test_a_removed_clip_is_found(data: Folder) -> None:
    """Taken out of its shard, all hashes made right."""
    stem = data.big_shard()
    clips = data.read(stem)
    gone = clips.popitem()[0]
    data.rewrite(stem, clips)
    assert f"clip {gone} is in no shard; it should be in {stem}.tar" in found(data)


@pytest.mark.parametrize(
    "changes",
    [{"samples": 77}, {"plan": "0" * 32}, {"split": "neither"}, {"schema_version": 99}, {"clip_ids_sha256": ""}],
)
def test_an_edited_commit_file_is_found(data: Folder, changes: dict[str, Any]) -> None:
    stem = data.big_shard()
    data.recommit(stem, **changes)
    assert f"{stem}.commit.json" in found(data)


def test_something_else_in_place_of_a_commit_file_is_found(data: Folder) -> None:
    stem = data.big_shard()
    path = data.path / f"{stem}.commit.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"note": "trust me"}))
    assert f"{stem}.commit.json" in found(data)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("shards/train/extra.tar", "is not a file of a dataset"),
        (f"shards/train/.{'a' * 32}.tmp.tar", "was left by a process that was killed"),
        ("manifests/rejects/length/part-000001.parquet", "is not a manifest of this build"),
    ],
)
def test_files_that_do_not_belong_are_found(data: Folder, path: str, what: str) -> None:
    (data.path / path).write_bytes(b"x")
    problems = [problem for problem in verify(data.path, decode=False) if problem.file == path]
    assert [problem.what for problem in problems] == [what]
    assert all(problem.remedy for problem in problems)


@pytest.mark.parametrize(
    ("gone", "command"),
    [
        (None, "demix pack --output {data} --work WORK_STORE"),
        (layout.MANIFEST_COMMIT, "demix build FILMS --output {data}"),
    ],
)
def test_what_is_missing_is_named_by_its_path_and_the_remedy_is_a_command(
    data: Folder, gone: str | None, command: str
) -> None:
    """A build that was interrupted before its end is not mended by packing."""
    stem = data.shards()[0]
    for path in (f"{stem}.commit.json", layout.CLIPS, *([gone] if gone else [])):
        (data.path / path).unlink()
    problems = verify(data.path, decode=False)
    assert {f"{stem}.commit.json", layout.CLIPS} <= {problem.file for problem in problems}
    for problem in problems:
        assert command.format(data=data.path) in problem.remedy
        assert "\N{NULL}" not in problem.remedy
        assert not Path(problem.file).is_absolute()


def test_while_a_work_store_lies_in_the_dataset_the_command_needs_no_other_option(data: Folder) -> None:
    (data.path / ".work").mkdir()
    (data.path / layout.CLIPS).unlink()
    assert all(f"`demix pack --output {data.path}`" in problem.remedy for problem in verify(data.path, decode=False))


def test_a_source_in_both_splits_is_found(data: Folder) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        row = next(row for row in rows if row["split"] == "train")
        row["split"] = "test"

    data.edit_table(layout.CLIPS, "clips", change)
    assert "is in both splits" in found(data)


def test_a_film_in_both_splits_is_found_in_however_many_files_it_lies(data: Folder) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for number, row in enumerate(row for row in rows if row["status"] == "kept"):
            row["metadata"] = json.dumps({"film": "Big Fish" if number % 2 else "big_fish"})

    data.edit_table(layout.SOURCES, "sources", change)
    assert "the film 'bigfish' is in both splits" in found(data)


def test_a_dataset_without_anything_is_not_proven(tmp_path: Path) -> None:
    assert found(Folder(tmp_path)) != ""
