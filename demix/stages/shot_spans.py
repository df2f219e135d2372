"""A long film, measured in spans by all workers, so that it takes no longer than its share of the machine.

Each span leaves a small file in the work store. The shots stage (`demix.stages.shots`) puts those of a film together
and decides about all of it, with the answer that the undivided film would have. Where they cannot be put together (a
container that cannot seek, a film that breaks off), or one is missing, it takes the film undivided. So spans are a
preparation: nothing is accounted for here, and what fails here is met again there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from demix.errors import ChildDefect, MachineSuspected
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.scan import ScanSettings, SpanScan
from demix.models.shots.measured import Prints, SpanMeasured
from demix.records import Probe, Source, VideoStream
from demix.redact import Addresses
from demix.sources.fetch import SourceChanged, probed_copy
from demix.store import Store

FOLDER = "spans"
"""In the work store; there only while sources are indexed."""

_SECONDS_A_FRAME, _SECONDS_A_PIXEL = 3e-4, 4e-9
"""Processor time of decoding and measuring, about; only for choosing how many spans there are."""
_LEAST_SECONDS = 3.0
"""Processor time below which a span is not worth the start of its decoder."""
_LEAST_FRAMES = 1000
"""Frames whose measuring is not worth that of those that two spans share."""
_LONG_SECONDS = 30.0
"""Processor time for which a worker takes more than one span of a film: some parts of it are dearer than others."""
_MOST_PIECES = 4
"""Spans that a worker's share of all work is divided into at most."""


@dataclass(frozen=True)
class Film:
    """A source that is to be indexed."""

    source: Source
    probe: Probe


@dataclass(frozen=True)
class Measuring:
    """How spans are measured; small and picklable."""

    make: Callable[[], Any]
    """Makes the detector."""
    scan: ScanSettings
    limits: MediaLimits
    threads: int
    store: str
    fingerprint: str
    """Of the stage that asks: spans measured in another way lie elsewhere."""
    seconds_a_frame: float = _SECONDS_A_FRAME
    """Processor time that the detector takes, about."""
    addresses: Addresses = field(default_factory=Addresses)
    """Of films that are named with credentials."""

    def folder(self, source: Source) -> str:
        """Where the spans of a film lie in the work store."""
        return f"{FOLDER}/{source.id}-{self.fingerprint}"


@dataclass(frozen=True)
class Span:
    """A span of a film, to be measured; small and picklable."""

    film: Film
    how: Measuring
    number: int
    begin: int | None
    """pts about which it begins; None: where the film does."""
    end: int | None
    """pts about which it ends; None: where the film does."""

    @property
    def key(self) -> str:
        """Of its file in the work store."""
        return _key(self.how.folder(self.film.source), self.number)

    @property
    def seconds(self) -> float:
        """Length of its film."""
        video = self.film.probe.video
        begin = video.start_pts if self.begin is None else self.begin
        end = video.end_pts if self.end is None else self.end
        return float((end - begin) * Fraction(video.time_base))


def work(probe: Probe, seconds_a_frame: float = _SECONDS_A_FRAME) -> float:
    """Seconds of processor time that measuring a film takes, about."""
    video = probe.video
    return video.frames * (seconds_a_frame + _SECONDS_A_PIXEL * video.width * video.height)


def planned(films: Callable[[], Iterable[Film]], workers: int, how: Measuring) -> Iterator[Span]:
    """The spans of those films that are to be divided, so that all workers have something to do until the end.

    How a film is divided is noted in the work store: whoever goes on after a break, with as many workers as ever, goes
    on with the spans that are there."""
    works = [work(film.probe, how.seconds_a_frame) for film in films()]
    share = sum(works) / workers
    pieces = min(_MOST_PIECES, max(1 if len(works) == 1 else 3, int(share / _LONG_SECONDS)))
    aim = max(_LEAST_SECONDS, _LEAST_FRAMES * how.seconds_a_frame, share / pieces)
    store = Store(how.store)
    for film, seconds in zip(films(), works, strict=True):
        count = min(round(seconds / aim), film.probe.video.frames)
        # Where a film has several clocks, seeking by time could end in another part.
        if count > 1 and workers > 1 and not film.probe.parts:
            yield from _divided(film, count, how, store)


def _divided(film: Film, count: int, how: Measuring, store: Store) -> Iterator[Span]:
    plan = f"{how.folder(film.source)}/plan.json"
    if not store.exists(plan):
        with store.write(plan) as path:
            path.write_text(json.dumps(_cut_times(film.probe.video, count)))
    times = [None, *json.loads(store.local(plan).read_text()), None]
    for number, (begin, end) in enumerate(pairwise(times)):
        yield Span(film, how, number, begin, end)


def _cut_times(video: VideoStream, count: int) -> list[int]:
    """pts that divide a film into equal parts."""
    return [video.start_pts + (video.end_pts - video.start_pts) * number // count for number in range(1, count)]


def measure(span: Span) -> tuple[str, float]:
    """Measures a span, unless that is done, and leaves it in the work store. Answers the source's id and the seconds of
    film that were measured: 0 where they cannot be."""
    store = Store(span.how.store)
    if not store.exists(span.key):
        try:
            data = _measured(span).to_bytes()
        except (MediaError, SourceChanged, MachineSuspected, ChildDefect, OSError):
            return span.film.source.id, 0.0  # the stage meets it again, and says what it is
        with store.write(span.key) as path:
            path.write_bytes(data)
    return span.film.source.id, span.seconds


def _measured(span: Span) -> SpanMeasured:
    detector, video, how = span.how.make(), span.film.probe.video, span.how
    rate = float(Fraction(video.average_rate))
    beyond = detector.beyond(rate)
    bounds = (span.begin, span.end, beyond)
    with (
        probed_copy(span.film.source.uri, span.film.probe.sha256, Store(how.store)) as path,
        closing(SpanScan(path, video, how.scan, how.limits, bounds, how.threads)) as scan,
    ):
        first = 0
        if span.begin is not None and scan.begin < scan.end:
            first = round((scan.begin - video.start_pts) * Fraction(video.time_base) * Fraction(video.average_rate))
        frames = Prints(iter(scan), scan.end, beyond)
        measured = detector.measure(frames, rate, first)
        return SpanMeasured(measured, scan.begin, scan.end, first, frames.array(), np.concatenate(scan.looks))


def finished(source: Source, how: Measuring, store: Store) -> list[SpanMeasured] | None:
    """The spans of a film, in order; None where it is not divided or one is missing."""
    folder = how.folder(source)
    try:
        count = len(json.loads(store.local(f"{folder}/plan.json").read_text())) + 1
        return [SpanMeasured.from_bytes(store.local(_key(folder, number)).read_bytes()) for number in range(count)]
    except FileNotFoundError:
        return None


def _key(folder: str, number: int) -> str:
    return f"{folder}/{number}-looks.npz"
