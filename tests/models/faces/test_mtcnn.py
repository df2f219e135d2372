"""MTCNN finds the face of a photograph, and the cascade gives the boxes of the package whose weights it uses."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from demix.models.faces.mtcnn import MtcnnFaces
from demix.records import Box
from demix.stages.tracks import overlap
from tests.stages.talking_faces import portrait
from tests.stages.voices_clips import read_recording


@pytest.fixture(scope="module")
def faces() -> MtcnnFaces:
    return MtcnnFaces()


def test_one_sure_box_around_eyes_nose_and_mouth(faces: MtcnnFaces) -> None:
    ((box,),) = faces.detect(portrait()[None])
    assert overlap(box, Box(x0=160, y0=65, x1=245, y1=173, score=1)) > 0.8
    assert 0.97 < box.score <= 1


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.5])
def test_boxes_follow_the_size_of_the_face(faces: MtcnnFaces, scale: float) -> None:
    picture = cv2.resize(portrait(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    ((box,),) = faces.detect(picture[None])
    wanted = Box(x0=160 * scale, y0=65 * scale, x1=245 * scale, y1=173 * scale, score=1)
    assert overlap(box, wanted) > 0.7


def test_a_face_cut_by_the_edge_has_its_box_inside_the_picture(faces: MtcnnFaces) -> None:
    picture = np.ascontiguousarray(portrait()[:, 185:])
    for box in faces.detect(picture[None])[0]:
        assert 0 <= box.x0 < box.x1 <= picture.shape[1]
        assert 0 <= box.y0 < box.y1 <= picture.shape[0]


def test_two_faces_are_two_boxes_and_the_surest_comes_first(faces: MtcnnFaces) -> None:
    boxes = faces.detect(np.hstack([portrait(), portrait()[:, ::-1]])[None])[0]
    assert len(boxes) == 2
    assert boxes[0].score >= boxes[1].score


def test_noise_and_plain_pictures_hold_no_face(faces: MtcnnFaces) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (2, 240, 320, 3)).astype(np.uint8)
    assert faces.detect(noise) == [[], []]
    assert faces.detect(np.full((1, 240, 320, 3), 128, np.uint8)) == [[]]


def test_no_frames_and_tiny_frames_are_no_error(faces: MtcnnFaces) -> None:
    assert faces.detect(np.zeros((0, 240, 320, 3), np.uint8)) == []
    assert faces.detect(np.zeros((1, 8, 8, 3), np.uint8)) == [[]]


def test_a_frame_gets_the_same_boxes_alone_and_among_others(faces: MtcnnFaces) -> None:
    blank = np.zeros_like(portrait())
    together = faces.detect(np.stack([blank, portrait(), blank] * 4))
    assert [len(boxes) for boxes in together] == [0, 1, 0] * 4
    (alone,) = faces.detect(portrait()[None])[0]
    for (box,) in together[1::3]:
        assert np.allclose(list(box.model_dump().values()), list(alone.model_dump().values()), atol=0.01)


def test_same_frames_same_bits(faces: MtcnnFaces) -> None:
    assert faces.detect(portrait()[None]) == faces.detect(portrait()[None])


def test_real_faces_are_where_facenet_pytorchs_own_cascade_saw_them(faces: MtcnnFaces, shared_media: Path) -> None:
    """The boxes were recorded with `detect_face` of facenet-pytorch 2.6.0: least size 32, thresholds .6, .7, .9."""
    pictures, _ = read_recording(shared_media / "video" / "grid" / "lbbc2a.mpg")
    recorded = json.loads((Path(__file__).parents[1] / "carried" / "lbbc2a_boxes.json").read_text(encoding="utf-8"))
    for (ours,), ((x0, y0, x1, y1, score),) in zip(faces.detect(pictures[::12]), recorded, strict=True):
        assert overlap(ours, Box(x0=x0, y0=y0, x1=x1, y1=y1, score=score)) > 0.8


def test_animals_and_cars_are_no_faces(faces: MtcnnFaces, shared_media: Path) -> None:
    for name in ("intel_car-detection.mp4", "flower.mp4"):
        pictures, _ = read_recording(shared_media / "video" / name, fps=1)
        assert all(box.score < 0.97 for boxes in faces.detect(pictures[:8]) for box in boxes), name
