"""Guards, on tars and through everything that a command starts: a run that goes on with other workers is the same run;
a dataset that changed is refused; bad samples are in the log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from demix.config import ConfigError
from mtv_train.config import StageSettings, TrainSettings
from mtv_train.recipes import load
from mtv_train.train.session import Options, train
from tests.mtv_train.datasets import TinyClip, write_tars
from tests.mtv_train.train.ranks import in_ranks, losses

CLIPS = [TinyClip(number) for number in range(5)]


def settings_of(dataset: Path, *more: str) -> TrainSettings:
    short = ("validation.every=0", "log.samples=true", "log.every=1", "optim.batch=2", "optim.warmup_steps=0")
    settings = load("tiny", assignments=[f"data.dataset={dataset}", *short, *more])
    stages = {"single_character": StageSettings(steps=3, weights={"single_character": 1.0})}
    return settings.model_copy(update={"stages": stages})


def trained(settings: TrainSettings, run: Path, stop_after: int = 0) -> str:
    """What was refused, if anything."""
    try:
        train(settings, run, Options(device="cpu", stop_after=stop_after))
    except ConfigError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(dataset, run)"""
    folder = tmp_path_factory.mktemp("uninterrupted")
    dataset = write_tars(folder / "tars", CLIPS)
    assert in_ranks(1, trained, settings_of(dataset), folder / "run") == [""]
    return dataset, folder / "run"


def test_from_no_worker_to_three_it_is_the_same_run(uninterrupted: tuple[Path, Path], tmp_path: Path) -> None:
    dataset, run = uninterrupted
    in_ranks(1, trained, settings_of(dataset, "data.loader.workers=0"), tmp_path, 1)
    assert len(losses(tmp_path)) == 2
    in_ranks(1, trained, settings_of(dataset, "data.loader.workers=3"), tmp_path)
    found = losses(tmp_path)
    assert len(found) == 6
    assert found == losses(run), "samples and losses, to the bit"


def test_another_dataset_in_the_same_place_is_refused(uninterrupted: tuple[Path, Path], tmp_path: Path) -> None:
    dataset = write_tars(tmp_path / "tars", CLIPS)
    in_ranks(1, trained, settings_of(dataset), tmp_path / "run", 1)
    write_tars(dataset, [*CLIPS[:4], TinyClip(4, caption="Another text.")])
    [said] = in_ranks(1, trained, settings_of(dataset), tmp_path / "run")
    assert "the dataset was" in said
    assert "--accept-changes" in said
    moved = write_tars(tmp_path / "moved", list(reversed(CLIPS)), per_tar=2)
    assert in_ranks(1, trained, settings_of(moved), tmp_path / "run") == [""], "the same clips elsewhere are no change"
    assert losses(tmp_path / "run") == losses(uninterrupted[1])


def test_captions_that_are_too_long_are_counted(tmp_path: Path) -> None:
    """The tiny model's text encoder reads 16 bytes."""
    clips = [TinyClip(0, caption="A street in the rain."), TinyClip(1, caption="Short.")]
    dataset = write_tars(tmp_path / "tars", clips)
    assert in_ranks(1, trained, settings_of(dataset), tmp_path / "run") == [""]
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    text = (tmp_path / "run/logs/rank-0.log").read_text()
    long = sum("clip0000" in line for line in (tmp_path / "run/samples-0.jsonl").read_text().splitlines())
    assert sum(row["captions_cut"] for row in rows) == long > 0
    assert text.count("longer than the text encoder takes (16 tokens), so its end is not read: 'rain.'") == 1


def test_a_bad_sample_is_in_the_log_with_its_reason(tmp_path: Path) -> None:
    clips = [*CLIPS, TinyClip(5, instead={"music.flac": b"noise"})]
    dataset = write_tars(tmp_path / "tars", clips)
    in_ranks(1, trained, settings_of(dataset, "data.loader.max_bad_share=1"), tmp_path / "run")
    text = (tmp_path / "run/logs/rank-0.log").read_text()
    assert "bad sample" in text
    assert "clip0005@0: music: Format not recognised. (sound); clip" in text
    assert '"bad_samples": ' in (tmp_path / "run/metrics.jsonl").read_text()
