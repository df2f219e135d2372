"""The reader gives back what was packed: everything, a subset, a split, a clip; from a disk or elsewhere."""

from __future__ import annotations

import uuid
from pathlib import Path

import fsspec
import pytest

from demix.dataset.reader import Dataset, StoredSample
from demix.dataset.sample import Sample
from tests.dataset.making import Maker, build, tree


@pytest.fixture
def packed(maker: Maker, tmp_path: Path) -> tuple[Path, dict[str, Sample]]:
    samples = maker.samples(3, 3)
    build(samples, maker, tmp_path / "data")
    return tmp_path / "data", {sample.clip.id: sample for sample in samples}


def is_whole(stored: StoredSample, sample: Sample, maker: Maker) -> bool:
    media = {field: maker.store.local(media.key).read_bytes() for field, media in sample.media.items()}
    return dict(stored.data) == media | {"txt": sample.caption, "json": sample.json(stored.split)}


def test_every_sample_comes_back_whole(packed: tuple[Path, dict[str, Sample]], maker: Maker) -> None:
    path, samples = packed
    stored = list(Dataset(path).samples())
    assert sorted(one.clip_id for one in stored) == sorted(samples)
    assert all(is_whole(one, samples[one.clip_id], maker) for one in stored)
    assert {one.caption.encode() for one in stored} == {sample.caption for sample in samples.values()}


def test_subsets_and_splits_choose_whole_shards(packed: tuple[Path, dict[str, Sample]]) -> None:
    path, samples = packed
    dataset = Dataset(path)
    music = [sample.clip_id for sample in dataset.samples(subset="visual_mood")]
    assert sorted(music) == sorted(id for id, sample in samples.items() if "visual_mood" in sample.signature)
    test = {sample.clip_id for sample in dataset.samples(split="test")}
    train = {sample.clip_id for sample in dataset.samples(split="train")}
    assert test
    assert test | train == set(samples)
    assert not {samples[id].clip.source_id for id in test} & {samples[id].clip.source_id for id in train}
    assert list(dataset.samples(subset="basic_face")) == []


def test_only_the_wanted_fields_are_read(packed: tuple[Path, dict[str, Sample]]) -> None:
    sample = next(Dataset(packed[0]).samples(fields=["txt", "speech.flac"]))
    assert sorted(sample.data) == ["speech.flac", "txt"]


def test_a_clip_is_found_by_its_id(packed: tuple[Path, dict[str, Sample]], maker: Maker) -> None:
    path, samples = packed
    for clip_id, sample in samples.items():
        found = Dataset(path).find(clip_id)
        assert is_whole(found, sample, maker)
        assert found.record["clip_id"] == clip_id
        assert found.subsets == tuple(found.record["subsets"])
    with pytest.raises(KeyError, match="no clip 'nobody'"):
        Dataset(path).find("nobody")


def test_a_shard_without_commit_file_is_not_read(packed: tuple[Path, dict[str, Sample]]) -> None:
    path, samples = packed
    gone = next(path.rglob("*.commit.json"))
    gone.unlink()
    left = {sample.clip_id for sample in Dataset(path).samples()}
    assert left < set(samples)


def test_an_unknown_subset_or_split_is_an_error(packed: tuple[Path, dict[str, Sample]]) -> None:
    with pytest.raises(ValueError, match=r"not a subset; there are basic_face"):
        Dataset(packed[0]).shards(subset="music")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"not a split"):
        Dataset(packed[0]).shards(split="val")  # type: ignore[arg-type]


def test_reading_through_fsspec(packed: tuple[Path, dict[str, Sample]], maker: Maker) -> None:
    """A copy in another file system reads the same, and its urls can be opened with fsspec."""
    path, samples = packed
    url = f"memory://{uuid.uuid4().hex}"
    for name, data in tree(path).items():
        with fsspec.open(f"{url}/{name}", "wb") as file:
            file.write(data)
    dataset = Dataset(url)
    assert dataset.shards() == Dataset(path).shards()
    assert all(is_whole(one, samples[one.clip_id], maker) for one in dataset.samples())
    assert is_whole(dataset.find(min(samples)), samples[min(samples)], maker)
    with fsspec.open(dataset.urls()[0], "rb") as file:
        assert file.read() == (path / dataset.shards()[0]).read_bytes()
    assert all(Path(local).is_file() for local in Dataset(path).urls())
