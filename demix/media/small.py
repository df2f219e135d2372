"""The child's side of `demix.media.scan`: decodes, and makes small pictures as cheaply as the decoder's planes allow.

`scenedetect` interpolates each pixel of its small picture between the four nearest of the full one. Here they come from
the decoder's own planes, and only they are turned into BGR, which saves the conversion of the frame; and they are two,
of one line, since most of the cost is to fetch lines from memory. That cuts stay the same: benchmarks/results/index.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, groupby
from typing import Any

import av
import cv2
import numpy as np
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange

from demix.media.container import frame_pts, open_container
from demix.media.edges import Looking, Noted, taken
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.packets import demuxed
from demix.media.scan import BEGINNING, END
from demix.media.seek import key_frame, packets_from, stamp
from demix.media.skip import CODECS, CONTAINERS, Small, enough, skipping

_BATCH = 16
"""Frames a record: fewer system calls, a few hundred kilobytes."""

_Frames = Iterator[tuple[int, np.ndarray]]
"""(pts, small picture) of frames in display order."""


def read(
    path: str,
    index: int,
    shape: tuple[int, int],
    limits: dict[str, Any],
    threads: int,
    fast: bool,
    span: tuple[int | None, int | None, int] | None = None,
    parts: Sequence[Mapping[str, Any]] = (),
    looks: float = 0.0,
) -> Iterator[tuple[np.ndarray | bytes, ...]]:
    """Batches of (count, pts, pictures, looks), which `demix.media.scan` takes apart; runs in the sandbox. On `looks`
    frames a second black bars are looked for.

    With a `span` (see `demix.media.scan.SpanScan`) its frames, and before them one record with the pts of its beginning
    and end. With `parts` (see `demix.media.scan.scan`) theirs, one after another.
    """
    bounds = MediaLimits(**limits)
    noted: Noted = []
    if parts:
        yield from _batches(_in_parts(path, parts, shape, bounds, threads, fast, (looks, noted)), shape, noted)
        return
    begin, end, beyond = span or (None, None, 0)
    last = None if end is None else key_frame(path, index, end, bounds)
    with open_container(path, bounds) as container:
        stream = container.streams[index]
        packets = demuxed(container, stream) if begin is None else packets_from(container, stream, begin)
        if begin is not None:
            first = next(packets, None)
            begin = END if first is None else stamp(container, first)
            packets = chain(() if first is None else (first,), packets)
        ends = END if last is None else last
        if span is not None:
            yield (np.array([BEGINNING if begin is None else begin, ends], np.int64),)
        if begin is None or begin < ends:
            looking = Looking(container, stream, looks, noted) if looks else None
            frames = _within(_frames(container, stream, packets, shape, threads, fast, looking), begin, ends, beyond)
            yield from _batches(frames, shape, noted, begin)


def _in_parts(
    path: str,
    parts: Sequence[Mapping[str, Any]],
    shape: tuple[int, int],
    limits: MediaLimits,
    threads: int,
    fast: bool,
    looks: tuple[float, Noted],
) -> _Frames:
    """The frames of all parts on the film's time line. One that cannot be decoded is passed over."""
    for part in parts:
        begin, end = part["span"]
        try:
            with open_container(path, limits, part["place"]) as container:
                stream = container.streams[part["index"]]
                looking = Looking(container, stream, *looks, part["shift"]) if looks[0] else None
                frames = _frames(container, stream, demuxed(container, stream), shape, threads, fast, looking)
                for pts, picture in _within(frames, begin, end, 1):
                    if pts < end:
                        yield pts + part["shift"], picture
        except MediaError as error:
            print(f"the part at byte {part['place'][1]} is left out: {error}")


def _within(frames: _Frames, begin: int | None, end: int, beyond: int) -> _Frames:
    """The frames from `begin` on, ascending, up to the first `beyond` at `end` and behind it."""
    last = -(1 << 62) if begin is None else begin - 1
    for pts, picture in frames:
        if pts <= last:
            continue  # a stamp twice: only one of the two frames can be shown; or one that leans on the span before
        last = pts
        yield pts, picture
        beyond -= pts >= end
        if not beyond and pts >= end:
            return


def _batches(
    frames: _Frames, shape: tuple[int, int], noted: Noted, begin: int | None = None
) -> Iterator[tuple[np.ndarray | bytes, ...]]:
    """How many frames, their pts, their pictures, and the looks noted by then of frames from `begin` on."""
    times, pictures = np.empty(_BATCH, np.int64), np.empty((_BATCH, *shape, 3), np.uint8)
    filled = 0

    def batch() -> tuple[np.ndarray | bytes, ...]:
        return np.array([filled], np.int64), times[:filled], pictures[:filled], taken(noted, begin).tobytes()

    for pts, picture in frames:
        times[filled] = pts
        pictures[filled] = picture
        filled += 1
        if filled == _BATCH:
            yield batch()
            filled = 0
    if filled:
        yield batch()


def _frames(
    container: Any,
    stream: Any,
    packets: Iterator[Any],
    shape: tuple[int, int],
    threads: int,
    fast: bool,
    looking: Looking | None,
) -> _Frames:
    """(pts, small picture) of every frame of these packets."""
    cv2.setNumThreads(1)
    stream.codec_context.options = {"skip_loop_filter": _unsmoothed(stream)}
    fast = fast and stream.codec_context.codec.canonical_name in CODECS and container.format.name in CONTAINERS
    stream.codec_context.thread_count = 1 if fast else threads
    stream.codec_context.thread_type = "NONE" if fast or threads == 1 else "AUTO"

    def small(frames: Sequence[VideoFrame]) -> np.ndarray:
        if looking is not None:
            for frame in frames:
                looking.see(frame)
        return small_pictures(frames, height=shape[0], width=shape[1])

    return skipping(packets, stream, small) if fast else _every(container, stream, packets, small)


