"""Model B of the `lite` profile: speech and others, by means that share no decision with model A.

| | model A | model B |
|---|---|---|
| is anybody speaking | silero-vad | RNNoise's voice probability, how much it retains, no held notes |
| what is speech | RNNoise's gain | background learnt where nobody speaks (Wiener, NMF), middle of the image |

RNNoise's network is in both, but it never answers the same question: if it deletes a voice, A still holds it by
silero's word; if it takes music for a voice, A is silent. Agreement shows that two unlike cues point the same way;
it cannot show that both are right, and what fools both (sung vocals) passes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from demix.lazy_module import lazy_module
from demix.media.audio import mono, resample
from demix.models.demixing import TwoStems, kinds
from demix.models.demixing.rnnoise import HOP, RATE, Enhanced, enhance
from demix.models.demixing.spectrum import (
    TINY,
    Transform,
    hysteresis,
    noise_power,
    sample_gate,
    spread,
    trusted_centre,
    wiener_mask,
)

ndimage: Any = lazy_module("scipy.ndimage")

NMF_HZ = 8000
BACKGROUND_PARTS, SPEECH_PARTS, STEPS = 8, 60, 30
"""Few parts for the background: with many it explains the speech too (24 of them: 3 dB worse)."""
SPEECH_SECONDS = 0.4
LEAST_CENTRED = 0.5
"""Below this similarity of its channels speech is on one side, and the middle of the image says nothing of it. Voices
in the middle had .86 and more, at the level of what is behind them."""
RETAINED_DB = -3.5
"""RNNoise retains speech nearly whole (-0 to -3 dB in the loud moments of every mixture tried), music at -4 to -30."""
MOST_NOTES = 0.38
"""Speech glides, notes hold: `held_notes` of what RNNoise let pass is .10 for voices, .40 and more for music."""


class LiteTwo:
    """Speech = mix × Wiener × semi-supervised NMF × centre similarity, gated; others = mix − speech."""

    name: ClassVar[str] = "lite"
    revision: ClassVar[str] = "2"
    licence: ClassVar[str] = (
        "Apache-2.0 (this project); RNNoise BSD-3-Clause in pyrnnoise Apache-2.0, weights in its wheel"
    )
    bandwidth_hz: float = 20000.0

    def separate(self, wave: np.ndarray, sample_rate: int, seed: int) -> TwoStems:
        """See `TwoStemDemixer`; `seed` starts the factorisation."""
        samples = mono(wave)
        enhanced = enhance(samples, sample_rate)
        speech = np.zeros_like(wave, np.float32)
        if is_speech(enhanced, samples, sample_rate):
            speech = extract_speech(wave, sample_rate, enhanced.voice, seed)
        return TwoStems(speech, wave - speech)


def is_speech(enhanced: Enhanced, wave: np.ndarray, sample_rate: int) -> bool:
    """Whether anybody speaks: RNNoise hears a voice long enough, lets loud moments pass, and these hold no notes."""
    size = round(sample_rate * HOP / RATE)
    frames = min(len(wave) // size, len(enhanced.voice))
    if frames == 0:
        return False
    before, after = (_smooth_power(samples, size, frames) for samples in (wave, enhanced.wave))
    voice = ndimage.uniform_filter1d(enhanced.voice[:frames], 31)
    retained_db = 10 * np.log10((after + 1e-10) / (before + 1e-10))
    heard = (voice > 0.8) & (retained_db > -8) & (before > 1e-7)
    loud = before > 1e-4 * before.max()
    if np.count_nonzero(heard) * HOP / RATE < SPEECH_SECONDS or np.quantile(retained_db[loud], 0.9) < RETAINED_DB:
        return False
    features = kinds.measure(resample(enhanced.wave, sample_rate, kinds.RATE))
    return bool(features[kinds.FEATURES.index("held_notes")] < MOST_NOTES)


def _smooth_power(samples: np.ndarray, size: int, frames: int) -> np.ndarray:
    power = np.square(samples[: frames * size].reshape(frames, size), dtype=np.float64).mean(axis=1)
    return np.maximum(ndimage.uniform_filter1d(power, 31), 0)


def extract_speech(wave: np.ndarray, sample_rate: int, voice: np.ndarray, seed: int) -> np.ndarray:
    """Speech (channels, samples); exactly 0 where the gate is shut."""
    transform = Transform(sample_rate)
    spectrum = transform.forward(wave)
    frames = spectrum.shape[2]
    probability = spread(ndimage.uniform_filter1d(voice, 5), HOP / RATE, frames, transform.frame_seconds)
    gate = hysteresis(probability, 0.8, 0.4, round(0.1 / transform.frame_seconds))
    # What is learnt as background must be free of speech, so a wider span is left out than is let through.
    perhaps = hysteresis(probability, 0.6, 0.2, round(0.15 / transform.frame_seconds))
    power = (np.abs(spectrum) ** 2).mean(axis=0)
    idle = (perhaps == 0) & (power.sum(axis=0) > TINY)
    noise = noise_power(power, idle)
    mask = wiener_mask(power, noise)
    low = transform.frequencies < NMF_HZ
    if np.count_nonzero(idle) >= 2 * BACKGROUND_PARTS and gate.any():
        mask[low] = np.sqrt(mask[low] * factorised_mask(np.sqrt(power[low]), idle, gate > 0, seed))
    loud = power * mask**2 * gate
    speech = transform.inverse(spectrum * mask * trusted_centre(spectrum, loud, LEAST_CENTRED), wave.shape[1])
    return speech * sample_gate(gate, transform.hop, wave.shape[1], round(0.01 * sample_rate))


def factorised_mask(magnitude: np.ndarray, idle: np.ndarray, active: np.ndarray, seed: int) -> np.ndarray:
    """Share of speech per cell (bins, frames), 0 outside `active`.

    Semi-supervised non-negative matrix factorisation (Kullback-Leibler, multiplicative updates; Smaragdis, Raj and
    Shashanka 2007): spectra of the background are learnt in the `idle` frames and held, free ones explain the rest.
    """
    random = np.random.default_rng(seed)
    background, _ = _factorise(magnitude[:, idle], random, np.empty((len(magnitude), 0), np.float32), BACKGROUND_PARTS)
    parts, gains = _factorise(magnitude[:, active], random, background, SPEECH_PARTS)
    held = background.shape[1]
    behind = parts[:, :held] @ gains[:held]
    front = parts[:, held:] @ gains[held:]
    mask = np.zeros_like(magnitude)
    mask[:, active] = front**2 / (front**2 + behind**2 + TINY)
    return mask


def _factorise(
    target: np.ndarray, random: np.random.Generator, held: np.ndarray, free: int
) -> tuple[np.ndarray, np.ndarray]:
    """`target` (bins, frames) ~ parts (bins, held + free) @ gains; the first columns stay as `held` says."""
    target = target.astype(np.float32) + 1e-7
    parts = np.concatenate([held, random.random((len(target), free), np.float32) + 0.1], axis=1)
    parts /= parts.sum(axis=0)
    gains = random.random((parts.shape[1], target.shape[1]), np.float32) * target.sum(axis=0) / parts.shape[1]
    fixed = held.shape[1]
    for _ in range(STEPS):
        ratio = target / (parts @ gains + 1e-9)
        gains *= (parts.T @ ratio) / (parts.sum(axis=0)[:, None] + 1e-9)
        ratio = target / (parts @ gains + 1e-9)
        parts[:, fixed:] *= (ratio @ gains[fixed:].T) / (gains[fixed:].sum(axis=1) + 1e-9)
        parts[:, fixed:] /= parts[:, fixed:].sum(axis=0) + 1e-9
    return parts, gains
