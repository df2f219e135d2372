"""Sounds whose truth is known, made from a seed: speech-like, musical and other. For tests, benchmarks and the fit of
`demix/models/demixing/background.py`; every maker returns a mono wave, float32 (samples,), peak 1 or below.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import signal

Maker = Callable[[np.random.Generator, int, int], np.ndarray]
"""(random, samples, sample_rate) -> wave"""


def at_level(wave: np.ndarray, level_db: float) -> np.ndarray:
    """`wave` scaled to an RMS level in dBFS; silence stays silence."""
    rms = np.sqrt(np.mean(np.square(wave, dtype=np.float64)))
    return (wave * (10 ** (level_db / 20) / rms)).astype(np.float32) if rms > 0 else wave


def _peaked(wave: np.ndarray) -> np.ndarray:
    return (wave / max(1e-9, float(np.abs(wave).max()))).astype(np.float32)


def _band(random: np.random.Generator, samples: int, rate: int, low: float, high: float) -> np.ndarray:
    """Noise between two frequencies."""
    sos = signal.butter(2, [low, min(high, 0.45 * rate)], "band", fs=rate, output="sos")
    return signal.sosfilt(sos, random.normal(size=samples))


def _slow(random: np.random.Generator, samples: int, rate: int, hertz: float) -> np.ndarray:
    """A smooth random curve in 0..1 that changes about `hertz` times a second."""
    points = random.random(max(int(samples / rate * hertz) + 3, 4))
    return np.interp(np.arange(samples), np.linspace(0, samples, len(points)), points)


def _phase(frequency: np.ndarray | float, samples: int, rate: int) -> np.ndarray:
    return 2 * np.pi * np.cumsum(np.broadcast_to(frequency, (samples,))) / rate


def _add(wave: np.ndarray, part: np.ndarray, start: int) -> None:
    end = min(start + len(part), len(wave))
    if start < end:
        wave[start:end] += part[: end - start]


def _room(random: np.random.Generator, wave: np.ndarray, rate: int) -> np.ndarray:
    """`wave` in a room of random size, or none."""
    seconds = random.choice([0.0, 0.3, 0.8, 1.6])
    if seconds == 0:
        return wave
    tail = random.normal(size=int(seconds * rate)) * np.exp(-6.9 * np.arange(int(seconds * rate)) / (seconds * rate))
    wet = signal.oaconvolve(wave, tail)[: len(wave)]
    return _peaked(wave) + random.uniform(0.1, 0.4) * _peaked(wet)


# --- music -----------------------------------------------------------------------------------------------------------

SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 7, 10))


def _note(timbre: str, hertz: float, seconds: float, random: np.random.Generator, rate: int) -> np.ndarray:
    """One note: `pluck` and `bell` decay, `bowed` and `organ` hold."""
    held = timbre in ("bowed", "organ")
    samples = int((seconds if held else max(seconds, 1.2)) * rate)
    time = np.arange(samples) / rate
    ratios = np.array([1, 2.76, 5.4, 8.93]) if timbre == "bell" else np.arange(1, 13)
    ratios = ratios[ratios * hertz < 0.4 * rate]
    rolloff = {"pluck": 1.3, "bell": 0.8, "bowed": 1.1, "organ": 0.9}[timbre]
    vibrato = 1 + (0.004 * np.sin(2 * np.pi * random.uniform(4.5, 6.5) * time) if timbre == "bowed" else 0)
    wave = np.zeros(samples)
    for ratio in ratios:
        decay = np.ones(samples) if held else np.exp(-time * random.uniform(2, 4) * np.sqrt(ratio))
        amplitude = ratio**-rolloff * random.uniform(0.6, 1)
        wave += amplitude * decay * np.sin(_phase(hertz * ratio * vibrato, samples, rate) + random.uniform(0, 6))
    attack = np.minimum(1, time / (0.06 if held else 0.004))
    return wave * attack * np.minimum(1, (time[-1] - time) / 0.05)


def _melody(timbre: str, voices: int) -> Maker:
    """Notes of a scale on a beat; `voices` sound together."""

    def make(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
        wave = np.zeros(samples)
        scale = SCALES[random.integers(len(SCALES))]
        tonic = 110 * 2 ** (random.integers(0, 18) / 12 + random.uniform(-0.3, 0.3) / 12)
        beat = 60 / random.uniform(60, 150) * random.choice([0.5, 1, 2])
        start = 0.0
        while start < samples / rate:
            length = beat * random.choice([0.5, 1, 1, 2])
            degree = int(random.integers(0, 2 * len(scale)))
            for voice in range(voices):
                octave, step = divmod(degree + 2 * voice, len(scale))
                hertz = tonic * 2 ** (octave + scale[step] / 12)
                part = _note(timbre, hertz, length, random, rate) * random.uniform(0.5, 1)
                _add(wave, part, int(start * rate))
            start += length
        return _peaked(_room(random, wave, rate))

    return make


def _drum(kind: str, random: np.random.Generator, rate: int) -> np.ndarray:
    time = np.arange(int(0.25 * rate)) / rate
    if kind == "kick":
        return np.sin(_phase(50 + 120 * np.exp(-time * 40), len(time), rate)) * np.exp(-time * 14)
    if kind == "snare":
        return (_band(random, len(time), rate, 300, 6000) + 0.5 * np.sin(2 * np.pi * 190 * time)) * np.exp(-time * 22)
    return 0.4 * _band(random, len(time), rate, 6000, 14000) * np.exp(-time * 60)


def drums(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """A drum kit, played by somebody: one bar again and again, with swing, unequal strokes and fills."""
    beat = 60 / random.uniform(70, 160)
    swing, chance = random.uniform(0, 0.33), random.uniform(0, 0.3)
    patterns = {"kick": (0, 4), "snare": (2, 6), "hat": (0, 1, 2, 3, 4, 5, 6, 7)[:: random.integers(1, 3)]}
    wave = np.zeros(samples)
    for eighth in range(int(samples / rate / (beat / 2)) + 1):
        time = eighth * beat / 2 + (swing * beat / 2 if eighth % 2 else 0) + random.normal(0, 0.004)
        for kind, hits in patterns.items():
            if eighth % 8 in hits or random.random() < chance * 0.4:
                _add(wave, random.uniform(0.4, 1) * _drum(kind, random, rate), max(0, int(time * rate)))
    return _peaked(_room(random, wave, rate))


def _band_of(lead: str, grit: float) -> Maker:
    """Drums, bass and chords; `grit` distorts the chords."""

    def make(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
        kit = drums(random, samples, rate)
        chords = _melody(lead, 3)(random, samples, rate)
        bass = _melody("pluck", 1)(random, samples, rate)
        if grit:
            chords = np.tanh(grit * chords)
        return _peaked(random.uniform(0.15, 1) * kit + random.uniform(0.3, 1) * chords + random.uniform(0, 0.6) * bass)

    return make


MUSIC: dict[str, Maker] = {
    "plucked": _melody("pluck", 1),
    "piano": _melody("pluck", 3),
    "bells": _melody("bell", 1),
    "strings": _melody("bowed", 3),
    "solo": _melody("bowed", 1),
    "organ": _melody("organ", 3),
    "drums": drums,
    "groove": _band_of("organ", 0),
    "jazz": _band_of("bell", 0),
    "rock": _band_of("pluck", 6),
}

# --- effects ---------------------------------------------------------------------------------------------------------


def wind(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    return _peaked(
        _band(random, samples, rate, 40, random.uniform(300, 1500)) * (0.2 + _slow(random, samples, rate, 1))
    )


def rain(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    drops = random.normal(size=samples) * (random.random(samples) < random.uniform(0.002, 0.05))
    hiss = _band(random, samples, rate, 800, 12000)
    return _peaked(_peaked(signal.lfilter([1], [1, -0.7], drops)) + random.uniform(0.2, 1) * _peaked(hiss))


def water(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Bubbles: short rising sines over noise."""
    wave = 0.15 * _peaked(_band(random, samples, rate, 300, 5000))
    for _ in range(int(samples / rate * random.uniform(20, 60))):
        size = int(random.uniform(0.01, 0.06) * rate)
        rise = random.uniform(400, 2500) * (1 + np.linspace(0, random.uniform(0.1, 0.6), size))
        bubble = np.sin(_phase(rise, size, rate)) * np.exp(-4 * np.linspace(0, 1, size)) * random.uniform(0.05, 0.4)
        _add(wave, bubble, int(random.integers(samples)))
    return _peaked(wave)