def _unsmoothed(stream: Any) -> str:
    """Which pictures need no smoothing of block edges: those from which no error can spread, and H.264's B pictures,
    from which it spreads to their neighbours, but not past the next P. (Some HEVC encoders write B for P.)"""
    return "bidir" if stream.codec_context.codec.canonical_name == "h264" else "noref"


def _every(container: Any, stream: Any, packets: Iterator[Any], small: Small) -> _Frames:
    """(pts, small picture) of every frame that decodes."""
    times: list[int] = []
    held: list[VideoFrame] = []
    for pts, frame in _timed(container, stream, packets):
        times.append(pts)
        held.append(frame)
        if enough(len(held), frame):
            yield from zip(times, small(held), strict=True)
            times, held = [], []
    if held:
        yield from zip(times, small(held), strict=True)


def _timed(container: Any, stream: Any, packets: Iterator[Any]) -> Iterator[tuple[int, VideoFrame]]:
    """(pts, frame) of every frame that decodes."""
    last, step = 0, 0
    for frame in _decoded(stream, packets):
        try:
            pts = frame_pts(container, frame)
        except MediaError:
            if not step:
                raise
            pts = last + step  # the last frames of an AVI leave the decoder without a stamp
        last, step = pts, max(step, 1) if pts <= last else pts - last
        yield pts, frame


def _decoded(stream: Any, packets: Iterator[Any]) -> Iterator[VideoFrame]:
    """Every frame that decodes, in display order; damaged packets are passed over, a broken container ends the film."""
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            print(f"the container breaks off: {error}")  # the sandbox keeps it with libav's own words
            packet = None
        try:
            frames = stream.codec_context.decode(packet)
        except av.FFmpegError:
            frames = []  # libav has told stderr
        yield from frames
        if packet is None:
            return


def small_pictures(frames: Sequence[VideoFrame], width: int, height: int) -> np.ndarray:
    """uint8 BGR (frames, height, width, 3), sizes even. Colours as swscale's default: BT.601, range as frames say."""
    return np.concatenate([_converted(list(run), kind, width, height) for kind, run in groupby(frames, _kind)])


def _kind(frame: VideoFrame) -> tuple[int, bool] | None:
    """(bits a sample, full range) if the frame has planes Y, U, V of whole bytes in this machine's order, else None."""
    name = frame.format.name
    bits = _planar_bits(name)
    return (bits, name.startswith("yuvj") or frame.color_range == ColorRange.JPEG) if bits else None


@cache
def _planar_bits(name: str) -> int:
    """Bits a sample of a pixel format of three such planes, else 0."""
    components = VideoFormat(name).components
    planar = name.startswith(("yuv4", "yuvj4")) and not name.endswith("be") and len(components) == 3
    return int(components[0].bits) if planar else 0


def _converted(frames: list[VideoFrame], kind: tuple[int, bool] | None, width: int, height: int) -> np.ndarray:
    if kind is None:  # packed, paletted, RGB, grey: rare enough for the long way
        short = (frame.reformat(width, height, "bgr24", interpolation="FAST_BILINEAR") for frame in frames)
        return np.stack([frame.to_ndarray() for frame in short])
    bits, full = kind
    luma = np.empty((len(frames), height, width), np.uint8)
    blue, red = np.empty((2, len(frames), height // 2, width // 2), np.uint8)
    for number, frame in enumerate(frames):
        for plane, small in zip(frame.planes, (luma, blue, red), strict=True):
            _shrink(plane, bits, small[number])
    # One below the other they are one picture: half the cost is that of calling.
    y, u, v = (plane.reshape(-1, plane.shape[-1]) for plane in (luma, blue, red))
    if full:
        chroma = cv2.resize(cv2.merge([v, u]), y.shape[::-1], interpolation=cv2.INTER_NEAREST)
        pictures = cv2.cvtColor(cv2.merge([y, chroma]), cv2.COLOR_YCrCb2BGR)
    else:
        pictures = cv2.cvtColorTwoPlane(y, cv2.merge([u, v]), cv2.COLOR_YUV2BGR_NV12)
    return pictures.reshape(-1, height, width, 3)


def _shrink(plane: VideoPlane, bits: int, small: np.ndarray) -> None:
    """One plane into uint8 (height, width)."""
    size = 1 if bits == 8 else 2
    rows = np.ndarray((plane.height, plane.width), f"u{size}", memoryview(plane), strides=(plane.line_size, size))
    height, width = small.shape
    if plane.height > 2 * height:
        rows = rows[_middles(plane.height, height)]
    if bits == 8:
        cv2.resize(rows, (width, height), dst=small, interpolation=cv2.INTER_LINEAR)
    else:
        rows = cv2.resize(rows, (width, height), interpolation=cv2.INTER_LINEAR)
        cv2.convertScaleAbs(rows, dst=small, alpha=2.0 ** (8 - bits))


@cache
def _middles(rows: int, count: int) -> np.ndarray:
    """Numbers of the rows in the middle of `count` equal parts."""
    return ((np.arange(count) + 0.5) * rows / count).astype(np.intp)
