"""How a player turns and stretches a stored picture: one reading for the builder, the trainer and the metrics."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import numpy as np
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame

_ONE = 1 << 16
"""1 in a display matrix."""


@dataclass(frozen=True)
class Orientation:
    """What is done to a stored picture before it is shown."""

    mirrored: bool = False
    """Whether left and right change places, first of all."""
    rotation: int = 0
    """Degrees clockwise, then: 0, 90, 180 or 270."""

    @classmethod
    def of(cls, frame: VideoFrame) -> Orientation:
        """As the frame's display matrix says. A film that is off by other than quarter turns was held askew, and gets
        the nearest of them: its frame has no black corners, and neither has the clip."""
        data = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return cls()
        a, b, _, c, d = (value / _ONE for value in struct.unpack_from("=5i", bytes(cast(SideData, data))))
        mirrored = a * d - b * c < 0
        sign = -1 if mirrored else 1
        return cls(mirrored, round(math.degrees(math.atan2(sign * b, sign * a)) / 90) % 4 * 90)

    @property
    def sideways(self) -> bool:
        """Whether width and height change places."""
        return self.rotation in (90, 270)

    def upright(self, picture: np.ndarray) -> np.ndarray:
        """The picture (height, width, ...) as it is shown; a view."""
        return np.rot90(picture[:, ::-1] if self.mirrored else picture, -self.rotation // 90)

    def shown_size(self, width: int, height: int, pixel_shape: Fraction | None) -> tuple[int, int]:
        """Width and height with square pixels, as shown, of a picture as stored. Lines stay as they are.

        `pixel_shape` is the width of a pixel over its height; None where nobody says.
        """
        size = max(1, round(width * (pixel_shape or 1))), height
        return size[::-1] if self.sideways else size
