"""What a detector measures of the frames of a film, and how the measures of its spans become those of the whole film.

Two neighbouring spans overlap: the earlier one goes on for some seconds beyond the key frame with which the later one
begins. They are joined behind frames on which both agree, times and pictures, and only if they agree on all that follow
in the overlap: then the later decoder has found to the state of the earlier one, whatever lies before the key frame.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from hashlib import blake2b
from itertools import pairwise

import numpy as np

from demix.media.bars import NO_LOOKS
from demix.media.scan import BEGINNING, END
from demix.models.shots.flashes import REACH

SETTLING = 16
"""Frames behind a key frame within which a decoder that began there must have come to give the right pictures."""


class NotJoined(Exception):
    """Spans that do not make one film; says why."""


def _none() -> np.ndarray:
    return np.zeros(0)


@dataclass(frozen=True)
class Measured:
    """Consecutive frames, as a detector measures them. What it has no use for, or is switched off, is empty."""

    pts: np.ndarray
    """int64 (frames,), ascending."""
    scores: np.ndarray = field(default_factory=_none)
    """float64 (frames,): content changes; of the first frame 0, since what is before it was not seen."""
    alike: np.ndarray = field(default_factory=_none)
    change: np.ndarray = field(default_factory=_none)
    """float64 (frames,) both; see `StructureJudge.seen`."""
    returns: np.ndarray = field(default_factory=lambda: np.zeros((0, 1 + REACH), np.float32))
    """See `demix.models.shots.flashes.Returns.seen`."""
    contrast: np.ndarray = field(default_factory=_none)
    hits: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    """See `demix.models.shots.gradual.Looked`."""
    likely: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    """float32 (frames, 2): what TransNetV2 answers, which has none of the others; not a number where it was not asked,
    at the beginning of a span."""


@dataclass(frozen=True)
class SpanMeasured:
    """A span of a film: from the key frame `begin` to `end`, with which the next span begins, and some frames more."""

    measured: Measured
    begin: int
    end: int
    """pts; `BEGINNING` and `END` where the film begins and ends."""
    first: int
    """Number of the first frame in the film, as supposed when it was measured."""
    prints: np.ndarray
    """uint64 (frames,): what stands for the picture near the span's two ends, else 0."""
    looks: np.ndarray = field(default_factory=lambda: NO_LOOKS)
    """What was seen of black bars; see `demix.media.bars.bars_of`."""

    def __bool__(self) -> bool:
        return len(self.measured.pts) > 0

    def to_bytes(self) -> bytes:
        arrays = {one.name: getattr(self.measured, one.name) for one in fields(Measured)}
        bounds = np.array([self.begin, self.end, self.first], np.int64)
        with io.BytesIO() as file:
            np.savez(file, allow_pickle=False, bounds=bounds, prints=self.prints, looks=self.looks, **arrays)
            return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> SpanMeasured:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            # An earlier version may have left a span that lacks what it had no use for.
            measured = Measured(**{one.name: arrays[one.name] for one in fields(Measured) if one.name in arrays})
            begin, end, first = arrays["bounds"].tolist()
            return cls(measured, begin, end, first, arrays["prints"], arrays["looks"])


class Prints:
    """Notes what stands for the pictures near the ends of a span while they pass by."""

    def __init__(self, frames: Iterator[tuple[int, np.ndarray]], end: int, beyond: int):
        self._frames, self._end, self._beyond = frames, end, beyond
        self._prints: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for pts, picture in self._frames:
            near = len(self._prints) < self._beyond + SETTLING or pts >= self._end
            self._prints.append(int.from_bytes(blake2b(picture.data, digest_size=8).digest(), "little") if near else 0)
            yield pts, picture

    def array(self) -> np.ndarray:
        """uint64, one a frame that passed."""
        return np.array(self._prints, np.uint64)


@dataclass(frozen=True)
class Seams:
    """Where two spans may be joined."""

    beyond: int
    """Frames that a span holds of the next one, or all there are."""
    reach: int = REACH
    """Frames before a frame that its measures depend on,"""
    ahead: int = 0
    """and frames behind it."""
    every: int = 1
    """The later span counts from a frame on whose number in the film is a multiple of this."""


def joined(spans: Sequence[SpanMeasured], step: int, seams: Seams) -> Measured:
    """The measures of the whole film, equal to those taken of it at once. They depend on whether a frame's number in
    the film is a multiple of `step`. Raises `NotJoined` where the spans may not be what the whole film is."""
    bounds = [BEGINNING, *(span.end for span in spans)]
    if bounds[-1] != END or any(span.begin != bound for span, bound in zip(spans, bounds, strict=False)):
        raise NotJoined("the spans do not follow one another")
    full = [span for span in spans if span.begin < span.end]
    if any(not span for span in full):
        raise NotJoined("no frame of a span can be decoded")
    places = [_seam(before, after, seams) for before, after in pairwise(full)]
    begins = [0, *(after for _, after in places)]
    ends = [*(before for before, _ in places), len(full[-1].measured.pts)]
    parts: list[Measured] = []
    frames = 0
    for span, begin, end in zip(full, begins, ends, strict=True):
        if end < begin:
            raise NotJoined("a span is shorter than its overlaps")
        parts.append(_part(span, begin, end, frames - begin, step))
        frames += end - begin
    return Measured(
        **{one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Measured)}
    )


def _seam(before: SpanMeasured, after: SpanMeasured, seams: Seams) -> tuple[int, int]:
    """The place of one frame in both spans, from which on the later one counts: it and the frames before it that its
    measures depend on are alike in both, as are all that follow in the earlier one."""
    early, late = before.measured.pts, after.measured.pts
    start = int(np.searchsorted(early, before.end))
    ended = len(early) - start < seams.beyond
    for place in range(start, len(early) - seams.reach)[:SETTLING]:
        other = int(np.searchsorted(late, early[place]))
        length = len(early) - place
        if ended and other + length != len(late):
            continue  # the earlier span broke off, the film goes on
        same = np.array_equal(early[place:], late[other : other + length]) and np.array_equal(
            before.prints[place:], after.prints[other : other + length]
        )
        if same:
            behind = seams.reach + -(after.first + other + seams.reach) % seams.every
            if ended:  # the earlier span holds all of the later one
                behind = min(behind, length)
            elif place + behind + seams.ahead > len(early):
                break
            return place + behind, other + behind
    raise NotJoined(f"two spans differ behind the key frame at {before.end}")


def _part(span: SpanMeasured, begin: int, end: int, offset: int, step: int) -> Measured:
    """The frames from `begin` up to `end`; `offset` is the number in the film of the span's first frame."""
    if (offset - span.first) % step:
        raise NotJoined(f"the span at {span.begin} begins with frame {offset} of the film, not {span.first}")
    phase = -span.first % step  # the first frame that was looked at
    looked, stop = (max(0, -(-(place - phase) // step)) for place in (begin, end))
    measured = span.measured
    hits = measured.hits[(measured.hits[:, 0] >= looked) & (measured.hits[:, 0] < stop)].copy()
    hits[:, (0, 2, 3)] += (offset + phase) // step
    frames = {
        name: getattr(measured, name)[begin:end] for name in ("pts", "scores", "alike", "change", "returns", "likely")
    }
    return replace(measured, **frames, contrast=measured.contrast[looked:stop], hits=hits)
