"""Speaker tracks in a dataset: written beside the stems, read back, checked, and missed where they are promised."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from demix.dataset.layout import MEMBERS, MEMBERS_OF_TWO, SPEAKERS
from demix.dataset.reader import Dataset
from demix.dataset.sample import Sample
from demix.dataset.shard_check import check_shard
from demix.dataset.verify import verify
from demix.records import Media, SpeakerTracks
from demix.store import Store
from tests.dataset.making import SAMPLES, Maker, build, make_stem, with_record
from tests.dataset.tampering import Folder


def with_speakers(sample: Sample, store: Store) -> Sample:
    tracks = []
    for number, name in enumerate(SPEAKERS):
        key = f"media/{sample.clip.id[:2]}/{sample.clip.id}/{'2' * 12}/{name}"
        with store.write(key) as path:
            make_stem(path, int(sample.clip.id[:6], 16) + number)
        tracks.append(Media(key=key, bytes=store.local(key).stat().st_size))
    return with_record(sample, SpeakerTracks(speech0=tracks[0], speech1=tracks[1]))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory, video_folder: Path) -> Path:
    """Half of the clips have two speakers, the other half an empty record."""
    root = tmp_path_factory.mktemp("dataset")
    maker = Maker(Store(root / "work"), video_folder)
    samples = [
        with_speakers(sample, maker.store) if number % 2 else with_record(sample, SpeakerTracks())
        for number, sample in enumerate(maker.samples(3, 4))
    ]
    build(samples, maker, root / "data", target_bytes=500_000)
    return root / "data"


@pytest.fixture
def data(good: Path, tmp_path: Path) -> Folder:
    shutil.copytree(good, tmp_path / "data")
    return Folder(tmp_path / "data")


def two(data: Folder) -> tuple[str, str]:
    """A shard and a clip in it that has two speakers."""
    return next(
        (stem, clip) for stem in data.shards() for clip, members in data.read(stem).items() if SPEAKERS[0] in members
    )


def found(data: Folder, stem: str, clip: str) -> list[str]:
    problems = check_shard(data.path, stem).problems
    return [problem.what for problem in problems if clip in problem.file or problem.file.endswith(".parquet")]


def test_they_are_written_read_and_verified(good: Path) -> None:
    assert verify(good, workers=1) == []
    fields = {tuple(sample.data) for sample in Dataset(str(good)).samples()}
    assert fields == {MEMBERS, MEMBERS_OF_TWO}
    sample = next(sample for sample in Dataset(str(good)).samples() if SPEAKERS[0] in sample.data)
    record = sample.record["records"]["speaker_tracks"]
    assert {name: record[name] for name in record} == {
        name.removesuffix(".flac"): {"bytes": len(sample.data[name])} for name in SPEAKERS
    }


def test_one_that_is_missing_is_found(data: Folder) -> None:
    stem, clip = two(data)
    clips = data.read(stem)
    for name in SPEAKERS:
        del clips[clip][name]
    data.rewrite(stem, clips)
    assert any("says that .speech0.flac has" in what and "it has no bytes" in what for what in found(data, stem, clip))


def test_half_a_pair_is_found(data: Folder) -> None:
    stem, clip = two(data)
    clips = data.read(stem)
    del clips[clip][SPEAKERS[1]]
    data.rewrite(stem, clips)
    assert any("does not have the members" in what for what in found(data, stem, clip))


def test_one_of_another_length_is_found(data: Folder, tmp_path: Path) -> None:
    stem, clip = two(data)
    make_stem(tmp_path / "short.flac", 1, samples=SAMPLES - 100)
    clips = data.read(stem)
    clips[clip][SPEAKERS[0]] = (tmp_path / "short.flac").read_bytes()
    tree = json.loads(clips[clip]["json"])
    tree["records"]["speaker_tracks"]["speech0"]["bytes"] = len(clips[clip][SPEAKERS[0]])
    clips[clip]["json"] = json.dumps(tree).encode()
    data.rewrite(stem, clips)
    assert any(f"has samples {SAMPLES - 100}" in what for what in found(data, stem, clip))
