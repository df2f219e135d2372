"""Mouth flow: a moving mouth speaks, a still face and a nodding head do not, and what cannot be judged is not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from demix.models.active_speaker.crops import crop_tracks
from demix.models.active_speaker.mouth_flow import MouthFlow
from demix.records import Box, FaceTrack
from tests.stages.talking_faces import nodding, portrait, still, talking

FACE = Box(x0=160, y0=65, x1=245, y1=173, score=1)
FRAMES, FPS, RATE = 60, 24.0, 16_000


def crops(pictures: np.ndarray) -> np.ndarray:
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    track = FaceTrack(frames=tuple(range(len(grey))), boxes=(FACE,) * len(grey), detections=len(grey))
    return crop_tracks(grey, [track])[0]


def sound(frames: int = FRAMES) -> np.ndarray:
    return np.random.default_rng(2).normal(0, 0.05, round(frames * RATE / FPS)).astype(np.float32)


@pytest.fixture(scope="module")
def mouth() -> MouthFlow:
    return MouthFlow()


def test_a_moving_mouth_speaks(mouth: MouthFlow) -> None:
    scores = mouth.score(crops(talking(portrait(), FRAMES)), FPS, sound(), RATE)
    assert scores is not None
    assert scores.shape == (FRAMES,)
    assert scores.dtype == np.float32
    assert (scores > 0).all()


def test_a_still_face_does_not_speak(mouth: MouthFlow) -> None:
    scores = mouth.score(crops(still(portrait(), FRAMES)), FPS, sound(), RATE)
    assert scores is not None
    assert (scores < 0).all()


def test_a_head_that_moves_as_a_whole_does_not_speak(mouth: MouthFlow) -> None:
    scores = mouth.score(crops(nodding(portrait(), FRAMES)), FPS, sound(), RATE)
    assert scores is not None
    assert (scores < 0).all()


def test_a_mouth_that_begins_half_way_speaks_in_the_second_half_only(mouth: MouthFlow) -> None:
    faces = crops(np.concatenate([still(portrait(), 72), talking(portrait(), 72)]))
    scores = mouth.score(faces, FPS, sound(144), RATE)
    assert scores is not None
    assert (scores[:36] < 0).all()
    assert (scores[-60:] > 0).all()


def test_without_sound_or_with_too_few_frames_it_cannot_be_decided(mouth: MouthFlow) -> None:
    faces = crops(talking(portrait(), FRAMES))
    assert mouth.score(faces, FPS, np.zeros(len(sound()), np.float32), RATE) is None
    assert mouth.score(faces[:5], FPS, sound(5), RATE) is None


def test_a_shaking_picture_cannot_be_decided(mouth: MouthFlow) -> None:
    random = np.random.default_rng(3)
    faces = crops(talking(portrait(), FRAMES))
    shaking = np.stack(
        [cv2.warpAffine(face, np.float32([[1, s, 0], [s, 1, 0]]), (224, 224)) for face, s in
         zip(faces, random.normal(0, 0.06, FRAMES), strict=True)]
    )  # fmt: skip
    assert mouth.score(shaking, FPS, sound(), RATE) is None


def test_the_frame_rate_does_not_change_the_answer_much(mouth: MouthFlow) -> None:
    pictures = talking(portrait(), 2 * FRAMES, fps=48.0)
    fast = mouth.score(crops(pictures), 48.0, sound(), RATE)
    slow = mouth.score(crops(pictures[::2]), 24.0, sound(), RATE)
    assert fast is not None
    assert slow is not None
    assert fast.mean() == pytest.approx(slow.mean(), abs=0.3)
