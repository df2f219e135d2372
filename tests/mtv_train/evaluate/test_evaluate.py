"""`evaluate` end to end on tiny videos and tiny networks: its files, its cache, what fails, what must not matter."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from demix.config import ConfigError
from mtv_train.evaluate import paper, suite
from mtv_train.evaluate.evaluation import Request, evaluate
from mtv_train.evaluate.networks.tiny import Tiny
from mtv_train.evaluate.page import write_report
from mtv_train.evaluate.result import Evaluation
from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.table import escaped, markdown
from tests.mtv_train.evaluate.making import moving, run, write_video, write_videos

SETTINGS: dict[str, Any] = {
    "fvd": {"frames": 10},
    "sync": {"min_track": 20, "max_shift": 3, "min_face": 8},
}
SMALL = [
    part
    for room, values in SETTINGS.items()
    for key, value in values.items()
    for part in ("--set", f"{room}.{key}={value}")
]


class Recorded(Tiny):
    """Tiny networks that count how often they are built, as a user's own suite would be added."""

    name: ClassVar[str] = "recorded"
    built: ClassVar[list[str]] = []

    def i3d(self) -> Any:
        self.built.append("i3d")
        return super().i3d()

    def clip(self) -> Any:
        self.built.append("clip")
        return super().clip()


@pytest.fixture(scope="module", autouse=True)
def own_suite() -> Any:
    suite.SUITES["recorded"] = Recorded
    yield
    del suite.SUITES["recorded"]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four generated videos: two whole, one without sound and text, one that is no video."""
    folder = write_videos(tmp_path_factory.mktemp("generated"), [1, 2], frames=24)
    write_video(folder / "silent.mp4", moving(3, 24), None)
    (folder / "broken.mp4").write_bytes(b"no video\n" * 40)
    return folder


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_videos(tmp_path_factory.mktemp("real"), [11, 12], frames=12)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def report(videos: Path, real: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command with every metric; what it measured stays in `cache` for the tests after it."""
    out = tmp_path_factory.mktemp("report")
    shown = ["--generated", str(videos), "--reference", str(real), "--metrics", "all", "--out", str(out), "--paper"]
    assert run("evaluate", *shown, "--networks", "recorded", "--cache", str(cache), *SMALL) == 0
    return out


def read(report: Path) -> Evaluation:
    return Evaluation.model_validate_json((report / "evaluation.json").read_text(encoding="utf-8"))


def test_every_metric_has_a_value_of_the_videos_that_have_one(report: Path) -> None:
    (result,) = read(report).sets
    counts = {column.key: column.videos for column in result.columns}
    sounding = ("text_c", "audio_c", "sync_c", "sync_d", "sync_offset", "av_align_2023", "av_align_2025")
    assert counts == {"fvd": 3, "temp_c": 3} | dict.fromkeys(sounding, 2)
    for column in result.columns:
        assert column.value is not None
        assert np.isfinite(column.value)
        values = [video.values[column.key] for video in result.videos if column.key in video.values]
        if column.key != "fvd":
            assert column.value == pytest.approx(np.mean(values))
        assert column.low is not None
        assert column.low <= column.value + 1e-9
    assert all(video.values["av_align_2025"] > 0 for video in result.videos if "av_align_2025" in video.values)


def test_failures_are_listed_with_their_reason(report: Path) -> None:
    (result,) = read(report).sets
    reasons = {(video, metric): why for video, metric, why in result.failures}
    assert "not a film container" in reasons["broken.mp4", "video"]
    assert reasons["silent.mp4", "text_c"] == "no text: put it into a .txt or .json beside the video"
    assert {reasons["silent.mp4", metric] for metric in ("audio_c", "sync", "av_align")} == {"has no sound"}
    lacking = {("silent.mp4", metric) for metric in ("text_c", "audio_c", "sync", "av_align")}
    assert set(reasons) == lacking | {("broken.mp4", "video")}
    table = (report / "table.md").read_text(encoding="utf-8")
    for video, metric, why in result.failures:
        assert f"- {video}, {metric}: {escaped(why)}" in table


def test_the_number_of_videos_is_told_and_warned_of(report: Path) -> None:
    evaluation = read(report)
    assert evaluation.real_videos == 2
    (warning,) = [line for line in evaluation.warnings if line.startswith("FVD of")]
    assert "3 generated and 2 real videos, fewer than the 400 features" in warning
    assert warning in (report / "table.md").read_text(encoding="utf-8")
    assert warning in (report / "index.html").read_text(encoding="utf-8")


def test_published_values_stand_beside_ours_and_are_marked(report: Path) -> None:
    table = (report / "table.md").read_text(encoding="utf-8")
    rows = [line for line in table.splitlines() if line.startswith("|")][2:]
    assert [row.split("|")[1].strip() for row in rows[:7]] == [f"{row.method} (published)" for row in paper.TABLE_2]
    assert "626.06" in rows[3]
    assert rows[7].startswith("| **generated")
    page = (report / "index.html").read_text(encoding="utf-8")
    assert page.count("<small>published") == 7
    assert "numbers mean nothing" in page
    assert "numbers mean nothing" in table


