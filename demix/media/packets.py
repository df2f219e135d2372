"""What the packets of a file say about time, and where their clocks jump; runs inside the sandbox's child."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import av
from av.container import InputContainer
from av.stream import Stream

from demix.media.completeness import Found
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits

JOINED = ("mpegts", "mpeg")
"""Containers that may be entered anywhere. Broadcasts, recorders and discs begin a new clock in the middle of a file,
and files of them are joined end to end."""
_BACK, _FORWARD = 0.5, 2.0
"""Seconds by which stamps go back, or on, where a new clock has begun. Decoding times of one clock never go back; what
goes on by more is a hole in the film, or other film."""
_BACK_ELSEWHERE = 1.0
"""Seconds by which stamps of other containers may go back."""


@dataclass(frozen=True)
class Jump:
    """A stream's first packet by a new clock."""

    position: int
    """Byte of the file, or of the part of it that was opened, with which it begins."""
    last: int
    """Byte with which the last packet by the clock before begins."""
    seconds: float
    """From the packet before to this one."""


@dataclass
class Times:
    """What the packets of one stream say about time, in ticks of its time base."""

    tick: float
    """Seconds."""
    may_jump: bool = False
    """Whether another clock may begin within the file."""
    pts: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    """Those of key frames."""
    end: int = -(1 << 62)
    packets: int = 0
    filled: int = 0
    """Packets with data."""
    position: int = 0
    """Byte with which the last packet begins."""
    jumps: list[Jump] = field(default_factory=list)
    _last_dts: int | None = None
    _first: int | None = None
    """Least pts by the present clock."""
    _before: int = 0
    """Ticks by the clocks before."""
    _least: int = 0
    _most: int = 0
    """Ticks from one dts to the next, beyond which the clock is another one."""

    def __post_init__(self) -> None:
        # A film has hundreds of thousands of packets: only integers are compared.
        back, forward = (_BACK, _FORWARD) if self.may_jump else (_BACK_ELSEWHERE, 1e15)
        self._least, self._most = -int(back / self.tick), int(forward / self.tick)

    @property
    def found(self) -> Found:
        return Found(self.filled, self.end if self.pts else None)

    @property
    def ticks(self) -> int:
        """How long the stream lasts, by all of its clocks."""
        return self._before + (0 if self._first is None else self.end - self._first)

    def add(self, packet: av.Packet) -> None:
        self.packets += 1
        self.filled += packet.size > 0
        if packet.has_sidedata("encryption_info"):
            raise encrypted("Common Encryption")
        before, self.position = self.position, self.position if packet.pos is None else packet.pos
        if packet.dts is not None:
            self._follow(packet, before)
            self._last_dts = packet.dts
        pts = packet.dts if packet.pts is None else packet.pts
        # Discarded packets lie outside of the edit list; empty ones repeat the frame before.
        if pts is None or packet.size == 0 or packet.is_discard:
            return
        self.pts.append(pts)
        if packet.is_keyframe:
            self.keys.append(pts)
        self._first = pts if self._first is None else min(self._first, pts)
        self.end = max(self.end, pts + (packet.duration or 0))

    def _follow(self, packet: av.Packet, before: int) -> None:
        if self._last_dts is None or packet.dts is None:
            return
        step = packet.dts - self._last_dts
        if self._least <= step <= self._most:
            return
        if not self.may_jump:
            raise MediaError("decode", f"the time stamps of stream {packet.stream_index} jump back")
        self.jumps.append(Jump(self.position, before, step * self.tick))
        self._before, self._first, self.end = self.ticks, None, -(1 << 62)


def demuxed(container: InputContainer, *streams: Stream) -> Iterator[av.Packet]:
    """The packets of some streams, and behind the last of each an empty one.

    Streams may appear while a broadcast is read. PyAV leaves them out, as it should, but then its list of streams ends
    before libav's: behind the last empty packet of those that it knows it may raise `IndexError`.
    """
    try:
        yield from container.demux(*streams)
    except IndexError:
        return


_STRIDES = (188, 192, 204)
"""Bytes from one packet of a transport stream to the next: plain, with a time code, with a checksum."""
_TABLES = 64
"""Packets of tables between two films at most."""
_FRAME = 8 << 20
"""Bytes that a frame may be spread over."""


def entry(file: BinaryIO, position: int, streams: Container[int]) -> int:
    """Where the tables begin that stand before the packet at `position` of a transport stream, if there are any: they
    belong to what follows. `streams` are the numbers of those that are no tables."""
    begin = max(0, position - _TABLES * max(_STRIDES))
    file.seek(begin)
    data = file.read(position - begin + 1)
    stride = next((stride for stride in _STRIDES if data[-1 - stride : -stride] == data[-1:] == b"\x47"), None)
    at = len(data) - 1
    while stride and at >= stride and data[at - stride] == 0x47:
        if (data[at - stride + 1] & 31) << 8 | data[at - stride + 2] in streams:
            break
        at -= stride
    return begin + at


def behind(file: BinaryIO, position: int, streams: Container[int]) -> int:
    """The byte behind the last packet of some streams of a transport stream, of which one begins at `position`, their
    last frame being no longer than `_FRAME`."""
    file.seek(position)
    data = file.read(_FRAME)
    stride = next((stride for stride in _STRIDES if data[stride : stride + 1] == b"\x47"), len(data))
    ends = [
        at + stride
        for at in range(0, len(data) - 2, stride)
        if (data[at + 1] & 31) << 8 | data[at + 2] in streams
    ]  # fmt: skip
    return position + max(ends, default=0)


def read_times(container: InputContainer, limits: MediaLimits) -> dict[int, Times]:
    """Times of every video and audio stream, by index. An error of the demuxer ends the file there."""
    streams: list[Any] = [*container.streams.video, *container.streams.audio]
    may_jump = container.format.name in JOINED
    times = {stream.index: Times(float(stream.time_base or 1), may_jump) for stream in streams}
    longest = {index: int(limits.max_seconds / known.tick) for index, known in times.items()}
    most = int(limits.max_seconds * limits.max_frame_rate)
    try:
        for packet in demuxed(container, *streams):
            if packet.dts is None and packet.size == 0:
                continue  # the end of the file
            known = times[packet.stream_index]
            known.add(packet)
            if known.ticks > longest[packet.stream_index]:
                within("seconds", known.ticks * known.tick, limits.max_seconds)
            within("packets", known.packets, most)
    except av.FFmpegError as error:
        if not any(known.pts for known in times.values()):
            raise MediaError("truncated", "no packet can be read", str(error)) from error
    return times


def encrypted(scheme: str) -> MediaError:
    """The refusal of a film that needs a key."""
    return MediaError("encrypted", f"the film is encrypted ({scheme}); decrypt it first", evidence={"scheme": scheme})


def within(what: str, value: float, limit: float) -> None:
    """Raises `MediaError("limits")` with the numbers where a value is beyond its limit."""
    if value > limit:
        raise MediaError("limits", f"{what}: {value:g} is beyond {limit:g}", evidence={what: value, "limit": limit})
