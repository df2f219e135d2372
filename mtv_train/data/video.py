"""Pictures of a window, decoded from a clip's bytes in this process: sought, resampled by time, scaled, cropped."""

from __future__ import annotations

import io
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from demix.media.colour import HDR, as_bt709, highlights, source_of_frame
from demix.media.orientation import Orientation
from mtv_train.data.errors import SampleError
from mtv_train.data.settings import WindowSettings


def picture_seconds(data: bytes, key: str) -> Fraction:
    """How long the pictures of a clip last, by the time stamps of its packets; nothing is decoded.

    Raises SampleError: `decode` if there are no pictures, `rate` if frames have no time stamps of their own.
    """
    try:
        with av.open(io.BytesIO(data)) as container:
            stream = _stream(container, key)
            tick = Fraction(stream.time_base)
            stamps = [(packet.pts, packet.duration) for packet in container.demux(stream) if packet.size]
    except av.FFmpegError as error:
        raise SampleError(key, "decode", f"not a film: {error}") from error
    if not stamps or any(pts is None for pts, _ in stamps):
        raise SampleError(key, "rate", "there are frames without a time stamp; write the clip again at a fixed rate")
    pts = sorted(pts for pts, _ in stamps)
    if any(later == earlier for earlier, later in pairwise(pts)):
        raise SampleError(key, "rate", "frames share a time stamp; write the clip again at a fixed rate")
    last = max(stamps)[1] or (pts[-1] - pts[0]) // max(len(pts) - 1, 1)
    return (pts[-1] + last - pts[0]) * tick


def decode_window(
    data: bytes, key: str, first: int, window: WindowSettings, place: tuple[float, float] = (0.5, 0.5)
) -> np.ndarray:
    """Frames [first, first + window.frames) of a clip on the window's clock, uint8 RGB (frames, 3, height, width).

    Frame i shows what is on the screen i / fps seconds after the clip's first frame, so a clip of that rate is taken as
    it is. `place` is where the crop lies, 0 (left, top) to 1 (right, bottom).
    Raises SampleError: `decode`, or `short` if the pictures end before the window does.
    """
    try:
        for seek in (True, False):
            with av.open(io.BytesIO(data)) as container:
                stream = _stream(container, key)
                stream.codec_context.thread_count = 1  # samples are decoded side by side, by several workers
                times = [Fraction(first + number) / window.rate for number in range(window.frames)]
                shown = _shown(container, stream, key, times, seek and first > 0)
                pictures = _pictures(shown, window, place, stream.sample_aspect_ratio)
                if pictures is not None:
                    break
    except (av.FFmpegError, OSError) as error:
        raise SampleError(key, "decode", str(error)) from error
    if pictures is None:
        raise SampleError(key, "short", f"the pictures end before frame {first + window.frames - 1}")
    return pictures


def _stream(container: Any, key: str) -> Any:
    if not container.streams.video:
        raise SampleError(key, "decode", "there are no pictures")
    return container.streams.video[0]


def _shown(container: Any, stream: Any, key: str, times: list[Fraction], seek: bool) -> Iterator[Any]:
    """For each of `times`, seconds from the first frame, the frame that is on the screen then; fewer where pictures
    end. Nothing at all where seeking went past the first time."""
    tick, start = Fraction(stream.time_base), stream.start_time or 0
    rate = Fraction(stream.average_rate or stream.guessed_rate or 1)
    # Where a frame lasts many ticks, its stamp was rounded; where it lasts one or a few, the stamp is exact.
    slack = tick if tick * rate < Fraction(1, 8) else Fraction(0)
    if seek:
        container.seek(start + int(times[0] / tick), stream=stream, backward=True)
    shown, end, due = None, Fraction(0), 0
    for frame in container.decode(stream):
        if frame.pts is None or frame.is_corrupt:
            raise SampleError(key, "decode", f"a frame near {float(times[due]):.2f} s is damaged or has no time stamp")
        at = (frame.pts - start) * tick - slack
        if shown is None and at > times[0]:
            return
        while due < len(times) and shown is not None and times[due] < at:
            yield shown
            due += 1
        if due == len(times):
            return
        shown, end = frame, (frame.pts - start + (frame.duration or 1 / rate / tick)) * tick + slack
    while shown is not None and due < len(times) and times[due] < end:
        yield shown
        due += 1


def _pictures(
    shown: Iterator[Any], window: WindowSettings, place: tuple[float, float], shape: Fraction | None
) -> np.ndarray | None:
    """The frames, of pixels of that shape, scaled and cropped, or None if there are too few."""
    pictures = np.empty((window.frames, 3, window.height, window.width), np.uint8)
    number, before = 0, None
    peak: float | None = None  # of the first frame: a window has one brightness
    scaler = VideoReformatter()  # one for all frames: making its tables costs more than scaling a frame
    for frame in shown:
        if frame is before:
            pictures[number] = pictures[number - 1]
        else:
            peak = _peak(frame) if peak is None else peak
            _fill(pictures[number], frame, place, shape, scaler, peak)
        number, before = number + 1, frame
    return pictures if number == window.frames else None


def _peak(frame: Any) -> float:
    source = source_of_frame(frame)
    return highlights(frame, source[0]) if source and source[0] in HDR else 0.0


def _fill(
    picture: np.ndarray,
    frame: Any,
    place: tuple[float, float],
    shape: Fraction | None,
    scaler: VideoReformatter,
    peak: float,
) -> None:
    """Writes a frame as a player shows it into `picture` (3, height, width): scaled to cover it, then cropped; in
    BT.709, `peak` being the cd/m2 of the highlights of an HDR film."""
    _, height, width = picture.shape
    orientation = Orientation.of(frame)
    full_width, full_height = orientation.shown_size(frame.width, frame.height, shape)
    scale = max(Fraction(height, full_height), Fraction(width, full_width))
    tall, wide = max(height, round(full_height * scale)), max(width, round(full_width * scale))
    top, left = round((tall - height) * place[1]), round((wide - width) * place[0])
    # Planes of green, blue and red: what a tensor wants, without a transposition.
    method = "AREA" if scale < 1 else "BICUBIC"
    size = (tall, wide) if orientation.sideways else (wide, tall)
    if source_of_frame(frame) is not None:
        rgb = orientation.upright(as_bt709(frame, *size, peak, method))
        picture[:] = rgb[top : top + height, left : left + width].transpose(2, 0, 1)
        return
    scaled = scaler.reformat(frame, *size, "gbrp", interpolation=method, threads=1)
    for channel, plane in zip((1, 2, 0), scaled.planes, strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:, : size[0]]
        picture[channel] = orientation.upright(rows)[top : top + height, left : left + width]
