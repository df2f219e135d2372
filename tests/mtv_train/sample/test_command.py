"""`mtv_train sample` as typed: what it writes, how it is made again, what is swapped, and every refusal's message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demix.media.limits import MediaLimits
from demix.media.whole import Whole, read_whole
from tests.mtv_train.sample.making import sample, tone, write_picture, write_tone

FAST = ("--steps", "2", "--prompt", "A street.")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sounds and pictures, for all tests."""
    folder = tmp_path_factory.mktemp("files")
    for name, hertz in (("s", 220), ("e", 330), ("m", 440), ("other", 550)):
        write_tone(folder / f"{name}.wav", hertz=hertz, rate=48000)
    for name in ("a", "b"):
        write_picture(folder / f"{name}.png", ord(name))
    (folder / "text.txt").write_text("neither sound nor picture")
    return folder


def film(path: Path) -> Whole:
    return read_whole(path, MediaLimits(), 10)


def note(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return read


def test_a_video_with_the_mixed_sound_and_a_sidecar(model: Path, files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    tracks = [word for name, track in zip("sem", ("speech", "effects", "music"), strict=True)
              for word in (f"--{track}", files / f"{name}.wav")]  # fmt: skip
    assert sample(model, *FAST, *tracks, "--seed", "5", "-o", out) == 0
    made, said = film(out), note(out)
    assert made.pictures.shape == (9, 48, 64, 3)
    assert made.wave is not None
    wanted = sum(tone(0.375, hertz, 48000)[:, 0] for hertz in (220, 330, 440))
    heard = made.wave[0]
    assert np.corrcoef(heard, wanted[: len(heard)])[0, 1] > 0.99
    assert said["prompt"] == "A street."
    assert said["request"]["seed"] == 5
    assert set(said["files"]) == {"speech", "effects", "music"}
    assert len(said["model"]["fingerprint"]) == 16
    assert said["video"]["frames"] == 9
    assert set(said["versions"]) == {"python", "torch", "diffusers"}


def test_made_again_and_with_one_thing_swapped(
    model: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, again, swapped, other = (tmp_path / f"{name}.mp4" for name in ("first", "again", "swapped", "other"))
    assert sample(model, *FAST, "--speech", files / "s.wav", "--seed", "3", "-o", first) == 0
    assert sample(model, "--again", first.with_suffix(".json"), "-o", again) == 0
    assert first.read_bytes() == again.read_bytes()
    assert (
        sample(model, "--again", first.with_suffix(".json"), "--swap", f"music={files / 'm.wav'}", "-o", swapped) == 0
    )
    assert note(swapped)["request"] == {**note(first)["request"], "swap": {"music": str(files / "m.wav")}}
    assert note(swapped)["video"]["pictures_sha256"] != note(first)["video"]["pictures_sha256"]
    assert sample(model, "--again", first.with_suffix(".json"), "--swap", "prompt=A room.", "-o", other) == 0
    assert note(other)["prompt"] == "A room."
    sidecar = tmp_path / "changed.json"
    changed = note(first)
    changed["files"]["speech"] = "0" * 64
    sidecar.write_text(json.dumps(changed))
    assert sample(model, "--again", sidecar, "-o", again) == 0
    assert "has changed since" in capsys.readouterr().err


def test_a_mixture_is_taken_apart_and_kept(model: Path, files: Path, tmp_path: Path) -> None:
    whole, swapped = tmp_path / "whole.mp4", tmp_path / "swapped.mp4"
    assert sample(model, *FAST, "--audio", files / "s.wav", "-o", whole) == 0
    heard = film(whole).wave
    assert heard is not None
    assert np.corrcoef(heard[0], tone(0.375, 220, 48000)[: heard.shape[1], 0])[0, 1] > 0.99
    assert sample(model, *FAST, "--audio", files / "s.wav", "--swap", f"music={files / 'm.wav'}", "-o", swapped) == 0
    assert set(note(swapped)["files"]) == {"audio", "music"}
    assert note(swapped)["video"]["pictures_sha256"] != note(whole)["video"]["pictures_sha256"]


def test_the_template_is_built(model: Path, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.mp4"
    speech = ("--speech", files / "s.wav")
    assert sample(model, *FAST, *speech, "--person", "a woman in red", "--speaking", "1", "-o", out) == 0
    assert note(out)["prompt"].startswith("One person conversation. Persons: Person1: a woman in red. Person1 is speak")
    assert "template" not in capsys.readouterr().err
    assert sample(model, *FAST, *speech, "-o", out) == 0
    assert "does not follow the template of speakers" in capsys.readouterr().err
    assert "does not follow" in note(out)["remarks"][0]


def test_keyframes_and_scenes(model: Path, files: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    frames = ("--keyframe", f"0={files / 'a.png'}", "--keyframe", f"8={files / 'b.png'}")
    assert sample(model, *FAST, *frames, "-o", out) == 0
    assert set(note(out)["files"]) == {"keyframe 0", "keyframe 8"}
    scenes = ("--scene", "0=A street.", "--scene", "0.5=A room.", "--steps", "2", "--long", "--seconds", "1")
    assert sample(model, *scenes, *frames, "-o", out) == 0
    assert note(out)["prompt"] == "A street. A room."
    assert len(film(out).pictures) == 24


def test_other_schedulers(model: Path, tmp_path: Path) -> None:
    seen = set()
    for name in ("dpm", "ddim", "release"):
        assert sample(model, *FAST, "--scheduler", name, "-o", tmp_path / "out.mp4") == 0
        seen.add(note(tmp_path / "out.mp4")["video"]["pictures_sha256"])
    assert len(seen) == 3


BAD: tuple[tuple[tuple[str, ...], str], ...] = (
    (("-o", "out.avi"), "give -o FILE.mp4, where the video is to be written (or --jobs and --out)"),
    (("--speech", "absent.wav"), "absent.wav: there is no such file"),
    (("--speech", "text.txt"), "text.txt: cannot be read as sound"),
    (("--speech2", "s.wav"), "the model hears speech, effects, music; it knows no speech2"),
    (("--audio", "s.wav", "--speech", "s.wav"), "audio is a mixture of all tracks, so speech cannot be given too"),
    (("--audio", "s.wav", "--demixer", "best"), "there is no profile 'best'; there are lite, open, paper"),
    (("--keyframe", "a.png"), "--keyframe a.png: expected FRAME=PICTURE, for instance 0=a.png"),
    (("--keyframe", "0=a.png", "--keyframe", "0=b.png"), "0 is given twice"),
    (("--keyframe", "x=a.png"), "--keyframe x=a.png: expected FRAME=PICTURE"),
    (("--keyframe", "0=text.txt"), "cannot be read as a picture"),
    (("--keyframe", "0=absent.png"), "keyframe 0 "),
    (("--keyframe", "99=a.png"), "keyframe 99: the video has frames 0 to 8"),
    (("--keyframe", "1=a.png", "--keyframe", "4=b.png"), "keyframes 1 and 4 lie in one latent frame (frames 1 to 4)"),
    (("--scene", "0=A street."), "scenes are texts themselves: leave prompt out"),
    (("--swap", "voice=s.wav"), "voice cannot be swapped; there are speech, speech2, effects, music and prompt"),
    (("--frames", "10"), "10 frames: the VAE groups four, so there must be 1 + 4n, for instance 9"),
    (("--width", "50"), "48 x 50 pixels: both sides must be multiples of 16"),
    (("--guidance", "-1"), "guidance"),
    (("--steps", "0"), "steps"),
    (("--steps", "1", "--scheduler", "release"), "the release's scheduler needs two steps at least"),
    (("--seconds", "3"), "seconds needs long; a window has its own length"),
    (("--person", "a woman", "--speaking", "2"), "--speaking 2: numbers of persons from 1 on"),
    (("--set", "joining.handover=video"), "joining.handover"),
    (("--again", "text.txt"), "--again text.txt: not the .json that was written beside a video"),
    (("--device", "cuda:7"), "--device cuda:7: torch sees"),
    (("--jobs", "absent.jsonl", "--out", "out"), "--jobs absent.jsonl: cannot be read"),
    (("--jobs", "text.txt"), "--jobs needs --out DIR"),
)


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(arguments) for arguments, _ in BAD])
def test_refused_with_a_sentence(
    model: Path,
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(files)
    assert sample(model, "-o", tmp_path / "out.mp4", *FAST, *arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir())


def test_scenes_need_a_long_video(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = ("--scene", "0=A street.", "--scene", "1=A room.")
    assert sample(model, *scenes, "-o", tmp_path / "out.mp4") == 2
    assert "scenes that change need long" in capsys.readouterr().err


def test_what_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample(tmp_path / "none", *FAST, "-o", tmp_path / "out.mp4") == 2
    assert "there is no such folder; name what `mtv_train export RUN OUT` wrote" in capsys.readouterr().err
    assert sample(tmp_path, *FAST, "-o", tmp_path / "out.mp4") == 2
    assert "holds neither model_index.json (a whole pipeline) nor transformer/" in capsys.readouterr().err


def test_the_words_that_are_not_read_are_in_the_sidecar(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tiny model's text encoder reads 15 bytes and an end mark."""
    for prompt, said in (("A street.", []), ("A street in the rain.", ["'rain.'"])):
        assert sample(model, "--prompt", prompt, "--steps", "1", "-o", tmp_path / "o.mp4") == 0
        remarks = json.loads((tmp_path / "o.json").read_text())["remarks"]
        cut = "the prompt is longer than the text encoder takes (16 tokens); its end is not read: "
        assert [remark.removeprefix(cut) for remark in remarks if remark.startswith(cut)] == said
        assert cut in capsys.readouterr().err or not said
