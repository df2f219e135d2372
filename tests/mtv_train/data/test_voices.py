"""Speaker tracks in training: a model with two voices reads them as its two, and a lone speaker leaves one silent."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from demix.dataset.layout import SPEAKERS
from demix.dataset.reader import Dataset
from demix.store import Store
from mtv_train.data.index import DatasetIndex
from mtv_train.data.settings import DataSettings, WindowSettings
from mtv_train.data.shards import Shards
from mtv_train.data.sound import read_track, samples_at
from mtv_train.data.window import WindowReader
from tests.dataset.making import Maker, build
from tests.dataset.test_speaker_tracks import with_speakers

ONE, TWO = ("speech", "effects", "music"), ("speech", "speech2", "effects", "music")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every other clip has two speakers."""
    root = tmp_path_factory.mktemp("voices")
    maker = Maker(Store(root / "work"), root)
    samples = [
        with_speakers(sample, maker.store) if number % 2 else sample
        for number, sample in enumerate(maker.samples(3, 3))
    ]
    build(samples, maker, root / "data")
    return root / "data"


def opened(dataset: Path, tmp_path: Path, tracks: tuple[str, ...]) -> DatasetIndex:
    window = WindowSettings(frames=5, stride=5, height=32, width=32, tracks=tracks)
    return DatasetIndex.open(DataSettings(dataset=str(dataset), window=window, index_cache=str(tmp_path)))


def test_two_voices_are_the_speaker_tracks_and_one_is_all_speech(dataset: Path, tmp_path: Path) -> None:
    stored = {sample.clip_id: sample.data for sample in Dataset(str(dataset)).samples(split="train")}
    one, two = (opened(dataset, tmp_path, tracks) for tracks in (ONE, TWO))
    seen = set()
    for number in range(two.clips):
        data = stored[two.clip(number).key]
        first, second = (data[name] for name in SPEAKERS) if SPEAKERS[0] in data else (data["speech.flac"], b"")
        seen.add(second == b"")
        read = Shards(two.shards).read(two.clip(number), ("speech.flac", "speech2.flac", "music.flac"))
        assert read == {"speech.flac": first, "speech2.flac": second, "music.flac": data["music.flac"]}
        members = one.clip(number).members
        assert members["speech.flac"].sha256 == hashlib.sha256(data["speech.flac"]).digest()
        assert "speech2.flac" not in members
    assert seen == {True, False}
    assert one.fingerprint() != two.fingerprint()


def test_windows_have_both_voices(dataset: Path, tmp_path: Path) -> None:
    index = opened(dataset, tmp_path, TWO)
    reader = WindowReader(index, Shards(index.shards))
    loud = set()
    for number in range(index.count("visual_mood")):
        waves = reader.read(index.window("visual_mood", number), ["waves"]).waves
        assert waves is not None
        assert tuple(waves.waves) == TWO
        assert waves.waves["speech"].abs().max() > 0
        loud.add(bool(waves.waves["speech2"].abs().max() > 0))
    assert loud == {True, False}


def test_an_empty_member_is_silence() -> None:
    window = WindowSettings()
    silence = read_track(b"", "clip", "speech2", 49, window)
    assert silence.shape == (samples_at(49, window),)
    assert silence.dtype == np.float32
    assert not silence.any()
