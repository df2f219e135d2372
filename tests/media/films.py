"""Writes small films of given pictures with PyAV, for the tests of decoding and of shots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_film(
    path: Path,
    pictures: Sequence[np.ndarray],
    codec: str = "libx264",
    options: Mapping[str, str] | None = None,
    pixel_format: str = "yuv420p",
    times: Sequence[int] | None = None,
    tick: Fraction = Fraction(1, 24),
) -> Path:
    """`pictures` uint8 BGR (height, width, 3), shown at `times` (default 0, 1, 2, ...) in units of `tick` seconds."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=round(1 / tick) if times is None else 24, options=dict(options or {}))
        stream.width, stream.height, stream.pix_fmt = width, height, pixel_format
        stream.codec_context.time_base = tick
        stream.codec_context.thread_count = 1
        for time, picture in zip(times or range(len(pictures)), pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format=pixel_format)
            frame.pts, frame.time_base = time, tick
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path
