"""A short video of a stranger, whole: every picture with its time, and the sound that belongs to them.

For scoring what other programs made, where nothing may be encoded anew. Decoded in a sandboxed child.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame

from demix.media import sandbox
from demix.media.audio import resample
from demix.media.colour import as_bt709
from demix.media.container import Part, frame_pts, open_container
from demix.media.errors import MediaError
from demix.media.layouts import GAINS, gains, sides, within_full_scale
from demix.media.limits import MediaLimits
from demix.media.orientation import Orientation
from demix.media.packets import demuxed
from demix.media.parts import as_read, begin_of, parts_of, pictures_of, shift_of, sound_of
from demix.media.probe import read as read_facts
from demix.media.sound import Timeline
from demix.records import AudioStream, Probe

_FACTS, _PICTURE, _SOUND = b"F", b"P", b"S"
_HEAD = struct.Struct("<cqi")
"""What a record is, when it comes, and the index of its stream. Pictures count ticks of the film's time line, sound
counts samples from the first picture on."""


@dataclass(frozen=True)
class Whole:
    probe: Probe
    pictures: np.ndarray
    """uint8 RGB (frames, height, width, 3), upright and with square pixels."""
    times: np.ndarray
    """Seconds of each picture after the first, float64 (frames,), ascending."""
    wave: np.ndarray | None
    """float32 (1 or 2, samples), downmixed as the builder does it, beginning with the first picture and ending with the
    last at the latest; None where the file has no sound."""
    sample_rate: int


def read_whole(path: Path, limits: MediaLimits, max_seconds: float) -> Whole:
    """The first `max_seconds` of the video at `path`. Raises `MediaError`, as `probe` does too."""
    arguments = {"path": str(path.absolute()), "limits": limits.model_dump(), "max_seconds": max_seconds}
    records = sandbox.stream("demix.media.whole:read", arguments, limits, seconds=limits.scan_seconds)
    probe = Probe.model_validate_json(bytes(next(records)[_HEAD.size :]))
    video = probe.video
    tick = Fraction(video.time_base)
    pictures, times = [], []
    sounds: dict[int, Timeline] = {}
    for record in records:
        kind, when, index = _HEAD.unpack_from(record)
        data = memoryview(record)[_HEAD.size :]
        if kind == _PICTURE:
            pictures.append(np.frombuffer(data, np.uint8).reshape(video.height, video.width, 3))
            times.append(float((when - video.start_pts) * tick))
        elif probe.audio is not None:
            track = sounds.setdefault(index, Timeline(probe.audio.sample_rate))
            track.add(when, np.frombuffer(data, np.float32).reshape(3, -1))
    if not pictures:
        raise MediaError("decode", f"{path}: no frame can be decoded")
    seconds = float((_end(probe, max_seconds) - video.start_pts) * tick)
    return Whole(probe, np.stack(pictures), np.array(times), *_placed(sounds, probe, seconds))


def _end(probe: Probe, max_seconds: float) -> int:
    """Where reading stops, in ticks of the pictures."""
    video = probe.video
    return min(video.end_pts, video.start_pts + round(max_seconds / Fraction(video.time_base)))


def _placed(sounds: Mapping[int, Timeline], probe: Probe, seconds: float) -> tuple[np.ndarray | None, int]:
    """The decoded sound on the pictures' clock: cut or padded with silence at its beginning, cut at `seconds`."""
    if probe.audio is None or not sounds:
        return None, 0
    rate = probe.audio.sample_rate
    length = min(max(track.end for track in sounds.values()), round(seconds * rate))
    slots = np.zeros((3, max(length, 0)), np.float32)
    for track in sounds.values():
        track.place(slots)
    wave = sides(slots, min(probe.audio.channels, 2))
    return (within_full_scale(wave)[0] if probe.audio.channels > 2 else wave), rate


# --- the child's side ------------------------------------------------------------------------------------------------


def read(path: str, limits: dict[str, Any], max_seconds: float) -> Iterator[tuple[bytes, bytes | np.ndarray]]:
    """Records: the facts, then pictures and sound in the file's order; runs in the sandbox."""
    facts = Probe.model_validate(read_facts(path, limits))
    yield _HEAD.pack(_FACTS, 0, 0), facts.model_dump_json().encode()
    bounds, end = MediaLimits(**limits), _end(facts, max_seconds)
    for part in map(as_read, parts_of(facts)):
        audio = part.audio if facts.audio else None
        heard = (audio.joined or (audio.index,)) if audio else ()
        if part.stretch is None:
            yield from _records(path, bounds, None, (part.video.index, *heard), part, facts, end)
        elif begin_of(part) < end:
            yield from _records(path, bounds, pictures_of(part), (part.video.index,), part, facts, end)
            yield from _records(path, bounds, sound_of(part), heard, part, facts, end)


def _records(
    path: str, limits: MediaLimits, place: Part | None, indices: Sequence[int], part: Probe, facts: Probe, end: int
) -> Iterator[tuple[bytes, bytes | np.ndarray]]:
    """Those of some streams of a part of the film `facts`, up to the tick `end` of its time line."""
    shift, tick = shift_of(part), Fraction(facts.video.time_base)
    with open_container(path, limits, place) as container:
        for packet, frame in _decoded(container, [container.streams[index] for index in indices]):
            index = packet.stream_index
            if isinstance(frame, VideoFrame):
                pts = frame_pts(container, frame)
                if part.video.start_pts <= pts < min(part.video.end_pts, end - shift):
                    yield _HEAD.pack(_PICTURE, pts + shift, index), _upright(frame, facts, part)
            elif part.audio is not None and facts.audio is not None and frame.pts is not None:
                when = frame.pts * packet.time_base + shift * tick
                if when < end * tick:
                    rate = facts.audio.sample_rate
                    start = round((when - facts.video.start_pts * tick) * rate)
                    yield _HEAD.pack(_SOUND, start, index), _slots(frame, part.audio, index, rate)


def _decoded(container: InputContainer, streams: list[Any]) -> Iterator[tuple[av.Packet, Any]]:
    for packet in demuxed(container, *streams):
        for frame in packet.decode():
            yield packet, frame


def _slots(frame: av.AudioFrame, audio: AudioStream, index: int, rate: int) -> np.ndarray:
    """Left, right and centre of a frame, float32 (3, samples), at the rate that the film's sound has as a rule."""
    names = [channel.name for channel in frame.layout.channels]
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, len(names)).T
    if samples.dtype == np.uint8:
        samples = samples.astype(np.int16) - 128 << 8
    scale = 1.0 if samples.dtype.kind == "f" else -float(np.iinfo(samples.dtype).min)
    wave = (samples / scale).astype(np.float32)
    placed = [GAINS[audio.channel_names[audio.joined.index(index)]]] if audio.joined else gains(names)
    return resample(np.array(placed, np.float32).T @ wave, frame.sample_rate, rate)


def _upright(frame: VideoFrame, facts: Probe, part: Probe) -> np.ndarray:
    """As a player shows it, uint8 RGB, of the film's size."""
    orientation = Orientation(part.video.mirrored, part.video.rotation)
    size = facts.video.width, facts.video.height
    stored = size[::-1] if orientation.sideways else size
    picture = as_bt709(frame, *stored, part.video.peak_nits)
    # Rows of a frame may be padded: without the copy the array is a view with gaps.
    return np.ascontiguousarray(orientation.upright(picture))
