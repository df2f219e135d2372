"""The child's side of `demix.media.scan`: decodes, and makes small pictures as cheaply as the decoder's planes allow.

`scenedetect` interpolates each pixel of its small picture between the four nearest of the full one. Here they come from
the decoder's own planes, and only they are turned into BGR, which saves the conversion of the frame; and they are two,
of one line, since most of the cost is to fetch lines from memory. That cuts stay the same: benchmarks/results/index.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange

from demix.media.container import frame_pts, open_container
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.scan import small_record
from demix.media.skip import CODECS, CONTAINERS, Small, enough, skipping

_BATCH = 16
"""Frames a record: fewer system calls, a few hundred kilobytes."""


def read(
    path: str, index: int, shape: tuple[int, int], limits: dict[str, Any], threads: int, fast: bool
) -> Iterator[np.ndarray]:
    """Batches of (pts, picture) records; runs in the sandbox."""
    cv2.setNumThreads(1)
    batch = np.empty(_BATCH, small_record(*shape))
    filled, last = 0, -(1 << 62)
    with open_container(path, MediaLimits(**limits)) as container:
        stream = container.streams[index]
        stream.codec_context.options = {"skip_loop_filter": _unsmoothed(stream)}
        fast = fast and stream.codec_context.codec.canonical_name in CODECS and container.format.name in CONTAINERS
        stream.codec_context.thread_count = 1 if fast else threads
        stream.codec_context.thread_type = "NONE" if fast or threads == 1 else "AUTO"
        small = partial(small_picture, height=shape[0], width=shape[1])
        frames = skipping(container, stream, small) if fast else _every(container, stream, small)
        for pts, picture in frames:
            if pts <= last:
                continue  # a stamp twice: only one of the two frames can be shown
            last = pts
            batch[filled] = pts, picture
            filled += 1
            if filled == _BATCH:
                yield batch
                filled = 0
    if filled:
        yield batch[:filled]


def _unsmoothed(stream: Any) -> str:
    """Which pictures need no smoothing of block edges: those from which no error can spread, and H.264's B pictures,
    from which it spreads to their neighbours, but not past the next P. (Some HEVC encoders write B for P.)"""
    return "bidir" if stream.codec_context.codec.canonical_name == "h264" else "noref"


def _every(container: Any, stream: Any, small: Small) -> Iterator[tuple[int, np.ndarray]]:
    """(pts, small picture) of every frame that decodes."""
    held: list[tuple[int, VideoFrame]] = []
    for pts, frame in _timed(container, stream):
        held.append((pts, frame))
        if enough(len(held), frame):
            yield from ((time, small(one)) for time, one in held)
            held.clear()
    yield from ((time, small(one)) for time, one in held)


def _timed(container: Any, stream: Any) -> Iterator[tuple[int, VideoFrame]]:
    """(pts, frame) of every frame that decodes."""
    last, step = 0, 0
    for frame in _decoded(container, stream):
        try:
            pts = frame_pts(container, frame)
        except MediaError:
            if not step:
                raise
            pts = last + step  # the last frames of an AVI leave the decoder without a stamp
        last, step = pts, max(step, 1) if pts <= last else pts - last
        yield pts, frame


def _decoded(container: Any, stream: Any) -> Iterator[VideoFrame]:
    """Every frame that decodes, in display order; damaged packets are passed over, a broken container ends the film."""
    packets = container.demux(stream)
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


def small_picture(frame: VideoFrame, width: int, height: int) -> np.ndarray:
    """uint8 BGR (height, width, 3), both even. Colours as swscale's default: BT.601, range as the frame says."""
    bits = _planar_bits(frame)
    if bits is None:  # packed, paletted, RGB, grey: rare enough for the long way
        return frame.reformat(width, height, "bgr24", interpolation="FAST_BILINEAR").to_ndarray()
    planes = frame.planes  # once: each look makes them anew
    luma = _shrunk(planes[0], bits, width, height)
    blue, red = (_shrunk(plane, bits, width // 2, height // 2) for plane in planes[1:])
    if frame.format.name.startswith("yuvj") or frame.color_range == ColorRange.JPEG:
        chroma = cv2.resize(cv2.merge([red, blue]), (width, height), interpolation=cv2.INTER_LINEAR)
        return cv2.cvtColor(cv2.merge([luma, chroma]), cv2.COLOR_YCrCb2BGR)
    return cv2.cvtColorTwoPlane(luma, cv2.merge([blue, red]), cv2.COLOR_YUV2BGR_NV12)


def _planar_bits(frame: VideoFrame) -> int | None:
    """Bits a sample if the frame has planes Y, U, V of whole bytes in this machine's order, else None."""
    name = frame.format.name
    if not name.startswith(("yuv4", "yuvj4")) or name.endswith("be") or len(frame.format.components) != 3:
        return None
    return int(frame.format.components[0].bits)


def _shrunk(plane: VideoPlane, bits: int, width: int, height: int) -> np.ndarray:
    """One plane as uint8 (height, width)."""
    samples = np.frombuffer(memoryview(plane), dtype=np.uint8 if bits == 8 else np.uint16)
    rows = samples.reshape(plane.height, -1)[:, : plane.width]
    if plane.height > 2 * height:
        rows = rows[_middles(plane.height, height)]
    small = cv2.resize(rows, (width, height), interpolation=cv2.INTER_LINEAR)
    return small if bits == 8 else cv2.convertScaleAbs(small, alpha=2.0 ** (8 - bits))


@cache
def _middles(rows: int, count: int) -> np.ndarray:
    """Numbers of the rows in the middle of `count` equal parts."""
    return ((np.arange(count) + 0.5) * rows / count).astype(np.intp)
