"""Long videos: every sample of the sound is in them, seams show no more than what lies beside them, segments begin
with what the one before ended with; scenes flow into each other."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from demix.config import ConfigError
from demix.media.audio import resample
from demix.media.limits import MediaLimits
from demix.media.whole import read_whole
from mtv_train.sample.drift import change, look_of, segments, table
from mtv_train.sample.guidance import Guidance
from mtv_train.sample.long_video import LongSampler, LongSettings, Plan
from mtv_train.sample.pictures import GROUP
from mtv_train.sample.pipeline import MTVPipeline
from mtv_train.sample.shape import Shape
from mtv_train.sample.track import Track
from tests.mtv_train.sample.making import RATE, sample, tone, write_tone

WINDOW = Shape(25, 32, 32)
STEPS = 2


def ignore(_latents: torch.Tensor) -> None:
    """No progress is shown."""


def test_plans_cover_every_frame() -> None:
    for overlap in (1, 2, 5):
        for frames in range(1, 200):
            plan = Plan(Shape(49, 480, 720), frames, overlap)
            covered = 1 + GROUP * (plan.latent_frames - 1)
            assert covered >= frames
            assert plan.windows == 1 or covered - frames < GROUP * plan.stride  # and no window too many
            assert plan.firsts[-1] + 49 == covered
    release = Plan(Shape(49, 480, 720), 40 * 24, 2)
    assert release.firsts[:3] == [0, 44, 88]
    assert release.seams[:2] == [49, 93]
    with pytest.raises(ConfigError, match="leaves nothing new of 13"):
        Plan(Shape(49, 480, 720), 100, 13)


@pytest.mark.parametrize("handover", ["latents", "pictures"])
def test_the_video_holds_every_sample_of_the_sound(model: Path, tmp_path: Path, handover: str) -> None:
    speech = write_tone(tmp_path / "s.wav", 1.27)
    size = ("--frames", "25", "--height", "32", "--width", "32", "--steps", "2", "--prompt", "A street.")
    joined = ("--set", f"joining.handover={handover}")
    assert sample(model, *size, *joined, "--speech", speech, "--long", "-o", tmp_path / "out.mp4") == 0
    whole = read_whole(tmp_path / "out.mp4", MediaLimits(), 10)
    assert len(whole.pictures) == 31  # 1.27 s are 30.48 frames
    assert whole.wave is not None
    kept = round(1.27 * RATE)
    assert whole.wave.shape[1] >= kept
    assert np.corrcoef(whole.wave[0, :kept], tone(1.27)[:, 0])[0, 1] > 0.99
    note = json.loads((tmp_path / "out.json").read_text())
    assert [one["first"] for one in note["segments"]] == [0, 25]
    assert not [remark for remark in note["remarks"] if "left out" in remark]


def _sampled(
    pipeline: MTVPipeline, settings: LongSettings, frames: int = 65, seed: int = 0
) -> tuple[torch.Tensor, Plan]:
    plan = Plan(WINDOW, frames, settings.overlap)
    sound = {"speech": Track(tone(frames / 24).T, RATE)}
    made = LongSampler(pipeline, plan, settings, Guidance(1.5), torch.Generator().manual_seed(seed))
    return made("A street.", sound, {}, STEPS, ignore), plan


def _changes(pipeline: MTVPipeline, handover: Any) -> tuple[np.ndarray, np.ndarray]:
    """Changes at seams, and where latent frames of one window meet, over several seeds."""
    seams, usual = [], []
    for seed in range(3):
        video, plan = _sampled(pipeline, LongSettings(handover=handover), seed=seed)
        assert video.shape == (65, 32, 32, 3)
        for frame in range(1, 65, GROUP):
            (seams if frame in plan.seams else usual).append(change(video[frame - 1], video[frame]))
    assert len(seams) == 6
    return np.array(seams), np.array(usual)


def test_seams_are_no_worse_than_their_neighbours(loaded: MTVPipeline) -> None:
    """On average a seam changes the picture no more than what else lies between latent frames, its spread allowed for.
    The tiny model's VAE is random, so pictures that are encoded again come back changed: that seam shows more."""
    seams, usual = _changes(loaded, "latents")
    assert seams.mean() < usual.mean() + usual.std()
    assert seams.mean() < _changes(loaded, "pictures")[0].mean()


