"""Model A of the `lite` profile: speech by RNNoise and silero-vad, the rest divided by what kind of sound it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from demix.lazy_module import lazy_module
from demix.media.audio import mono, resample, rms_db
from demix.models.demixing import ThreeStems
from demix.models.demixing.background import divide
from demix.models.demixing.rnnoise import enhance
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
from demix.models.silero_network import load_silero

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

ndimage: Any = lazy_module("scipy.ndimage")

VAD_RATE, VAD_CHUNK = 16000, 512
SPEECH_SECONDS = 0.4
"""Shortest total voice activity that counts as speech at all."""
SURE_SECONDS, SURE = 0.25, 0.9
"""There is speech only if silero is this sure for this long: it gives music and animals .5, hardly ever .9."""
FAINTEST_DB = -11.0
"""Below the mix, where the gate is open: what RNNoise leaves of music that silero took for a voice is fainter."""
LEAST_CENTRED = 0.8
"""Similarity of the channels of speech in the middle."""
PAD_SECONDS = 0.1
FADE_SECONDS = 0.01


class LiteThree:
    """Speech: RNNoise's gain as a mask, times the similarity of the channels, within silero's voice activity; where
    RNNoise loses confident speech its mask is crossfaded to a Wiener mask. Rest by subtraction, so the sum is exact.
    """

    name: ClassVar[str] = "lite"
    revision: ClassVar[str] = "2"
    licence: ClassVar[str] = (
        "Apache-2.0 (this project); RNNoise BSD-3-Clause (pyrnnoise Apache-2.0); silero-vad MIT; weights in both wheels"
    )
    bandwidth_hz: float = 20000.0
    """RNNoise's highest band ends here."""

    def __init__(self) -> None:
        self.vad = load_silero()

    def separate(self, wave: np.ndarray, sample_rate: int, seed: int) -> ThreeStems:
        """See `ThreeStemDemixer`. Nothing in here is random; `seed` is not used."""
        probability = voice_activity(self.vad, mono(wave), sample_rate)
        confidence = {"speech": speech_confidence(probability)}
        speech = np.zeros_like(wave, np.float32)
        if is_speech(probability):
            speech = extract_speech(wave, sample_rate, probability)
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
    enhanced = transform.forward(enhance(voiced, sample_rate).wave[np.newaxis])[0]
    mask = np.clip(np.abs(enhanced) / (np.abs(middle) + 1e-9), 0, 1)
    noise = noise_power(power, (gate == 0) & (power.sum(axis=0) > TINY))
    mask = keep_confident_speech(mask, wiener_mask(power, noise), power, voice, transform.frequencies)
    mask = mask ** need_for_masking(power, noise, mask, gate)
    loud = (np.abs(spectrum) ** 2).mean(axis=0) * mask**2 * gate
    speech = transform.inverse(spectrum * mask * trusted_centre(spectrum, loud, LEAST_CENTRED), wave.shape[1])
    opening = sample_gate(gate, transform.hop, wave.shape[1], round(FADE_SECONDS * sample_rate))
    if rms_db(speech * opening) < rms_db(wave * opening) + FAINTEST_DB:
        return np.zeros_like(speech)
    return speech * opening


def keep_confident_speech(
    mask: np.ndarray, fallback: np.ndarray, power: np.ndarray, voice: np.ndarray, frequencies: np.ndarray
) -> np.ndarray:
    """`mask`, crossfaded to `fallback` where it takes away 10 to 15 dB of what silero is sure to be speech (RNNoise
    now and then deletes a voice over loud music)."""
    band = (frequencies > 200) & (frequencies < 4000)
    before = ndimage.uniform_filter1d(power[band].sum(axis=0), 21)
    after = ndimage.uniform_filter1d((mask[band] ** 2 * power[band]).sum(axis=0), 21)
    loss_db = 10 * np.log10((np.maximum(before, 0) + TINY) / (np.maximum(after, 0) + TINY))
    sure = ndimage.uniform_filter1d(np.clip((voice - 0.5) / 0.4, 0, 1), 21)
    weight = np.clip((loss_db - 10) / 5, 0, 1) * np.clip((sure - 0.6) / 0.3, 0, 1)
    return mask * (1 - weight) + fallback * weight


def need_for_masking(power: np.ndarray, noise: np.ndarray, mask: np.ndarray, gate: np.ndarray) -> float:
    """1 at up to 25 dB of speech over background, 0 from 40 dB on: in a quiet room what a mask removes is speech. But 1
    again where the mask removes 4 dB: then something sounds together with the voice only."""
    speech = power[:, gate > 0].sum()
    over_db = 10 * np.log10((speech / max(np.count_nonzero(gate), 1) + TINY) / (noise.sum() + TINY))
    loss_db = 10 * np.log10((speech + TINY) / ((mask**2 * power)[:, gate > 0].sum() + TINY))
    return float(max(np.clip((40 - over_db) / 15, 0, 1), np.clip(loss_db / 2 - 1, 0, 1)))
