"""A short video of a stranger, whole: every picture with its time, and the sound that belongs to them.

For scoring what other programs made, where nothing may be encoded anew. Decoded in a sandboxed child.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame

from demix.media import sandbox
from demix.media.container import frame_pts, open_container
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.orientation import Orientation
from demix.media.probe import read as read_facts
from demix.records import Probe

_FACTS, _PICTURE, _SOUND = b"F", b"P", b"S"
_HEAD = struct.Struct("<cq")


@dataclass(frozen=True)
class Whole:
    probe: Probe
    pictures: np.ndarray
    """uint8 RGB (frames, height, width, 3), upright and with square pixels."""
    times: np.ndarray
    """Seconds of each picture after the first, float64 (frames,), ascending."""
    wave: np.ndarray | None
    """float32 (channels, samples), beginning with the first picture and ending with the last at the latest; None where
    the file has no sound."""
    sample_rate: int


def read_whole(path: Path, limits: MediaLimits, max_seconds: float) -> Whole:
    """The first `max_seconds` of the video at `path`. Raises `MediaError`, as `probe` does too."""
    arguments = {"path": str(path.absolute()), "limits": limits.model_dump(), "max_seconds": max_seconds}
    records = sandbox.stream("demix.media.whole:read", arguments, limits, seconds=limits.scan_seconds)
    probe = Probe.model_validate_json(bytes(next(records)[_HEAD.size :]))
    video = probe.video
    tick = Fraction(video.time_base)
    pictures, times, sounds = [], [], []
    for record in records:
        kind, pts = _HEAD.unpack_from(record)
        data = memoryview(record)[_HEAD.size :]
        if kind == _PICTURE:
            pictures.append(np.frombuffer(data, np.uint8).reshape(video.height, video.width, 3))
            times.append(float((pts - video.start_pts) * tick))
        else:
            sounds.append((pts, np.frombuffer(data, np.float32)))
    if not pictures:
        raise MediaError("decode", f"{path}: no frame can be decoded")
    seconds = float((_end(probe, max_seconds) - video.start_pts) * tick)
    return Whole(probe, np.stack(pictures), np.array(times), *_placed(sounds, probe, seconds))


def _end(probe: Probe, max_seconds: float) -> int:
    """Where reading stops, in ticks of the pictures."""
    video = probe.video
    return min(video.end_pts, video.start_pts + round(max_seconds / Fraction(video.time_base)))


def _placed(sounds: list[tuple[int, np.ndarray]], probe: Probe, seconds: float) -> tuple[np.ndarray | None, int]:
    """The decoded sound on the pictures' clock: cut or padded with silence at its beginning, cut at `seconds`."""
    if probe.audio is None or not sounds:
        return None, 0
    rate, channels = probe.audio.sample_rate, probe.audio.channels
    start = sounds[0][0] * Fraction(probe.audio.time_base)
    late = round((start - probe.video.start_pts * Fraction(probe.video.time_base)) * rate)
    wave = np.concatenate([samples.reshape(-1, channels) for _, samples in sounds]).T
    wave = wave[:, -late:] if late < 0 else np.pad(wave, ((0, 0), (late, 0)))
    return np.ascontiguousarray(wave[:, : round(seconds * rate)]), rate


# --- the child's side ------------------------------------------------------------------------------------------------


def read(path: str, limits: dict[str, Any], max_seconds: float) -> Iterator[tuple[bytes, bytes | np.ndarray]]:
    """Records: the facts, then pictures and sound in the file's order; runs in the sandbox."""
    facts = Probe.model_validate(read_facts(path, limits))
    yield _HEAD.pack(_FACTS, 0), facts.model_dump_json().encode()
    audio, end = facts.audio, _end(facts, max_seconds)
    with open_container(path, MediaLimits(**limits)) as container:
        streams = [container.streams[facts.video.index]]
        if audio is not None:
            streams.append(container.streams[audio.index])
            audio_end = int(end * Fraction(facts.video.time_base) / Fraction(audio.time_base))
            resampler = av.AudioResampler("flt", audio.layout, audio.sample_rate)
        for frame in container.decode(streams):
            if isinstance(frame, VideoFrame):
                pts = frame_pts(container, frame)
                if facts.video.start_pts <= pts < end:
                    yield _HEAD.pack(_PICTURE, pts), _upright(frame, facts)
            elif audio is not None and frame.pts is not None and frame.pts < audio_end:
                pts = frame.pts
                for part in resampler.resample(frame):
                    yield _HEAD.pack(_SOUND, pts), np.ascontiguousarray(part.to_ndarray())


def _upright(frame: VideoFrame, facts: Probe) -> np.ndarray:
    orientation = Orientation(facts.video.mirrored, facts.video.rotation)
    size = facts.video.width, facts.video.height
    picture = frame.reformat(*(size[::-1] if orientation.sideways else size), format="rgb24").to_ndarray()
    # Rows of a frame may be padded: without the copy the array is a view with gaps.
    return np.ascontiguousarray(orientation.upright(picture))
