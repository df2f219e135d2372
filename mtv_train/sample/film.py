"""The MP4 that a video leaves as: H.264 pictures, and the sound from the same moment on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from torch import Tensor

from demix.media.audio import resample
from demix.media.cut import SAMPLE_RATES
from demix.store import atomic
from mtv_train.sample.track import Track

AAC_FRAME = 1024
"""Samples that AAC encodes at a time."""


def write_film(path: Path, video: Tensor, sound: Track | None, fps: Fraction, crf: int = 17) -> None:
    """`video` uint8 (frames, height, width, 3); `sound`, if any, exactly as long, or silence. The same input gives the
    same bytes, with the same libraries."""
    with film(path, (int(video.shape[1]), int(video.shape[2])), sound, fps, crf) as writer:
        writer.add(video)


@contextmanager
def film(path: Path, size: tuple[int, int], sound: Track | None, fps: Fraction, crf: int = 17) -> Iterator[FilmWriter]:
    """While this is open, pictures of `size` (height, width) are added; afterwards the film lies at `path`, whole. Each
    picture is encoded when it comes, with the sound of its time."""
    with atomic(path) as aside, av.open(str(aside), "w", options={"fflags": "+bitexact"}) as container:
        writer = FilmWriter(container, size, sound, fps, crf)
        yield writer
        writer.end()


class FilmWriter:
    """Takes the pictures of one film."""

    def __init__(self, container: Any, size: tuple[int, int], sound: Track | None, fps: Fraction, crf: int):
        # x264's macroblock tree reads memory that it has not written, and so encodes the same pictures differently.
        options = {"crf": str(crf), "threads": "1", "x264-params": "mbtree=0"}
        self.container, self.fps = container, fps
        self.pictures = container.add_stream("libx264", rate=fps, options=options)
        self.pictures.height, self.pictures.width = size
        self.pictures.pix_fmt = "yuv420p"
        self.frames = 0
        self.sound = None if sound is None else _carried(sound)
        self._said = 0
        """Samples of the sound that have been encoded."""
        if self.sound is not None:
            self.voice = container.add_stream("aac", rate=self.sound.sample_rate)
            self.voice.layout = "stereo" if len(self.sound.wave) == 2 else "mono"
            self.voice.bit_rate = 192_000

    def add(self, video: Tensor) -> None:
        """The next pictures, uint8 (any number, height, width, 3)."""
        for picture in video.numpy():
            self.container.mux(self.pictures.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            self.frames += 1
            if self.sound is not None:
                self._say(self.sound, int(self.frames / self.fps * self.sound.sample_rate) // AAC_FRAME * AAC_FRAME)

    def end(self) -> None:
        """What the encoders still hold, and the rest of the sound."""
        self.container.mux(self.pictures.encode())
        if self.sound is not None:
            self._say(self.sound, self.sound.wave.shape[1])
            self.container.mux(self.voice.encode())

    def _say(self, sound: Track, end: int) -> None:
        """Encodes the samples up to `end`: with the pictures of their time, or the container would keep one of the two
        in memory until the other comes."""
        for start in range(self._said, min(end, sound.wave.shape[1]), AAC_FRAME):
            part = np.ascontiguousarray(sound.wave[:, start : min(start + AAC_FRAME, end)])
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout=self.voice.layout.name)
            frame.sample_rate = sound.sample_rate
            frame.pts = start  # from 0 on; without it the encoder's run-in of 1024 samples would be heard as silence
            self.container.mux(self.voice.encode(frame))
            self._said = start + part.shape[1]


def _carried(sound: Track) -> Track:
    """At a rate that AAC has, 48 kHz at most."""
    allowed = [rate for rate in SAMPLE_RATES if rate <= 48_000]
    rate = next((rate for rate in allowed if rate >= sound.sample_rate), allowed[-1])
    return Track(resample(sound.wave, sound.sample_rate, rate), rate)
