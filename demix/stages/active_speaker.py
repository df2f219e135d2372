"""Which of the tracked faces speaks, frame by frame (paper, section 3, voice-over filtering)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Annotated

import numpy as np
from pydantic import Field

from demix.config import ChosenBy, Settings
from demix.media.audio import mono, read_wave
from demix.media.frames import iter_frames
from demix.models import choose, revisions
from demix.models.active_speaker.settings import NetworkSettings, averaged
from demix.records import ActiveSpeaker, ClipMedia, Demixing, Diarization, FaceTrack, Persons, TrackActivity, Turn
from demix.stage import Context, Item, Kept, Outcome, Resources, Stage

SILENT = -1.0
"""Highest score of a face while nobody is heard to speak."""


class ActiveSpeakerSettings(Settings):
    model: str = "mouth_flow"
    """Model that judges the mouths. `mouth_flow` needs no weights; `talknet` is the paper's."""
    lr_asd: Annotated[NetworkSettings, ChosenBy("model")] = NetworkSettings()
    light_asd: Annotated[NetworkSettings, ChosenBy("model")] = NetworkSettings(threshold=1.7)
    talknet: Annotated[NetworkSettings, ChosenBy("model")] = averaged()
    smallest_face: float = Field(32.0, ge=0)
    """Pixels of the clip's picture: a track whose median longer side is below this is undecidable."""
    max_faces: int = Field(8, ge=1)
    """Only so many tracks, the largest, are judged; the others, a crowd's, are undecidable. Bounds time and memory
    (24 MB a track of 20 s)."""
    exclusive: bool = True
    """Where more faces score above 0 than voices are heard, only the best ones speak."""


class ActiveSpeakerStage(Stage):
    """Adds `ActiveSpeaker`: mouth and voice together. A face's score is above 0 on a frame if the model says that its
    mouth speaks and somebody is heard there (`Diarization`). Undecidable tracks score 0 throughout."""

    name = "active_speaker"
    needs = (ClipMedia, Demixing, Persons, Diarization)
    adds = ActiveSpeaker
    settings: ActiveSpeakerSettings

    def __init__(self, settings: ActiveSpeakerSettings):
        super().__init__(settings)
        self.choice = choose("active_speaker", settings.model, settings)

    @property
    def resources(self) -> Resources:  # type: ignore[override]
        return self.choice.resources

    def revision(self) -> str:
        return revisions(self.choice)

    def weights(self) -> tuple[str, ...]:
        return self.choice.weights

    def open(self, context: Context) -> None:
        super().open(context)
        # With the model, not above: the crops bring OpenCV, which planning does not need.
        from demix.models.active_speaker.crops import crop_tracks

        self.crop_tracks = crop_tracks
        self.model = self.choice.make(context.device, threads=context.threads)
        self.credit = self.choice.credit()

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [Kept(self._active(item)) for item in items]

    def _active(self, item: Item) -> ActiveSpeaker:
        media, tracks = item[ClipMedia], item[Persons].tracks
        voices = voices_heard(item[Diarization].turns, media.frames, Fraction(media.fps))
        if voices.any():
            scores = self._scores(media, item[Demixing], tracks, voices)
        else:
            scores = {index: np.full(len(track.frames), SILENT) for index, track in enumerate(tracks)}
        if self.settings.exclusive:
            scores = yielding(scores, tracks, voices)
        return ActiveSpeaker(
            **self.credit.model_dump(),
            tracks=tuple(
                TrackActivity(
                    track=index,
                    scores=tuple(np.round(scores.get(index, np.zeros(len(track.frames))), 4).tolist()),
                    decidable=index in scores,
                )
                for index, track in enumerate(tracks)
            ),
        )

    def _scores(
        self, media: ClipMedia, demixing: Demixing, tracks: Sequence[FaceTrack], voices: np.ndarray
    ) -> dict[int, np.ndarray]:
        """Scores of the decidable tracks by their number."""
        chosen = largest(tracks, self.settings.smallest_face, self.settings.max_faces)
        if not chosen:
            return {}
        pictures = iter_frames(self.context.store.local(media.video.key), grey=True)
        crops = self.crop_tracks(pictures, [tracks[index] for index in chosen])
        sound, sample_rate = read_wave(self.context.store.local(demixing.speech.key))
        fps = Fraction(media.fps)
        wave = np.where(_by_sample(voices > 0, fps, sample_rate, sound.shape[1]), mono(sound), np.float32(0))
        scores: dict[int, np.ndarray] = {}
        for index, faces in zip(chosen, crops, strict=True):
            frames = tracks[index].frames
            start, end = (round(edge * sample_rate / fps) for edge in (frames[0], frames[-1] + 1))
            answer = self.model.score(faces, float(fps), wave[start:end], sample_rate)
            if answer is not None:
                silent = voices[list(frames)] == 0
                scores[index] = np.where(silent, np.minimum(answer, SILENT), answer)
        return scores


def voices_heard(turns: Sequence[Turn], frames: int, fps: Fraction) -> np.ndarray:
    """How many speakers are heard on every frame of a clip, int (frames,); a frame that a turn touches counts."""
    speakers = sorted({turn.speaker for turn in turns})
    heard = np.zeros((len(speakers), frames), bool)
    for turn in turns:
        first, last = int(turn.start_seconds * fps), int(np.ceil(turn.end_seconds * fps))
        heard[speakers.index(turn.speaker), first:last] = True
    return heard.sum(0)


def largest(tracks: Sequence[FaceTrack], smallest: float, most: int) -> list[int]:
    """Numbers, ascending, of at most `most` tracks whose median longer side is at least `smallest` pixels."""
    sides = [float(np.median([max(box.x1 - box.x0, box.y1 - box.y0) for box in track.boxes])) for track in tracks]
    order = sorted(range(len(tracks)), key=lambda index: (-sides[index], index))
    return sorted(index for index in order[:most] if sides[index] >= smallest)


def yielding(scores: dict[int, np.ndarray], tracks: Sequence[FaceTrack], voices: np.ndarray) -> dict[int, np.ndarray]:
    """On frames where more faces score above 0 than voices are heard, those after the best get what they lack to the
    last of the best, so 0 or less."""
    if not scores:
        return {}
    table = np.full((len(scores), len(voices)), -np.inf)
    for row, (index, values) in enumerate(scores.items()):
        table[row, list(tracks[index].frames)] = values
    ranked = -np.sort(-table, axis=0)
    last = np.take_along_axis(ranked, np.clip(voices - 1, 0, len(scores) - 1)[None], axis=0)[0]
    beaten = (table > 0) & (table < last) & (voices > 0)
    table = np.where(beaten, table - np.where(np.isfinite(last), last, 0), table)
    return {index: table[row, list(tracks[index].frames)] for row, index in enumerate(scores)}


def _by_sample(frames: np.ndarray, fps: Fraction, sample_rate: int, samples: int) -> np.ndarray:
    """A truth per frame as a truth per sample."""
    index = (np.arange(samples, dtype=np.int64) * fps.numerator) // (sample_rate * fps.denominator)
    return frames[np.minimum(index, len(frames) - 1)]
