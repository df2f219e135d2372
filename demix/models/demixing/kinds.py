"""What music sounds like and other sounds do not, measured over seconds: the features behind `background.divide`.

Notes are what music is made of: partials that hold their pitch, on a grid of equal semitones, several of them, again
and again, on a beat. Everything else glides, rattles, hisses, or holds one tone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from demix.lazy_module import lazy_module

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

ndimage: Any = lazy_module("scipy.ndimage")
signal: Any = lazy_module("scipy.signal")

RATE = 22050
SIZE, HOP = 4096, 1024
"""186 ms windows: semitones are apart from 150 Hz on."""
LOW_HZ, HIGH_HZ = 100.0, 5000.0
PEAK_DB = 12.0
"""A partial stands out of its neighbourhood (about 130 Hz) by this much."""
STEADY_CENTS = 18.0
HELD_FRAMES = 4
FEATURES = (
    "tonal",
    "held",
    "gliding",
    "grid",
    "notes",
    "grid_notes",
    "onset_beat",
    "flatness",
    "dynamics",
    "chroma_memory",
    "percussive",
    "crest",
    "held_notes",
)


def measure(wave: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """The features of a mono wave (samples,) at `RATE`, float64 (len(FEATURES),), each roughly within 0..1.

    `weight` (0..1 per frame of `HOP` samples, centred) tells how much each frame counts; frames of near silence count
    nothing anyway.
    """
    window = torch.hann_window(SIZE)
    spectrum = torch.stft(torch.from_numpy(wave), SIZE, HOP, window=window, pad_mode="constant", return_complex=True)
    power = np.square(spectrum.abs().numpy()).astype(np.float64) + 1e-12
    energy = power.sum(axis=0)
    heard = energy > 1e-5 * energy.max()
    weight = heard.astype(float) if weight is None else weight[: len(energy)] * heard
    if weight.sum() < 4:
        return np.zeros(len(FEATURES))
    peaks = _peaks(power)
    held, gliding = _tracks(*peaks)
    strength, cents = peaks
    band = _band(power)
    total = (weight * band.sum(axis=0)).sum()
    share = lambda mask: float((weight * (strength * mask).sum(axis=0)).sum() / total)  # noqa: E731
    grid, notes = _notes(strength * held * weight, cents)
    held_share = share(held)
    flat = np.exp(np.log(band).mean(axis=0)) / band.mean(axis=0)
    level = 10 * np.log10(energy[weight > 0])
    return np.array(
        [
            share(np.ones_like(held)),
            held_share,
            share(gliding),
            grid,
            notes,
            grid * notes,
            _beat(power, weight),
            float(np.average(np.sqrt(flat), weights=weight)),
            float(np.clip(np.std(level) / 20, 0, 1)),
            _chroma_memory(strength * held * weight, cents),
            _percussive(band, weight),
            float(np.clip((np.quantile(level, 0.95) - np.median(level)) / 30, 0, 1)),
            held_share * grid * notes,
        ]
    )


def _band(power: np.ndarray) -> np.ndarray:
    frequencies = np.fft.rfftfreq(SIZE, 1 / RATE)
    return power[(frequencies >= LOW_HZ) & (frequencies <= HIGH_HZ)]


def _peaks(power: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Power of each spectral peak over its three bins and its pitch in cents (interpolated); 0 where no peak is."""
    frequencies = np.fft.rfftfreq(SIZE, 1 / RATE)
    inside = np.flatnonzero((frequencies >= LOW_HZ) & (frequencies <= HIGH_HZ))
    level = 10 * np.log10(power)
    around = ndimage.median_filter(level, size=(25, 1))[inside]
    left, here, right = level[inside - 1], level[inside], level[inside + 1]
    peak = (here > left) & (here >= right) & (here > around + PEAK_DB) & (here > level.max() - 60)
    offset = 0.5 * (left - right) / np.where(peak, left - 2 * here + right, -1.0)
    hertz = (inside[:, None] + np.clip(offset, -0.5, 0.5)) * RATE / SIZE
    strength = (power[inside - 1] + power[inside] + power[inside + 1]) * peak
    return strength, np.where(peak, 1200 * np.log2(hertz / 440.0), 0.0)