def test_a_segment_begins_with_the_end_of_the_one_before(loaded: MTVPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    ends, begins = [], []
    plain = loaded.denoised

    def denoised(told: Any, noise: Any, guidance: Any, clean: Any, *rest: Any, **options: Any) -> torch.Tensor:
        begins.append((clean.frames[0].tolist(), clean.latents[:, :2].clone()))
        done = plain(told, noise, guidance, clean, *rest, **options)
        assert torch.equal(done[:, :2], clean.latents[:, :2]) or not any(clean.frames[0])
        ends.append(done[:, -2:])
        return done

    monkeypatch.setattr(loaded, "denoised", denoised)
    _sampled(loaded, LongSettings())
    assert [frames for frames, _ in begins] == [[False] * 7, [True] * 2 + [False] * 5, [True] * 2 + [False] * 5]
    assert all(torch.equal(begin, end) for (_, begin), end in zip(begins[1:], ends, strict=False))


def test_sound_of_a_segment_is_that_of_its_time(loaded: MTVPipeline) -> None:
    """What is heard from the second window on is what the whole film sounds like there."""
    sound = {"speech": Track(tone(3.0).T, RATE)}
    plan = Plan(WINDOW, 65, 2)
    long = Shape(1 + GROUP * (plan.latent_frames - 1), 32, 32)
    [whole] = loaded.listen(sound, long, [0])
    for first, heard in zip(plan.firsts, loaded.listen(sound, WINDOW, plan.firsts), strict=True):
        assert torch.equal(heard.speech, whole.speech[:, first : first + WINDOW.frames])


def test_drift_is_measured() -> None:
    grey = torch.full((20, 8, 8, 3), 100, dtype=torch.uint8)
    grey[10:] = 151
    found = segments(grey, [10])
    assert found[1].look.brightness - found[0].look.brightness == pytest.approx(0.2)
    assert found[0].look.contrast == pytest.approx(0, abs=1e-6)
    assert found[1].seam is not None
    assert found[1].seam > 1000  # nothing else moves
    assert "+0.200" in table(found)
    red = torch.zeros(4, 8, 8, 3, dtype=torch.uint8)
    red[..., 0] = 255
    assert look_of(red).saturation == pytest.approx(1)
    stripes = torch.zeros(4, 8, 8, 3, dtype=torch.uint8)
    stripes[:, :, ::2] = 255
    assert look_of(stripes).sharpness == pytest.approx(0.5)
    moving = torch.randint(0, 256, (60, 8, 8, 3), dtype=torch.uint8)
    assert segments(moving, [25])[1].seam == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "a long video is as long as its sound: give a track, or --seconds"),
        (("--seconds", "4000"), "4000 s are asked for, joining.max_seconds is 300"),
        (("--seconds", "2", "--set", "joining.overlap=3"), "an overlap of 3 latent frames leaves nothing new of 3"),
    ],
)
def test_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str
) -> None:
    assert sample(model, "--prompt", "x", "--long", *arguments, "--steps", "1", "-o", tmp_path / "o.mp4") == 2
    assert message in capsys.readouterr().err


def test_the_plan_is_whole_seconds_too(model: Path, tmp_path: Path) -> None:
    assert sample(model, "--prompt", "x", "--long", "--seconds", "0.5", "--steps", "1", "-o", tmp_path / "o.mp4") == 0
    whole = read_whole(tmp_path / "o.mp4", MediaLimits(), 10)
    assert len(whole.pictures) == Fraction("0.5") * 24
    assert whole.wave is None


def test_resampled_sound_is_as_long() -> None:
    assert Track(resample(tone(1.27).T, RATE, 44100), 44100).seconds == pytest.approx(1.27, abs=1e-4)
