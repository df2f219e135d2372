"""Face crops follow the reference geometry: y-s to y+1.8s and x-1.4s to x+1.4s, grey 110 outside."""

from __future__ import annotations

import numpy as np
import pytest

from demix.models.active_speaker.crops import PADDING, crop, crop_tracks, crop_windows
from demix.records import Box, FaceTrack


def track(boxes: list[Box], first: int = 0) -> FaceTrack:
    return FaceTrack(frames=tuple(range(first, first + len(boxes))), boxes=tuple(boxes), detections=len(boxes))


def box(x: float, y: float, width: float, height: float) -> Box:
    return Box(x0=x - width / 2, y0=y - height / 2, x1=x + width / 2, y1=y + height / 2, score=1)


def test_a_crop_shows_the_reference_window() -> None:
    """A ramp tells which rows and columns of the picture the crop holds."""
    rows, columns = np.mgrid[:256, :256]
    x, y, half = 120.0, 100.0, 40.0
    across = crop(columns.astype(np.uint8), (x, y, half)).astype(float)
    down = crop(rows.astype(np.uint8), (x, y, half)).astype(float)
    assert across[:, 0].mean() == pytest.approx(x - 1.4 * half, abs=1)
    assert across[:, -1].mean() == pytest.approx(x + 1.4 * half, abs=1)
    assert down[0].mean() == pytest.approx(y - half, abs=1)
    assert down[-1].mean() == pytest.approx(y + 1.8 * half, abs=1)


def test_outside_the_picture_is_the_reference_grey() -> None:
    picture = crop(np.zeros((100, 100), np.uint8), (0.0, 0.0, 50.0))
    assert (picture[:70, :100] == PADDING).all()
    assert (picture[90:150, 120:] == 0).all()


def test_the_longer_side_decides_and_jitter_is_smoothed_away() -> None:
    steady = [box(100, 90, 60, 80)] * 15
    jump = [*steady[:7], box(140, 90, 60, 80), *steady[8:]]
    assert np.allclose(crop_windows(track(jump)), [100, 90, 40])
    assert np.allclose(crop_windows(track([box(50, 50, 20, 30)])), [50, 50, 15])


def test_every_track_gets_its_own_frames_from_one_pass() -> None:
    pictures = [np.full((80, 80), 10 * index, np.uint8) for index in range(6)]
    first, second = crop_tracks(iter(pictures), [track([box(40, 30, 20, 20)] * 3), track([box(40, 30, 20, 20)] * 2, 4)])
    assert first[:, 100, 112].tolist() == [0, 10, 20]
    assert second[:, 100, 112].tolist() == [40, 50]
    assert first.shape == (3, 224, 224)


def test_a_track_beyond_the_last_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="after the last picture"):
        crop_tracks([np.zeros((80, 80), np.uint8)], [track([box(40, 40, 20, 20)] * 2)])
