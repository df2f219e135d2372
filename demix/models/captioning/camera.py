"""How the camera moves between a few frames of one shot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from demix.lazy_module import lazy_module
from demix.records import Box

cv2: Any = lazy_module("cv2")

LEAST_POINTS = 12
"""Fewer tracked points say nothing about the camera."""
LEAST_AGREEING = 0.5
"""Share of the tracked points that must move together for the movement to be the camera's."""


@dataclass(frozen=True)
class CameraMotion:
    """Sums over a shot; all zero where `known` is false."""

    known: bool
    """Whether most of the picture could be followed between most neighbouring frames."""
    right: float
    """How far the view moved to the right, in frame widths; negative: to the left."""
    down: float
    """How far it moved down, in frame widths."""
    zoom: float
    """How much larger things became: above 1 the camera came nearer or zoomed in."""
    shake: float
    """Standard deviation of the movement around its steady part, in frame widths."""


def between_frames(frames: np.ndarray, faces: Sequence[Sequence[Box | None]]) -> list[np.ndarray | None]:
    """For each pair of neighbouring frames, uint8 RGB (frames, height, width, 3), the 2x3 matrix that takes a point of
    the first to the second (shift, rotation, scale), or None where no common movement is found.

    Sparse optical flow (Lucas and Kanade) on corners away from `faces`, each followed forward and back, then RANSAC.
    """
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    return [_movement(a, b, boxes) for a, b, boxes in zip(greys, greys[1:], faces, strict=False)]


def _movement(first: np.ndarray, second: np.ndarray, faces: Sequence[Box | None]) -> np.ndarray | None:
    mask = np.full(first.shape, 255, np.uint8)
    for box in faces:
        if box is not None:
            # People move on their own: leave out head and shoulders.
            grow = (box.x1 - box.x0) * 0.5
            x0, x1, y0 = (max(round(edge), 0) for edge in (box.x0 - grow, box.x1 + grow, box.y0 - grow))
            mask[y0:, x0:x1] = 0
    corners = cv2.goodFeaturesToTrack(first, 200, 0.01, 7, mask=mask)
    if corners is None:
        return None
    there, found, _ = cv2.calcOpticalFlowPyrLK(first, second, corners, None, winSize=(21, 21), maxLevel=4)
    back, found_back, _ = cv2.calcOpticalFlowPyrLK(second, first, there, None, winSize=(21, 21), maxLevel=4)
    true = (found & found_back).ravel().astype(bool) & (np.abs(back - corners).max(axis=(1, 2)) < 1.0)
    if true.sum() < LEAST_POINTS:
        return None
    matrix, agreeing = cv2.estimateAffinePartial2D(corners[true], there[true], ransacReprojThreshold=2.0)
    if matrix is None or agreeing.mean() < LEAST_AGREEING:
        return None
    return matrix


def camera_motion(movements: Sequence[np.ndarray | None], width: int, height: int) -> CameraMotion:
    """The whole movement out of those between frames."""
    known = [matrix for matrix in movements if matrix is not None]
    if not known or len(known) < len(movements) / 2:
        return CameraMotion(known=False, right=0.0, down=0.0, zoom=1.0, shake=0.0)
    centre = np.array([width / 2, height / 2])
    shifts = np.array([matrix[:, :2] @ centre + matrix[:, 2] - centre for matrix in known]) / width
    zooms = [np.log(np.hypot(matrix[0, 0], matrix[1, 0])) for matrix in known]
    # Pairs that could not be followed are taken to have moved like the others.
    pairs = len(movements)
    right, down = -shifts.mean(axis=0) * pairs
    shake = float(shifts.std(axis=0).max())
    zoom = float(np.exp(np.mean(zooms) * pairs))
    return CameraMotion(known=True, right=float(right), down=float(down), zoom=zoom, shake=shake)
