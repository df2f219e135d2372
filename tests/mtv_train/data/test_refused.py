"""Datasets that are not what they should be: each is refused in a sentence of its own before anything is trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from demix.config import ConfigError
from demix.store import Store
from mtv_train.cli import main
from mtv_train.data.errors import DatasetError
from mtv_train.data.index import DatasetIndex
from mtv_train.data.settings import DataSettings, WindowSettings
from mtv_train.recipes import load
from mtv_train.train.session import Options, train
from tests.dataset.making import Maker, build
from tests.mtv_train.data.small import WINDOW
from tests.mtv_train.datasets import TinyClip, write_tars
from tests.mtv_train.train.ranks import in_ranks


def with_json(text: str) -> Callable[[Path], Path]:
    return lambda folder: write_tars(folder, [TinyClip(0), TinyClip(1, instead={"json": text.encode()})])


REFUSED: dict[str, tuple[Callable[[Path], Path] | None, str]] = {
    "json_subsets_str": (
        None,
        '1 of 1 clips cannot be used: sample a: facts: its .json gives "subsets" as "visual_mood"; give a list, for '
        'instance ["visual_mood"]',
    ),
    "too_short": (
        None,
        "all 1 clips of the split train are shorter than a window (9 frames at 24 fps",
    ),
    "phone": (None, "the dataset's windows are: all 2; change stages or the dataset (data.subset says"),
    "val": (with_json('{"split": "val"}'), 'its .json gives "split" as "val"; give train or test'),
    "a number": (with_json('{"subsets": [1]}'), "its .json names strange subsets: [1]"),
    "no JSON": (with_json("{'subsets': []}"), "sample clip0001: facts: its .json is no JSON ("),
    "Latin-1": (
        lambda folder: write_tars(folder, [TinyClip(0, instead={"txt": "été".encode("latin-1")})]),
        "sample clip0000: caption: its caption is not UTF-8 (byte 1 is 0xe9); save the .txt as UTF-8",
    ),
    "only a test split": (
        lambda folder: write_tars(folder, [TinyClip(0, split="test")]),
        "no clip is in the split train (splits there are: test)",
    ),
}


def dataset_of(case: str, folder: Path, faults: Path) -> Path:
    """None of them is written into: an index lies beside the tars where it can."""
    make = REFUSED[case][0]
    if make is not None:
        return make(folder)
    folder.mkdir()
    shutil.copyfile(faults / "trainer" / case / "0.tar", folder / "0.tar")
    return folder


@pytest.mark.parametrize("case", REFUSED)
def test_a_dataset_is_refused_in_its_own_sentence(
    case: str, tmp_path: Path, shared_faults: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = dataset_of(case, tmp_path / "dataset", shared_faults)
    command = ["train", "tiny", "--data", str(dataset), "--run", str(tmp_path / "run"), "--device", "cpu"]
    [status] = in_ranks(1, main, [*command, "--skip-empty-stages"])
    said = capfd.readouterr().err
    sentence = REFUSED[case][1]
    assert status == 2
    assert sentence in said
    assert len(said) < 600
    assert not (tmp_path / "run/metrics.jsonl").exists()


def test_every_dataset_of_the_faults_is_among_them(shared_faults: Path) -> None:
    assert {path.name for path in (shared_faults / "trainer").iterdir() if path.is_dir()} <= REFUSED.keys()


def refusal(dataset: Path, run: Path) -> str:
    try:
        train(load("tiny", assignments=[f"data.dataset={dataset}"]), run, Options(device="cpu", skip_empty_stages=True))
    except ConfigError as error:
        return str(error)
    return ""


def test_all_ranks_refuse_it_in_the_same_words(tmp_path: Path) -> None:
    dataset = write_tars(tmp_path / "dataset", [TinyClip(0, instead={"txt": b"\xe9"})])
    one, two = in_ranks(2, refusal, dataset, tmp_path / "run")
    assert "not UTF-8" in one
    assert one == two


def test_clips_that_are_too_short_beside_others_are_counted(tmp_path: Path) -> None:
    folder = write_tars(tmp_path, [TinyClip(0, frames=8), TinyClip(1, frames=9), TinyClip(2, frames=8, split="test")])
    index = DatasetIndex.open(DataSettings(dataset=str(folder), window=WINDOW))
    assert index.check() == (
        "1 of 2 clips of the split train are shorter than a window (9 frames at 24 fps, 0.38 s): not used"
    )


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A dataset of the builder's, with both splits."""
    maker = Maker(Store(tmp_path / "work"), tmp_path)
    build(maker.samples(6, 3), maker, tmp_path / "data")
    return tmp_path / "data"


def opened(dataset: Path, split: str) -> DatasetIndex:
    window = WindowSettings(frames=5, stride=5, height=32, width=32)
    return DatasetIndex.open(
        DataSettings(dataset=str(dataset), window=window, index_cache=f"{dataset}/../index"), split
    )


def test_missing_shards_of_the_test_split_are_named(built: Path) -> None:
    tars = sorted(built.glob("shards/*/test/*.tar")) or sorted(built.glob("shards/test/*/*.tar"))
    opened(built, "test").check()
    tars[0].unlink()
    opened(built, "train").check()
    with pytest.raises(
        DatasetError, match=rf"1 of {len(tars)} shards of the split test are missing: .*validation\.eve"
    ):
        opened(built, "test").check()
    for file in built.rglob(f"{tars[0].stem}*"):
        file.unlink()
    with pytest.raises(
        DatasetError, match=r"1 of the manifest's \d+ shards are missing: shards/.*copy the dataset whol"
    ):
        DatasetIndex.open(DataSettings(dataset=str(built), index_cache=str(built.parent / "another")))
