"""`demix doctor` finds what is broken by trying it: a film of one second goes through every stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from demix.cli import main
from demix.engine.runner import EngineSettings
from demix.exit_status import ExitStatus
from demix.media.command import ffmpeg_binary
from demix.models.faces.mtcnn import MtcnnFaces
from demix.recipe import all_stages, load_settings
from demix.records import ActiveSpeaker, Caption, Diarization, Persons
from demix.stage import Stage
from demix.trial import Trial


def said(capsys: pytest.CaptureFixture[str]) -> str:
    """What was printed, on one line."""
    return " ".join(capsys.readouterr().out.split())


def test_every_lite_model_has_something_to_answer_on_the_film(tmp_path: Path) -> None:
    settings = load_settings("lite")
    trial = Trial(tmp_path)
    trial.make(ffmpeg_binary(settings.clip_media.ffmpeg))
    for stage in all_stages(settings):
        trial.run(stage, settings.engine)
    assert trial.item is not None
    assert len(trial.item[Persons].tracks) == trial.item[Persons].count == 1
    assert trial.item[Diarization].speakers == 1
    assert trial.item[ActiveSpeaker].tracks[0].decidable
    assert trial.item[Caption].text


def test_a_library_with_another_interface_is_a_problem(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PyAV 19 was: the sandboxed child calls it with an argument that is gone."""
    (tmp_path / "sitecustomize.py").write_text(
        "import av\n"
        "def without_argument(*arguments, **named):\n"
        "    raise TypeError('open() got an unexpected keyword argument')\n"
        "av.open = without_argument\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["doctor", "--set", 'order=["length"]']) == ExitStatus.NOT_GOOD
    text = said(capsys)
    assert "TypeError in" in text
    assert "open() got an unexpected keyword argument; run `pip install --force-reinstall demix-dataset`" in text
    assert "stage shots adaptive" not in text


def test_a_model_that_breaks_is_named_and_what_needs_it_is_not_called_sound(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise AttributeError("module 'torchvision.ops' has no attribute 'nms'")

    monkeypatch.setattr(MtcnnFaces, "detect", broken)
    order = '["clip_media","demixing","persons","diarization","active_speaker"]'
    assert main(["doctor", "--set", f"order={order}"]) == ExitStatus.NOT_GOOD
    text = said(capsys)
    assert "problem stage persons" in text
    assert "(broken): module 'torchvision.ops' has no attribute 'nms'" in text
    assert "problem stage active_speaker opened, but not tried: there is no persons, see above" in text
    assert "ok stage diarization" in text


def test_without_an_ffmpeg_nothing_is_called_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--set", 'order=["length"]', "--set", "clip_media.ffmpeg=/nowhere/ffmpeg"]) == 1
    text = said(capsys)
    assert "problem a film" in text
    assert "there is no film, see above" in text


def test_each_check_is_told_as_soon_as_it_is_made(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The models of a profile take minutes; whoever waits sees how far it is."""
    told: list[str] = []
    run = Trial.run

    def noted(trial: Trial, stage: Stage, engine: EngineSettings) -> str:
        told.append(" ".join(capsys.readouterr().out.split()))
        return run(trial, stage, engine)

    monkeypatch.setattr(Trial, "run", noted)
    assert main(["doctor", "--set", 'order=["length"]']) == ExitStatus.DONE
    assert "ok python" in told[0]
    assert "ok a film" in told[0]
    assert told[1].startswith("ok stage probe")
    assert told[2].startswith("ok stage shots")
