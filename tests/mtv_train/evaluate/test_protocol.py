"""The paper's test on a small dataset: which clips are drawn, what a job says, and scoring against the same clips."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from demix.config import ConfigError
from demix.dataset.reader import Dataset
from demix.media.audio import read_wave
from demix.store import Store
from mtv_train.evaluate.folder import Reference
from mtv_train.evaluate.protocol import draw
from mtv_train.evaluate.result import Evaluation
from tests.dataset.making import FRAMES, RATE, Maker, build
from tests.mtv_train.evaluate.making import run

SECONDS = FRAMES / 24


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine clips of half a second, three or more of them in the test split."""
    folder = tmp_path_factory.mktemp("dataset")
    maker = Maker(Store(folder / "work"), folder)
    build(maker.samples(), maker, folder / "DATASET")
    return folder / "DATASET"


@pytest.fixture
def test_clips(dataset: Path) -> set[str]:
    return {sample.clip_id for sample in Dataset(dataset).samples(split="test", fields=())}


def test_jobs_are_of_the_test_split_and_carry_its_sound(
    dataset: Path, test_clips: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(dataset), "--count", "2", "--frames", "10", "--media", str(tmp_path)]
    assert run("protocol", *arguments) == 0
    jobs = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(jobs) == 2
    for job in jobs:
        assert job["name"] in test_clips
        sample = Dataset(dataset).find(job["name"])
        assert job["prompt"] == sample.caption
        for track in ("speech", "effects", "music"):
            wave, rate = read_wave(Path(job[track]))
            (tmp_path / "whole.flac").write_bytes(sample.data[f"{track}.flac"])
            whole, _ = read_wave(tmp_path / "whole.flac")
            assert rate == RATE
            assert wave.shape == (2, round(10 / 24 * RATE))
            assert (wave == whole[:, : wave.shape[1]]).all()
    assert jobs[0]["seed"] != jobs[1]["seed"]
    assert run("protocol", *arguments) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == jobs


def test_the_draw_depends_on_the_seed_and_grows(dataset: Path, test_clips: set[str]) -> None:
    opened, count = Dataset(dataset), len(test_clips)
    assert set(draw(opened, count, 0, SECONDS)) == test_clips
    orders = {tuple(draw(opened, count, seed, SECONDS)) for seed in range(20)}
    assert len(orders) > 1
    assert draw(opened, count, 5, SECONDS)[: count - 1] == draw(opened, count - 1, 5, SECONDS)


def test_too_few_clips_are_an_error(dataset: Path, test_clips: set[str]) -> None:
    with pytest.raises(ConfigError, match=rf"has {len(test_clips)} clips, {len(test_clips)} of them"):
        draw(Dataset(dataset), 50, 0, SECONDS)
    with pytest.raises(ConfigError, match=r"0 of them last 2\.04 s"):
        draw(Dataset(dataset), 1, 0, 49 / 24)


def test_videos_named_after_clips_are_compared_with_these(dataset: Path, tmp_path: Path) -> None:
    """And take the clips' captions; here they are the clips themselves, so the distance is zero."""
    clips = draw(Dataset(dataset), 3, 0, SECONDS)
    generated = tmp_path / "generated"
    generated.mkdir()
    for clip in clips:
        (generated / f"{clip}.mp4").write_bytes(Dataset(dataset).find(clip, ("mp4",)).data["mp4"])
    arguments = ["--generated", str(generated), "--reference", str(dataset), "--metrics", "fvd,text_c"]
    places = ["--out", str(tmp_path / "report"), "--cache", str(tmp_path / "cache")]
    assert run("evaluate", *arguments, *places, "--networks", "tiny", "--set", "fvd.frames=10") == 0
    evaluation = Evaluation.model_validate_json((tmp_path / "report/evaluation.json").read_text())
    assert evaluation.reference == "the 3 clips of the dataset that the videos are named after"
    distance, text = evaluation.sets[0].columns
    assert distance.value == pytest.approx(0, abs=1e-6)
    assert text.videos == 3


def test_other_videos_are_compared_with_the_test_split(dataset: Path, test_clips: set[str], tmp_path: Path) -> None:
    reference = Reference(str(dataset))
    videos, about = reference.videos({"a", *test_clips}, tmp_path, limit=None)
    assert {video.name for video in videos} == test_clips
    assert about == f"{len(test_clips)} clips of the dataset's test split"
    limited, _ = reference.videos({"a"}, tmp_path, limit=2)
    assert limited == videos[:2]
    shutil.copy(videos[0].path, tmp_path / "x.mp4")
    folder, about = Reference(str(tmp_path)).videos(set(), tmp_path, limit=1)
    assert (len(folder), about) == (1, "1 videos of a folder")
