"""Decodes a film without most of the pictures that no other refers to, and goes back for those that may hide a cut.

Packets are gathered into groups that begin with a key frame. Near a key frame, where encoders put cuts, everything is
decoded; elsewhere pictures that nothing refers to are passed over. Two decoded neighbours that differ much more than
the pairs beside them may have a cut between: a second decoder takes the group up to there again, this time whole. All
other missing pictures are blended from their neighbours, so that the reader gets every frame at its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame

CODECS = ("h264", "hevc", "mpeg1video", "mpeg2video", "mpeg4")
"""Codecs whose decoders can pass over single pictures."""

CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Containers in which every packet is one picture and has its time."""

_NEAR = 4
"""Frames before and after a key frame that are always decoded: the detector compares a cut with its neighbours."""
_LONGEST = 300
"""Packets of a group; what follows up to the next key frame is decoded whole, so that memory stays small."""
_LEAST = 10.0
"""Content change between two decoded frames from which a cut may be between them; a cut alone makes 15."""
_RATIO = 1.3
"""How many times the largest change of the pairs beside it that must be: a cut stands out by 3 over single frames."""
_BESIDE = 2
"""Pairs on each side that it is compared with."""
_MARGIN = 3
"""Frames beside a suspicious gap that are decoded too: the detector compares with them."""
_HELD = 8
"""Frames whose small pictures are made in a row: after each of its frames the decoder has filled the processor's caches
anew, and this code is slow once."""
_HELD_PIXELS = 40 << 20
"""Of frames that wait for it."""

Small = Callable[[Sequence[VideoFrame]], np.ndarray]
"""Small pictures of some frames."""


def enough(held: int, frame: VideoFrame) -> bool:
    """Whether small pictures should now be made of frames like this one, of which so many wait for it."""
    return held >= _HELD or held * frame.width * frame.height > _HELD_PIXELS


@dataclass
class _Group:
    packets: list[Any] = field(default_factory=list)
    skipped: set[int] = field(default_factory=set)
    """pts of the packets that the decoder was allowed to pass over."""
    last: int = 0
    """Largest pts."""


def skipping(packets: Iterator[Any], stream: Any, small: Small) -> Iterator[tuple[int, np.ndarray]]:
    """(pts, small picture) of every frame in display order, some of them blended.

    Only for `CODECS` in `CONTAINERS`, with one decoding thread: each packet must be decoded under its own rule."""
    reader = _Reader(stream, small)
    group = _Group()
    for packet in _whole(packets):
        if group.packets and (packet.is_keyframe or len(group.packets) >= _LONGEST):
            yield from reader.take(group)
            group = _Group()
        group.packets.append(packet)
    if group.packets:
        yield from reader.take(group)
    yield from reader.end()


def _whole(packets: Iterator[Any]) -> Iterator[Any]:
    """Packets that hold a picture; a broken container ends the film."""
    try:
        for packet in packets:
            if packet.size > 0 and packet.pts is not None:
                yield packet
    except av.FFmpegError as error:
        print(f"the container breaks off: {error}")  # the sandbox keeps it with libav's own words


