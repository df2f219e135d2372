"""Films whose truth is known: every frame number, every stem's level, who speaks when and who can be seen."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile

from tests.films import encoding, pictures, sounds, speech
from tests.films.pictures import View

SILENT_BELOW_DB = -45.0
"""A track below this is silent, after the paper (section 3)."""
SHORTEST_SECONDS = 2.1
"""A shot shorter than this is dropped as too short."""
STEMS = ("speech", "effects", "music")
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
    """What was done to the sound of this shot after mixing: driven hard into clipping, or 300 to 3,000 Hz only."""


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


def make_film(
    path: Path,
    shots: Sequence[Shot],
    *,
    kind: str = "cinematic",
    rate: Fraction | int = 24,
    size: tuple[int, int] = (320, 180),
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    audio_codec: str | None = "aac",
    sample_rate: int = 48000,
    channels: int = 2,
    variable_rate: bool = False,
    first_seconds: Fraction | int = 0,
    ends_in_black: float = 0.0,
    picture: bool = True,
    keep_stems: bool = False,
    seed: int = 0,
) -> FilmTruth:
    """Writes a film and says what is in it. The container follows the suffix of `path`.

    `options` go to the video encoder (`{"g": "250", "bf": "0"}`), `audio_codec` None leaves the sound out, `picture`
    False the video, `variable_rate` shows frames for 3, 4 and 5 quarters of a frame by turns, `first_seconds` is where
    the time line starts, `ends_in_black` seconds fade out at the end, `keep_stems` leaves `<stem>.<track>.wav` there.
    """
    clock = _Clock(shots, Fraction(rate), variable_rate)
    stems = _stems(shots, clock, sample_rate, channels, seed)
    mix = _damaged(sum(stems.values()), shots, clock, sample_rate)
    if np.abs(mix).max() > 1:
        raise ValueError(f"{path.name}: the mix peaks at {np.abs(mix).max():.2f}; lower some levels")
    encoding.write(
        path,
        _frames(shots, clock, stems["speech"], sample_rate, size, round(ends_in_black * rate), seed) if picture else (),
        durations=clock.durations if picture else (),
        time_base=clock.time_base,
        size=size,
        codec=codec if picture else "",
        options=options or {},
        wave=mix if audio_codec else None,
        audio_codec=audio_codec or "",
        sample_rate=sample_rate,
        first_seconds=Fraction(first_seconds),
    )
    kept = {"mix": mix, **stems} if keep_stems else {}
    for name, wave in kept.items():
        soundfile.write(path.with_suffix(f".{name}.wav"), wave.T, sample_rate, subtype="FLOAT")
    graduals = [(a, a + n - 1) for a, n in zip(clock.starts, clock.transitions, strict=False) if n]
    if ends_in_black:
        graduals.append((clock.frames - round(ends_in_black * rate), clock.frames - 1))
    return FilmTruth(
        name=path.name,
        kind=kind,
        width=size[0],
        height=size[1],
        frames=clock.frames,
        rate=str(Fraction(rate)),
        frame_seconds=tuple(float(second) for second in clock.times),
        first_seconds=float(first_seconds),
        sample_rate=sample_rate if audio_codec else 0,
        cuts=tuple(a for a, shot in zip(clock.starts[1:], shots[1:], strict=False) if shot.begins == "cut"),
        graduals=tuple(graduals),
        shots=tuple(
            _truth(i, shots, clock, stems, mix, sample_rate, kind, bool(audio_codec)) for i in range(len(shots))
        ),
        stems={name: path.with_suffix(f".{name}.wav").name for name in kept},
    )


def as_json(truth: Any) -> str:
    """A truth, or several in a list or mapping, as readable JSON."""
    return json.dumps(truth, default=dataclasses.asdict, indent=1)


class _Clock:
    """Which frame begins which shot, and when each frame is shown."""

    def __init__(self, shots: Sequence[Shot], rate: Fraction, variable: bool):
        counts = [round(shot.seconds * rate) for shot in shots]
        self.starts = [0, *itertools.accumulate(counts)]
        self.frames = self.starts[-1]
        self.transitions = [round(s.transition_seconds * rate) if s.begins != "cut" else 0 for s in shots]
        self.time_base = 1 / (4 * rate)
        pattern = itertools.cycle((3, 4, 5) if variable else (4,))
        self.durations = list(itertools.islice(pattern, self.frames))
        self.times = [tick * self.time_base for tick in (0, *itertools.accumulate(self.durations))]

    def span(self, shot: int, sample_rate: int) -> slice:
        """The samples of a shot."""
        return slice(*(round(self.times[self.starts[i]] * sample_rate) for i in (shot, shot + 1)))


def _stems(shots: Sequence[Shot], clock: _Clock, rate: int, channels: int, seed: int) -> dict[str, np.ndarray]:
    """float32 (channels, samples) per track. A shot's sounds begin and end with its frames."""
    stems = {name: np.zeros((2, round(clock.times[-1] * rate)), np.float32) for name in STEMS}
    for index, shot in enumerate(shots):
        part = {name: stem[:, clock.span(index, rate)] for name, stem in stems.items()}
        seconds = part["speech"].shape[1] / rate
        for sentence in shot.speech:
            wave = speech.say(sentence.voice, sentence.line, rate)
            if sentence.at + len(wave) / rate > seconds:
                raise ValueError(f"shot {index}: {sentence} is longer than its shot of {seconds:.2f} s")
            _add(part["speech"], np.stack([wave, wave]), sentence.at, rate, sentence.level_db)
        for number, effect in enumerate(shot.effects):
            length = effect.seconds or seconds - effect.at
            sound = sounds.EFFECTS[effect.kind](length, rate, seed + 31 * index + number)
            _add(part["effects"], sound, effect.at, rate, effect.level_db)
        if shot.room_db is not None:
            _add(part["effects"], sounds.room(seconds, rate, seed + index), 0, rate, shot.room_db)
        if shot.music:
            _add(part["music"], sounds.music(seconds, rate, shot.music.seed), 0, rate, shot.music.level_db)
    return stems if channels == 2 else {name: stem.mean(axis=0, keepdims=True) for name, stem in stems.items()}


