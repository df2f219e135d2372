"""Media come back from the shards exactly as they were, or not at all."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from demix.dataset.restore import restore_media
from demix.store import Store
from tests.dataset.making import Maker, pack, tree


def test_what_was_purged_comes_back(maker: Maker, tmp_path: Path) -> None:
    """All media of the samples, and nothing that is in no shard (the mix): that is named instead."""
    samples = maker.samples(1, 4)
    pack(samples, maker.store, tmp_path / "data")
    before = tree(tmp_path / "work")
    mixes = sorted(key for key in before if key.endswith("mix.flac"))
    maker.store.remove("media")
    assert restore_media(maker.store, tmp_path / "data", before) == mixes
    assert tree(tmp_path / "work") == {key: data for key, data in before.items() if key not in mixes}


def test_only_what_was_asked_for_comes_back(maker: Maker, tmp_path: Path) -> None:
    sample = maker.sample()
    pack([sample], maker.store, tmp_path / "data")
    maker.store.remove("media")
    key = sample.media["music.flac"].key
    assert restore_media(maker.store, tmp_path / "data", [key]) == []
    assert maker.store.keys() == [key]


def test_a_remote_store_is_filled_as_well(maker: Maker, tmp_path: Path) -> None:
    sample = maker.sample()
    pack([sample], maker.store, tmp_path / "data")
    remote = Store(f"memory://{uuid.uuid4().hex}")
    keys = [media.key for media in sample.media.values()]
    assert restore_media(remote, tmp_path / "data", keys) == []
    assert remote.keys() == sorted(keys)


@pytest.mark.parametrize("damage", ["bytes", "tar", "parquet", "commit"])
def test_nothing_comes_back_from_a_damaged_shard(maker: Maker, tmp_path: Path, damage: str) -> None:
    """Other bytes than were committed never enter the work store."""
    sample = maker.sample()
    (shard,) = pack([sample], maker.store, tmp_path / "data")
    maker.store.remove("media")
    stem = tmp_path / "data" / shard.stem
    if damage == "bytes":
        path = stem.with_name(f"{stem.name}.tar")
        path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))
    else:
        stem.with_name(stem.name + {"commit": ".commit.json"}.get(damage, f".{damage}")).unlink()
    keys = [media.key for media in sample.media.values()]
    assert restore_media(maker.store, tmp_path / "data", keys) == sorted(keys)
    assert maker.store.keys() == []
