"""YuNet and S3FD: released layouts, boxes in the frame's pixels, batch equals single."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from demix.models.faces.s3fd import S3fdFaces
from demix.models.faces.s3fd_network import STEPS, S3fd, _decoded
from demix.models.faces.yunet import YunetFaces
from demix.models.persons.settings import S3fdSettings, YunetSettings
from demix.weights import WeightsBroken, find
from tests.models.faces.released import s3fd_file, yunet_file

FRAMES = np.full((3, 96, 160, 3), 20, np.uint8)
FRAMES[1:, 32:64, 64:96] = 250


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path))
    return tmp_path


def test_yunet_finds_the_square_where_it_is(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    yunet_file(cache / "yunet", monkeypatch)
    detector = YunetFaces(YunetSettings(), "cpu", smallest=16)
    nothing, *squares = detector.detect(FRAMES)
    assert nothing == []
    for boxes in squares:
        (box,) = boxes
        assert (box.x0 + box.x1) / 2 == pytest.approx(64, abs=33)
        assert (box.y0 + box.y1) / 2 == pytest.approx(32, abs=33)
        assert 0.6 <= box.score <= 1
    assert detector.detect(FRAMES[1:2]) == squares[:1]
    assert YunetFaces(YunetSettings(), "cpu", smallest=64).detect(FRAMES) == [[], [], []]


def test_a_damaged_yunet_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("demix.weights.store._complete", lambda path, file: path.is_file())
    (cache / "yunet").mkdir()
    (cache / "yunet" / "face_detection_yunet_2023mar.onnx").write_bytes(b"nothing")
    with pytest.raises(WeightsBroken, match="OpenCV cannot read it"):
        YunetFaces(YunetSettings(), "cpu")


def test_s3fd_has_the_release_s_layout() -> None:
    state = S3fd().state_dict()
    assert len(state) == 2 * (15 + 4 + 6 + 6) + 3
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    assert shapes["vgg.0.weight"] == (64, 3, 3, 3)
    assert shapes["vgg.31.weight"] == (1024, 512, 3, 3)
    assert shapes["vgg.33.weight"] == (1024, 1024, 1, 1)
    assert shapes["L2Norm3_3.weight"] == (256,)
    assert shapes["extras.3.weight"] == (256, 128, 3, 3)
    assert shapes["conf.0.weight"] == (4, 256, 3, 3)
    assert shapes["conf.5.weight"] == (2, 256, 3, 3)


def test_s3fd_finds_the_same_faces_alone_and_in_a_batch(cache: Path) -> None:
    s3fd_file(cache / "s3fd")
    detector = S3fdFaces(S3fdSettings(least_score=0.5), "cpu", smallest=1)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 64, 96, 3), dtype=np.uint8)
    together = detector.detect(frames)
    assert any(together)
    for ours, (theirs,) in zip(together, (detector.detect(frames[i : i + 1]) for i in range(2)), strict=True):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(list(a.model_dump().values()), list(b.model_dump().values()), atol=1e-3)
        assert all(0 <= box.x0 < box.x1 <= 96 and 0 <= box.y0 < box.y1 <= 64 for box in ours)


def test_s3fd_s_places_are_squares_of_four_steps() -> None:
    for step in STEPS:
        boxes = _decoded(torch.zeros(1, 4, 2, 3), step)[0]
        assert boxes.shape == (6, 4)
        assert boxes[4].tolist() == [1.5 * step - 2 * step, 1.5 * step - 2 * step, 1.5 * step + 2 * step, 3.5 * step]


def test_other_weights_are_no_s3fd(cache: Path) -> None:
    (cache / "s3fd").mkdir()
    torch.save({"vgg.0.weight": torch.zeros(1)}, cache / "s3fd" / "sfd_face.pth")
    with pytest.raises(WeightsBroken, match="not the weights of S3FD"):
        S3fdFaces(S3fdSettings(), "cpu")


def test_the_licences_say_what_they_forbid() -> None:
    assert "AGPL-3.0" in find("yolo11m").forbids
    assert find("s3fd").forbids
    assert find("rtdetr_v2_r50").licence == "Apache-2.0"