def test_the_page_needs_nothing_else(report: Path) -> None:
    page = (report / "index.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert not any(word in page for word in ("http://", "https://", "src=", "@import"))
    assert "default-src &#39;none&#39;" in page


def test_given_again_nothing_is_measured(
    report: Path, videos: Path, real: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one network is built, not one video decoded; the report is the same to the byte."""
    Recorded.built.clear()
    moved = tmp_path / videos.name  # a cache by content knows no places
    shutil.copytree(videos, moved)
    shown = ["--generated", str(moved), "--reference", str(real), "--out", str(tmp_path / "again"), "--paper"]
    assert run("evaluate", *shown, "--networks", "recorded", "--cache", str(cache), *SMALL) == 0
    assert Recorded.built == []
    before, after = (
        json.loads((report / "evaluation.json").read_text()),
        json.loads((tmp_path / "again/evaluation.json").read_text()),
    )
    for tree in (before, after):
        tree["sets"][0].pop("folder")
    assert after == before


def test_another_setting_measures_only_what_depends_on_it(videos: Path, real: Path, cache: Path, report: Path) -> None:
    Recorded.built.clear()
    settings = EvaluateSettings.model_validate({**SETTINGS, "fvd": {"frames": 12}})
    networks = Recorded(settings, torch.device("cpu"))
    request = Request({"ours": videos}, ("fvd", "temp_c"), str(real))
    evaluate(request, settings, networks, torch.device("cpu"), cache)
    assert Recorded.built == ["i3d"]


def test_batch_size_workers_and_order_do_not_matter(videos: Path, real: Path, report: Path, tmp_path: Path) -> None:
    """Measured anew, one at a time, from files whose names turn the order around."""
    turned = tmp_path / "turned"
    for name, new in (("video1", "z"), ("video2", "a")):
        for suffix in (".mp4", ".txt"):
            (turned / new).mkdir(parents=True, exist_ok=True)
            shutil.copy(videos / f"{name}{suffix}", turned / new / f"{name}{suffix}")
    settings = EvaluateSettings.model_validate({**SETTINGS, "batch": 1, "workers": 1})
    networks = Recorded(settings, torch.device("cpu"))
    request = Request({"ours": turned}, ("fvd", "temp_c", "text_c", "audio_c", "sync", "av_align"), str(real))
    (result,) = evaluate(request, settings, networks, torch.device("cpu"), tmp_path / "cache").sets
    before = {video.video: video.values for video in read(report).sets[0].videos}
    assert [video.video for video in result.videos] == ["a/video2.mp4", "z/video1.mp4"]
    for video in result.videos:
        assert video.values == pytest.approx(before[Path(video.video).name], abs=1e-4)


def test_tables_of_several_methods(videos: Path, real: Path, cache: Path, tmp_path: Path) -> None:
    """The second command of the manual: no reference, so no FVD, and that is told."""
    sets = ["--compare", f"ours={videos}", f"other|one={real}", "--paper", "--out", str(tmp_path)]
    metrics = ["--networks", "recorded", "--cache", str(cache), *SMALL]
    assert run("evaluate", *sets, "--metrics", "all", *metrics) == 0
    evaluation = read(tmp_path)
    assert [result.method for result in evaluation.sets] == ["ours", "other|one"]
    assert evaluation.warnings[0].startswith("FVD is left out")
    assert any("same number of videos" in warning for warning in evaluation.warnings)
    assert "**other\\|one**" in markdown(evaluation)
    assert evaluation.sets[0].column("fvd") is None


def test_nothing_scored_is_not_a_success(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.mp4").write_bytes(b"nothing")
    arguments = ["--generated", str(tmp_path / "out"), "--metrics", "av_align", "--out", str(tmp_path / "report")]
    assert run("evaluate", *arguments, "--networks", "tiny", "--cache", str(tmp_path / "cache")) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--generated", "no such folder"], "not a folder of videos"),
        (["--generated", "{empty}"], "holds no video"),
        (["--generated", "{empty}", "--metrics", "fid"], "there is no metric 'fid'; there are fvd, temp_c"),
        (["--generated", "{empty}", "--metrics", "fvd"], "fvd compares with real videos"),
        (["--generated", "{empty}", "--networks", "big"], "there are released, tiny"),
        (["--generated", "{empty}", "--set", "fvd.frame=3"], "did you mean frames"),
        (["--generated", "{empty}", "--set", "fvd.frames=3"], "greater than or equal to 10"),
        (["--compare", "ours"], "expected NAME=DIR"),
        (["--compare", "a={empty}", "a={empty}"], "given twice"),
        (["--generated", "{empty}", "--networks", "released"], "--accept-licence videoclip_xl,imagebind_huge"),
    ],
)
def test_bad_input(arguments: list[str], message: str, tmp_path: Path) -> None:
    chosen = arguments if "--networks" in arguments else [*arguments, "--networks", "tiny"]
    with pytest.raises(ConfigError, match=message):
        run("evaluate", *(part.format(empty=tmp_path) for part in chosen), "--cache", str(tmp_path / "cache"))


def test_names_of_strangers_stay_text(tmp_path: Path) -> None:
    evaluation = Evaluation(
        sets=(),
        reference="<b>clips</b>",
        networks="tiny",
        note="",
        weights=("<i>",),
        warnings=("<script>alert(1)</script>",),
        published=False,
        settings={},
        versions={},
    )
    page = write_report(evaluation, tmp_path).read_text(encoding="utf-8")
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;" in page
