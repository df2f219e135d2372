"""How far a long video wanders from its beginning, and how much its seams show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from torch import Tensor

from mtv_train.sample.pictures import GROUP


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
    starts = [0, *seams]
    ends = [*seams, len(video)]
    return [
        Segment(start, end - start, look_of(video[start:end]), seam_ratio(video, start, starts) if start else None)
        for start, end in zip(starts, ends, strict=True)
    ]


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


def seam_ratio(video: Tensor, seam: int, starts: Sequence[int], reach: int = 6) -> float:
    """The change at `seam` over the median change at the `reach` nearest places on either side where latent frames
    meet and that are no seams (`starts`). Changes are larger there than inside a latent frame, seam or not."""
    places = [seam + GROUP * step for step in range(-reach, reach + 1) if step]
    usual = [change(video, place) for place in places if 0 < place < len(video) and place not in starts]
    return change(video, seam) / max(float(np.median(usual)) if usual else 0.0, 1e-6)


def change(video: Tensor, frame: int) -> float:
    """Mean absolute change of a pixel from frame - 1 to frame, 0..1."""
    pair = video[frame - 1 : frame + 1].numpy().astype(np.float32)
    return float(np.abs(pair[1] - pair[0]).mean() / 255)


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
