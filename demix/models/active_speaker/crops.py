"""Face crops with the geometry of the TalkNet, Light-ASD and LR-ASD reference demos, so that their nets fit too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from scipy.ndimage import median_filter

from demix.lazy_module import lazy_module
from demix.records import FaceTrack

cv2: Any = lazy_module("cv2")

SIDE = 224
"""Pixels. The nets look at the central 112 x 112 of it."""
MARGIN = 0.4
"""Share of half the face's size that is added left, right and, doubled, below: the chin matters, the hair does not."""
SMOOTHING = 13
"""Frames of the median filter over box centres and sizes; the first and last box are repeated at the ends."""
PADDING = 110
"""Grey level beyond the picture's edge."""


def crop_windows(track: FaceTrack) -> np.ndarray:
    """Smoothed (centre x, centre y, half the longer side) per frame of the track, float64 (frames, 3), in pixels."""
    boxes = np.array([(box.x0, box.y0, box.x1, box.y1) for box in track.boxes])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    halves = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    return median_filter(np.concatenate([centres, halves], 1), size=(SMOOTHING, 1), mode="nearest")


def crop(picture: np.ndarray, window: Sequence[float]) -> np.ndarray:
    """One face of a grey picture (height, width) as uint8 (224, 224).

    With centre (x, y) and half size s: rows y-s to y+1.8s, columns x-1.4s to x+1.4s; what lies outside is `PADDING`.
    Bilinear, as in the reference.
    """
    x, y, half = window
    scale = SIDE / (2 * half * (1 + MARGIN))
    placing = np.array([[scale, 0, -scale * (x - half * (1 + MARGIN))], [0, scale, -scale * (y - half)]])
    # Pixel centres, not corners, are at whole coordinates.
    placing[:, 2] += scale * 0.5 - 0.5
    return cv2.warpAffine(picture, placing, (SIDE, SIDE), borderMode=cv2.BORDER_CONSTANT, borderValue=PADDING)


def crop_tracks(pictures: Iterable[np.ndarray], tracks: Sequence[FaceTrack]) -> list[np.ndarray]:
    """Crops of every track, uint8 (frames of the track, 224, 224), from one pass over all of a clip's grey pictures.

    Raises `ValueError` if a track goes on after the last picture.
    """
    places = [crop_windows(track) for track in tracks]
    crops: list[list[np.ndarray]] = [[] for _ in tracks]
    for frame, picture in enumerate(pictures):
        for track, windows, done in zip(tracks, places, crops, strict=True):
            if track.frames[0] <= frame <= track.frames[-1]:
                done.append(crop(picture, windows[len(done)]))
    for track, done in zip(tracks, crops, strict=True):
        if len(done) != len(track.frames):
            raise ValueError(f"the track ends at frame {track.frames[-1]}, after the last picture")
    return [np.stack(done) for done in crops]