def _add(track: np.ndarray, sound: np.ndarray, at: float, rate: int, level_db: float) -> None:
    """Adds `sound` at `at` seconds with an RMS of `level_db` dBFS and edges of 10 ms against clicks."""
    first = round(at * rate)
    sound = sound[:, : track.shape[1] - first]
    edge = np.ones(sound.shape[1])
    ramp = min(rate // 100, sound.shape[1] // 2)
    edge[:ramp], edge[-ramp:] = np.linspace(0, 1, ramp), np.linspace(1, 0, ramp)
    gain = 10 ** (level_db / 20) / np.sqrt(np.mean(sound**2))
    track[:, first : first + sound.shape[1]] += (gain * edge * sound).astype(np.float32)


def _damaged(mix: np.ndarray, shots: Sequence[Shot], clock: _Clock, rate: int) -> np.ndarray:
    mix = mix.copy()
    for index, shot in enumerate(shots):
        span = clock.span(index, rate)
        if shot.damage == "clipped":
            mix[:, span] = np.clip(mix[:, span] * 30, -0.98, 0.98)
        elif shot.damage == "telephone":
            mix[:, span] = sounds.telephone(mix[:, span], rate)
    return mix


def _frames(
    shots: Sequence[Shot], clock: _Clock, voice: np.ndarray, rate: int, size: tuple[int, int], black: int, seed: int
) -> Iterator[np.ndarray]:
    """All frames in order, uint8 RGB (height, width, 3); `black` frames fade out at the end."""
    takes = [_Take(i, shots, clock, voice, rate, size, seed) for i in range(len(shots))]
    for frame in range(clock.frames):
        index = next(i for i in range(len(shots)) if frame < clock.starts[i + 1])
        into, length = frame - clock.starts[index], clock.transitions[index]
        picture = takes[index].frame(frame)
        if into < length:
            share = (into + 1) / (length + 1)
            if shots[index].begins == "dissolve":
                picture = _blend(takes[index - 1].frame(frame), picture, share)
            elif index == 0:
                picture = _blend(np.zeros_like(picture), picture, share)
            elif share < 0.5:
                picture = _blend(takes[index - 1].frame(frame), np.zeros_like(picture), 2 * share)
            else:
                picture = _blend(np.zeros_like(picture), picture, 2 * share - 1)
        if frame >= clock.frames - black:
            picture = _blend(np.zeros_like(picture), picture, (clock.frames - frame - 1) / black)
        yield picture


def _blend(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    return (first * (1 - share) + second * share + 0.5).astype(np.uint8)


class _Take:
    """The frames of one shot, a transition after its end included."""

    def __init__(
        self,
        index: int,
        shots: Sequence[Shot],
        clock: _Clock,
        voice: np.ndarray,
        rate: int,
        size: tuple[int, int],
        seed: int,
    ):
        shot = self.shot = shots[index]
        self.camera = pictures.Camera(pictures.load(shot.picture), shot.start, shot.end, size, seed + index)
        self.clock, self.voice, self.rate = clock, voice.mean(axis=0), rate
        self.first = clock.starts[index]
        after = clock.transitions[index + 1] if index + 1 < len(shots) else 0
        self.length = clock.starts[index + 1] - self.first + after
        span = clock.span(index, rate)
        loud = _envelope(self.voice[span], rate)
        self.loudest = max(np.percentile(loud, 95), 1e-4) if loud.size else 1.0

    def frame(self, frame: int) -> np.ndarray:
        time = self.clock.times[frame]
        seconds = float(time - self.clock.times[self.first])
        return self.camera.frame((frame - self.first) / self.length, seconds, self._mouths(seconds, float(time)))

    def _mouths(self, seconds: float, time: float) -> dict[int, float]:
        """How far each face that is speaking now opens its mouth: the loudness of the 60 ms around."""
        mouths = {}
        for sentence in self.shot.speech:
            length = len(speech.say(sentence.voice, sentence.line, self.rate)) / self.rate
            if sentence.face is not None and sentence.at <= seconds <= sentence.at + length:
                around = self.voice[max(round((time - 0.03) * self.rate), 0) : round((time + 0.03) * self.rate)]
                mouths[sentence.face] = float(min(np.sqrt(np.mean(around**2)) / self.loudest, 1.0))
        return mouths


def _envelope(wave: np.ndarray, rate: int) -> np.ndarray:
    """RMS of every 60 ms."""
    size = round(0.06 * rate)
    return np.sqrt(np.mean(wave[: len(wave) // size * size].reshape(-1, size) ** 2, axis=1))


def _truth(
    index: int,
    shots: Sequence[Shot],
    clock: _Clock,
    stems: dict[str, np.ndarray],
    mix: np.ndarray,
    rate: int,
    kind: str,
    heard: bool,
) -> ShotTruth:
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
    levels = {name: level_db(wave[:, span]) for name, wave in {"mix": mix, **stems}.items()} if heard else {}
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
        drop=_drop(shot, pure, heard, persons, subsets),
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


def level_db(wave: np.ndarray) -> float:
    """RMS in dBFS, not below -120."""
    return float(20 * np.log10(max(np.sqrt(np.mean(np.square(wave, dtype=np.float64))), 1e-6)))
