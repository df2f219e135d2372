"""Role: put a clip into words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from demix.models.base import Judge
from demix.records import Box


@dataclass(frozen=True)
class Scene:
    """What a captioner is given: pictures, and what earlier stages know."""

    clip_id: str
    frames: np.ndarray
    """uint8 RGB (frames, height, width, 3), evenly spaced over the clip."""
    times: tuple[float, ...]
    """Seconds of each frame from the clip's start."""
    seconds: float
    faces: tuple[tuple[Box | None, ...], ...]
    """Per frame one face per person, None while out of sight; the same person has the same place on all frames. The
    persons to describe come first, each group from left to right. Boxes in pixels of `frames`."""
    persons: int
    """How many persons to describe: Person1, Person2, ... They may outnumber those seen (`faces`), or be fewer."""
    speakers: int
    audible: frozenset[str]
    """Which of speech, effects, music are non-silent."""


@dataclass(frozen=True)
class Description:
    clip_id: str
    """Of the scene that is described: captions reach their clips by it, whatever order a server answers in."""
    persons: tuple[str, ...]
    """Appearance of Person1, Person2, ... without a full stop."""
    scene: str


class Captioner(Judge, Protocol):
    """A class that also has `frame_indices(frames, fps, settings)` chooses itself which frames of a clip it is shown,
    in ascending order and with repetitions if it wants them; the others are shown evenly spaced ones."""

    def describe(self, scenes: list[Scene]) -> list[Description]:
        """One description per scene, in order. A class with `lazily` also takes functions that make a scene, and calls
        them when it is ready for it."""
