"""A photograph's face whose mouth moves, or does not, or whose whole head shakes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest


def portrait() -> np.ndarray:
    """A face at about columns 160-245, rows 65-173 of a picture, uint8 RGB (300, 400, 3)."""
    data = pytest.importorskip("skimage.data", reason="the photograph comes with scikit-image")
    return np.ascontiguousarray(data.astronaut()[:300, 20:420])


def talking(picture: np.ndarray, frames: int, fps: float = 24.0, opening: float = 5.0) -> np.ndarray:
    """`picture` with lips and chin going up and down by `opening` pixels, about as syllables do."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    place = np.exp(-(((columns - MOUTH[0]) / 22) ** 2) - ((rows - MOUTH[1]) / 14) ** 2)
    moving = []
    for frame in range(frames):
        beat = np.sin(2 * np.pi * 4.3 * frame / fps) * (1 + 0.5 * np.sin(2 * np.pi * 1.1 * frame / fps))
        moving.append(cv2.remap(picture, columns, rows + np.float32(opening * beat) * place, cv2.INTER_LINEAR))
    return np.stack(moving)


def still(picture: np.ndarray, frames: int) -> np.ndarray:
    """`picture` with a camera's noise only."""
    noise = np.random.default_rng(0).normal(0, 2, (frames, *picture.shape))
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def nodding(picture: np.ndarray, frames: int, fps: float = 24.0, pixels: float = 4.0) -> np.ndarray:
    """`picture` moved as a whole: the mouth moves no more than the brow."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    shifts = pixels * np.sin(2 * np.pi * 1.2 * np.arange(frames) / fps)
    return np.stack([cv2.remap(picture, columns, rows + np.float32(shift), cv2.INTER_LINEAR) for shift in shifts])


MOUTH = (204, 150)
"""Column and row of the lips in `portrait`."""
