"""A save that is not what was written is named, never loaded; so is the newest one that is whole, and how to go on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demix.config import ConfigError
from mtv_train.config import CheckpointSettings, StageSettings, TrainSettings
from mtv_train.train.checkpoint import committed, folder_of
from mtv_train.train.export import export
from mtv_train.train.integrity import COMMITTED, damage
from tests.mtv_train.train.ranks import in_ranks, train_toy
from tests.mtv_train.train.toy import SUBSETS, Toy, toy_settings


def settings_of(steps: int = 2, **checkpoint: Any) -> TrainSettings:
    return toy_settings(
        stages={SUBSETS[0]: StageSettings(steps=steps, weights={SUBSETS[0]: 1.0})},
        checkpoint=CheckpointSettings(every=1, keep_last=9, **checkpoint),
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Saves of steps 1 and 2, by two ranks."""
    run = tmp_path_factory.mktemp("trained")
    in_ranks(2, train_toy, lambda: Toy(settings_of(), run))
    return run


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def flip(path: Path, offset: int) -> None:
    with path.open("rb+") as file:
        file.seek(offset)
        [byte] = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def flipped(folder: Path) -> Iterator[str]:
    """Each file of the folder with single bytes flipped, one at a time; put back afterwards."""
    for path in sorted(folder.iterdir()):
        size = path.stat().st_size
        for offset in sorted({0, size // 3, size // 2, 2 * size // 3, size - 1}):
            flip(path, offset)
            yield f"{path.name} at {offset}"
            flip(path, offset)


def test_every_flipped_byte_is_found(run: Path) -> None:
    folder = folder_of(run, 2)
    assert damage(folder) == ""
    names = {path.name for path in folder.iterdir()}
    assert {"__0_0.distcp", "__1_0.distcp", ".metadata", "state.json", COMMITTED} <= names
    found = {where: damage(folder) for where in flipped(folder)}
    assert len(found) >= 4 * len(names)
    assert [where for where, said in found.items() if not said] == []
    assert damage(folder) == ""


@pytest.mark.parametrize("name", ["__1_0.distcp", ".metadata", "state.json"])
def test_absent_and_cut_files_are_found(run: Path, name: str) -> None:
    path = folder_of(run, 2) / name
    path.write_bytes(path.read_bytes()[:-1])
    assert f"{name} is not what was written" in damage(folder_of(run, 2))
    path.unlink()
    assert f"{name} cannot be read" in damage(folder_of(run, 2))


def refused(run: Path, settings: TrainSettings) -> str:
    with pytest.raises(ConfigError) as raised:
        Toy(settings, run).trainer()
    return str(raised.value)


def test_a_damaged_newest_save_is_named_and_can_be_left(run: Path) -> None:
    flip(folder_of(run, 2) / "__1_0.distcp", 20_000)
    said = in_ranks(2, refused, run, settings_of())
    assert said[0] == said[1]
    assert "step_00000002 is damaged: __1_0.distcp is not what was written" in said[0]
    assert "the newest earlier save that is whole is of step 1" in said[0]
    assert "--set checkpoint.on_damage=fall_back" in said[0]
    with pytest.raises(ConfigError, match=r"step_00000002 is damaged.* give --step 1 to export that one"):
        export(run, run / "out")
    assert not (run / "out").exists()
    assert export(run, run / "out", step=1).step == 1

    in_ranks(2, train_toy, lambda: Toy(settings_of(on_damage="fall_back"), run))
    assert committed(run) == [1, 2]
    assert damage(folder_of(run, 2)) == ""
    assert (run / "checkpoints" / "damaged_step_00000002").is_dir()


def test_where_no_save_is_whole_nothing_is_promised(run: Path) -> None:
    for step in (1, 2):
        (folder_of(run, step) / ".metadata").unlink()
    for on_damage in ("stop", "fall_back"):
        [said] = in_ranks(1, refused, run, settings_of(on_damage=on_damage))
        assert "no earlier is whole: restore it from a copy, or begin anew with another --run" in said


def test_saves_of_earlier_versions_have_no_hashes_and_load(run: Path) -> None:
    for step in (1, 2):
        (folder_of(run, step) / COMMITTED).write_text("")
    in_ranks(1, train_toy, lambda: Toy(settings_of(), run))
    (folder_of(run, 2) / ".metadata").write_bytes(b"half")
    [said] = in_ranks(1, refused, run, settings_of())
    assert "step_00000002: this save cannot be read" in said
