"""What is known of a film, and what the paper's rules must make of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.films import pictures, speech
from tests.films.script import Clock, Shot
from tests.films.soundtrack import STEMS, level_db

SILENT_BELOW_DB = -45.0
"""A track below this is silent, after the paper (section 3)."""
SHORTEST_SECONDS = 2.1
"""A shot shorter than this is dropped as too short."""


@dataclass(frozen=True)
class SpeechTruth:
    start_seconds: float
    """On the film's own time line, which begins with its first frame."""
    end_seconds: float
    voice: str
    text: str
    face: int | None


@dataclass(frozen=True)
class ShotTruth:
    """What is known of one shot, and what the paper's rules must make of it."""

    start_frame: int
    end_frame: int
    """Half open. Of a dissolve, all frames of the mixture belong to the later shot."""
    start_seconds: float
    end_seconds: float
    begins: str
    transition_frames: int
    """The first so many frames are not purely this shot."""
    picture: str
    persons: int
    speakers: int
    speech: tuple[SpeechTruth, ...]
    levels_db: dict[str, float]
    """RMS over the whole shot in dBFS, floor -120: mix, speech, effects, music."""
    audible: tuple[str, ...]
    damage: str
    subsets: tuple[str, ...]
    """Where the clip belongs if it is kept, human count = visible persons."""
    drop: str
    """The reason for which the clip must be dropped, or nothing."""


@dataclass(frozen=True)
class FilmTruth:
    name: str
    kind: str
    width: int
    height: int
    frames: int
    rate: str
    """Frames per second; the average rate of a film with variable rate."""
    frame_seconds: tuple[float, ...]
    """When each frame is shown, and last the film's end, from the first frame on."""
    first_seconds: float
    """Where on the container's time line the first frame lies."""
    sample_rate: int
    cuts: tuple[int, ...]
    """First frame after each hard cut."""
    graduals: tuple[tuple[int, int], ...]
    """[first, last] frame of each dissolve and fade."""
    shots: tuple[ShotTruth, ...]
    stems: dict[str, str]
    """speech, effects, music, mix -> WAV file beside the film, if asked for."""


def shot_truth(
    index: int, shots: Sequence[Shot], clock: Clock, tracks: Mapping[str, np.ndarray], rate: int, kind: str
) -> ShotTruth:
    """`tracks` are the film's stems and mix, or nothing where it has no sound."""
    shot, span = shots[index], clock.span(index, rate)
    start, end = clock.times[clock.starts[index]], clock.times[clock.starts[index + 1]]
    sentences = tuple(
        SpeechTruth(
            start_seconds=float(start) + sentence.at,
            end_seconds=float(start) + sentence.at + len(speech.say(sentence.voice, sentence.line, rate)) / rate,
            voice=sentence.voice,
            text=speech.LINES[sentence.line],
            face=sentence.face,
        )
        for sentence in shot.speech
    )
    levels = {name: level_db(wave[:, span]) for name, wave in tracks.items()}
    audible = tuple(name for name in STEMS if levels.get(name, -120.0) >= SILENT_BELOW_DB)
    persons = len(pictures.load(shot.picture).faces)
    pure = float(end - start) - clock.transitions[index] / float(clock.frames / clock.times[-1])
    return ShotTruth(
        start_frame=clock.starts[index],
        end_frame=clock.starts[index + 1],
        start_seconds=float(start),
        end_seconds=float(end),
        begins=shot.begins if index or shot.begins != "cut" else "start",
        transition_frames=clock.transitions[index],
        picture=shot.picture,
        persons=persons,
        speakers=len({sentence.voice for sentence in shot.speech}),
        speech=sentences,
        levels_db=levels,
        audible=audible,
        damage=shot.damage,
        subsets=(subsets := _subsets(kind, persons, audible)),
        drop=_drop(shot, pure, bool(tracks), persons, subsets),
    )


def _subsets(kind: str, persons: int, audible: tuple[str, ...]) -> tuple[str, ...]:
    """The paper's section 3, written down a second time so that the product's own rule can be held against it."""
    if kind == "talking_head":
        return ("basic_face",)
    people = ((), ("single_character",), ("multiple_characters",))[min(persons, 2)]
    sound = ("sound_event",) if "effects" in audible else ()
    return people + sound + (("visual_mood",) if "music" in audible else ())


def _drop(shot: Shot, seconds: float, heard: bool, persons: int, subsets: tuple[str, ...]) -> str:
    rules = {
        "too_short": seconds < SHORTEST_SECONDS,
        "no_audio": not heard,
        "low_quality": bool(shot.damage),
        "voice_over": bool(shot.speech) and not persons,
        "no_subset": not subsets,
    }
    return next((reason for reason, applies in rules.items() if applies), "")


def as_json(truth: Any) -> str:
    """A truth, or several in a list or mapping, as readable JSON."""
    return json.dumps(truth, default=dataclasses.asdict, indent=1)
