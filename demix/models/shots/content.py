"""PySceneDetect's AdaptiveDetector, a block of pictures at a time: the library's own cuts for a third of the work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector

_NOT_LOOKED_AT = np.zeros((1, 1, 3), np.uint8)


class BlockDetector(AdaptiveDetector):
    """Content scores are made here, of all pictures of a block at once; what is a cut is the library's to say.

    The scores equal the library's to the last bit (tests/models/shots/test_content.py). With edges in them they are the
    library's.
    """

    def __init__(self, rate: float, **settings: Any):
        super().__init__(**settings)
        self._rate = rate
        self._frames = 0
        self._before: np.ndarray | None = None
        """The last picture of the block before, as hue, saturation and value."""
        self._score: float | None = None
        """Of the picture that the library is about to ask for; none: its own."""

    def cuts(self, pictures: np.ndarray) -> list[int]:
        """First frames of new shots, certain after these next pictures, uint8 BGR (frames, height, width, 3)."""
        return self.cuts_of(self.scores(pictures))

    def cuts_of(self, scores: Iterable[float]) -> list[int]:
        """The same, of the `scores` of these next pictures.

        Frames are counted, not timed: the detector's seconds would be floats, and wrong on variable rates."""
        found: list[FrameTimecode] = []
        for score in scores:
            self._score = score
            found += self.process_frame(FrameTimecode(self._frames, fps=self._rate), _NOT_LOOKED_AT)
            self._frames += 1
        self._score = None
        return [cut.frame_num for cut in found]

    def scores(self, pictures: np.ndarray) -> list[float]:
        """How much each picture differs from the one before, 0..255; the first of a film by 0."""
        if self._weights.delta_edges > 0:
            start = FrameTimecode(0, fps=self._rate)
            return [super(BlockDetector, self)._calculate_frame_score(start, picture) for picture in pictures]
        count, height, width, _ = pictures.shape
        hsv = np.empty(((count + 1) * height, width, 3), np.uint8)
        cv2.cvtColor(pictures.reshape(-1, width, 3), cv2.COLOR_BGR2HSV, dst=hsv[height:])
        hsv[:height] = hsv[height : 2 * height] if self._before is None else self._before
        self._before = hsv[-height:]
        changed = cv2.absdiff(hsv[height:], hsv[:-height]).reshape(pictures.shape)
        hue, saturation, brightness, _ = (np.array([cv2.sumElems(one) for one in changed]) / (height * width)).T
        weights = self._weights
        total = hue * weights.delta_hue + saturation * weights.delta_sat + brightness * weights.delta_lum
        scores: list[float] = (total / sum(map(abs, weights))).tolist()
        return scores

    def _calculate_frame_score(self, timecode: FrameTimecode, frame_img: np.ndarray) -> float:
        return super()._calculate_frame_score(timecode, frame_img) if self._score is None else self._score
