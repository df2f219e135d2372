"""Music and sound effects made of nothing but arithmetic: stereo float32 (2, samples), the same for the same seed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy.signal

CHORDS = ((57, 60, 64, 69), (53, 57, 60, 65), (48, 55, 60, 64), (55, 59, 62, 67))
"""A minor, F, C, G as MIDI notes: four chords of two beats each, again and again."""
BEAT_SECONDS = 0.6


def hertz(note: float) -> float:
    return 440.0 * 2 ** ((note - 69) / 12)


def music(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Plucked broken chords over a bass and a soft pad, at 100 beats a minute."""
    rng = np.random.default_rng([seed, 1])
    samples = round(seconds * rate)
    track = np.zeros((2, samples + 4 * rate), np.float32)
    for beat in range(int(np.ceil(seconds / BEAT_SECONDS))):
        start = beat * BEAT_SECONDS
        chord = [note + (seed * 5) % 7 for note in CHORDS[(beat // 2) % len(CHORDS)]]
        for half in range(2):
            note = chord[(2 * beat + half) % len(chord)] + 12 * int(rng.random() < 0.3)
            _mix(
                track,
                _pluck(hertz(note), 1.2, rate, rng),
                start + half * BEAT_SECONDS / 2,
                rate,
                rng.uniform(-0.7, 0.7),
            )
        if beat % 2 == 0:
            _mix(track, 0.9 * _tone(hertz(chord[0] - 12), 2 * BEAT_SECONDS, rate, 0.02, 4), start, rate, 0.0)
            for position, note in zip((-0.5, 0.0, 0.5), chord, strict=False):
                _mix(track, 0.25 * _tone(hertz(note), 2.2 * BEAT_SECONDS, rate, 0.3, 3), start, rate, position)
    return _peak_one(track[:, :samples])


def _pluck(frequency: float, seconds: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """A string after Karplus and Strong (1983): a burst of noise going round a delay line that averages."""
    period = round(rate / frequency)
    burst = np.zeros(round(seconds * rate))
    burst[:period] = rng.uniform(-1, 1, period)
    loop = np.zeros(period + 2)
    loop[0], loop[period], loop[period + 1] = 1.0, -0.4985, -0.4985
    return scipy.signal.lfilter([1.0], loop, burst)


def _tone(frequency: float, seconds: float, rate: int, attack: float, partials: int) -> np.ndarray:
    """Harmonics falling off with their square, swelling in `attack` seconds and ebbing to the end."""
    time = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * frequency * k * time) / k**2 for k in range(1, partials + 1))
    return wave * np.minimum(time / attack, 1) * np.minimum((seconds - time) / (seconds * 0.6), 1)


def impacts(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Knocks on wood and clanks of metal, irregularly, about two a second."""
    rng = np.random.default_rng([seed, 2])
    track = np.zeros((2, round(seconds * rate)), np.float32)
    start = 0.1
    while start < seconds - 0.1:
        time = np.arange(round(0.35 * rate)) / rate
        modes = rng.uniform(180, 4200, 7)
        knock = sum(np.sin(2 * np.pi * mode * time) * np.exp(-time * mode / 60) for mode in modes)
        knock = knock + 3 * rng.standard_normal(len(time)) * np.exp(-time * 120)
        _mix(track, rng.uniform(0.5, 1) * knock, start, rate, rng.uniform(-0.6, 0.6))
        start += rng.uniform(0.3, 0.7)
    return _peak_one(np.tanh(track / 2))


def engine(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """A motor whose speed wanders: pulses at the firing rate through a rough exhaust, with broadband hiss."""
    rng = np.random.default_rng([seed, 3])
    samples = round(seconds * rate)
    wander = np.interp(np.linspace(0, 1, samples), np.linspace(0, 1, 6), rng.uniform(34, 62, 6))
    phase = np.cumsum(wander) / rate
    pulses = np.maximum(np.sin(2 * np.pi * phase), 0) ** 8 * (1 + 0.5 * np.sin(np.pi * phase))
    rough = pulses * (1 + rng.standard_normal(samples)) + 0.05 * rng.standard_normal(samples)
    body = scipy.signal.sosfilt(_band(2, 60, 5000, rate), rough)
    hiss = 0.03 * rng.standard_normal((2, samples))
    return _peak_one(np.stack([body, np.roll(body, rate // 900)]) + hiss)


def wind(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Noise whose colour and strength rise and fall in gusts, different left and right."""
    rng = np.random.default_rng([seed, 4])
    samples = round(seconds * rate)
    noise = rng.standard_normal((2, samples))
    low = scipy.signal.sosfilt(_band(2, 150, 700, rate), noise)
    high = scipy.signal.sosfilt(_band(1, 700, 9000, rate), noise)
    knots = max(4, round(seconds * 1.5))
    gust = np.interp(np.linspace(0, 1, samples), np.linspace(0, 1, knots), rng.uniform(0.3, 1, knots))
    return _peak_one(gust * low + 0.5 * gust**3 * high)


def birds(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Chirps that glide between 2.5 and 6.5 kHz, in phrases of a few, over rustling leaves."""
    rng = np.random.default_rng([seed, 5])
    track = np.zeros((2, round(seconds * rate)), np.float32)
    start = 0.15
    while start < seconds - 0.2:
        base, position = rng.uniform(2500, 5000), rng.uniform(-0.8, 0.8)
        for _ in range(rng.integers(2, 6)):
            time = np.arange(round(rng.uniform(0.05, 0.12) * rate)) / rate
            glide = base + rng.uniform(-900, 1500) * time / time[-1] + 250 * np.sin(2 * np.pi * 35 * time)
            _mix(track, np.sin(2 * np.pi * np.cumsum(glide) / rate) * np.hanning(len(time)), start, rate, position)
            start += rng.uniform(0.09, 0.16)
        start += rng.uniform(0.1, 0.45)
    return _peak_one(track + 0.02 * room(seconds, rate, seed))


def rain(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Steady bright noise with drops in it."""
    rng = np.random.default_rng([seed, 6])
    samples = round(seconds * rate)
    drops = rng.standard_normal((2, samples)) * (rng.random((2, samples)) < 0.002) * 8
    bright = _band(1, 900, 12000, rate)
    return _peak_one(scipy.signal.sosfilt(bright, rng.standard_normal((2, samples)) + drops))


def room(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """The tone of a quiet room: noise falling off towards the treble."""
    rng = np.random.default_rng([seed, 7])
    return _peak_one(scipy.signal.lfilter([1.0], [1.0, -0.9], rng.standard_normal((2, round(seconds * rate)))))


EFFECTS: dict[str, Callable[[float, int, int], np.ndarray]] = {
    "impacts": impacts,
    "engine": engine,
    "wind": wind,
    "birds": birds,
    "rain": rain,
    "room": room,
}


def _band(order: int, low: float, high: float, rate: int) -> np.ndarray:
    """A band-pass filter, as wide as the rate allows."""
    return scipy.signal.butter(order, [low, min(high, 0.45 * rate)], "bandpass", fs=rate, output="sos")


def _mix(track: np.ndarray, sound: np.ndarray, start: float, rate: int, position: float) -> None:
    """Adds a mono sound at `start` seconds, panned from -1 (left) to 1 (right), cut at the track's end."""
    first = round(start * rate)
    sound = sound[: max(track.shape[1] - first, 0)]
    track[0, first : first + len(sound)] += np.sqrt((1 - position) / 2) * sound
    track[1, first : first + len(sound)] += np.sqrt((1 + position) / 2) * sound


def _peak_one(track: np.ndarray) -> np.ndarray:
    return (track / max(np.abs(track).max(), 1e-9)).astype(np.float32)


def telephone(wave: np.ndarray, rate: int) -> np.ndarray:
    """`wave` as a telephone line gives it: 8,000 samples a second, 300 to 3,300 Hz."""
    common = math.gcd(rate, 8000)
    line = scipy.signal.resample_poly(wave, 8000 // common, rate // common, axis=1)
    line = scipy.signal.sosfilt(_band(4, 300, 3300, 8000), line, axis=1)
    line = scipy.signal.resample_poly(line, rate // common, 8000 // common, axis=1)[:, : wave.shape[1]]
    return np.pad(line, ((0, 0), (0, wave.shape[1] - line.shape[1]))).astype(np.float32)
