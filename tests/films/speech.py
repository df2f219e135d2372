"""What the people of the films say: a few sentences in three voices that listening software can tell apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile

FOLDER = Path(__file__).parent / "voices"

LINES = (
    "The harbour was quiet that morning and nobody had seen the boat come in.",
    "I told you that we would meet again but I never thought it would be here.",
    "They walked along the wall until the lights went out.",
    "Then we should go before the weather turns against us.",
    "Nobody will believe a single word of this story.",
    "Give me one good reason to stay here until tomorrow.",
)
"""Sentences without a pause inside: each is one stretch of speech."""


@dataclass(frozen=True)
class Voice:
    """How eSpeak NG speaks as this person.

    Chosen because listening software takes these voices for human ones (silero-vad in all sentences, RNNoise in all
    as well, which most other voices of eSpeak fail), and tells them apart: Resemblyzer's embeddings lie at a cosine
    distance of 0.35 and more between voices and below 0.15 within one.
    """

    name: str
    espeak: str
    words_per_minute: int
    pitch: int

    def path(self, line: int) -> Path:
        return FOLDER / f"{self.name}_{line}.ogg"


VOICES = {
    voice.name: voice
    for voice in (
        Voice("astronaut", "en-us+steph", 160, 60),
        Voice("admiral", "en-us+klatt4", 160, 60),
        Voice("narrator", "en-us+david", 160, 40),
    )
}


@lru_cache(maxsize=32)
def say(voice: str, line: int, sample_rate: int) -> np.ndarray:
    """Sentence `line` of `LINES` as float32 (samples,), peak 1, speech from the first sample to the last."""
    wave, rate = soundfile.read(VOICES[voice].path(line), dtype="float32")
    common = math.gcd(rate, sample_rate)
    wave = scipy.signal.resample_poly(wave, sample_rate // common, rate // common).astype(np.float32)
    return wave / np.abs(wave).max()
