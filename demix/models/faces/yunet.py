"""YuNet: a face detector of 75,000 parameters that comes with OpenCV's model zoo (Wu et al. 2023), MIT."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from demix import weights
from demix.lazy_module import lazy_module
from demix.models.persons.settings import YunetSettings
from demix.records import Box
from demix.stage import Resources
from demix.weights import WeightsBroken

cv2: Any = lazy_module("cv2")

MOST = 5000
"""Candidates before suppression."""


class YunetFaces:
    """A `FaceDetector`. Runs on the processor only: OpenCV's wheel has no other backend."""

    name: ClassVar[str] = "yunet"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "Apache-2.0 (OpenCV), MIT (weights: opencv_zoo)"
    resources: ClassVar[Resources] = Resources()

    @classmethod
    def weights(cls, settings: YunetSettings) -> tuple[str, ...]:
        return ("yunet",)

    def __init__(self, settings: YunetSettings, device: str = "auto", threads: int = 1, smallest: int = 32):
        cv2.setNumThreads(threads)
        self.smallest = smallest
        path = weights.locate("yunet")["model"]
        try:
            self.net = cv2.FaceDetectorYN.create(
                str(path), "", (320, 320), settings.least_score, settings.overlap, MOST
            )
        except cv2.error as error:
            raise WeightsBroken(f"{path}: OpenCV cannot read it ({error.err}); fetch it again") from error

    def detect(self, frames: np.ndarray) -> list[list[Box]]:
        """Faces on `frames`, uint8 RGB (frames, height, width, 3), the surest first; boxes are clipped to the frame."""
        self.net.setInputSize((frames.shape[2], frames.shape[1]))
        return [self._detect(frame) for frame in frames]

    def _detect(self, frame: np.ndarray) -> list[Box]:
        height, width = frame.shape[:2]
        _, found = self.net.detect(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        boxes = []
        for x, y, w, h, *_, score in [] if found is None else sorted(found.tolist(), key=lambda row: -row[-1]):
            x0, y0, x1, y1 = max(x, 0.0), max(y, 0.0), min(x + w, width), min(y + h, height)
            if max(w, h) >= self.smallest and x1 > x0 and y1 > y0:
                boxes.append(Box(x0=x0, y0=y0, x1=x1, y1=y1, score=min(score, 1.0)))
        return boxes