def impacts(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Things that fall, doors, glass: bursts of noise and a few unrelated modes, at irregular times."""
    wave = np.zeros(samples)
    for _ in range(max(1, int(samples / rate * random.uniform(0.4, 2)))):
        size = int(random.uniform(0.1, 0.8) * rate)
        fall = np.linspace(0, 1, size)
        hit = _band(random, size, rate, 60, random.uniform(1000, 9000)) * np.exp(-random.uniform(8, 40) * fall)
        for _ in range(int(random.integers(0, 6))):
            mode = np.sin(_phase(random.uniform(120, 5000), size, rate)) * np.exp(-random.uniform(5, 30) * fall)
            hit = hit + random.uniform(0, 0.5) * mode
        _add(wave, hit * random.uniform(0.3, 1), int(random.integers(samples)))
    return _peaked(_room(random, wave, rate))


def footsteps(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    wave = np.zeros(samples)
    time, pace = random.uniform(0, 0.4), random.uniform(0.35, 0.7)
    while time < samples / rate:
        size = int(0.12 * rate)
        step = _band(random, size, rate, 60, random.uniform(400, 3000)) * np.exp(-np.linspace(0, 9, size))
        _add(wave, step * random.uniform(0.6, 1), int(time * rate))
        time += pace * random.uniform(0.92, 1.08)
    return _peaked(_room(random, wave, rate))


def engine(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Harmonics of a drifting speed, with noise."""
    speed = random.uniform(25, 110) * (0.8 + 0.5 * _slow(random, samples, rate, random.uniform(0.2, 1)))
    phase = _phase(speed, samples, rate)
    tones = sum(np.sin(k * phase + random.uniform(0, 6)) * k**-0.7 for k in range(1, 25))
    return _peaked(_peaked(tones) + random.uniform(0.1, 1) * _peaked(_band(random, samples, rate, 60, 3000)))


def siren(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    time = np.arange(samples) / rate
    low, high = random.uniform(400, 700), random.uniform(900, 1600)
    sweep = 0.5 + 0.5 * signal.sawtooth(2 * np.pi * random.uniform(0.2, 3) * time, random.choice([0.5, 0.9, 0.1]))
    phase = _phase(low + (high - low) * sweep, samples, rate)
    return _peaked(_room(random, sum(np.sin(k * phase) / k for k in (1, 2, 3)), rate))


def horn(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Car and ship horns, alarms, telephones: the same steady tones switched on and off."""
    pair = random.uniform(150, 1500) * np.array([1, random.uniform(1.1, 1.4)])
    tone = sum(signal.square(_phase(hertz, samples, rate)) for hertz in pair[: random.integers(1, 3)])
    switch = (_slow(random, samples, rate, random.uniform(0.5, 4)) > 0.5).astype(float)
    if random.random() < 0.4:
        switch = (signal.square(2 * np.pi * random.uniform(1, 6) * np.arange(samples) / rate) > 0).astype(float)
    switch[: int(0.3 * rate)] = 1
    soft = signal.lfilter([0.01], [1, -0.99], switch)
    return _peaked(_room(random, signal.lfilter([0.3], [1, -0.7], tone) * soft, rate))


def birds(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    wave = np.zeros(samples)
    for _ in range(max(2, int(samples / rate * random.uniform(1, 6)))):
        size = int(random.uniform(0.05, 0.35) * rate)
        curve = random.uniform(1800, 6000) * (1 + 0.4 * (_slow(random, size, rate, 25) - 0.5))
        chirp = np.sin(_phase(curve, size, rate)) * np.hanning(size)
        for repeat in range(int(random.integers(1, 4))):
            _add(wave, chirp * random.uniform(0.3, 1), int(random.integers(samples)) + repeat * int(1.2 * size))
    return _peaked(wave + 0.02 * random.normal(size=samples))


def animal(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Roars, barks, whales: gliding harmonics with noise in bouts."""
    wave = np.zeros(samples)
    for _ in range(max(1, int(samples / rate * random.uniform(0.3, 1.5)))):
        size = int(random.uniform(0.15, 2.0) * rate)
        glide = random.uniform(60, 900) * 2 ** ((_slow(random, size, rate, random.uniform(1.5, 6)) - 0.5) * 1.5)
        phase = _phase(glide, size, rate)
        cry = sum(np.sin(k * phase) * k ** -random.uniform(0.5, 1.5) for k in range(1, int(random.integers(2, 15))))
        cry = _peaked(cry) + random.uniform(0, 0.8) * _peaked(_band(random, size, rate, 100, 4000))
        _add(wave, cry * np.hanning(size) * random.uniform(0.3, 1), int(random.integers(samples)))
    return _peaked(_room(random, wave, rate) + 0.003 * random.normal(size=samples))


def hum(random: np.random.Generator, samples: int, rate: int) -> np.ndarray:
    """Machines and rooms: mains harmonics and noise, nothing happens."""
    phase = _phase(random.choice([50.0, 60.0, 100.0]) * random.uniform(0.5, 3), samples, rate)
    tones = sum(np.sin(k * phase) * random.uniform(0, 1) / k for k in range(1, 12))
    return _peaked(_peaked(tones) * random.uniform(0, 1) + _peaked(_band(random, samples, rate, 50, 2000)))


EFFECTS: dict[str, Maker] = {
    "wind": wind,
    "rain": rain,
    "water": water,
    "impacts": impacts,
    "footsteps": footsteps,
    "engine": engine,
    "siren": siren,
    "horn": horn,
    "birds": birds,
    "animal": animal,
    "hum": hum,
}
