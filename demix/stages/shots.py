"""Section 3.1 of the paper: take a source apart into single shots, each of which is a clip.

The detector says where cuts, fades and dissolves are; the arithmetic here makes spans of them that hold one shot each.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from functools import partial
from itertools import accumulate, groupby, pairwise
from math import ceil, floor
from statistics import median
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from demix.config import Added, ChosenBy, Runtime, Settings
from demix.media.bars import NO_LOOKS, bars_of, bars_of_film
from demix.media.errors import MediaError
from demix.media.limits import RECORDED, MediaLimits
from demix.media.parts import begin_of
from demix.media.scan import ScanSettings, scan
from demix.models import choose, revisions
from demix.models.shots import Boundaries, ShotDetector
from demix.models.shots.measured import NotJoined
from demix.models.shots.settings import AdaptiveSettings, GradualSettings, StructureSettings, TransNetSettings
from demix.records import Clip, Probe, Shot, Shots, Source, VideoStream, clip_id
from demix.sources.fetch import check_content, probed_copy
from demix.sources.spans import spans_of, within
from demix.stage import Context, Dropped, Failed, Item, Kept, Outcome, Resources, Stage
from demix.stages.shot_spans import Measuring, finished

_LOG = logging.getLogger(__name__)

_WHOLE = 0.98
"""Share of a film's frames below which its decode is taken to have ended early."""


class ShotsSettings(Settings):
    """Where shots begin and end."""

    model: str = "adaptive"
    """Who detects; `adaptive` is PySceneDetect's AdaptiveDetector with a finder of fades and dissolves, `transnetv2` a
    network that finds all of them."""
    adaptive: Annotated[AdaptiveSettings, ChosenBy("model", value="adaptive", recorded=True)] = AdaptiveSettings()
    """Hard cuts."""
    structure: Annotated[StructureSettings, ChosenBy("model", value="adaptive", recorded=True)] = StructureSettings()
    """A second opinion on hard cuts."""
    gradual: Annotated[GradualSettings, ChosenBy("model", value="adaptive", recorded=True)] = GradualSettings()
    """Fades and dissolves."""
    transnetv2: Annotated[TransNetSettings, ChosenBy("model")] = TransNetSettings()
    scan: ScanSettings = ScanSettings()
    """The decode behind it."""
    trim_frames: int = Field(default=1, ge=0)
    """Frames taken off a shot wherever it meets another one: encoders blend neighbours, detectors err by one."""
    max_seconds: float = Field(default=20.0, gt=0.1)
    """A longer shot is split into equal parts. 20 s hold 480 frames, ten training samples."""
    max_clips: Annotated[int, Added()] = Field(default=50_000, gt=0)
    """Clips of one source above which it is dropped (`too_many_shots`). The most quickly cut films have some thousands
    of shots; noise, or pictures that flicker, have one a frame."""
    limits: Annotated[MediaLimits, Runtime(recorded=RECORDED)] = MediaLimits()
    """What the decoding child may use."""


