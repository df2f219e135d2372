"""Writes frames and samples into a media file of any kind, the same bytes every time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.stream import VideoStream

SECONDS_AT_ONCE = 0.5
"""How much sound is written between frames, so that players find both near each other."""


def write(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    durations: Sequence[int],
    time_base: Fraction,
    rate: Fraction,
    size: tuple[int, int],
    codec: str,
    options: dict[str, str],
    wave: np.ndarray | None,
    audio_codec: str,
    sample_rate: int,
    first_seconds: Fraction,
) -> None:
    """`frames` uint8 RGB (height, width, 3), each shown for its number of `time_base` ticks; `wave` float32
    (channels, samples). The container follows the suffix of `path`. No `codec`: no video stream."""
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        video = _video(container, codec, options, size, rate, time_base) if codec else None
        sound = _Sound(container, wave, audio_codec, sample_rate, first_seconds) if wave is not None else None
        if video:
            pts = round(first_seconds / time_base)
            for pixels, duration in zip(frames, durations, strict=True):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
                frame.pts, frame.time_base, frame.duration = pts, time_base, duration
                container.mux(video.encode(frame))
                pts += duration
                if sound:
                    sound.write_until(pts * time_base - first_seconds)
            container.mux(video.encode(None))
        if sound:
            sound.finish()


def _video(
    container: OutputContainer,
    codec: str,
    options: dict[str, str],
    size: tuple[int, int],
    rate: Fraction,
    time_base: Fraction,
) -> VideoStream:
    video = container.add_stream(codec, rate=rate, options=_defaults(codec) | options)
    if not isinstance(video, VideoStream):
        raise TypeError(f"{codec} encodes no pictures")
    video.width, video.height = size
    video.pix_fmt = "yuv420p" if size[0] % 2 == size[1] % 2 == 0 else "yuv444p"  # 4:2:0 wants even sides
    video.codec_context.time_base = time_base
    video.codec_context.thread_count = 1
    video.codec_context.flags |= av.codec.context.Flags.bitexact
    return video


def _defaults(codec: str) -> dict[str, str]:
    """Fast settings of good quality, one thread and no deadline, so that the bytes do not depend on the machine."""
    return {
        "libx264": {"preset": "superfast", "crf": "24", "threads": "1"},
        "libx265": {"preset": "ultrafast", "crf": "22", "x265-params": "pools=none:frame-threads=1:log-level=error"},
        "libvpx": {"deadline": "good", "cpu-used": "5", "b": "1M", "threads": "1"},
        "libvpx-vp9": {"deadline": "good", "cpu-used": "5", "b": "1M", "threads": "1"},
        "mpeg4": {"b": "2M"},
    }.get(codec, {})


class _Sound:
    def __init__(self, container: OutputContainer, wave: np.ndarray, codec: str, rate: int, first_seconds: Fraction):
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[len(wave)]
        self.container, self.wave, self.rate = container, wave, rate
        self.first, self.written = round(first_seconds * rate), 0
        stream = container.add_stream(codec, rate=rate, layout=layout)
        if not isinstance(stream, AudioStream):
            raise TypeError(f"{codec} encodes no sound")
        self.stream = stream
        self.stream.codec_context.flags |= av.codec.context.Flags.bitexact
        self.layout = layout
        self.resampler = AudioResampler(self.stream.format, layout, rate, frame_size=self.stream.frame_size or 1024)

    def write_until(self, seconds: Fraction) -> None:
        target = min(round(seconds * self.rate), self.wave.shape[1])
        if target - self.written >= SECONDS_AT_ONCE * self.rate:
            self._write(target)

    def finish(self) -> None:
        self._write(self.wave.shape[1])
        for frame in (*self.resampler.resample(None), None):
            self.container.mux(self.stream.encode(frame))

    def _write(self, target: int) -> None:
        if target == self.written:
            return
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(self.wave[:, self.written : target]), "fltp", self.layout
        )
        frame.sample_rate, frame.pts, frame.time_base = self.rate, self.first + self.written, Fraction(1, self.rate)
        for piece in self.resampler.resample(frame):
            self.container.mux(self.stream.encode(piece))
        self.written = target
