"""Who speaks when, by ear: speaker turns on the demixed speech track (paper, section 3, voice-over filtering)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field

from demix.config import ChosenBy, Settings
from demix.media.audio import mono, read_wave
from demix.models import choose, revisions
from demix.models.diarization import Speech
from demix.models.diarization.settings import PyannoteSettings, ScribeSettings
from demix.records import ClipMedia, Demixing, Diarization, Turn
from demix.stage import Context, Item, Kept, Outcome, Resources, Stage


class DiarizationSettings(Settings):
    model: str = "lite"
    """Model that finds the turns. `scribe` is the paper's, a paid service; `pyannote` the strongest open one."""
    scribe: Annotated[ScribeSettings, ChosenBy("model")] = ScribeSettings()
    pyannote: Annotated[PyannoteSettings, ChosenBy("model")] = PyannoteSettings()
    silence_db: float = Field(-70.0, le=0)
    """A speech track whose level over the whole clip is below this, in dBFS, is not listened to: even a single word
    in a clip of 20 s is 30 dB above it."""


class DiarizationStage(Stage):
    """Adds `Diarization`. It listens to the speech track, so that music and effects do not pass for speakers."""

    name = "diarization"
    needs = (ClipMedia, Demixing)
    adds = Diarization
    settings: DiarizationSettings

    def __init__(self, settings: DiarizationSettings):
        super().__init__(settings)
        self.choice = choose("diarization", settings.model, settings)

    @property
    def resources(self) -> Resources:  # type: ignore[override]
        return self.choice.resources

    def revision(self) -> str:
        return revisions(self.choice)

    def weights(self) -> tuple[str, ...]:
        return self.choice.weights

    def open(self, context: Context) -> None:
        super().open(context)
        # A service that is paid for keeps its answers in the work store.
        store = {"store": context.store} if getattr(self.choice.kind, "remote", False) else {}
        self.model = self.choice.make(context.device, threads=context.threads, **store)
        self.credit = self.choice.credit()

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [Kept(self._diarization(item[ClipMedia], item[Demixing])) for item in items]

    def _diarization(self, media: ClipMedia, demixing: Demixing) -> Diarization:
        if demixing.levels_db["speech"] < self.settings.silence_db:
            speech = Speech(turns=(), confidence=1.0)
        else:
            wave, sample_rate = read_wave(self.context.store.local(demixing.speech.key))
            speech = self.model.diarize(mono(wave), sample_rate)
        turns = within(speech.turns, media.samples / media.sample_rate)
        return Diarization(
            **self.credit.model_dump(),
            turns=turns,
            speakers=len({turn.speaker for turn in turns}),
            speech_seconds=round(sum(end - start for start, end in speech_spans(turns)), 3),
            confidence=speech.confidence,
        )


def within(turns: Iterable[Turn], seconds: float) -> tuple[Turn, ...]:
    """Turns clipped to a clip's length and sorted, without empty ones; speakers numbered anew by first appearance."""
    clipped = [
        (max(turn.start_seconds, 0.0), min(turn.end_seconds, seconds), turn.speaker)
        for turn in sorted(turns, key=lambda turn: (turn.start_seconds, turn.end_seconds, turn.speaker))
    ]
    heard = [turn for turn in clipped if turn[0] < turn[1]]
    order = list(dict.fromkeys(speaker for _, _, speaker in heard))
    return tuple(Turn(start_seconds=a, end_seconds=b, speaker=order.index(speaker)) for a, b, speaker in heard)


def speech_spans(turns: Iterable[Turn]) -> list[tuple[float, float]]:
    """Stretches in seconds during which anybody speaks: sorted, apart from one another."""
    spans: list[tuple[float, float]] = []
    for turn in sorted(turns, key=lambda turn: turn.start_seconds):
        if spans and turn.start_seconds <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], turn.end_seconds))
        else:
            spans.append((turn.start_seconds, turn.end_seconds))
    return spans
