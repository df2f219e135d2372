"""Shards on disk: bytes that depend on content only, rewritten when it changes, not believed without a commit file."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from demix.dataset.plan import PackSettings, plan_shards
from demix.dataset.shard import ShardError, is_committed, prune, write_shard
from demix.records import Caption, Media
from demix.store import Store
from tests.dataset.making import Maker, pack, tree, with_record

SMALL = PackSettings(target_bytes=200_000)


def test_members_are_adjacent_sorted_and_named_by_the_clip(maker: Maker, tmp_path: Path) -> None:
    samples = maker.samples(1, 5)
    shards = pack(samples, maker.store, tmp_path / "data", PackSettings(test_clips=0))
    names = []
    for shard in shards:
        with tarfile.open(tmp_path / "data" / shard.tar) as archive:
            read = archive.getnames()
        ids = sorted(entry.clip_id for entry in shard.entries)
        fields = ["mp4", "speech.flac", "effects.flac", "music.flac", "txt", "json"]
        assert read == [f"{clip}.{field}" for clip in ids for field in fields]
        names += read
    assert len(names) == 5 * 6


def test_bytes_depend_on_content_only(maker: Maker, tmp_path: Path, video_folder: Path) -> None:
    """Another work store, another order of clips, shards and writing, another clock and owner: the same bytes."""
    elsewhere = Maker(Store(tmp_path / "elsewhere"), video_folder)
    pack(maker.samples(), maker.store, tmp_path / "one", SMALL)
    moved = list(reversed(elsewhere.samples()))
    for path in (tmp_path / "elsewhere").rglob("*.flac"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    pack(moved, elsewhere.store, tmp_path / "two", SMALL, reverse=True)
    assert len([path for path in tree(tmp_path / "one") if path.endswith(".tar")]) > 4
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_json_holds_no_path_of_the_builders_machine(maker: Maker, tmp_path: Path) -> None:
    """The film's bare name and the sizes of the media are there; folders and work-store keys are not."""
    sample = maker.sample()
    text = sample.json("train").decode()
    assert str(tmp_path) not in text
    assert "/films/" not in text
    assert "media/" not in text
    tree = json.loads(text)
    assert tree["source_name"] == "my film.é.mkv"
    assert tree["records"]["demixing"]["music"] == {"bytes": sample.media["music.flac"].bytes}
    assert tree["records"]["caption"]["text"].encode() == sample.caption


def test_a_second_run_writes_nothing(maker: Maker, tmp_path: Path) -> None:
    samples = maker.samples()
    pack(samples, maker.store, tmp_path / "data")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")}
    pack(samples, maker.store, tmp_path / "data")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")} == before


def test_a_changed_caption_rewrites_its_shard_only(maker: Maker, tmp_path: Path) -> None:
    """Also after the work store was purged: the media then come from the shard that is replaced."""
    samples = maker.samples(1, 4)
    pack(samples, maker.store, tmp_path / "data")
    before = tree(tmp_path / "data")
    caption = samples[0].record(Caption).model_copy(update={"text": "Another room."})
    changed = [with_record(samples[0], caption), *samples[1:]]
    maker.store.remove("media")
    pack(changed, maker.store, tmp_path / "data")
    after = tree(tmp_path / "data")
    assert after.keys() == before.keys()
    assert {path for path in after if after[path] != before[path]} == {
        path for path in before if samples[0].signature in path
    }
    fresh = Maker(Store(tmp_path / "fresh"), maker.folder)
    fresh.samples(1, 4)
    pack(changed, fresh.store, tmp_path / "again")
    assert tree(tmp_path / "again") == after


def test_changed_media_rewrite_their_shard_even_at_equal_size(maker: Maker, tmp_path: Path) -> None:
    """A stage with other settings writes under another key; the plan sees that without reading the file."""
    sample = maker.sample()
    (shard,) = pack([sample], maker.store, tmp_path / "data")
    old = sample.media["music.flac"]
    key = old.key.replace("111111111111", "222222222222")
    data = bytearray(maker.store.local(old.key).read_bytes())
    data[-1] ^= 1
    with maker.store.write(key) as path:
        path.write_bytes(data)
    stems = sample.records["demixing"].model_copy(update={"music": Media(key=key, bytes=old.bytes)})
    changed = with_record(sample, stems)
    (planned,) = plan_shards([changed.entry], PackSettings())
    assert planned.stem == shard.stem
    assert not is_committed(planned, tmp_path / "data")


