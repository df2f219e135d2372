"""Drops clips that are too short to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

from pydantic import Field

from demix.config import Settings
from demix.stage import Dropped, Item, Kept, Outcome, Resources, Stage


class LengthSettings(Settings):
    min_seconds: float = Field(default=2.1, ge=0)
    """Seconds a clip must last. 2.1 holds the 49 frames at 24 fps of one training sample, and a margin."""


class LengthFilter(Stage):
    """Judges the clip's length on the source's own time line, exactly."""

    name: ClassVar[str] = "length"
    version: ClassVar[int] = 1
    reasons: ClassVar[tuple[str, ...]] = ("too_short",)
    judges: ClassVar[bool] = True
    resources = Resources()
    batch_size = 256

    def __init__(self, settings: LengthSettings):
        super().__init__(settings)
        # As written: the float 2.1 is a little more than 2.1.
        self._min_seconds = Fraction(str(settings.min_seconds))

    def run(self, items: Sequence[Item]) -> Sequence[Outcome]:
        return [self._judge(item) for item in items]

    def _judge(self, item: Item) -> Outcome:
        seconds = item.clip.seconds
        if seconds < self._min_seconds:
            return Dropped("too_short", {"seconds": float(seconds)})
        return Kept()
