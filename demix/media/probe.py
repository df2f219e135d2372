"""What a source is, read from its packets: streams, times, rate, rotation and content hash, whatever its name says.

All of the file is read once for the hash and once packet by packet, in a sandboxed child; the first frame and a few
runs of others are decoded (see `demix.media.survey`). Headers are believed in nothing but what they promise and the
packets do not hold: that is a truncated file.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from math import ceil, floor
from pathlib import Path
from typing import Any

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from demix.media import sandbox
from demix.media.colour import MATRICES, PRIMARIES, TRANSFERS
from demix.media.completeness import Promise
from demix.media.container import Part, frame_pts, open_container
from demix.media.encryption import encryption
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.orientation import Orientation
from demix.media.packets import Times, behind, demuxed, encrypted, entry, read_times, within
from demix.media.parts import Window, joined, windows
from demix.media.survey import survey
from demix.media.tracks import TrackSettings, choose
from demix.records import AudioStream as AudioStreamRecord
from demix.records import Probe

_NO_FILM = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_FIRST_FRAME_PACKETS = 1000
"""Video packets within which a first frame must decode."""
_MOST_PARTS = 1000
"""Of one file; each costs a small part of a second, and what has more of them is damaged throughout."""


def probe(path: Path, limits: MediaLimits, tracks: TrackSettings | None = None) -> Probe:
    """The facts of the file at `path`; `tracks` says which track is its sound.

    Raises `MediaError` of any kind; `not_media`, `no_video` and `limits` (with evidence) say that the file is not
    wanted, the others that it is broken.
    """
    size = path.stat().st_size
    if size == 0:
        raise MediaError("not_media", "the file is empty", evidence={"bytes": 0})
    within("bytes", size, limits.max_bytes)
    settings = (tracks or TrackSettings()).model_dump(include=set(TrackSettings.model_fields))
    arguments = {"path": str(path.absolute()), "limits": limits.model_dump(), "tracks": settings}
    return Probe.model_validate(sandbox.call("demix.media.probe:read", arguments, limits, seconds=limits.probe_seconds))


# --- the child's side ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Look:
    """What the packets of a file, or of a part of it, tell."""

    video: int
    """Index of the pictures."""
    times: Times
    windows: list[Window]
    """Its parts; none where it has one clock."""
    facts: dict[str, Any]
    """Fields of a `Probe`."""


def read(path: str, limits: dict[str, Any], tracks: dict[str, Any] | None = None) -> dict[str, Any]:
    """The fields of a `Probe`; runs in the sandbox."""
    bounds, settings = MediaLimits(**limits), TrackSettings(**(tracks or {}))
    size = os.path.getsize(path)
    try:
        whole = _look(path, bounds, settings, Window((0, size), (0, size)), None)
        facts = _in_parts(path, bounds, settings, whole) if whole.windows else _facts(path, bounds, whole, None)
    except MediaError as error:
        if error.kind in ("no_video", "decode") and (scheme := encryption(path, "mpegts")):
            raise encrypted(scheme) from error
        raise
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        facts |= {"sha256": digest, "bytes": file.tell()}
    for part in facts.get("parts", ()):
        part |= {"sha256": digest, "bytes": facts["bytes"]}
    return facts


def _in_parts(path: str, limits: MediaLimits, tracks: TrackSettings, whole: _Look) -> dict[str, Any]:
    """The facts of a film of several clocks. Parts that are no film, such as two packets with damaged stamps, are left
    out, as long as there is one that is."""
    parts: list[dict[str, Any]] = []
    refused: MediaError | None = None
    waiting = list(whole.windows)
    for done in itertools.count():
        if not waiting:
            break
        within("parts", done, _MOST_PARTS)
        window = waiting.pop(0)
        place = (whole.facts["container"], *window.pictures)
        try:
            look = _look(path, limits, tracks, window, place)
            if look.windows:  # streams have other numbers there, and jump again
                waiting = look.windows + waiting
            else:
                sound = _sound_index(path, limits, look, place, (place[0], *window.sound))
                parts.append(_facts(path, limits, look, place) | {"stretch": {**asdict(window), "sound_index": sound}})
        except MediaError as error:
            print(f"the part at byte {window.pictures[0]} is left out: {error}")
            refused = refused or error
    if not parts and refused:
        raise refused
    if len(parts) == 1 and not whole.times.jumps:
        return _facts(path, limits, whole, None)
    return joined(parts)


def _sound_index(path: str, limits: MediaLimits, look: _Look, pictures: Part, sound: Part) -> int | None:
    """Index of a part's sound among the streams of its own bytes."""
    if look.facts["audio"] is None:
        return None
    with open_container(path, limits, pictures) as container:
        wanted = container.streams[look.facts["audio"]["index"]].id
    with open_container(path, limits, sound) as container:
        return next((stream.index for stream in container.streams.audio if stream.id == wanted), None)


