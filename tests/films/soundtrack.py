"""Mixes the sounds of all shots into three stems."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tests.films import sounds, speech
from tests.films.script import Clock, Shot

STEMS = ("speech", "effects", "music")


def stems_of(shots: Sequence[Shot], clock: Clock, rate: int, channels: int, seed: int) -> dict[str, np.ndarray]:
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
    return {name: _spread(name, stem, channels) for name, stem in stems.items()}


def _spread(name: str, stem: np.ndarray, channels: int) -> np.ndarray:
    """A stereo stem on 1, 2 or 6 channels (of 5.1, speech takes the centre)."""
    if channels == 1:
        return stem.mean(axis=0, keepdims=True)
    spread = np.zeros((channels, stem.shape[1]), np.float32)
    if channels > 2 and name == "speech":
        spread[2] = stem[0]
    else:
        spread[:2] = stem
    return spread


def _add(track: np.ndarray, sound: np.ndarray, at: float, rate: int, level_db: float) -> None:
    """Adds `sound` at `at` seconds with an RMS of `level_db` dBFS and edges of 10 ms against clicks."""
    first = round(at * rate)
    sound = sound[:, : track.shape[1] - first]
    edge = np.ones(sound.shape[1])
    ramp = min(rate // 100, sound.shape[1] // 2)
    edge[:ramp], edge[-ramp:] = np.linspace(0, 1, ramp), np.linspace(1, 0, ramp)
    gain = 10 ** (level_db / 20) / np.sqrt(np.mean(sound**2))
    track[:, first : first + sound.shape[1]] += (gain * edge * sound).astype(np.float32)


def damaged(mix: np.ndarray, shots: Sequence[Shot], clock: Clock, rate: int) -> np.ndarray:
    mix = mix.copy()
    for index, shot in enumerate(shots):
        span = clock.span(index, rate)
        if shot.damage == "clipped":
            mix[:, span] = np.clip(mix[:, span] * 12, -0.98, 0.98)
        elif shot.damage == "telephone":
            mix[:, span] = sounds.telephone(mix[:, span], rate)
    return mix


def level_db(wave: np.ndarray) -> float:
    """RMS in dBFS, not below -120."""
    return float(20 * np.log10(max(np.sqrt(np.mean(np.square(wave, dtype=np.float64))), 1e-6)))
