"""Writes films whose truth is known: every frame number, every stem, who speaks when and who can be seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import soundfile

from tests.films import encoding, pictures, speech
from tests.films.script import Clock, Shot
from tests.films.soundtrack import damaged, stems_of
from tests.films.truth import FilmTruth, shot_truth


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
    False the video, `channels` are 1, 2 or 6, `variable_rate` shows frames for 3, 4 and 5 quarters of a frame by
    turns, `first_seconds` is where the time line starts, `ends_in_black` seconds fade out at the end, `keep_stems`
    leaves `<stem>.<track>.wav` beside the film.
    """
    clock = Clock(shots, Fraction(rate), variable_rate, ends_in_black)
    stems = stems_of(shots, clock, sample_rate, channels, seed)
    mix = damaged(stems["speech"] + stems["effects"] + stems["music"], shots, clock, sample_rate)
    if np.abs(mix).max() > 1:
        raise ValueError(f"{path.name}: the mix peaks at {np.abs(mix).max():.2f}; lower some levels")
    encoding.write(
        path,
        _frames(shots, clock, stems["speech"], sample_rate, size, seed) if picture else (),
        durations=clock.durations if picture else (),
        time_base=clock.time_base,
        rate=clock.rate,
        size=size,
        codec=codec if picture else "",
        options=options or {},
        wave=mix if audio_codec else None,
        audio_codec=audio_codec or "",
        sample_rate=sample_rate,
        first_seconds=Fraction(first_seconds),
    )
    tracks = {"mix": mix, **stems}
    files = {name: path.with_suffix(f".{name}.wav") for name in tracks if keep_stems}
    for name, file in files.items():
        soundfile.write(file, tracks[name].T, sample_rate, subtype="FLOAT")
    heard = tracks if audio_codec else {}
    return FilmTruth(
        name=path.name,
        kind=kind,
        width=size[0],
        height=size[1],
        frames=clock.frames,
        rate=str(clock.rate),
        frame_seconds=tuple(float(second) for second in clock.times),
        first_seconds=float(first_seconds),
        sample_rate=sample_rate if audio_codec else 0,
        cuts=clock.cuts,
        graduals=clock.graduals,
        shots=tuple(shot_truth(index, shots, clock, heard, sample_rate, kind) for index in range(len(shots))),
        stems={name: file.name for name, file in files.items()},
    )


def _frames(
    shots: Sequence[Shot], clock: Clock, voice: np.ndarray, rate: int, size: tuple[int, int], seed: int
) -> Iterator[np.ndarray]:
    """All frames in order, uint8 RGB (height, width, 3)."""
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
        if frame >= clock.frames - clock.black:
            picture = _blend(np.zeros_like(picture), picture, (clock.frames - frame - 1) / clock.black)
        yield picture


def _blend(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    return (first * (1 - share) + second * share + 0.5).astype(np.uint8)


class _Take:
    """The frames of one shot, a transition after its end included."""

    def __init__(
        self,
        index: int,
        shots: Sequence[Shot],
        clock: Clock,
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
