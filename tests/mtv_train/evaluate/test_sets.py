"""Which files are videos, which texts are theirs, and what a set of them cannot be scored by."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from demix.config import ConfigError
from mtv_train.evaluate.evaluation import _offset
from mtv_train.evaluate.folder import find_videos
from mtv_train.evaluate.fvd import FVD
from mtv_train.evaluate.metric import Unscorable
from mtv_train.evaluate.result import Evaluation, SetResult, VideoResult
from mtv_train.evaluate.suite import chosen_metrics
from mtv_train.evaluate.video import Clip
from tests.mtv_train.evaluate.making import beeps, moving, run, write_video, write_videos


def evaluated(out: Path, *arguments: str) -> Evaluation:
    """By tiny networks; exit status 0 or 1."""
    shown = ["--networks", "tiny", "--cache", str(out / "cache"), "--out", str(out), "--set", "fvd.frames=10"]
    assert run("evaluate", *arguments, *shown) in (0, 1)
    return Evaluation.model_validate_json((out / "evaluation.json").read_text(encoding="utf-8"))


def test_what_other_systems_leave_behind_is_no_video(tmp_path: Path) -> None:
    folder = write_videos(tmp_path / "videos", [1])
    for name in ("._video1.mp4", "Thumbs.db", ".DS_Store", ".cache/x.mp4", "desktop.ini"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"\x00\x05\x16\x07")
    assert [video.name for video in find_videos(folder)] == ["video1.mp4"]
    (folder / "video1.mp4").unlink()
    with pytest.raises(ConfigError, match="holds no video"):
        find_videos(folder)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("video1.txt", "caf\xe9".encode("latin-1"), "video1.txt is not UTF-8 (byte 4); save it as UTF-8 or remove it"),
        ("video1.json", b'{"prompt": ', "video1.json is not valid JSON ("),
    ],
)
def test_a_broken_text_is_its_videos_failure(name: str, content: bytes, why: str, tmp_path: Path) -> None:
    folder = write_videos(tmp_path / "videos", [1, 2])
    (folder / "video1.txt").unlink()
    (folder / name).write_bytes(content)
    arguments = ("--generated", str(folder), "--metrics", "text_c,temp_c")
    (result,) = evaluated(tmp_path / "report", *arguments).sets
    [(video, metric, reason)] = result.failures
    assert (video, metric) == ("video1.mp4", "text_c")
    assert reason.startswith(f"its text cannot be read: {why}")
    assert "temp_c" in result.videos[0].values
    (folder / name).unlink()
    (folder / "video1.txt").write_text("A square.", encoding="utf-8")
    (result,) = evaluated(tmp_path / "report", *arguments).sets
    assert not result.failures


def test_one_video_has_no_fvd_and_the_report_says_why(tmp_path: Path) -> None:
    folder, real = write_videos(tmp_path / "one", [1]), write_videos(tmp_path / "real", [2, 3])
    report = evaluated(tmp_path / "report", "--generated", str(folder), "--reference", str(real), "--metrics", "fvd")
    assert report.sets[0].columns[0].value is None
    [warning] = report.warnings
    assert "FVD of one has no value: it compares distributions, for which it takes two generated videos" in warning
    assert "1 could be measured" in (tmp_path / "report/table.md").read_text(encoding="utf-8")


def test_no_metric_is_refused() -> None:
    for text in ("", " , "):
        with pytest.raises(ConfigError, match="--metrics names none; there are fvd, temp_c"):
            chosen_metrics(text)


def fading(rate: Fraction, seconds: float) -> Clip:
    """Each picture is as bright as its time: 50 a second."""
    times = np.arange(round(seconds * rate)) / float(rate)
    grey = np.rint(50 * times).astype(np.uint8)
    pictures = np.broadcast_to(grey[:, None, None, None], (len(grey), 16, 16, 3))
    return Clip("fading", pictures, times, rate, None, 16_000)


def seen(clip: Clip, frames: int = 24, fps: float = 24.0) -> Sequence[float]:
    """The brightness of the pictures that I3D is given."""
    metric = FVD(lambda video: 255 * (video.mean((1, 3, 4)) + 1) / 2, frames, torch.device("cpu"), fps)
    return np.asarray(metric.measure(clip)["logits"]).tolist()


@pytest.mark.parametrize("rate", ["24", "24000/1001", "25", "30", "48", "12"])
def test_fvd_compares_the_same_stretch_of_time(rate: str) -> None:
    """The first second, whatever the frame rate: a picture is at most one of its own frames old."""
    clip = fading(Fraction(rate), 2)
    expected = 50 * np.arange(24) / 24
    age = expected - np.array(seen(clip))
    assert age.min() > -1
    assert age.max() < 50 / float(Fraction(rate)) + 1
    if rate.startswith("24"):
        np.testing.assert_allclose(seen(clip), np.rint(50 * clip.times[:24]), atol=1e-3)


def test_a_video_that_is_too_short_in_time_has_no_fvd() -> None:
    with pytest.raises(Unscorable, match="has 38 frames when its 30 a second become 24 and FVD is set to 49"):
        seen(fading(Fraction(30), 48 / 30), frames=49)


def test_other_rates_are_told_of(tmp_path: Path) -> None:
    folder, real = write_videos(tmp_path / "mine", [1, 2], frames=20, fps=30), tmp_path / "real"
    for seed, rate in ((3, 24), (4, 25)):
        write_video(real / f"{seed}.mp4", moving(seed, 20), beeps(seed, 20 / rate), rate)
    report = evaluated(tmp_path / "report", "--generated", str(folder), "--reference", str(real), "--metrics", "fvd")
    told = [warning for warning in report.warnings if "resampled" in warning]
    assert [line.partition("; ")[2] for line in told] == [
        "these real videos were resampled to it: 1 of 25 fps.",
        "these mine were resampled to it: 2 of 30 fps.",
    ]


def test_a_constant_delay_is_told_of() -> None:
    def result(*offsets: float) -> SetResult:
        videos = [
            VideoResult(video="v", frames=1, fps=24, cut=False, values={"sync_offset": offset}, failures={})
            for offset in offsets
        ]
        return SetResult(method="mine", folder="", columns=(), videos=tuple(videos))

    assert _offset(result(-120, -160, 400)) == [
        "The sound of mine comes 120 ms too early (median of 3 videos). Sync-C and Sync-D are those of sound that is "
        "moved back into place."
    ]
    assert not _offset(result(40, -40, 400))
    assert not _offset(result())
