"""Who speaks when, from two small nets whose weights are installed with them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from demix.lazy_module import lazy_module
from demix.media.audio import mono, resample
from demix.models.diarization import Speech
from demix.models.silero_network import load_silero
from demix.records import Turn

if TYPE_CHECKING:
    import torch
else:
    torch = lazy_module("torch")

hierarchy: Any = lazy_module("scipy.cluster.hierarchy")
distance: Any = lazy_module("scipy.spatial.distance")
silero: Any = lazy_module("silero_vad")
voice_encoder: Any = lazy_module("demix.models.diarization.voice_encoder")

RATE = 16_000
"""What both nets were trained at."""
VAD_STEP = 512 / RATE
"""Seconds between two answers of the voice activity detector."""


class LiteDiarizer:
    """silero-vad finds speech, Resemblyzer's encoder describes 1.6 s windows of it, average linkage groups the windows.

    One speaker at a time: overlapping speech goes to whoever dominates it. Trust the number of speakers and the
    presence of speech more than exact turns; see `benchmarks/results/voices.md` for what was measured.
    """

    name: ClassVar[str] = "lite"
    revision: ClassVar[str] = "1"
    licence: ClassVar[str] = "MIT (silero-vad), Apache-2.0 (weights of Resemblyzer, carried along)"

    onset: ClassVar[float] = 0.3
    """Speech begins at this probability; it ends .15 below."""
    min_silence: ClassVar[float] = 0.5
    """Seconds: shorter pauses belong to the turn."""
    min_speech: ClassVar[float] = 0.25
    """Seconds: shorter bursts are no speech."""
    sure: ClassVar[float] = 0.5
    """The median probability in all stretches together must reach this, or nothing in the wave is speech: music
    without voices stays below .45, speech is above .8."""
    margin: ClassVar[float] = 0.1
    """Seconds added at both ends of speech: soft onsets and endings fall below the probability."""
    lag: ClassVar[float] = 0.1
    """Seconds taken off the end again in the answer, because the detector lets go of speech late. The voices are
    described with them: what is told of a speaker gains by it."""
    level_db: ClassVar[float] = -20.0
    """dBFS that quiet speech is raised to; loud speech is left alone."""
    step: ClassVar[float] = 0.2
    """Seconds between two windows."""
    grouping_window: ClassVar[float] = 1.6
    """Seconds that the voice encoder was trained on: these windows decide how many speakers there are."""
    turn_window: ClassVar[float] = 1.2
    """Seconds: shorter windows decide which of them speaks, so that a change of speaker is found in its place."""
    distance: ClassVar[float] = 0.34
    """Cosine distance at which two groups of windows are two speakers."""
    min_speaker: ClassVar[float] = 1.0
    """Seconds: who speaks for less, all told, is counted with the most similar other speaker."""
    min_turn: ClassVar[float] = 0.4
    """Seconds: a shorter change of speaker inside a stretch of speech is not believed."""

    def __init__(self, threads: int = 1):
        self.vad = load_silero()
        self.encoder = voice_encoder.load()
        torch.set_num_threads(threads)  # last: importing silero-vad sets it to 1

    def diarize(self, wave: np.ndarray, sample_rate: int) -> Speech:
        """Turns of the speakers in `wave`, float32 mono (samples,).

        `confidence` is the mean certainty of the voice activity detector, in what it took for speech and what not.
        """
        sound = _raised(resample(wave, sample_rate, RATE), self.level_db)
        if len(sound) < RATE * VAD_STEP:
            return Speech(turns=(), confidence=1.0)
        with torch.inference_mode():
            chances = self._chances(sound)
            spans = self._spans(chances, len(sound))
            turns = self._turns(sound, spans) if spans else ()
        confidence = float(np.where(_inside(spans, len(chances)), chances, 1 - chances).mean())
        return Speech(turns=turns, confidence=round(confidence, 4))

    def _chances(self, sound: np.ndarray) -> np.ndarray:
        """Probability of speech for every `VAD_STEP`."""
        self.vad.reset_states()
        return self.vad.audio_forward(torch.from_numpy(sound)[None], RATE)[0].numpy()

    def _spans(self, chances: np.ndarray, samples: int) -> list[tuple[float, float]]:
        """Stretches of speech, whoever speaks, in seconds."""
        found = silero.utils_vad.get_speech_timestamps_from_probs(
            chances.tolist(),
            sampling_rate=RATE,
            threshold=self.onset,
            min_silence_duration_ms=round(1000 * self.min_silence),
            min_speech_duration_ms=round(1000 * self.min_speech),
            speech_pad_ms=round(1000 * self.margin),
            audio_length_samples=samples,
        )
        spans = [(span["start"] / RATE, span["end"] / RATE) for span in found]
        inside = _inside(spans, len(chances))
        return spans if spans and np.median(chances[inside]) >= self.sure else []

    def _turns(self, sound: np.ndarray, spans: list[tuple[float, float]]) -> tuple[Turn, ...]:
        speakers = self._speakers(self._voices(sound, _windows(spans, self.grouping_window, self.step)))
        pieces: list[tuple[float, float, int]] = []
        for span in spans:
            windows = _windows([span], self.turn_window, self.step)
            nearest = distance.cdist(self._voices(sound, windows), speakers, "cosine").argmin(1)
            pieces += _pieces((span[0], span[1] - self.lag), windows, nearest.tolist(), self.min_turn)
        order = list(dict.fromkeys(speaker for _, _, speaker in pieces))
        return tuple(
            Turn(start_seconds=round(start, 3), end_seconds=round(end, 3), speaker=order.index(speaker))
            for start, end, speaker in pieces
        )

    def _voices(self, sound: np.ndarray, windows: list[tuple[float, float]]) -> np.ndarray:
        """One unit vector of 256 numbers per window; a short window is repeated up to the length that is usual."""
        mel = voice_encoder.mel_spectrogram(sound)
        hop = voice_encoder.HOP
        columns = round(self.grouping_window / hop)
        rows = [np.resize(mel[int(start / hop) : round(end / hop)], (columns, mel.shape[1])) for start, end in windows]
        return self.encoder(torch.from_numpy(np.stack(rows))).numpy()

    def _speakers(self, voices: np.ndarray) -> np.ndarray:
        """The mean voice of every speaker, (speakers, 256)."""
        if len(voices) == 1:
            return voices
        tree = hierarchy.linkage(distance.pdist(voices, "cosine"), "average")
        groups = hierarchy.fcluster(tree, self.distance, "distance")
        members = [voices[groups == group] for group in np.unique(groups)]
        kept = [group for group in members if len(group) * self.step >= self.min_speaker]
        return np.stack([group.mean(0) for group in kept or [voices]])


def _raised(sound: np.ndarray, level_db: float) -> np.ndarray:
    """`sound` (or stereo's mean) amplified until what is audible of it has `level_db`; never made quieter."""
    sound = mono(np.atleast_2d(sound))
    blocks = sound[: len(sound) // 512 * 512].reshape(-1, 512)
    power = np.square(blocks, dtype=np.float64).mean(1)
    audible = power[power > 1e-6]
    if not len(audible):
        return sound
    gain = np.sqrt(10 ** (level_db / 10) / audible.mean())
    return (sound * max(gain, 1.0)).astype(np.float32)


def _inside(spans: list[tuple[float, float]], steps: int) -> np.ndarray:
    """Which of the detector's `steps` answers lie in speech, boolean (steps,)."""
    inside = np.zeros(steps, bool)
    for start, end in spans:
        inside[round(start / VAD_STEP) : round(end / VAD_STEP)] = True
    return inside


def _windows(spans: list[tuple[float, float]], length: float, step: float) -> list[tuple[float, float]]:
    """Windows over every stretch of speech: at least one each, the last one flush with its end."""
    found: list[tuple[float, float]] = []
    for start, end in spans:
        starts = [*np.arange(start, end - length, step).tolist(), max(end - length, start)]
        found += [(first, min(first + length, end)) for first in starts]
    return found


def _pieces(
    span: tuple[float, float], windows: list[tuple[float, float]], speakers: list[int], min_turn: float
) -> list[tuple[float, float, int]]:
    """One stretch of speech as turns (start, end, speaker); a speaker changes half way between window centres."""
    centres = [(first + last) / 2 for first, last in windows]
    edges = [span[0], *((a + b) / 2 for a, b in pairwise(centres)), span[1]]
    pieces = _joined([(*edge, speaker) for edge, speaker in zip(pairwise(edges), speakers, strict=True)])
    while len(pieces) > 1:
        start, end, _ = shortest = min(pieces, key=lambda piece: piece[1] - piece[0])
        if end - start >= min_turn:
            break
        place = pieces.index(shortest)
        neighbour = pieces[place - 1] if place else pieces[1]
        pieces[place] = (start, end, neighbour[2])
        pieces = _joined(pieces)
    return pieces


def _joined(pieces: list[tuple[float, float, int]]) -> list[tuple[float, float, int]]:
    """Consecutive pieces of one speaker as one."""
    joined: list[tuple[float, float, int]] = []
    for start, end, speaker in pieces:
        if joined and joined[-1][2] == speaker:
            joined[-1] = (joined[-1][0], end, speaker)
        else:
            joined.append((start, end, speaker))
    return joined