class ShotsStage(Stage):
    """Adds `Shots` to sources.

    A source that is damaged, or ends too early, has the shots of what decoded: they are whole pictures, and the probe
    has told a truncated file from a whole one before. Where no frame decodes, or the decoder dies or stalls, it fails.
    Drops sources of which there would be more clips than of any film (`too_many_shots`), and those without any: black
    film, film that is one fade, spans of a manifest that lie in no shot (`no_shot`).
    """

    name = "shots"
    version = 2
    needs = (Probe,)
    adds = Shots
    reasons = ("no_shot", "too_many_shots")
    settings: ShotsSettings

    def __init__(self, settings: ShotsSettings):
        super().__init__(settings)
        self.choice = choose("shots", settings.model, settings)
        self.timeout_seconds = settings.limits.scan_seconds + 600

    @property
    def resources(self) -> Resources:  # type: ignore[override]
        return self.choice.resources

    def revision(self) -> str:
        return revisions(self.choice)

    def weights(self) -> tuple[str, ...]:
        return self.choice.weights

    def open(self, context: Context) -> None:
        super().open(context)
        self._detector = self._make(context.device)
        self._credit = self.choice.credit()

    def _make(self, device: str) -> ShotDetector:
        if self.choice.settings is not None:
            return self.choice.make(device)
        return self.choice.kind(self.settings.adaptive, self.settings.structure, self.settings.gradual)

    def run(self, items: Sequence[Item]) -> Sequence[Outcome]:
        return [self._detect(item) for item in items]

    def measuring(self, store: str, fingerprint: str, threads: int) -> Measuring | None:
        """How spans of a film are measured; None if the detector must see all of it at once."""
        kind, settings = self.choice.kind, self.settings
        if not hasattr(kind, "measure"):
            return None
        own = (settings.adaptive, settings.structure, settings.gradual)
        make = partial(kind, *own) if self.choice.settings is None else partial(kind, self.choice.settings, "cpu")
        cost = {"seconds_a_frame": kind.seconds_a_frame} if hasattr(kind, "seconds_a_frame") else {}
        return Measuring(make, settings.scan, settings.limits, threads, store, fingerprint, **cost)

    def _detect(self, item: Item) -> Outcome:
        if not isinstance(item.subject, Source):
            raise TypeError(f"{item.id}: shot detection needs a source, not a {item.subject.name}")
        video = item[Probe].video
        try:
            found, looks = self._joined(item.subject, video) or self._whole(item.subject, item[Probe])
        except MediaError as error:
            # A damaged file stays damaged; a child that died or stalled may have met a busy machine.
            return Failed(f"MediaError.{error.kind}", error.message, error.detail, error.kind in ("timeout", "crash"))
        shots = tuple(shots_between(found, video.end_pts, Fraction(video.time_base), self.settings))
        if len(shots) > self.settings.max_clips:
            return Dropped("too_many_shots", {"shots": len(shots), "limit": self.settings.max_clips})
        if self.settings.scan.bars_per_second:
            bars = bars_of(looks, [(shot.start_pts, shot.end_pts) for shot in shots], video)
            shots = tuple(shot.model_copy(update={"bars": one}) for shot, one in zip(shots, bars, strict=True))
        record = Shots(
            **self._credit.model_dump(),
            shots=shots,
            frames=found.frames,
            cuts=found.cuts,
            graduals=found.graduals,
            bars=bars_of_film([shot.bars for shot in shots if shot.bars is not None]),
        )
        if not clips_of(item.subject, item[Probe], record):
            blank = sum(last - first + 1 for first, last in found.graduals)
            return Dropped("no_shot", {"frames": found.frames, "in_transitions": blank, "shots": len(shots)})
        return Kept(record)

    def _joined(self, source: Source, video: VideoStream) -> tuple[Boundaries, np.ndarray] | None:
        """What the spans of a film say that were measured before, and their looks; None without them."""
        context = self.context
        how = self.measuring(context.store.root, context.fingerprint, context.threads)
        spans = None if how is None else finished(source, how, context.store)
        if how is None or spans is None:
            return None
        rate = float(Fraction(video.average_rate))
        detector: Any = self._detector
        try:
            found: Boundaries = detector.decide(detector.joined(spans, rate), rate)
            looks = np.concatenate([span.looks for span in spans])
            return (found, looks) if found.frames >= _WHOLE * video.frames else None
        except NotJoined as error:
            _LOG.info("film_undivided", extra={"fields": {"source": source.id, "why": str(error)}})
            return None

    def _whole(self, source: Source, told: Probe) -> tuple[Boundaries, np.ndarray]:
        video, settings = told.video, self.settings
        looks = [NO_LOOKS]
        with (
            probed_copy(source.uri, told.sha256, self.context.store) as path,
            closing(
                scan(path, video, settings.scan, settings.limits, self.context.threads, told.parts, looks)
            ) as frames,
        ):
            found = self._detected(frames, told)
            if found.frames < _WHOLE * video.frames:
                # A disk that cannot be read ends a decode just as damage does.
                check_content(source.uri, path, told.sha256)
        return found, np.concatenate(looks)

    def _detected(self, frames: Iterator[tuple[int, np.ndarray]], told: Probe) -> Boundaries:
        """Each part of a film is looked at alone; no shot goes on from one to the next."""
        if not told.parts:
            return self._detector.detect(frames, float(Fraction(told.video.average_rate)))
        starts = [begin_of(part) for part in told.parts[1:]]
        found = [
            self._detector.detect(some, float(Fraction(told.parts[number].video.average_rate)))
            for number, some in groupby(frames, key=lambda frame: bisect_right(starts, frame[0]))
        ]
        return one_after_another(found)