def _tracks(strength: np.ndarray, cents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Masks of peaks that hold their pitch for `HELD_FRAMES` or more, and of those that move on smoothly."""
    peak = strength > 0
    steady = np.zeros(peak.shape, int)
    moving = np.zeros(peak.shape, bool)
    for frame in range(1, peak.shape[1]):
        for shift in (-2, -1, 0, 1, 2):
            before = np.roll(peak[:, frame - 1], shift)
            change = np.abs(cents[:, frame] - np.roll(cents[:, frame - 1], shift))
            joined = peak[:, frame] & before
            run = np.where(joined & (change <= STEADY_CENTS), np.roll(steady[:, frame - 1], shift) + 1, 0)
            steady[:, frame] = np.maximum(steady[:, frame], run)
            moving[:, frame] |= joined & (change > STEADY_CENTS) & (change < 120)
    # A run counts from its beginning, not only once it is long enough.
    held = steady >= HELD_FRAMES - 1
    for frame in range(peak.shape[1] - 2, -1, -1):
        later = ndimage.maximum_filter1d(held[:, frame + 1].astype(np.int8), 3) > 0
        held[:, frame] |= peak[:, frame] & later & (steady[:, frame] < HELD_FRAMES - 1)
    return held, moving & ~held


def _notes(weight: np.ndarray, cents: np.ndarray) -> tuple[float, float]:
    """How closely held partials keep to one grid of semitones (0..1), and how many notes there are (0..1 for 1..12).

    Only partials below 2 kHz: the upper harmonics of a note leave the grid.
    """
    low = (cents < 1200 * np.log2(2000 / 440)) & (weight > 0)
    amount = np.sqrt(weight[low])
    if amount.sum() == 0:
        return 0.0, 0.0
    turn = np.exp(2j * np.pi * cents[low] / 100)
    mean = (amount * turn).sum() / amount.sum()
    tuning = np.angle(mean) / (2 * np.pi) * 100
    note = np.round((cents[low] - tuning) / 100).astype(int)
    histogram = np.bincount(note - note.min(), weights=amount)
    share = histogram[histogram > 0] / histogram.sum()
    effective = np.exp(-(share * np.log(share)).sum())
    return float(np.abs(mean)), float(np.clip(np.log(effective) / np.log(24), 0, 1))


def _beat(power: np.ndarray, weight: np.ndarray) -> float:
    """Highest normalised autocorrelation of the onset strength between 0.25 and 1.5 s (0..1)."""
    bands = np.log1p(1e4 * np.add.reduceat(power, [5, 20, 50, 120, 300, 700], axis=0) / power.sum(axis=0).max())
    onset = np.maximum(np.diff(bands, axis=1), 0).sum(axis=0) * weight[1:]
    onset = onset - ndimage.uniform_filter1d(onset, 43)
    correlation = signal.correlate(onset, onset, "full")[len(onset) - 1 :]
    first, last = round(0.25 * RATE / HOP), min(round(1.5 * RATE / HOP), len(correlation) // 2)
    if correlation[0] <= 0 or last <= first:
        return 0.0
    return float(np.clip(correlation[first:last].max() / correlation[0], 0, 1))


def _chroma_memory(weight: np.ndarray, cents: np.ndarray) -> float:
    """Similarity of the pitch classes of each second to those of the whole (0..1)."""
    classes = np.mod(np.round(cents / 100), 12).astype(int)
    chroma = np.zeros((12, weight.shape[1]))
    for pitch in range(12):
        chroma[pitch] = (np.sqrt(weight) * (classes == pitch)).sum(axis=0)
    size = round(RATE / HOP)
    seconds = [chroma[:, start : start + size].sum(axis=1) for start in range(0, chroma.shape[1], size)]
    whole = chroma.sum(axis=1)
    norms = [np.linalg.norm(second) * np.linalg.norm(whole) for second in seconds]
    similar = [second @ whole / norm for second, norm in zip(seconds, norms, strict=True) if norm > 0]
    return float(np.mean(similar)) * len(similar) / len(seconds) if similar else 0.0


def _percussive(band: np.ndarray, weight: np.ndarray) -> float:
    """Share of the magnitude that stands out upright in the spectrogram (median filters over 0.5 s and 200 Hz)."""
    magnitude = np.sqrt(band[::2])
    along = ndimage.median_filter(magnitude, size=(1, 11))
    across = ndimage.median_filter(magnitude, size=(19, 1))
    upright = magnitude * (across**2 / (across**2 + along**2 + 1e-12))
    return float((weight * upright.sum(axis=0)).sum() / ((weight * magnitude.sum(axis=0)).sum() + 1e-12))
