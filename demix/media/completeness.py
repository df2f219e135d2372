"""Whether a file holds all of the packets that its header or its index promises.

A header's number of samples is not what a whole film has: an edit list shows a part of them, and an AVI counts the
frames that its writer dropped. So where a container has an index of its packets, that is the promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from demix.media.errors import MediaError

_ENOUGH = 0.98
"""Share of the promised packets, or of the promised time, from which a film counts as whole."""
_INDEXED = ("mov,mp4,m4a,3gp,3g2,mj2", "avi")
"""Containers whose index lists every packet that is to be read, if it is there when the file is opened."""


@dataclass(frozen=True)
class Found:
    """What was read of one stream."""

    packets: int
    """With data."""
    end: int | None
    """Tick after the last of them; None where none has a time."""


@dataclass(frozen=True)
class Promise:
    """What a freshly opened container says that it holds, before any packet is read: reading adds to its index."""

    indexed: Mapping[int, int]
    """Packets with data in the index, by stream."""

    @classmethod
    def of(cls, container: InputContainer) -> Promise:
        indexed = container.format.name in _INDEXED
        return cls({stream.index: _entries(stream) if indexed else 0 for stream in container.streams.video})

    def check(self, container: InputContainer, found: Mapping[int, Found]) -> None:
        """Raises `MediaError("truncated")` where the packets that were read are too few."""
        for stream in container.streams.video:
            self._check_stream(container, stream, found[stream.index])
        # Other containers estimate their length from the packets, or state it wrongly as a habit (flv).
        if container.format.name != "matroska,webm" or not container.duration:
            return
        seconds = (
            float(end * Fraction(stream.time_base or 1))
            for stream in (*container.streams.video, *container.streams.audio)
            if (end := found[stream.index].end) is not None
        )
        last, promised = max(seconds, default=0.0), container.duration / av.time_base
        if promised - last > max(1.0, 0.02 * promised):
            raise MediaError("truncated", f"{last:.2f} s found of {promised:.2f} s", evidence={"promised": promised})

    def _check_stream(self, container: InputContainer, stream: VideoStream, found: Found) -> None:
        indexed = self.indexed[stream.index]
        if indexed and indexed == _entries(stream):
            promised, got = indexed, found.packets
        else:  # reading has added to the index: there was none. An AVI's header counts dropped frames as well
            promised, got = stream.frames, (found.end or 0) if container.format.name == "avi" else found.packets
        if got < _ENOUGH * promised:
            evidence = {"frames_promised": promised, "frames_found": got}
            raise MediaError("truncated", f"stream {stream.index} ends too early: {evidence}", evidence=evidence)


def _entries(stream: VideoStream) -> int:
    return sum(entry.size > 0 for entry in stream.index_entries)
