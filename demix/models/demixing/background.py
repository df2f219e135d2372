"""What is not speech, divided into music and effects: first which of the two is there, then, if both, which part.

The judges were fitted on generated sounds only (`benchmarks/fit_kinds.py`); they know what notes are, not what a film
sounds like, and say so: `confidence` is |2p - 1| at a temperature calibrated on kinds of sound never heard.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from demix.lazy_module import lazy_module
from demix.media.audio import mono, resample, rms_db
from demix.models.demixing import kinds
from demix.models.demixing.spectrum import TINY, Transform

ndimage: Any = lazy_module("scipy.ndimage")

SILENT_DB = -60.0
"""Quieter backgrounds hold neither music nor effects worth telling apart."""
ENOUGH_SECONDS = 1.5
"""Less than this free of speech, and the judges hear too little to be sure."""
SURE = 0.5
SPLIT_CONFIDENCE = 0.4
"""Both are there: the mask that parts them is crude, so neither track is to be trusted."""


@dataclass(frozen=True)
class Verdict:
    """Probabilities that the background holds music and effects, and the share 0..1 of them that can be relied on."""

    music: float
    effects: float
    reliance: float

    def confidence(self, kind: str) -> float:
        return self.reliance * abs(2 * getattr(self, kind) - 1)


def divide(rest: np.ndarray, speech: np.ndarray, sample_rate: int) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """(effects, music, confidence of each) from what is not speech; effects + music = rest exactly.

    `rest`, `speech`: float32 (channels, samples). A kind is silent (exactly 0) unless the judge is sure of it; where it
    is sure of neither, everything goes to the likelier one, and the confidences say that it is a guess.
    """
    if rms_db(rest) < SILENT_DB:
        # Under a voice something may sound that was taken for a part of it.
        free = max(0.5, float(np.mean(~speech.any(axis=0)))) if speech.size else 1.0
        return rest, np.zeros_like(rest), {"effects": free, "music": free}
    verdict = judge(rest, speech, sample_rate)
    confidence = {kind: verdict.confidence(kind) for kind in ("effects", "music")}
    there = [kind for kind in confidence if getattr(verdict, kind) > 0.5 and confidence[kind] > SURE]
    if len(there) == 2:
        music = tonal_part(rest, sample_rate)
        return rest - music, music, {kind: min(sure, SPLIT_CONFIDENCE) for kind, sure in confidence.items()}
    only = there[0] if there else ("music" if verdict.music > verdict.effects else "effects")
    music = rest if only == "music" else np.zeros_like(rest)
    return rest - music, music, confidence


def judge(rest: np.ndarray, speech: np.ndarray, sample_rate: int) -> Verdict:
    """Listens where nobody speaks; remains of speech in the rest would pass for effects."""
    background = resample(mono(rest), sample_rate, kinds.RATE)
    voice = _frame_power(resample(mono(speech), sample_rate, kinds.RATE))
    power = _frame_power(background)
    weight = np.square(power / (power + 10 * voice + TINY))
    free_seconds = float(weight[power > 1e-5 * power.max()].sum()) * kinds.HOP / kinds.RATE
    features = kinds.measure(background, weight)
    music, effects = (float(1 / (1 + np.exp(-_logit(kind, features)))) for kind in ("music", "effects"))
    return Verdict(music, effects, min(1.0, free_seconds / ENOUGH_SECONDS))


def _frame_power(wave: np.ndarray) -> np.ndarray:
    """Mean power around each spectral frame of `kinds`, (frames,)."""
    frames = len(wave) // kinds.HOP + 1
    squares = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    centre = np.arange(frames) * kinds.HOP
    first = np.clip(centre - kinds.SIZE // 2, 0, len(wave))
    last = np.clip(centre + kinds.SIZE // 2, 0, len(wave))
    return (squares[last] - squares[first]) / kinds.SIZE


@cache
def _judges() -> dict:
    numbers = json.loads(resources.files(__package__).joinpath("kinds.json").read_text())
    if tuple(numbers["features"]) != kinds.FEATURES:
        raise ValueError("kinds.json was fitted on other features; run benchmarks/fit_kinds.py --write")
    return numbers["judges"]


def _logit(kind: str, features: np.ndarray) -> float:
    """Mean of the members, at the calibrated temperature."""
    fitted = _judges()[kind]
    logits = [np.dot(member["coefficients"], features) + member["intercept"] for member in fitted["members"]]
    return float(np.mean(logits) / fitted["temperature"])


def tonal_part(rest: np.ndarray, sample_rate: int) -> np.ndarray:
    """What holds its pitch in `rest` (channels, samples): a soft mask of median filters along time and frequency
    (FitzGerald 2010), steep, over 186 ms windows."""
    transform = Transform(sample_rate, window_seconds=kinds.SIZE / kinds.RATE)
    spectrum = transform.forward(rest)
    magnitude = np.abs(spectrum).mean(axis=0)
    along = ndimage.median_filter(magnitude, size=(1, 9))
    across = ndimage.median_filter(magnitude, size=(25, 1))
    mask = along**4 / (along**4 + across**4 + TINY)
    return transform.inverse(spectrum * mask, rest.shape[1])
