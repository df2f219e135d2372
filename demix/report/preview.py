"""Small versions of our own clip media for the gallery: a poster, a film of some 100 kB, stems as AAC, waveforms."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from demix.lazy_module import lazy_module

av: Any = lazy_module("av")

SHORT_SIDE = 320
"""Pixels."""
SECONDS = 8.0
"""A preview shows the clip's beginning, at most this long."""
STEM_BIT_RATE = 40_000
MIX_BIT_RATE = 64_000
PEAKS = 96
"""Columns of a waveform."""


@dataclass(frozen=True)
class Film:
    mp4: bytes
    """H.264 (yuv420p) and AAC: what every browser plays."""
    poster: bytes
    """JPEG of the middle frame."""
    width: int
    height: int
    seconds: float
    """Length of the preview."""


@dataclass(frozen=True)
class Sound:
    m4a: bytes
    peaks: tuple[float, ...]
    """Loudness of `PEAKS` equal parts, 0..1 of full scale."""


def film(source: BinaryIO) -> Film:
    """The beginning of one of our own mp4 files, small. Raises `av.FFmpegError` or ValueError for one that is none."""
    target = io.BytesIO()
    with av.open(source) as clip, av.open(target, "w", format="mp4") as preview:
        picture = clip.streams.video[0]
        width, height = _fit(picture.width, picture.height)
        rate = picture.average_rate
        video = preview.add_stream("libx264", rate=rate, options={"crf": "30", "preset": "veryfast", "threads": "1"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        voice = clip.streams.audio[0] if clip.streams.audio else None
        sound = preview.add_stream("aac", rate=44_100, layout="stereo", bit_rate=MIX_BIT_RATE) if voice else None
        resampler = av.AudioResampler("fltp", "stereo", 44_100)
        shown: list[av.VideoFrame] = []
        for frame in _beginning(clip, [stream for stream in (picture, voice) if stream]):
            if isinstance(frame, av.VideoFrame):
                small = frame.reformat(width, height, "yuv420p")
                shown.append(small)
                preview.mux(video.encode(small))
            elif sound is not None:
                for part in resampler.resample(frame):
                    preview.mux(sound.encode(part))
        preview.mux(video.encode(None))
        if sound is not None:
            preview.mux(sound.encode(None))
    if not shown:
        raise ValueError("the film holds no pictures")
    poster = io.BytesIO()
    shown[len(shown) // 2].to_image().save(poster, "JPEG", quality=72)
    return Film(target.getvalue(), poster.getvalue(), width, height, len(shown) / float(rate))


def sound(source: BinaryIO) -> Sound:
    """The beginning of one of our own FLAC files as mono AAC, with its waveform. Raises as `film` does."""
    target = io.BytesIO()
    waves = []
    with av.open(source) as stem, av.open(target, "w", format="mp4") as preview:
        stream = preview.add_stream("aac", rate=32_000, layout="mono", bit_rate=STEM_BIT_RATE)
        resampler = av.AudioResampler("fltp", "mono", 32_000)
        for frame in _beginning(stem, [stem.streams.audio[0]]):
            for part in resampler.resample(frame):
                waves.append(part.to_ndarray()[0])
                preview.mux(stream.encode(part))
        preview.mux(stream.encode(None))
    if not waves:
        raise ValueError("the stem holds no samples")
    return Sound(target.getvalue(), _peaks(np.concatenate(waves)))


def _beginning(container: Any, streams: list[Any]) -> Iterator[Any]:
    """The decoded frames of the first `SECONDS`."""
    for frame in container.decode(streams):
        if frame.time is None or frame.time < SECONDS:
            yield frame


def _fit(width: int, height: int) -> tuple[int, int]:
    """The size with the short side at most `SHORT_SIDE`, even as H.264 wants it."""
    scale = min(1.0, SHORT_SIDE / min(width, height))
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def _peaks(wave: np.ndarray) -> tuple[float, ...]:
    parts = np.array_split(np.abs(wave), PEAKS)
    return tuple(round(min(1.0, float(part.max(initial=0.0))), 3) for part in parts)
