"""Files of several clocks: joined recordings, broadcasts with something cut in, discs. Each clock's part is read as a
film of its own, and the parts follow one another on the film's time line.

A part is read through a window of bytes, so that whoever seeks in it cannot end in another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from demix.media.container import Part
from demix.records import Clip, Probe

if TYPE_CHECKING:
    from demix.media.packets import Jump, Times


@dataclass(frozen=True)
class Window:
    """Bytes of a file that are read as a film of its own, half open: of its pictures and of its sound."""

    pictures: tuple[int, int]
    sound: tuple[int, int]


_SAME_JUMP = 3
"""Seconds by which the jumps of pictures and of sound may differ, where one is behind the other."""
_LAG_SECONDS = 5
"""By which sound comes later in a file than the pictures that it belongs to, at most."""
_NEAR_BYTES = 32 << 20
"""Within which both are."""
_REST_BYTES = 64 << 10
"""A file goes on behind the last packet of its streams when it has more bytes than this."""


def windows(
    times: Mapping[int, Times],
    video: int,
    sounds: Sequence[int],
    whole: Window,
    entry: Callable[[int], int] = int,
    rest: int | None = None,
) -> list[Window]:
    """The parts of a file, or of a `whole` part of one, by the clock of its pictures: none where it has one clock only.

    Sound lags behind pictures in a broadcast, so that it changes its clock later in the file. `entry` says
    where a part begins whose first packet begins with a byte. Where streams have other numbers in the `rest` of the
    file, that is a part, too.
    """
    begin, end = whole.pictures
    others = [jump for index in sounds for jump in times[index].jumps]
    edges = []
    for jump in times[video].jumps:
        pictures, sound = entry(begin + jump.position), begin + _sound_jump(jump, others)
        edges.append((pictures, pictures if sound == begin + jump.position else sound))
    if rest is not None and end - rest > _REST_BYTES:
        edges.append((rest, rest))
    if not edges:
        return []
    edges = [(begin, whole.sound[0]), *edges, (end, whole.sound[1])]
    return [Window((before[0], behind[0]), (before[1], behind[1])) for before, behind in pairwise(edges)]


def _sound_jump(jump: Jump, others: Sequence[Jump]) -> int:
    """Where the sound follows a jump of the pictures: where it jumps as far, not far away, if there is sound by the
    wrong clock in between, else where these do."""
    alike = [
        other
        for other in others
        if abs(other.seconds - jump.seconds) < _SAME_JUMP and abs(other.position - jump.position) < _NEAR_BYTES
    ]
    near = min(alike, key=lambda other: abs(other.position - jump.position), default=jump)
    return jump.position if near.last < jump.position <= near.position else near.position


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of a film's `Probe` from those of its parts, to which it adds where they come."""
    main = max(parts, key=lambda part: part["seconds"])
    line = parts[0]["video"]["start_pts"]
    for part in parts:
        video = part["video"]
        part["stretch"]["shift"] = line - video["start_pts"]
        line += video["end_pts"] - video["start_pts"]
    video = main["video"] | {
        "start_pts": parts[0]["video"]["start_pts"],
        "end_pts": line,
        "frames": sum(part["video"]["frames"] for part in parts),
    }
    return main | {
        "seconds": sum(part["seconds"] for part in parts), "video": video, "parts": parts, "stretch": None
    }  # fmt: skip


def parts_of(probe: Probe) -> tuple[Probe, ...]:
    """A film's parts; one that has none is its own."""
    return probe.parts or (probe,)


def begin_of(part: Probe) -> int:
    """pts on the film's time line with which a part begins."""
    return part.video.start_pts + shift_of(part)


def shift_of(part: Probe) -> int:
    """Ticks from a part's stamps to the film's time line."""
    return part.stretch.shift if part.stretch else 0


def part_with(probe: Probe, clip: Clip) -> Probe:
    """The part of the film that a clip lies in."""
    parts = parts_of(probe)
    return next((part for part in reversed(parts) if begin_of(part) <= clip.start_pts), parts[0])


def within_part(probe: Probe, clip: Clip) -> tuple[Probe, Clip]:
    """The part of a film that a clip lies in, as it is read, and the clip by the part's own clock."""
    part = as_read(part_with(probe, clip))
    shift = shift_of(part)
    stamps = {"start_pts": clip.start_pts - shift, "end_pts": clip.end_pts - shift}
    return part, clip.model_copy(update=stamps)


def as_read(part: Probe) -> Probe:
    """A part with its sound numbered as where that is read: programme streams count streams as they come."""
    if part.stretch is None or part.audio is None:
        return part
    return part.model_copy(update={"audio": part.audio.model_copy(update={"index": part.stretch.sound_index})})


def pictures_of(part: Probe) -> Part | None:
    """Where the pictures of a part lie, as `open_container` takes it; None for a whole film."""
    return (part.container, *part.stretch.pictures) if part.stretch else None


def sound_of(part: Probe) -> Part | None:
    """The same of its sound."""
    return (part.container, *part.stretch.sound) if part.stretch else None


def sound_for(part: Probe, clip: Clip) -> tuple[Part | None, bool]:
    """Where the sound of a clip lies, and whether it can be sought by time. Seeking goes by the stamps of the pictures,
    which must not be those of the next part: so the very end of sound that lags behind is read from its beginning."""
    if part.stretch is None:
        return None, True
    first, behind = part.stretch.sound
    pictures = part.stretch.pictures[1]
    if behind <= pictures or clip.end < part.video.end_pts * Fraction(part.video.time_base) - _LAG_SECONDS:
        return (part.container, first, min(behind, pictures)), True
    return (part.container, first, behind), False
