"""Audio quality (paper section 3, "Audio filtering"): one stage measures, one judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from demix.config import ChosenBy, ConfigError, Settings
from demix.media.audio import read_wave
from demix.models import choose, revisions
from demix.models.audio_quality import QualityScorer
from demix.models.audio_quality.settings import AudioboxSettings
from demix.records import AudioQuality, ClipMedia
from demix.stage import Context, Dropped, Item, Kept, Outcome, Resources, Stage


class AudioQualitySettings(Settings):
    """Who measures."""

    model: str = "signal"
    """Scorer of the role `audio_quality`. `signal` needs no weights; `audiobox` is the paper's."""
    audiobox: Annotated[AudioboxSettings, ChosenBy("model")] = AudioboxSettings()


class AudioQualityStage(Stage):
    """Measures the sound of a clip; keeps every clip."""

    name = "audio_quality"
    needs = (ClipMedia,)
    adds = AudioQuality
    settings: AudioQualitySettings

    def __init__(self, settings: AudioQualitySettings):
        super().__init__(settings)
        self.choice = choose("audio_quality", settings.model, settings)

    @property
    def resources(self) -> Resources:  # type: ignore[override]
        return self.choice.resources

    def revision(self) -> str:
        return revisions(self.choice)

    def weights(self) -> tuple[str, ...]:
        return self.choice.weights

    def open(self, context: Context) -> None:
        super().open(context)
        self.scorer: QualityScorer = self.choice.make(context.device)
        self.credit = self.choice.credit()

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [self._measure(item) for item in items]

    def _measure(self, item: Item) -> Outcome:
        wave, sample_rate = read_wave(self.context.store.local(item[ClipMedia].mix.key))
        [scores] = self.scorer.score([wave], sample_rate)
        return Kept(AudioQuality(**self.credit.model_dump(), scores=scores))


class QualityFilterSettings(Settings):
    """Limits per score name, replaced as a whole when given; `null` switches one off. A clip on the limit is kept.

    The defaults drop what is plainly broken and keep ordinary film, quiet rooms and silent clips: silence is no damage
    but an absence; it takes a clip into no audio subset, which is where a cinematic clip without sound ends.
    """

    minimum: dict[str, float | None] = Field({"cut_off_hz": 4000.0})
    """Lowest allowed value per score. 4000 Hz: telephone sound ends between 3400 and 3900 Hz, music at 24 kbit/s near
    3700; the narrowest ordinary recording that was tried reaches 4300."""

    maximum: dict[str, float | None] = Field({"clipped_share": 0.01, "dc_offset": 0.1})
    """Highest allowed value per score. Ordinary recordings have up to 0.001 on flat tops, hard-clipped ones (12 dB)
    0.04 and more, also after a codec; a tenth of full scale of direct current comes from broken equipment."""


class QualityFilter(Stage):
    """Drops clips beyond a limit; the evidence names each score that failed, its value and its limit."""

    name = "quality_filter"
    needs = (AudioQuality,)
    reasons = ("low_quality",)
    judges = True
    settings: QualityFilterSettings

    def __init__(self, settings: QualityFilterSettings):
        super().__init__(settings)

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [self._judge(item[AudioQuality]) for item in items]

    def _judge(self, quality: AudioQuality) -> Outcome:
        evidence: dict[str, float | int | str] = {}
        for limits, sign, word in ((self.settings.minimum, 1, "minimum"), (self.settings.maximum, -1, "maximum")):
            for name, limit in limits.items():
                if limit is None:
                    continue
                value = _score(quality, name)
                if sign * value < sign * limit:
                    evidence |= {name: value, f"{name}_{word}": limit}
        return Dropped("low_quality", evidence) if evidence else Kept()


def _score(quality: AudioQuality, name: str) -> float:
    if name not in quality.scores:
        known = ", ".join(sorted(quality.scores))
        raise ConfigError(f"quality_filter: {quality.model} measures no {name!r}; known: {known}")
    return quality.scores[name]