def _look(path: str, limits: MediaLimits, tracks: TrackSettings, window: Window, part: Part | None) -> _Look:
    with open_container(path, limits, part) as container:
        # Of a multiplex some programmes may be scrambled and others not.
        if container.format.name != "mpegts" and part is None and (scheme := encryption(path, container.format.name)):
            raise encrypted(scheme)
        videos = _films(container, limits)
        promise = Promise.of(container)
        times = read_times(container, limits)
        promise.check(container, {index: known.found for index, known in times.items()})
        videos = [stream for stream in videos if len(times[stream.index].pts) > 1]
        if not videos:
            raise MediaError("no_video", "no stream of moving pictures", evidence=_counts(container))
        video = max(videos, key=_preference)
        sounds = [stream for stream in container.streams.audio if stream.codec_context and times[stream.index].pts]
        known = [AudioStreamRecord(**_audio_facts(stream, times[stream.index])) for stream in sounds]
        apart = [stream.index for stream in sounds if not _same_programme(container, stream, video)]
        audio, why = choose(known, apart, container.format.name, tracks)
        facts: dict[str, Any] = {
            "container": container.format.name,
            "streams": len(container.streams),
            "audio": audio and audio.model_dump(),
            "tracks": [track.model_dump() for track in known],
            "audio_choice": why,
        }
        if audio is not None and part is None and not times[video.index].jumps:
            _check_alone(times[audio.index], audio.index)
        heard = [] if audio is None else [audio.index]
        if container.format.name == "mpegts":
            numbers = {stream.id for stream in (*container.streams.video, *container.streams.audio)}
            last = window.pictures[0] + max(known.position for known in times.values())
            with open(path, "rb") as file:
                begin, rest = partial(entry, file, streams=numbers), behind(file, last, numbers)
                found = windows(times, video.index, heard, window, begin, rest)
        else:
            found = windows(times, video.index, heard, window)
        return _Look(video.index, times[video.index], found, facts)


def _check_alone(sound: Times, index: int) -> None:
    """Sound whose clock goes back while that of the pictures goes on belongs to no part of them."""
    if any(jump.seconds < -1 for jump in sound.jumps):
        raise MediaError("decode", f"the time stamps of stream {index} jump back, and those of the pictures do not")


def _facts(path: str, limits: MediaLimits, look: _Look, part: Part | None) -> dict[str, Any]:
    """The fields of a `Probe` of a film, or a part of one, that has one clock."""
    with open_container(path, limits, part) as container:
        video = _video_facts(container, look.video, look.times, limits)
    seconds = float((video["end_pts"] - video["start_pts"]) * Fraction(video["time_base"]))
    return look.facts | {"video": video, "seconds": seconds}


def _films(container: InputContainer, limits: MediaLimits) -> list[VideoStream]:
    """Streams of moving pictures that have a decoder; cover art and thumbnails are none."""
    within("streams", len(container.streams), limits.max_streams)
    videos = [stream for stream in container.streams.video if not stream.disposition & _NO_FILM]
    for stream in videos:
        if stream.codec_context:
            within("pixels", stream.codec_context.width * stream.codec_context.height, limits.max_pixels)
            within("side", max(stream.codec_context.width, stream.codec_context.height), limits.max_side)
    videos = [stream for stream in videos if stream.codec_context and stream.codec_context.width > 0]
    if not videos:
        raise MediaError("no_video", "no stream of moving pictures", evidence=_counts(container))
    return videos


def _preference(stream: VideoStream) -> tuple[bool, int, int]:
    return bool(stream.disposition & Disposition.default), stream.width * stream.height, -stream.index


def _same_programme(container: InputContainer, sound: AudioStream, video: VideoStream) -> bool:
    """Whether both are of one programme of a broadcast: libav then names the same best pictures for both."""
    return container.streams.best("video", related=sound) == container.streams.best("video", related=video)


