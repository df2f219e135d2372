"""What pictures of a film tell that its header does not, or states wrongly: fields and brightness.

A few short runs of frames are decoded, spread over the film and begun at key frames, and longer ones where one of these
is combed or a flag speaks of fields. Runs in the sandbox's child.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import groupby
from typing import Any

import av
import cv2
import numpy as np
from av.container import InputContainer
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from demix.media.colour import HDR, highlights

_SCOUT, _RUN = 4, 12
"""Frames of a run: so many of telecined film hold a combed one; two of its cycles, and what a filter needs to begin."""
_RUNS = (2, 24)
"""Fewest and most."""
_SHARE = {_SCOUT: 50, _RUN: 25}
"""One frame of so many is decoded, in films that are long enough."""
_OFTEN_FIELDS = ("mpeg2video", "dvvideo")
"""Codecs of discs, broadcasts and tape."""
_WIDTH = 480
"""Pixels of a line, at least, in which combs are looked for."""
_BLOCK = 16
"""Pixels of a side of the blocks in which combs are looked for."""
_COMB_STEP, _COMB_RATIO = 5.0, 1.4
"""Neighbouring lines of a combed block differ by more grey levels than this, and by this factor more than lines of the
same field do."""
_COMBED = 1e-4
"""Share of combed blocks over all frames from which a film has fields. Progressive film has none, whatever moves."""
_BY_FIELDS, _ONE_ORDER = 0.3, 0.85
"""Share of the frames with motion whose fields are of two moments, and of those the share with the same order."""
_REPEATED = 0.12
"""Share of frames that repeat a field, from which a film is telecined: it is 0.4 where everything moves."""
_TELECINED = (Fraction(29), Fraction(31))
"""Frame rates of telecined film."""


@dataclass
class Survey:
    """What was seen so far."""

    orders: Counter[str] = field(default_factory=Counter)
    """idet's verdicts on frames: tff, bff, progressive, undetermined."""
    repeats: int = 0
    frames: int = 0
    combs: list[float] = field(default_factory=list)
    """Share of combed blocks of each frame."""
    peak: float = 0.0
    """cd/m2 of the brightest highlights."""

    def fields(self, rate: Fraction) -> tuple[str, str]:
        """("progressive", ""), or ("interlaced" or "telecined", "top" or "bottom", the field that is shown first)."""
        top, bottom = self.orders["tff"], self.orders["bff"]
        moving = top + bottom + self.orders["progressive"]
        mixed = moving and (top + bottom) / moving >= _BY_FIELDS and max(top, bottom) >= _ONE_ORDER * (top + bottom)
        if not mixed or float(np.mean(self.combs)) < _COMBED:
            return "progressive", ""
        telecined = _TELECINED[0] < rate < _TELECINED[1] and self.repeats >= _REPEATED * self.frames
        return "telecined" if telecined else "interlaced", "top" if top > bottom else "bottom"


def survey(container: InputContainer, stream: VideoStream, times: Sequence[int], keys: Sequence[int]) -> Survey:
    """Looks at frames of `stream`. `times` are the pts of all frames, ascending, `keys` those of key frames."""
    seen = Survey()
    hinted = stream.codec_context.codec.canonical_name in _OFTEN_FIELDS
    for run in _runs(container, stream, times, keys, _SCOUT):
        hinted = hinted or any(frame.interlaced_frame for frame in run)
        seen.combs += [combed_share(luma_of(frame)) for frame in run]
        if (transfer := run[0].color_trc) in (16, 18):
            seen.peak = max(seen.peak, highlights(run[0], HDR[transfer == 18]))
    if hinted or any(seen.combs):
        seen.combs.clear()
        for run in _runs(container, stream, times, keys, _RUN):
            _look(seen, stream, run)
    return seen


def _runs(
    container: InputContainer, stream: VideoStream, times: Sequence[int], keys: Sequence[int], length: int
) -> Iterator[list[VideoFrame]]:
    """Runs of neighbouring frames. From one key frame no more is decoded than its share of the frames allowed."""
    allowed = max(2 * _RUNS[0] * length, len(times) // _SHARE[length])
    count = min(max(allowed // (2 * length), _RUNS[0]), _RUNS[1])
    wanted = [times[(2 * number + 1) * len(times) // (2 * count)] for number in range(count)]
    starts = sorted({*keys, times[0]})
    for key, targets in groupby(wanted, key=lambda pts: starts[max(bisect_right(starts, pts) - 1, 0)]):
        yield from _runs_from(container, stream, key, list(targets), allowed // count, length)


def _runs_from(
    container: InputContainer, stream: VideoStream, key: int, targets: list[int], allowed: int, length: int
) -> Iterator[list[VideoFrame]]:
    left = allowed * len(targets)
    run: list[VideoFrame] = []
    try:
        container.seek(key, stream=stream, backward=True)
        for frame in container.decode(stream):
            left -= 1
            # Where the target is out of reach the last frames that may be decoded do as well.
            if run or frame.pts is None or frame.pts >= targets[0] or left < length * len(targets):
                run.append(frame)
            if len(run) == length:
                yield run
                run, targets = [], targets[1:]
            if not targets or left <= 0:
                return
    except av.FFmpegError as error:
        print(f"a sample is left out: {error}")  # the sandbox keeps it with libav's own words
    if run:
        yield run


def _look(seen: Survey, stream: VideoStream, run: Sequence[VideoFrame]) -> None:
    for judged in _judged(stream, run):
        verdict, repeated = (judged.get(f"lavfi.idet.{kind}.current_frame", "") for kind in ("single", "repeated"))
        seen.orders[verdict] += 1
        seen.repeats += repeated in ("top", "bottom")
        seen.frames += 1
    seen.combs += [combed_share(luma_of(frame)) for frame in run]


def _judged(stream: VideoStream, run: Sequence[VideoFrame]) -> Iterator[dict[str, Any]]:
    """What libav's `idet` says of the frames of a run, but for the first."""
    graph = Graph()
    source, judge, sink = graph.add_buffer(template=stream), graph.add("idet"), graph.add("buffersink")
    source.link_to(judge)
    judge.link_to(sink)
    graph.configure()
    first = run[0].width, run[0].height, run[0].format.name
    for frame in run:
        if (frame.width, frame.height, frame.format.name) != first:
            return
        graph.push(frame)
        try:
            yield dict(graph.pull().metadata)
        except (av.error.BlockingIOError, av.error.EOFError):
            continue


def luma_of(frame: VideoFrame) -> np.ndarray:
    """uint8 (height, width) of a frame as stored."""
    plane = frame.planes[0]
    if frame.format.components[0].bits == 8 and frame.format.name.startswith(("yuv4", "yuvj4", "nv", "gray")):
        return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : frame.width]
    return frame.to_ndarray(format="gray")


def combed_share(luma: np.ndarray) -> float:
    """Share of the blocks of a picture whose neighbouring lines show different moments."""
    if min(luma.shape) < 2 * _BLOCK:
        return 0.0
    luma = np.ascontiguousarray(luma[:, :: max(1, luma.shape[1] // _WIDTH)])
    size = luma.shape[1] // _BLOCK, luma.shape[0] // _BLOCK
    other, same = cv2.absdiff(luma[:-2], luma[1:-1]), cv2.absdiff(luma[:-2], luma[2:])
    steps = [cv2.resize(lines, size, interpolation=cv2.INTER_AREA).astype(np.float32) for lines in (other, same)]
    return float(((steps[0] > _COMB_STEP) & (steps[0] > _COMB_RATIO * steps[1])).mean())