def test_clips_that_move_between_shards_survive_a_purge(maker: Maker, tmp_path: Path) -> None:
    """One clip less shifts all that follow; with no media left in the work store they come out of the old shards."""
    samples = maker.samples(2, 6)
    pack(samples, maker.store, tmp_path / "data", SMALL)
    maker.store.remove("media")
    gone = min(samples, key=lambda sample: sample.clip.id)
    rest = [sample for sample in samples if sample is not gone]
    pack(rest, maker.store, tmp_path / "data", SMALL)
    fresh = Maker(Store(tmp_path / "fresh"), maker.folder)
    fresh.samples(2, 6)
    pack(rest, fresh.store, tmp_path / "again", SMALL)
    assert tree(tmp_path / "data") == tree(tmp_path / "again")


@pytest.mark.parametrize("damage", ["shorter", "missing"])
def test_media_that_changed_since_their_record_are_refused(maker: Maker, tmp_path: Path, damage: str) -> None:
    sample = maker.sample()
    path = maker.store.local(sample.media["speech.flac"].key)
    path.write_bytes(path.read_bytes()[:-1]) if damage == "shorter" else path.unlink()
    (shard,) = plan_shards([sample.entry], PackSettings())
    with pytest.raises(ShardError, match=r"speech\.flac.*(record says|not in the work store)"):
        write_shard(shard, [sample], maker.store, tmp_path / "data")
    assert tree(tmp_path / "data") == {}


def test_samples_that_were_not_planned_are_refused(maker: Maker, tmp_path: Path) -> None:
    """Too few, too many, or another clip than planned: nothing is written."""
    first, second = sorted((maker.sample(0), maker.sample(1)), key=lambda sample: sample.clip.id)
    (shard,) = plan_shards([first.entry], PackSettings())
    for wrong in ([], [second], [first, second]):
        with pytest.raises(ShardError, match="plan again"):
            write_shard(shard, wrong, maker.store, tmp_path / "data")
    assert tree(tmp_path / "data") == {}


@pytest.mark.parametrize("damage", ["commit", "tar", "parquet", "garbage"])
def test_a_shard_without_its_commit_file_or_files_is_written_again(maker: Maker, tmp_path: Path, damage: str) -> None:
    samples = [maker.sample()]
    (shard,) = pack(samples, maker.store, tmp_path / "data")
    whole = tree(tmp_path / "data")
    stem = tmp_path / "data" / shard.stem
    if damage == "garbage":
        stem.with_name(stem.name + ".commit.json").write_text("{}")
    else:
        stem.with_name(stem.name + (".commit.json" if damage == "commit" else f".{damage}")).unlink()
    assert not is_committed(shard, tmp_path / "data")
    pack(samples, maker.store, tmp_path / "data")
    assert tree(tmp_path / "data") == whole


def test_prune_removes_what_was_planned_once_and_nothing_else(maker: Maker, tmp_path: Path) -> None:
    """Shards of an older plan and leftovers of killed writers go; a stranger's file in the folder stays."""
    samples = maker.samples(1, 4)
    pack(samples, maker.store, tmp_path / "data", SMALL)
    left = tmp_path / "data/shards/train/sound_event" / f".{'0' * 32}.tmp.tar"
    left.write_bytes(b"half")
    (tmp_path / "data/shards/notes.txt").write_text("mine")
    kept = [sample for sample in samples if sample.signature != "sound_event"]
    shards = pack(kept, maker.store, tmp_path / "data", SMALL)
    expected = {f"{shard.stem}{end}" for shard in shards for end in (".tar", ".parquet", ".commit.json")}
    assert set(tree(tmp_path / "data")) == expected | {"shards/notes.txt"}
    assert not (tmp_path / "data/shards/train/sound_event").exists()
    assert prune(tmp_path / "data", shards) == []
