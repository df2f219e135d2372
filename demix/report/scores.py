"""Which numbers the stages measured on a clip, and which settings judge them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from demix import records
from demix.report.manifests import Judged

Keeps = Literal["at_least", "at_most"]
Effect = Literal["drops", "silent"]

STEMS = ("speech", "effects", "music")

TITLES: dict[str, tuple[str, str]] = {
    "length.seconds": ("Length", "s"),
    "demixing.levels_db.mix": ("Level of the mix", "dBFS"),
    "demixing.levels_db.speech": ("Level of speech", "dBFS"),
    "demixing.levels_db.effects": ("Level of effects", "dBFS"),
    "demixing.levels_db.music": ("Level of music", "dBFS"),
    "demixing.levels_db.two_speech": ("Level of speech, second demixer", "dBFS"),
    "demixing.levels_db.two_others": ("Level of others, second demixer", "dBFS"),
    "demixing.residual_db": ("Residual: mix minus the three stems", "dBFS"),
    "demixing.confidence.speech": ("Confidence that speech is told apart", ""),
    "demixing.confidence.effects": ("Confidence that effects are told apart", ""),
    "demixing.confidence.music": ("Confidence that music is told apart", ""),
    "demix_filter.speech.raw": ("L1 distance, speech and speech", ""),
    "demix_filter.others_effects.raw": ("L1 distance, others and effects", ""),
    "demix_filter.others_music.raw": ("L1 distance, others and music", ""),
    "demix_filter.speech.normalised": ("L1 distance, speech and speech, gain matched", ""),
    "demix_filter.others_effects.normalised": ("L1 distance, others and effects, gain matched", ""),
    "demix_filter.others_music.normalised": ("L1 distance, others and music, gain matched", ""),
    "demix_filter.speech.relative": ("L1 distance, speech and speech, relative to the louder", ""),
    "persons.count": ("Persons visible at once", ""),
    "persons.visible_share": ("Share of frames with a person", ""),
    "diarization.speakers": ("Speakers heard", ""),
    "diarization.confidence": ("Confidence of the speaker turns", ""),
    "voice_over.speech_seconds": ("Speech heard", "s"),
    "voice_over.person_covered_share": ("Share of speech with a person in sight", ""),
    "voice_over.speaker_covered_share": ("Share of speech with its speaker in sight", ""),
}
UNITS = {"_hz": "Hz", "_db": "dBFS", "_lufs": "LUFS", "_seconds": "s"}


class PersonsSummary(BaseModel):
    """The numbers of a Persons record without its boxes, which are most of its bytes."""

    persons: records.Model
    faces: records.Model
    count: int
    visible_share: float


@dataclass(frozen=True)
class Rule:
    """One setting that judges one score."""

    setting: str
    threshold: float
    keeps: Keeps
    effect: Effect
    """`drops`: a clip on the wrong side is dropped. `silent`: the track counts as silent there."""

    def passes(self, value: float) -> bool:
        return value >= self.threshold if self.keeps == "at_least" else value <= self.threshold


def title(key: str) -> tuple[str, str]:
    """What a score is called on the page, and its unit."""
    if key in TITLES:
        return TITLES[key]
    name = key.rsplit(".", 1)[-1]
    ending = next((ending for ending in UNITS if name.endswith(ending)), "")
    return name.removesuffix(ending).replace("_", " ").capitalize(), UNITS.get(ending, "")


def rank(key: str, stages: Sequence[str]) -> tuple[int, int, str]:
    """Sorts scores by their stage's place in the recipe, then as in `TITLES`, then by name."""
    stage, names = key.partition(".")[0], list(TITLES)
    return (
        stages.index(stage) if stage in stages else len(stages),
        names.index(key) if key in TITLES else len(names),
        key,
    )


def scores_of(clip: Judged, config: Mapping[str, Any]) -> dict[str, float]:
    """Every finite number that was measured on a clip, by key `<stage>.<field>[.<name>]`.

    Numbers that only matter to a rule (distances, coverage of speech) are left out where the rule did not apply.
    """
    found = {key: float(value) for key, value in _measured(clip, config) if value is not None and math.isfinite(value)}
    return dict(sorted(found.items()))