def one_after_another(parts: Sequence[Boundaries]) -> Boundaries:
    """The boundaries of a film from those of its parts, with a cut where two of them meet."""
    firsts = list(accumulate((part.frames for part in parts), initial=0))
    cuts = {first + cut for first, part in zip(firsts, parts, strict=False) for cut in (0, *part.cuts)} - {0}
    return Boundaries(
        frames=firsts[-1],
        pts=tuple(pts for part in parts for pts in part.pts),
        cuts=tuple(sorted(cuts)),
        graduals=tuple(
            (first + begin, first + end)
            for first, part in zip(firsts, parts, strict=False)
            for begin, end in part.graduals
        ),
    )


def clips_of(source: Source, probe: Probe, shots: Shots) -> list[Clip]:
    """One clip for every shot, also for those too short to use: they are dropped under their own names later.

    Where the source's metadata state spans (`demix.sources.spans`), the parts of shots inside them.
    """
    time_base = Fraction(probe.video.time_base)
    spans = spans_of(source.metadata)
    parts = [(shot.start_pts, shot.end_pts, shot.bars) for shot in shots.shots]
    if spans is not None:
        parts = [
            (*part, bars)
            for start, end, bars in parts
            for part in within(start, end, probe.video.start_pts, time_base, spans)
        ]
    return [
        Clip(
            id=clip_id(source.id, start, end, bars=bars),
            source_id=source.id,
            uri=source.uri,
            kind=source.kind,
            ordinal=ordinal,
            start_pts=start,
            end_pts=end,
            time_base=probe.video.time_base,
            bars=bars,
        )
        for ordinal, (start, end, bars) in enumerate(parts)
    ]


def shots_between(found: Boundaries, end_pts: int, time_base: Fraction, settings: ShotsSettings) -> list[Shot]:
    """Spans that hold one shot each: in order, disjoint, none over `max_seconds`, none with a frame of a transition.

    `end_pts` is where the stream ends; a film that stopped decoding before ends with its last decoded frame.
    """
    times = [*found.pts, _end(found.pts, end_pts)]
    longest = floor(Fraction(str(settings.max_seconds)) / time_base)
    shots = []
    for first, stop, begins, ends in _stretches(found):
        first += 0 if begins == "start" else settings.trim_frames
        stop -= 0 if ends == "end" else settings.trim_frames
        if first < stop:
            shots += _split(times[first : stop + 1], begins, ends, max(1, longest))
    return shots


_Begin = Literal["start", "cut", "gradual"]
_End = Literal["end", "cut", "gradual"]


def _stretches(found: Boundaries) -> Iterator[tuple[int, int, _Begin, _End]]:
    """(first frame, frame after the last, what begins it, what ends it) between neighbouring transitions."""
    meetings: list[tuple[int, int, Literal["cut", "gradual"]]] = [(cut, cut, "cut") for cut in found.cuts]
    meetings += [(first, last + 1, "gradual") for first, last in found.graduals]
    start: int = 0
    begins: _Begin = "start"
    for stop, resume, kind in sorted(meetings):
        if stop > start:
            yield start, stop, begins, kind
        start, begins = max(start, resume), kind
    if start < found.frames:
        yield start, found.frames, begins, "end"


def _end(pts: Sequence[int], end_pts: int) -> int:
    """pts after the last frame: the stream's end if that frame was the stream's last, else one frame's time later."""
    if len(pts) < 2:
        return max(end_pts, pts[-1] + 1)
    step = max(1, round(median(after - before for before, after in pairwise(pts))))
    return end_pts if pts[-1] < end_pts <= pts[-1] + 10 * step else pts[-1] + step


def _split(times: Sequence[int], begins: _Begin, ends: _End, longest: int) -> list[Shot]:
    """The span of `times` (pts of its frames and of its end) in equal parts of at most `longest` ticks.

    Parts begin with a frame, except where one frame alone lasts longer than a part may.
    """
    start, end = times[0], times[-1]
    fewest = ceil(Fraction(end - start, longest))
    for parts in (fewest, fewest + 1):
        exact = [start + (end - start) * part // parts for part in range(parts + 1)]
        edges = [times[bisect_right(times, edge) - 1] for edge in exact]
        if all(0 < after - before <= longest for before, after in pairwise(edges)):
            break
    else:
        edges = exact
    last = len(edges) - 2
    return [
        Shot(
            start_pts=before,
            end_pts=after,
            begins=begins if part == 0 else "split",
            ends=ends if part == last else "split",
        )
        for part, (before, after) in enumerate(pairwise(edges))
    ]
