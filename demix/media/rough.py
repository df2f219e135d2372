"""Decodes H.264 without smoothing block edges, and again with it wherever a cut may depend on that.

Smoothing is a quarter of the decoder's work. What is wrong without it spreads until the next key frame, where the
picture jumps back; key frames themselves are always smoothed. A jump may look like a cut, and hide one. So a group, the
frames from one key frame up to the next, is handed out only when every change in it and at its end is judged: plainly
no cut, plainly one, or in doubt. One doubt, and the whole group is decoded again, as it should be.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from demix.media.packets import SMOOTH, Small, decoded, packets_of, second_decoder

DRIFTING = ("h264",)
"""Codecs for which this pays: HEVC gains a tenth, and VP8 drifts so far that most groups are in doubt."""

ROUGH = {"skip_loop_filter": "nokey"}
"""Options of the decoder that the stream must have been given."""

_BESIDE = 2
"""Changes on each side that the detector compares a change with."""
_LEAST = 14.0
"""A change below this is no cut: the detector asks for 15, and roughness adds to changes."""
_RATIO = 2.0
"""Nor is one that is less than this many times the mean of those beside it; the detector asks for 3."""
_PLAIN = 25.0, 4.5
"""Change and ratio from which it is a cut, if the picture's structure changes too:"""
_ALIKE = 0.7
"""correlation below which it does; a jump back leaves it above .9."""

_MOST_BYTES = 64 << 20
"""Packets and pictures of a group; with a longer one, the rest of the film is smoothed."""
_TRIAL = 8
"""Groups after which it is asked whether roughness pays, again and again: not if more than a third were in doubt."""


def rough(container: Any, stream: Any, small: Small) -> Iterator[tuple[int, np.ndarray]]:
    """(pts, small picture) of every frame that decodes, in display order; for `DRIFTING` in `CONTAINERS`."""
    decoder, film = stream.codec_context, _Groups(stream, small)
    packets = packets_of(container, stream)
    for packet in packets:
        film.expect(packet)
        for frame in decoded(decoder, packet):
            yield from film.take(frame)
        if not film.pays():
            decoder = film.second
            break
    else:
        for frame in decoded(decoder, None):
            yield from film.take(frame)
        yield from film.end()
        return
    yield from film.smoothed()
    for packet in packets:
        yield from ((frame.pts, small(frame)) for frame in decoded(decoder, packet))
    yield from ((frame.pts, small(frame)) for frame in decoded(decoder, None))


@dataclass
class _Seen:
    pts: int
    picture: np.ndarray
    change: float
    """From the frame before: the adaptive detector's content score."""


class _Groups:
    """The frames of the first group that is not handed out yet, and what came after it."""

    def __init__(self, stream: Any, small: Small):
        self.second = second_decoder(stream, SMOOTH)
        self._small = small
        self._packets: deque[Any] = deque()
        """From the group's key frame on."""
        self._keys: set[int] = set()
        """pts of the key frames to come."""
        self._frames: list[_Seen] = []
        self._ends: deque[int] = deque()
        """Places of key frames among them, but the group's own."""
        self._bytes = 0
        self._hues: np.ndarray | None = None
        """The last frame as the detector compares it."""
        self._groups = self._doubts = 0

    def expect(self, packet: Any) -> None:
        self._packets.append(packet)
        self._bytes += packet.size
        if packet.is_keyframe:
            self._keys.add(packet.pts)

    def take(self, frame: Any) -> Iterator[tuple[int, np.ndarray]]:
        picture = self._small(frame)
        hues = cv2.cvtColor(picture, cv2.COLOR_BGR2HSV)
        change = 0.0 if self._hues is None else float(cv2.norm(self._hues, hues, cv2.NORM_L1)) / hues.size
        self._hues = hues
        if frame.pts in self._keys and self._frames:
            self._ends.append(len(self._frames))
        self._frames.append(_Seen(frame.pts, picture, change))
        self._bytes += picture.nbytes
        while self._ends and len(self._frames) > self._ends[0] + _BESIDE:
            yield from self._hand_out(self._ends.popleft())

    def end(self) -> Iterator[tuple[int, np.ndarray]]:
        """The rest, at the end of the film."""
        while self._ends:
            yield from self._hand_out(self._ends.popleft())
        yield from self._hand_out(len(self._frames))

    def pays(self) -> bool:
        """Whether to go on without smoothing."""
        often = self._groups >= _TRIAL and 3 * self._doubts > self._groups
        return not often and self._bytes <= _MOST_BYTES

    def smoothed(self) -> Iterator[tuple[int, np.ndarray]]:
        """Every frame so far that is not handed out, smoothed. `second` then stands where the first decoder stood."""
        self.second.flush_buffers()
        rest = {frame.pts: frame.picture for frame in self._frames}
        begin = self._frames[0].pts if self._frames else None
        for packet in self._packets:
            new = {frame.pts: self._small(frame) for frame in decoded(self.second, packet)}
            rest |= {pts: picture for pts, picture in new.items() if begin is None or pts >= begin}
        yield from sorted(rest.items(), key=lambda one: one[0])

    def _hand_out(self, end: int) -> Iterator[tuple[int, np.ndarray]]:
        """The group: the first `end` frames."""
        self._groups += 1
        group = {frame.pts: frame.picture for frame in self._frames[:end]}
        if any(self._doubtful(place) for place in range(1, min(end + 1, len(self._frames)))):
            self._doubts += 1
            group |= self._again(group)
        yield from group.items()
        self._bytes -= sum(picture.nbytes for picture in group.values())
        del self._frames[:end]
        self._ends = deque(place - end for place in self._ends)
        while self._frames and self._packets and self._packets[0].pts != self._frames[0].pts:
            packet = self._packets.popleft()
            self._bytes -= packet.size
            self._keys.discard(packet.pts)

    def _doubtful(self, place: int) -> bool:
        """Whether the change to the frame at `place` may or may not be a cut."""
        change = self._frames[place].change
        if change < _LEAST:
            return False
        around = range(max(0, place - _BESIDE), min(len(self._frames), place + _BESIDE + 1))
        beside = [self._frames[other].change for other in around if other != place]
        ratio = change * len(beside) / max(sum(beside), 1e-3)
        if ratio < _RATIO:
            return False
        if change < _PLAIN[0] or ratio < _PLAIN[1]:
            return True
        before, after = (self._frames[other].picture.ravel().astype(float) for other in (place - 1, place))
        return bool(np.corrcoef(before, after)[0, 1] > _ALIKE)

    def _again(self, group: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        """Those of a group's pictures that decode when they are decoded properly."""
        self.second.flush_buffers()
        found: dict[int, np.ndarray] = {}
        last = max(group)
        for packet in (*self._packets, None):  # the film's last frames come only when the decoder is emptied
            frames = decoded(self.second, packet)
            found |= {frame.pts: self._small(frame) for frame in frames if frame.pts in group}
            if any(frame.pts >= last for frame in frames):
                break
        return found
