"""RT-DETRv2 and YOLO: released layouts loaded strictly, persons only, in the frame's pixels, batches as singles."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from demix.models.persons.settings import RtDetrSettings, YoloSettings
from demix.records import Box
from demix.weights import WeightsBroken
from tests.models.persons.released import rtdetr_folder, yolo_file

FRAMES = np.random.default_rng(0).integers(0, 256, (3, 120, 160, 3), dtype=np.uint8)
FRAMES[:, 20:100, 60:100] = 240


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path))
    return tmp_path


def flat(found: list[list[Box]]) -> list[Box]:
    return [box for boxes in found for box in boxes]


def inside(found: list[list[Box]]) -> bool:
    return all(
        0 <= b.x0 < b.x1 <= 160 and 0 <= b.y0 < b.y1 <= 120 and 0 <= b.score <= 1 for each in found for b in each
    )


def equal(found: list[list[Box]], other: list[list[Box]]) -> None:
    assert [len(each) for each in found] == [len(each) for each in other]
    for ours, theirs in zip(flat(found), flat(other), strict=True):
        np.testing.assert_allclose(list(ours.model_dump().values()), list(theirs.model_dump().values()), atol=2e-3)
        assert abs(ours.score - theirs.score) <= 1e-5


def test_rtdetr_finds_the_same_persons_alone_and_in_a_batch(cache: Path) -> None:
    from demix.models.persons.rtdetr import RtDetrPersons

    rtdetr_folder(cache / "rtdetr_v2_r18")
    detector = RtDetrPersons(RtDetrSettings(weights="rtdetr_v2_r18", least_score=0.0), "cpu", smallest=1)
    together = detector.detect(FRAMES)
    assert inside(together)
    assert flat(together)
    equal(together, [detector.detect(FRAMES[i : i + 1])[0] for i in range(3)])
    assert detector.labels == {0}
    detector.labels = {0, 1, 2}
    assert len(flat(detector.detect(FRAMES))) > len(flat(together))


def test_rtdetr_refuses_weights_with_a_tensor_missing(cache: Path) -> None:
    from safetensors.torch import load_file, save_file

    from demix.models.persons.rtdetr import RtDetrPersons

    path = rtdetr_folder(cache / "rtdetr_v2_r18") / "model.safetensors"
    state = load_file(path)
    state.pop(next(name for name in state if "decoder.layers" in name))
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(WeightsBroken, match="1 missing keys"):
        RtDetrPersons(RtDetrSettings(weights="rtdetr_v2_r18"), "cpu")


def test_yolo_is_read_as_data_and_finds_the_same_persons_alone_and_in_a_batch(
    cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from demix.models.persons.yolo import YoloPersons

    yolo_file(cache / "yolo11n")
    detector = YoloPersons(YoloSettings(weights="yolo11n", side=96), "cpu", smallest=1)
    assert "AGPL-3.0" in capsys.readouterr().err
    together = detector.detect(FRAMES)
    assert inside(together)
    assert flat(together)
    equal(together, [detector.detect(FRAMES[i : i + 1])[0] for i in range(3)])


def test_yolo_answers_as_the_package_itself_does(cache: Path) -> None:
    """The package's own predictor, given the same net, against our preparing and decoding."""
    pytest.importorskip("ultralytics", reason="an optional package")
    from demix.models.persons.yolo import YoloPersons

    path = yolo_file(cache / "yolo11n")
    detector = YoloPersons(YoloSettings(weights="yolo11n", side=96), "cpu", smallest=0)
    from ultralytics import YOLO

    theirs = YOLO(path).predict(
        [cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in FRAMES], classes=[0], conf=0.25, iou=0.7, imgsz=96,
        verbose=False, device="cpu", half=False,
    )  # fmt: skip
    for ours, result in zip(detector.detect(FRAMES), theirs, strict=True):
        found = np.array([[b.x0, b.y0, b.x1, b.y1, b.score] for b in ours]).reshape(-1, 5)
        expected = np.concatenate([result.boxes.xyxy.numpy(), result.boxes.conf.numpy()[:, None]], 1)
        assert len(found) == len(expected)
        np.testing.assert_allclose(found[found[:, 4].argsort()], expected[expected[:, 4].argsort()], atol=0.02)


def test_a_file_that_is_no_checkpoint_of_yolo_is_refused(cache: Path) -> None:
    pytest.importorskip("ultralytics", reason="an optional package")
    from demix.models.persons.yolo import load

    torch.save({"model": {"weight": torch.zeros(1)}}, cache / "other.pt")
    with pytest.raises(WeightsBroken, match="not a checkpoint of Ultralytics"):
        load(cache / "other.pt")


def test_frames_are_scaled_with_grey_borders_up_to_whole_strides() -> None:
    from demix.models.persons.yolo import letterboxed

    scale, left, top, seen = letterboxed([np.zeros((90, 160, 3), np.uint8)], 640)
    assert (scale, left, top) == (4.0, 0, 12)
    assert seen.shape == (1, 384, 640, 3)
    assert (seen[0, :12] == 114).all()
    assert not seen[0, 12:-12].any()