def _video_facts(container: InputContainer, index: int, times: Times, limits: MediaLimits) -> dict[str, Any]:
    stream = container.streams[index]
    assert isinstance(stream, VideoStream)
    tick = Fraction(stream.time_base or 1)
    first = _first_frame(container, stream)
    within("pixels", first.width * first.height, limits.max_pixels)
    start = frame_pts(container, first)
    pts = sorted(times.pts)
    if container.format.name == "avi":
        # AVI stamps packets in decoding order; the same ticks in display order begin where the first frame is shown.
        shift = start - pts[0]
        pts, end = [value + shift for value in pts], times.end + shift
    else:
        # Pictures before the first that decodes (of a stream that begins in the middle of a group) are never shown.
        pts, end = [value for value in pts if value >= start], times.end
    span = pts[-1] - pts[0]
    if len(pts) < 2 or span <= 0:
        raise MediaError("no_video", "a single picture", evidence={"frames": len(pts)})
    mean = Fraction(span, len(pts) - 1)
    end = end if end > pts[-1] else pts[-1] + max(round(mean), 1)
    rate = 1 / (mean * tick)
    nominal = _nominal(rate, stream)
    # Both ends of the span may be rounded by half a tick: 240 a second in Matroska's milliseconds measure as 240.016.
    slowest = rate * span / (span + 1)
    within("frame_rate", float(min(nominal, slowest)), limits.max_frame_rate)
    _check_dense(float(max(nominal, rate * span / max(span - 1, 1))), len(pts), limits.min_frame_rate)
    _check_stretch(stream, first, limits)
    orientation = Orientation.of(first)
    seen = survey(container, stream, sorted(times.pts), times.keys)
    fields, first_field = seen.fields(nominal)
    width, height = orientation.shown_size(first.width, first.height, stream.sample_aspect_ratio)
    return {
        "index": index,
        "codec": stream.codec_context.codec.canonical_name,
        "width": width,
        "height": height,
        "stored_width": first.width,
        "stored_height": first.height,
        "rotation": orientation.rotation,
        "mirrored": orientation.mirrored,
        "pixel_format": first.format.name,
        "transfer": TRANSFERS.get(first.color_trc, ""),
        "primaries": PRIMARIES.get(first.color_primaries, ""),
        "matrix": MATRICES.get(first.colorspace, ""),
        "peak_nits": seen.peak,
        "fields": fields,
        "first_field": first_field,
        "time_base": str(tick),
        "start_pts": pts[0],
        "end_pts": end,
        "average_rate": str(nominal),
        "frames": len(pts),
        "variable_rate": _uneven(pts, mean),
    }


def _first_frame(container: InputContainer, stream: VideoStream) -> VideoFrame:
    for packets, packet in enumerate(demuxed(container, stream)):
        try:
            if frames := packet.decode():
                frame = frames[0]
                if isinstance(frame, VideoFrame):
                    return frame
        except av.FFmpegError:
            pass  # a damaged start: libav has told stderr, later packets may decode
        if packets > _FIRST_FRAME_PACKETS:
            break
    raise MediaError("decode", f"no frame of stream {stream.index} can be decoded")


def _check_stretch(stream: VideoStream, frame: VideoFrame, limits: MediaLimits) -> None:
    """Players widen pictures of wide pixels and heighten those of tall ones."""
    square = Fraction(1)
    shape = Fraction(stream.sample_aspect_ratio or square)
    longer = max(frame.width * max(shape, square), frame.height / min(shape, square))
    within("displayed_side", float(longer), max(limits.max_displayed_side, frame.width, frame.height))


def _nominal(rate: Fraction, stream: VideoStream) -> Fraction:
    """The header's or libav's guessed rate where the packets agree (their stamps may be rounded), else the measured."""
    stated = [known for known in (stream.guessed_rate, stream.average_rate) if known]
    near = [known for known in stated if abs(known / rate - 1) < 0.005]
    return min(near, key=lambda known: abs(known - rate)) if near else rate.limit_denominator(1001)


def _uneven(pts: Sequence[int], mean: Fraction) -> bool:
    """Whether some gap between frames is off the mean by more than 10 % and more than stamps are rounded."""
    tolerance = max(mean / 10, min(Fraction(1), mean / 2))
    fewest, most = ceil(mean - tolerance), floor(mean + tolerance)  # ticks are whole
    return any(not fewest <= after - before <= most for before, after in itertools.pairwise(pts))


def _audio_facts(stream: AudioStream, times: Times) -> dict[str, Any]:
    return {
        "index": stream.index,
        "codec": stream.codec_context.codec.canonical_name,
        "sample_rate": stream.codec_context.sample_rate,
        "channels": stream.codec_context.layout.nb_channels,
        "layout": stream.codec_context.layout.name,
        "time_base": str(Fraction(stream.time_base or 1)),
        "start_pts": min(times.pts),
        "end_pts": times.end,
        "channel_names": [channel.name for channel in stream.codec_context.layout.channels],
        "language": stream.metadata.get("language", ""),
        "title": stream.metadata.get("title", ""),
        "disposition": [name.name for name in Disposition if name in stream.disposition],
    }


def _counts(container: InputContainer) -> dict[str, float | int | str]:
    return {
        "video_streams": len(container.streams.video),
        "audio_streams": len(container.streams.audio),
        "format": container.format.name,
    }


def _check_dense(rate: float, frames: int, least: float) -> None:
    """Raises `MediaError("sparse")` for pictures that are too far apart, on average, to be a film."""
    if rate < least:
        evidence = {"frames_per_second": rate, "least": least, "frames": frames}
        raise MediaError("sparse", f"{rate:g} frames a second are less than {least:g}", evidence=evidence)
