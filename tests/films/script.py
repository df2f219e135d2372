"""What a test asks for: the shots of a film, their pictures, camera moves and sounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, cycle, islice
from typing import Literal

from tests.films.pictures import View

WIDE, NEARER = View(0.5, 0.5, 0.9), View(0.52, 0.5, 0.82)


@dataclass(frozen=True)
class Speech:
    """One sentence, from `at` seconds into its shot."""

    voice: str
    line: int
    at: float = 0.3
    face: int | None = 0
    """Which face of the picture speaks it; None: nobody on the screen."""
    level_db: float = -20.0
    """RMS over its own duration, dBFS."""


@dataclass(frozen=True)
class Effect:
    """One of `sounds.EFFECTS`, from `at` seconds into its shot, to its end unless `seconds` is given."""

    kind: str
    at: float = 0.0
    seconds: float | None = None
    level_db: float = -28.0


@dataclass(frozen=True)
class Music:
    seed: int = 0
    level_db: float = -26.0


@dataclass(frozen=True)
class Shot:
    """One take: a picture, a camera move, sounds, and how it begins."""

    picture: str
    seconds: float
    start: View = WIDE
    end: View = NEARER
    speech: tuple[Speech, ...] = ()
    effects: tuple[Effect, ...] = ()
    music: Music | None = None
    begins: Literal["cut", "dissolve", "fade"] = "cut"
    """A dissolve or a fade through black takes `transition_seconds` at the beginning of this shot."""
    transition_seconds: float = 0.0
    room_db: float | None = -60.0
    """Level of the room's tone, part of the effects; None for digital silence."""
    damage: Literal["", "clipped", "telephone"] = ""
    """What was done to the sound of this shot after mixing: driven hard into clipping, or sent through a telephone."""


class Clock:
    """Which frame begins which shot, and when each frame is shown."""

    def __init__(self, shots: Sequence[Shot], rate: Fraction, variable: bool, seconds_to_black: float):
        counts = [round(shot.seconds * rate) for shot in shots]
        self.starts = [0, *accumulate(counts)]
        self.frames = self.starts[-1]
        self.transitions = [round(s.transition_seconds * rate) if s.begins != "cut" else 0 for s in shots]
        self.black = round(seconds_to_black * rate)
        """How many frames fade out at the film's end."""
        self.rate = rate
        self.time_base = 1 / (4 * rate) if variable else 1 / rate
        pattern = cycle((3, 4, 5) if variable else (1,))
        self.durations = list(islice(pattern, self.frames))
        self.times = [tick * self.time_base for tick in (0, *accumulate(self.durations))]

        self.cuts = tuple(a for a, s in zip(self.starts[1:], shots[1:], strict=False) if s.begins == "cut")
        ending = ((self.frames - self.black, self.frames - 1),) if self.black else ()
        gradual = ((a, a + n - 1) for a, n in zip(self.starts, self.transitions, strict=False) if n)
        self.graduals = (*gradual, *ending)

    def span(self, shot: int, sample_rate: int) -> slice:
        """The samples of a shot."""
        return slice(*(round(self.times[self.starts[i]] * sample_rate) for i in (shot, shot + 1)))