def _measured(clip: Judged, config: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    yield "length.seconds", clip.seconds
    if quality := clip.record("audio_quality", records.AudioQuality):
        yield from ((f"audio_quality.{name}", value) for name, value in quality.scores.items())
    if demixing := clip.record("demixing", records.Demixing):
        yield from ((f"demixing.levels_db.{name}", value) for name, value in demixing.levels_db.items())
        yield from ((f"demixing.confidence.{name}", value) for name, value in demixing.confidence.items())
        yield "demixing.residual_db", demixing.residual_db
        for pair in _compared(clip):
            yield f"demix_filter.{pair}.raw", demixing.distances[pair].raw
            yield f"demix_filter.{pair}.normalised", demixing.distances[pair].normalised
        if _compared(clip) and demixing.hears_speech((config.get("demix_filter") or {}).get("silence_db", -45.0)):
            yield "demix_filter.speech.relative", demixing.distances["speech"].relative
    if persons := clip.record("persons", PersonsSummary):
        yield "persons.count", persons.count
        yield "persons.visible_share", persons.visible_share
    if diarization := clip.record("diarization", records.Diarization):
        yield "diarization.speakers", diarization.speakers
        yield "diarization.confidence", diarization.confidence
    yield from _voice_over(clip, config)


def _compared(clip: Judged) -> tuple[str, ...]:
    """The pairs of tracks whose distance decided about this clip."""
    if check := clip.record("demix_check", records.DemixCheck):
        return check.compared
    return tuple(str(clip.evidence.get("compared", "")).split()) if clip.stage == "demix_filter" else ()


def _voice_over(clip: Judged, config: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    """From the record of a clip that passed, from the evidence of one that was dropped."""
    if voice_over := clip.record("voice_over", records.VoiceOver):
        numbers: Mapping[str, Any] = voice_over.model_dump()
    elif clip.stage == "voice_over" and clip.outcome == "dropped":
        numbers = clip.evidence
    else:
        return
    yield "voice_over.speech_seconds", numbers.get("speech_seconds")
    kinds = (config.get("voice_over") or {}).get("kinds", ("cinematic", "web"))
    if numbers.get("verdict") != "no_speech" and clip.kind in kinds:
        for name in ("person_covered_share", "speaker_covered_share"):
            yield f"voice_over.{name}", numbers.get(name)


def rules_of(config: Mapping[str, Any]) -> dict[str, tuple[Rule, ...]]:
    """The thresholds in a build's settings, by the score that they judge; settings that are absent judge nothing."""
    judged: list[tuple[str, str, Keeps, Effect]] = [("length.seconds", "length.min_seconds", "at_least", "drops")]
    quality = config.get("quality_filter") or {}
    for name in quality.get("minimum") or {}:
        judged.append((f"audio_quality.{name}", f"quality_filter.minimum.{name}", "at_least", "drops"))
    for name in quality.get("maximum") or {}:
        judged.append((f"audio_quality.{name}", f"quality_filter.maximum.{name}", "at_most", "drops"))
    for stem in STEMS:
        judged.append((f"demixing.levels_db.{stem}", "demix_filter.silence_db", "at_least", "silent"))
    distance = (config.get("demix_filter") or {}).get("distance", "raw")
    for pair in ("speech", "others_effects", "others_music"):
        setting = f"demix_filter.max_distance.{pair.partition('_')[0]}"
        judged.append((f"demix_filter.{pair}.{distance}", setting, "at_most", "drops"))
    judged.append(("demix_filter.speech.relative", "demix_filter.max_distance.speech_relative", "at_most", "drops"))
    share = "speaker" if (config.get("voice_over") or {}).get("rule") == "strict" else "person"
    judged.append((f"voice_over.{share}_covered_share", "voice_over.min_covered_share", "at_least", "drops"))
    found: dict[str, tuple[Rule, ...]] = {}
    for key, setting, keeps, effect in judged:
        threshold = _setting(config, setting)
        if threshold is not None:
            found[key] = (*found.get(key, ()), Rule(setting, threshold, keeps, effect))
    return found


def _setting(config: Mapping[str, Any], path: str) -> float | None:
    """The number at a dotted path, or None where there is none."""
    value: Any = config
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