class _Reader:
    """Decodes groups one after another; a group is finished once the decoder has put out its last frame."""

    def __init__(self, stream: Any, small: Small):
        self._scout = stream.codec_context
        self._stream = stream
        self._small = small
        self._second: Any = None
        self._waiting: list[_Group] = []
        self._known: dict[int, np.ndarray] = {}
        self._held: list[tuple[int, VideoFrame]] = []
        """Decoded, their small pictures not made yet."""
        self._shown = -(1 << 62)
        self._before: tuple[int, np.ndarray] | None = None
        """The last frame handed out, for the first gap of the next group."""

    def take(self, group: _Group) -> Iterator[tuple[int, np.ndarray]]:
        times = sorted(packet.pts for packet in group.packets)
        group.last = times[-1]
        whole = set(times[:_NEAR] + times[-_NEAR:]) if group.packets[0].is_keyframe else set(times)
        whole |= {pts for pts in times if pts < group.packets[0].pts}
        for packet in group.packets:
            # What an edit list leaves out is not shown, but others may refer to it.
            skip = packet.pts not in whole and not packet.is_discard
            self._scout.skip_frame = "NONREF" if skip else "DEFAULT"
            if skip:
                group.skipped.add(packet.pts)
            self._keep(self._decode(self._scout, packet))
        self._waiting.append(group)
        while self._waiting and self._shown >= self._waiting[0].last:
            yield from self._finish(self._waiting.pop(0))

    def end(self) -> Iterator[tuple[int, np.ndarray]]:
        self._keep(self._decode(self._scout, None))
        for group in self._waiting:
            yield from self._finish(group)

    def _keep(self, frames: list[VideoFrame]) -> None:
        for frame in frames:
            if frame.pts is not None:
                self._held.append((frame.pts, frame))
                self._shown = max(self._shown, frame.pts)
                if enough(len(self._held), frame):
                    self._see()

    def _see(self) -> None:
        if self._held:
            times, frames = zip(*self._held, strict=True)
            self._known.update(zip(times, self._small(frames), strict=True))
            self._held.clear()

    @staticmethod
    def _decode(context: Any, packet: Any) -> list[VideoFrame]:
        try:
            return list(context.decode(packet))
        except av.FFmpegError:
            return []  # libav has told stderr

    def _finish(self, group: _Group) -> Iterator[tuple[int, np.ndarray]]:
        self._see()
        missing = {pts for pts in group.skipped if pts not in self._known}
        times = sorted(missing | {pts for pts in self._known if pts <= group.last})
        wanted = self._suspicious(times) & missing
        if wanted:
            self._go_back(group, wanted)
        yield from self._filled(times)
        for pts in times:
            self._known.pop(pts, None)

    def _suspicious(self, times: list[int]) -> set[int]:
        """pts of the frames in and around the gaps that may hide a cut."""
        known = [place for place, pts in enumerate(times) if pts in self._known]
        change = [_content(self._known[times[a]], self._known[times[b]]) for a, b in pairwise(known)]
        found: set[int] = set()
        for place, (first, second) in enumerate(pairwise(known)):
            if second - first == 1 or change[place] < _LEAST:
                continue
            beside = change[max(0, place - _BESIDE) : place] + change[place + 1 : place + 1 + _BESIDE]
            if change[place] >= _RATIO * max(beside, default=0.0):
                found.update(times[max(0, first - _MARGIN) : second + _MARGIN + 1])
        return found

    def _go_back(self, group: _Group, wanted: set[int]) -> None:
        """Decodes the group again as far as the wanted frames need it."""
        if self._second is None:
            self._second = av.CodecContext.create(self._stream.codec_context.codec.name, "r")
            self._second.extradata = self._stream.codec_context.extradata
            self._second.options = dict(self._stream.codec_context.options)
            self._second.thread_type, self._second.thread_count = "NONE", 1
        left = set(wanted)
        for packet in group.packets:
            if packet.pts < group.packets[0].pts:
                continue  # it leans on the group before, and was decoded with it
            self._second.skip_frame = "DEFAULT" if packet.pts in wanted else "NONREF"
            self._keep_only(wanted, self._decode(self._second, packet))
            left.discard(packet.pts)
            if not left:
                break
        self._keep_only(wanted, self._decode(self._second, None))
        self._second.flush_buffers()

    def _keep_only(self, wanted: set[int], frames: list[VideoFrame]) -> None:
        for frame in frames:
            if frame.pts in wanted:
                self._known[frame.pts] = self._small([frame])[0]

    def _filled(self, times: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Every frame of a group; a gap is blended from one known frame to the next, by time."""
        gap: list[int] = []
        for pts in times:
            if pts not in self._known:
                gap.append(pts)
                continue
            picture = self._known[pts]
            for late in gap:
                yield late, _blend(self._before, (pts, picture), late)
            gap = []
            yield pts, picture
            self._before = (pts, picture)
        # At the end of a damaged film the last known frame stays.
        yield from ((late, self._before[1]) for late in gap if self._before is not None)


def _blend(before: tuple[int, np.ndarray] | None, after: tuple[int, np.ndarray], pts: int) -> np.ndarray:
    if before is None:
        return after[1]
    share = (pts - before[0]) / (after[0] - before[0])
    return cv2.addWeighted(before[1], 1 - share, after[1], share, 0)


def _content(before: np.ndarray, after: np.ndarray) -> float:
    """The adaptive detector's content score: mean change of hue, saturation and value."""
    hues = [cv2.cvtColor(picture, cv2.COLOR_BGR2HSV) for picture in (before, after)]
    return float(cv2.norm(hues[0], hues[1], cv2.NORM_L1)) / before.size
