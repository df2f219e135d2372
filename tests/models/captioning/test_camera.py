"""The camera's movement is measured on pictures that were really panned and zoomed over."""

from __future__ import annotations

import numpy as np
import pytest

from demix.models.captioning.camera import between_frames, camera_motion
from demix.records import Box
from tests.films import View, pictures

SIZE = (384, 216)
COUNT = 10


def film_over(picture: str, start: View, end: View, shake: float = 0.0, size: tuple[int, int] = SIZE) -> np.ndarray:
    camera = pictures.Camera(pictures.load(picture), start, end, size, seed=3, shake=shake)
    return np.stack([camera.frame(i / (COUNT - 1), i / 2) for i in range(COUNT)])


@pytest.mark.parametrize("picture", ["china", "motorcycle", "coffee"])
@pytest.mark.parametrize(
    ("end", "right", "zoom"),
    [
        (View(0.6, 0.5, 0.6), 0.2 / 0.6, 1.0),
        (View(0.3, 0.5, 0.6), -0.1 / 0.6, 1.0),
        (View(0.4, 0.5, 0.4), 0.0, 1.5),
        (View(0.4, 0.5, 0.75), 0.0, 0.8),
        (View(0.4, 0.5, 0.6), 0.0, 1.0),
    ],
    ids=["right", "left", "in", "out", "still"],
)
def test_pans_and_zooms_are_measured(picture: str, end: View, right: float, zoom: float) -> None:
    frames = film_over(picture, View(0.4, 0.5, 0.6), end)
    motion = camera_motion(between_frames(frames, [[]] * COUNT), *SIZE)
    assert motion.known
    assert motion.right == pytest.approx(right, abs=0.02)
    assert motion.down == pytest.approx(0, abs=0.02)
    assert motion.zoom == pytest.approx(zoom, rel=0.05)


def test_shaking_is_told_from_standing_still() -> None:
    calm, shaken = (
        camera_motion(between_frames(film_over("china", View(), View(), shake), [[]] * COUNT), *SIZE)
        for shake in (0.0, 0.02)
    )
    assert calm.shake < 0.002
    assert shaken.shake > 0.006


def test_what_has_nothing_in_common_is_unknown() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (4, 90, 160, 3), dtype=np.uint8)
    blank = np.zeros_like(noise)
    for frames in (noise, blank):
        assert not camera_motion(between_frames(frames, [[]] * 4), 160, 90).known
    assert not camera_motion([], 160, 90).known


def test_people_who_walk_do_not_move_the_camera() -> None:
    """A face crosses a still picture; only what is not covered by it and the body below counts."""
    still = film_over("china", View(0.5, 0.5, 0.8), View(0.5, 0.5, 0.8))
    face = film_over("astronaut", View(0.44, 0.24, 0.2), View(0.44, 0.24, 0.2), size=(120, 120))
    boxes = []
    for index, frame in enumerate(still):
        x = 10 + 24 * index
        frame[60:180, x : x + 120] = face[index]
        boxes.append([Box(x0=x + 20, y0=60, x1=x + 100, y1=160, score=1.0)])
    motion = camera_motion(between_frames(still, boxes), *SIZE)
    assert motion.known
    assert abs(motion.right) < 0.02
