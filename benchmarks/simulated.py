"""Stages that cost what they are told to, for measuring the engine without the models."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from demix.config import Settings
from demix.engine.row import Row
from demix.records import Clip, Record, clip_id
from demix.stage import Item, Kept, Outcome, Stage


class Weight(Record):
    """About as large as the records of a real clip."""

    name: ClassVar[str] = "weight"
    values: tuple[float, ...]


class Burn(Settings):
    """What one clip costs."""

    cpu_seconds: float = 0.0
    """Processor time, spent in arithmetic."""


class Measure(Stage):
    """Burns processor time and answers a record of some kilobytes."""

    name = "measure"
    adds = Weight
    batch_size = 4
    settings: Burn

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [self._burn(item) for item in items]

    def _burn(self, item: Item) -> Outcome:
        until = time.thread_time() + self.settings.cpu_seconds
        value = 0.0
        while time.thread_time() < until:
            value += sum(range(1000))
        return Kept(Weight(values=tuple(float(item.clip.ordinal + n) for n in range(200))))


class Judge(Stage):
    """Looks at the record and keeps the clip."""

    name = "judge"
    needs: ClassVar[tuple[type[Record], ...]] = (Weight,)
    batch_size = 64

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [Kept() for item in items if item[Weight].values]


def rows(count: int) -> list[Row]:
    """Clips of an imaginary film, sorted by id."""
    clips = [
        Clip(
            id=clip_id("film", n, n + 1),
            source_id="film",
            uri="film.mp4",
            kind="cinematic",
            ordinal=n,
            start_pts=n,
            end_pts=n + 1,
            time_base="1/25",
        )
        for n in range(count)
    ]
    return [Row.of(clip) for clip in sorted(clips, key=lambda clip: clip.id)]
