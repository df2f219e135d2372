"""Persons by their faces: all that the `lite` profile can know of them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from demix.models.faces.mtcnn import MtcnnFaces
from demix.records import Box


class MtcnnPersons:
    """A person is where MTCNN sees a face, and the box is that of the face.

    A person seen from behind, far away, or without the head in the picture is not seen at all: "no person" from this
    model means "no face". OpenCV's HOG people detector, the other model without downloads, was tried and left out:
    it takes bottles for people and finds fewer persons at three times the cost.
    """

    name: ClassVar[str] = MtcnnFaces.name
    revision: ClassVar[str] = MtcnnFaces.revision
    licence: ClassVar[str] = MtcnnFaces.licence
    same_as_faces: ClassVar[str] = "mtcnn"
    """The face model that gives the same boxes: where it has judged a frame already, nothing need run twice."""

    def __init__(self, threads: int = 1, smallest: int = 32):
        self.faces = MtcnnFaces(threads, smallest)

    def detect(self, frames: np.ndarray) -> list[list[Box]]:
        """Faces on `frames`, uint8 RGB (frames, height, width, 3), the surest first."""
        return self.faces.detect(frames)
