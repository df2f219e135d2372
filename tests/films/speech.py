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
    "There is a light in the tower and someone is waiting for us.",
    "Then we should go before the weather turns against us.",
    "Nobody will believe a single word of this story.",
    "Give me one good reason to stay here until tomorrow.",
)
"""Sentences without a pause inside: each is one stretch of speech."""


@dataclass(frozen=True)
class Voice:
    """How eSpeak NG speaks as this person; the settings were chosen so that Resemblyzer's embeddings of two different
    voices lie at a cosine distance of 0.40 to 0.48 and of the same voice at 0.05 to 0.07."""

    name: str
    espeak: str
    words_per_minute: int
    pitch: int

    def path(self, line: int) -> Path:
        return FOLDER / f"{self.name}_{line}.ogg"


VOICES = {
    voice.name: voice
    for voice in (
        Voice("astronaut", "en-us+f4", 165, 60),
        Voice("admiral", "en-us+grandma", 160, 50),
        Voice("narrator", "en-gb-x-rp+m7", 160, 40),
    )
}


@lru_cache(maxsize=32)
def say(voice: str, line: int, sample_rate: int) -> np.ndarray:
    """Sentence `line` of `LINES` as float32 (samples,), peak 1, speech from the first sample to the last."""
    wave, rate = soundfile.read(VOICES[voice].path(line), dtype="float32")
    common = math.gcd(rate, sample_rate)
    wave = scipy.signal.resample_poly(wave, sample_rate // common, rate // common).astype(np.float32)
    return wave / np.abs(wave).max()
