"""Audio quality (paper section 3, "Audio filtering"): one stage measures, one judges."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from demix.config import ConfigError, Settings
from demix.media.audio import read_wave
from demix.models import model_class
from demix.models.audio_quality import QualityScorer
from demix.models.base import credit
from demix.records import AudioQuality, ClipMedia
from demix.stage import Context, Dropped, Item, Kept, Outcome, Stage


class AudioQualitySettings(Settings):
    """Who measures."""

    model: str = "signal"
    """Scorer of the role `audio_quality`; `signal` needs no weights."""


class AudioQualityStage(Stage):
    """Measures the sound of a clip; keeps every clip."""

    name = "audio_quality"
    needs = (ClipMedia,)
    adds = AudioQuality
    settings: AudioQualitySettings

    def __init__(self, settings: AudioQualitySettings):
        super().__init__(settings)

    def revision(self) -> str:
        model = model_class("audio_quality", self.settings.model)
        return f"{model.name}@{model.revision}"

    def open(self, context: Context) -> None:
        super().open(context)
        self.scorer: QualityScorer = model_class("audio_quality", self.settings.model)()

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [self._measure(item) for item in items]

    def _measure(self, item: Item) -> Outcome:
        with self.context.store.local(item[ClipMedia].mix.key) as path:
            wave, sample_rate = read_wave(path)
        [scores] = self.scorer.score([wave], sample_rate)
        return Kept(AudioQuality(**credit(self.scorer).model_dump(), scores=scores))


class QualityFilterSettings(Settings):
    """Limits per score name; `null` switches one off. A clip on the limit is kept.

    The defaults drop what is plainly broken and keep ordinary film, quiet rooms and silent clips: digital silence is no
    damage but an absence, it takes a clip into no audio subset by itself, and a talking head may pause.
    """

    minimum: dict[str, float | None] = Field({"bandwidth_hz": 3600.0})
    """Lowest allowed value per score. 3600 Hz: telephone sound ends at 3400 Hz, wide-band speech reaches 7000 Hz."""

    maximum: dict[str, float | None] = Field({"clipped_share": 0.01, "dc_offset": 0.1})
    """Highest allowed value per score. One sample in a hundred on a flat top is heard as distortion; a tenth of full
    scale of direct current comes from broken equipment."""


class QualityFilter(Stage):
    """Drops clips beyond a limit; the evidence names each score that failed, its value and its limit."""

    name = "quality_filter"
    needs = (AudioQuality,)
    reasons = ("low_quality",)
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
                if sign * value < sign * limit and not _silent(quality):
                    evidence |= {name: value, f"{name}_{word}": limit}
        return Dropped("low_quality", evidence) if evidence else Kept()


def _score(quality: AudioQuality, name: str) -> float:
    if name not in quality.scores:
        known = ", ".join(sorted(quality.scores))
        raise ConfigError(f"quality_filter: {quality.model} measures no {name!r}; known: {known}")
    return quality.scores[name]


def _silent(quality: AudioQuality) -> bool:
    """Nothing is heard at all, so there is nothing that could be damaged."""
    return quality.scores.get("silent_share", 0.0) >= 1.0
