"""Whether anybody speaks in a clip at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from demix.models.demixing import nsnet2, rnnoise
from demix.models.last_answer import last_answer
from demix.models.sound_events import sound_events

SURE_FRAMES = 40
"""A score is the mean of so many frames, 0.4 s in all."""
SPEECH = 0.82
"""Score from which on somebody speaks. Mixtures of recordings (benchmarks/demixing.py) had .95 and more with speech,
.80 and less without."""


@dataclass(frozen=True)
class SpeechHeard:
    """What the event detector says of speech in a clip."""

    score: float
    """0..1, the median of three: of the mix, of what NSNet2 takes for speech in it, and of what RNNoise does. Music may
    sound like speech to the detector in one of them, or hide a voice in one of them; seldom in two."""
    chances: np.ndarray
    """Probability of speech in the mix per 10 ms, float32 (frames,)."""

    @property
    def sure(self) -> bool:
        return self.score >= SPEECH


@last_answer
def speech_heard(wave: np.ndarray, sample_rate: int) -> SpeechHeard:
    """Listens to a mono wave (samples,)."""
    extracts = nsnet2.enhance(wave, sample_rate), rnnoise.enhance(wave, sample_rate).wave
    chances = [sound_events(heard, sample_rate).speech for heard in (wave, *extracts)]
    return SpeechHeard(float(np.median([score(each) for each in chances])), chances[0])


def score(chances: np.ndarray) -> float:
    """Mean of the surest 0.4 s of probabilities (frames,)."""
    return float(np.sort(chances)[-SURE_FRAMES:].mean())
