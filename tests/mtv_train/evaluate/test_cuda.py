"""On a GPU the metrics measure what they measure on a processor. Skipped where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mtv_train.evaluate.metric import Arrays
from mtv_train.evaluate.networks.tiny import Tiny
from mtv_train.evaluate.result import Evaluation
from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.suite import METRICS, Suite, metric_class
from mtv_train.evaluate.video import Clip, Video, read_clip
from tests.mtv_train.evaluate.full_size import FullSize
from tests.mtv_train.evaluate.making import beeps, moving, run, write_video, write_videos

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

SETTINGS = EvaluateSettings.model_validate({"fvd": {"frames": 24}, "sync": {"min_track": 20}})


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = tmp_path_factory.mktemp("cuda") / "video.mp4"
    write_video(path, moving(1, 49, (240, 360)), beeps(1, 49 / 24))
    return read_clip(Video(path.name, path, "A square of pattern 1."), max_seconds=30)


@pytest.mark.parametrize("suite", [Tiny, FullSize], ids=lambda suite: suite.name)
@pytest.mark.parametrize("name", METRICS)
def test_a_gpu_measures_what_a_processor_does(name: str, suite: type[Suite], clip: Clip) -> None:
    """Within the precision that PyTorch's convolutions have on a GPU (TF32)."""
    there, here = (_measured(name, suite, clip, device) for device in ("cuda", "cpu"))
    assert there.keys() == here.keys()
    for key, wanted in here.items():
        scale = np.abs(wanted).max() or 1.0
        np.testing.assert_allclose(there[key] / scale, wanted / scale, atol=2e-2)
    scores, wanted_scores = (metric_class(name).score(measured) for measured in (there, here))
    assert scores == pytest.approx(wanted_scores, rel=1e-2, abs=1e-2)


def _measured(name: str, suite: type[Suite], clip: Clip, device: str) -> Arrays:
    where = torch.device(device)
    with torch.inference_mode():
        return metric_class(name).build(SETTINGS, suite(SETTINGS, where), where).measure(clip)


def test_the_command_prints_the_same_table(tmp_path: Path) -> None:
    """`--device cuda`, with a set and a reference of its own each."""
    write_videos(tmp_path / "ours", [1, 2], frames=49)
    write_videos(tmp_path / "real", [3, 4], frames=49)
    there, here = (_values(tmp_path, device) for device in ("cuda", "cpu"))
    assert there.keys() == here.keys() >= {"fvd", "temp_c", "text_c", "audio_c", "sync_c", "av_align_2025"}
    assert there == pytest.approx(here, rel=1e-2, abs=1e-2)


def _values(folder: Path, device: str) -> dict[str, float | None]:
    options = ["--generated", str(folder / "ours"), "--reference", str(folder / "real"), "--networks", "tiny"]
    options += ["--device", device, "--cache", str(folder / device), "--out", str(folder / f"report_{device}")]
    settings = ["--set", "fvd.frames=24", "--set", "sync.min_track=20", "--set", "sync.min_face=20"]
    assert run("evaluate", *options, *settings) == 0
    report = (folder / f"report_{device}/evaluation.json").read_text(encoding="utf-8")
    return {column.key: column.value for column in Evaluation.model_validate_json(report).sets[0].columns}
