"""How far a long video wanders from its beginning, and how much its seams show."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from statistics import fmean

import numpy as np
from torch import Tensor

from mtv_train.sample.decoder import GROUP


@dataclass(frozen=True)
class Look:
    """Means over a segment's pictures, of values in 0..1."""

    brightness: float
    contrast: float
    """Standard deviation of grey within a picture."""
    saturation: float
    """Largest minus smallest of the three channels."""
    sharpness: float
    """Mean difference of neighbouring pixels' grey."""


@dataclass(frozen=True)
class Segment:
    """Frames from one seam to the next."""

    first: int
    frames: int
    look: Look
    seam: float | None
    """Mean change of a pixel from the frame before, over the median of the same where neighbouring latent frames meet;
    about 1 for a seam that does not show. None for the first segment."""


def segments(video: Tensor, seams: Sequence[int]) -> list[Segment]:
    """Of uint8 `video` (frames, height, width, 3) that was joined at frames `seams`."""
    drift = Drift(seams)
    drift.add(video)
    return drift.segments()


class Drift:
    """Looks at a video as it passes, one picture after the other, and keeps numbers alone."""

    def __init__(self, seams: Sequence[int]):
        self._starts = [0, *seams]
        self._places = {seam: _beside(seam, self._starts) for seam in seams}
        self._wanted = {place for places in self._places.values() for place in places} | set(seams)
        self._looks: list[list[Look]] = [[] for _ in self._starts]
        self._changes: dict[int, float] = {}
        self._before: Tensor | None = None
        self._frames = 0

    def add(self, pictures: Tensor) -> None:
        """The next pictures, uint8 (any number, height, width, 3)."""
        for picture in pictures:
            if self._before is not None and self._frames in self._wanted:
                self._changes[self._frames] = change(self._before, picture)
            segment = bisect_right(self._starts, self._frames) - 1
            self._looks[segment].append(look_of(picture[None]))
            self._before = picture
            self._frames += 1

    def segments(self) -> list[Segment]:
        """What was seen so far."""
        return [
            Segment(start, len(looks), _mean(looks), self._seam(start) if start else None)
            for start, looks in zip(self._starts, self._looks, strict=True)
        ]

    def _seam(self, seam: int) -> float:
        """The change at `seam` over the median change beside it. Changes are larger where latent frames meet than
        inside of one, seam or not."""
        usual = [self._changes[place] for place in self._places[seam] if place in self._changes]
        return self._changes[seam] / max(float(np.median(usual)) if usual else 0.0, 1e-6)


def _beside(seam: int, starts: Sequence[int], reach: int = 6) -> list[int]:
    """The nearest places, `reach` on either side, where latent frames meet and that are no seams."""
    places = [seam + GROUP * step for step in range(-reach, reach + 1)]
    return [place for place in places if place > 0 and place not in starts]


def _mean(looks: Sequence[Look]) -> Look:
    return Look(**{field.name: fmean(getattr(look, field.name) for look in looks) for field in fields(Look)})


def look_of(pictures: Tensor) -> Look:
    """Of uint8 pictures (frames, height, width, 3)."""
    values = pictures.numpy().astype(np.float32) / 255
    grey = values.mean(3)
    return Look(
        brightness=float(grey.mean()),
        contrast=float(grey.std(axis=(1, 2)).mean()),
        saturation=float((values.max(3) - values.min(3)).mean()),
        sharpness=float((np.abs(np.diff(grey, axis=1)).mean() + np.abs(np.diff(grey, axis=2)).mean()) / 2),
    )


def change(before: Tensor, after: Tensor) -> float:
    """Mean absolute change of a pixel from a picture to the next, both uint8 (height, width, 3), 0..1."""
    return float(np.abs(after.numpy().astype(np.float32) - before.numpy().astype(np.float32)).mean() / 255)


def table(found: Sequence[Segment]) -> str:
    """The segments as lines of text; looks as differences to the first segment."""
    first = asdict(found[0].look)
    head = f"{'segment':>7} {'frames':>11} " + " ".join(f"{name:>11}" for name in first) + f" {'seam':>6}"
    lines = [head]
    for number, one in enumerate(found):
        looks = [value - (first[name] if number else 0) for name, value in asdict(one.look).items()]
        shown = " ".join(f"{value:>11.3f}" if not number else f"{value:>+11.3f}" for value in looks)
        seam = "" if one.seam is None else f"{one.seam:6.2f}"
        lines.append(f"{number:>7} {f'{one.first}..{one.first + one.frames - 1}':>11} {shown} {seam}")
    return "\n".join(lines)
