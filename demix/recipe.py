"""The recipe: every room's settings together, and the pipeline as three lists of stages.

Reading this file from top to bottom is reading section 3 of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from demix.config import ConfigError, Settings, merge, parse_assignment, read_yaml, validate
from demix.dataset.plan import PackSettings
from demix.engine.runner import EngineSettings
from demix.models import Choice, choose
from demix.stage import Stage
from demix.stages.active_speaker import ActiveSpeakerSettings, ActiveSpeakerStage
from demix.stages.audio_quality import (
    AudioQualitySettings,
    AudioQualityStage,
    QualityFilter,
    QualityFilterSettings,
)
from demix.stages.captioning import CaptionSettings, CaptionStage
from demix.stages.clip_media import ClipMediaSettings, ClipMediaStage
from demix.stages.demixing import DemixFilter, DemixFilterSettings, DemixingSettings, DemixingStage
from demix.stages.diarization import DiarizationSettings, DiarizationStage
from demix.stages.length import LengthFilter, LengthSettings
from demix.stages.persons import PersonsSettings, PersonsStage
from demix.stages.probe import ProbeSettings, ProbeStage
from demix.stages.shots import ShotsSettings, ShotsStage
from demix.stages.speaker_tracks import SpeakerTracksSettings, SpeakerTracksStage
from demix.stages.subsets import SubsetsSettings, SubsetsStage
from demix.stages.voice_over import VoiceOverFilter, VoiceOverSettings

CLIP_STAGES = (
    "length",
    "clip_media",
    "audio_quality",
    "quality_filter",
    "demixing",
    "demix_filter",
    "persons",
    "diarization",
    "active_speaker",
    "voice_over",
    "speaker_tracks",
    "caption",
    "subsets",
)


class LimitSettings(Settings):
    """When a build counts as failed although it came to its end."""

    max_failed_clips: float = Field(0.1, ge=0, le=1)
    """Share of clips in quarantine above which the exit status is not 0."""
    max_failed_sources: float = Field(0.5, ge=0, le=1)
    """Share of sources in quarantine above which the exit status is not 0."""


class ReportSettings(Settings):
    """What the report page shows."""

    samples_per_group: int = Field(2, ge=0)
    """Playable clips per subset and per drop reason."""


class BuildSettings(Settings):
    """Everything that can be set for a build."""

    profile: str = "lite"
    """Name of the profile that these settings started from; a label for build.json and the report."""
    order: tuple[str, ...] = CLIP_STAGES
    """Clip stages in the order they run: cheapest first, so that dear models see only survivors. A stage may be moved
    wherever the records that it needs are there, or left out if nothing needs it."""
    probe: ProbeSettings = ProbeSettings()
    shots: ShotsSettings = ShotsSettings()
    length: LengthSettings = LengthSettings()
    clip_media: ClipMediaSettings = ClipMediaSettings()
    audio_quality: AudioQualitySettings = AudioQualitySettings()
    quality_filter: QualityFilterSettings = QualityFilterSettings()
    demixing: DemixingSettings = DemixingSettings()
    demix_filter: DemixFilterSettings = DemixFilterSettings()
    persons: PersonsSettings = PersonsSettings()
    diarization: DiarizationSettings = DiarizationSettings()
    active_speaker: ActiveSpeakerSettings = ActiveSpeakerSettings()
    voice_over: VoiceOverSettings = VoiceOverSettings()
    speaker_tracks: SpeakerTracksSettings = SpeakerTracksSettings()
    caption: CaptionSettings = CaptionSettings()
    subsets: SubsetsSettings = SubsetsSettings()
    pack: PackSettings = PackSettings()
    report: ReportSettings = ReportSettings()
    engine: EngineSettings = EngineSettings()
    limits: LimitSettings = LimitSettings()


def source_stages(settings: BuildSettings) -> list[Stage]:
    """Over the files that somebody named."""
    return [ProbeStage(settings.probe)]


def index_stages(settings: BuildSettings) -> list[Stage]:
    """Over the sources: where one shot ends and the next begins."""
    return [ShotsStage(settings.shots)]


def clip_stages(settings: BuildSettings) -> list[Stage]:
    """Over the clips, in the order of the settings. There are speaker tracks only where they are asked for."""
    stages: dict[str, Stage] = {
        "length": LengthFilter(settings.length),
        "clip_media": ClipMediaStage(settings.clip_media),
        "audio_quality": AudioQualityStage(settings.audio_quality),
        "quality_filter": QualityFilter(settings.quality_filter),
        "demixing": DemixingStage(settings.demixing),
        "demix_filter": DemixFilter(settings.demix_filter),
        "persons": PersonsStage(settings.persons),
        "diarization": DiarizationStage(settings.diarization),
        "active_speaker": ActiveSpeakerStage(settings.active_speaker),
        "voice_over": VoiceOverFilter(settings.voice_over),
        "speaker_tracks": SpeakerTracksStage(settings.speaker_tracks),
        "caption": CaptionStage(settings.caption),
        "subsets": SubsetsStage(settings.subsets),
    }
    unknown = [name for name in settings.order if name not in stages]
    if unknown or len(set(settings.order)) != len(settings.order):
        raise ConfigError(f"order: {unknown or 'a stage twice'}; the stages are {', '.join(stages)}")
    if settings.speaker_tracks.write and "speaker_tracks" not in settings.order:
        raise ConfigError("order: names no speaker_tracks, which were asked for; put it anywhere behind diarization")
    left_out = () if settings.speaker_tracks.write else ("speaker_tracks",)
    return [stages[name] for name in settings.order if name not in left_out]


def all_stages(settings: BuildSettings) -> list[Stage]:
    """Every stage of every phase."""
    return [*source_stages(settings), *index_stages(settings), *clip_stages(settings)]


def judges(settings: BuildSettings) -> dict[str, Choice]:
    """Role → the model that these settings choose for it."""
    return {
        role: choose(role, getattr(group, field), group)
        for role, group, field in (
            ("shots", settings.shots, "model"),
            ("audio_quality", settings.audio_quality, "model"),
            ("demix_three", settings.demixing, "three"),
            ("demix_two", settings.demixing, "two"),
            ("persons", settings.persons, "persons"),
            ("faces", settings.persons, "faces"),
            ("diarization", settings.diarization, "model"),
            ("active_speaker", settings.active_speaker, "model"),
            ("captioning", settings.caption, "model"),
        )
    }


@cache
def profiles() -> dict[str, Path]:
    """Name → file of every profile that comes with the package."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "profiles").glob("*.yaml"))}


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a YAML file, or those of a finished dataset, given its build.json."""
    tree = read_yaml(path)
    return tree["config"] if "schema_version" in tree and isinstance(tree.get("config"), dict) else tree


def load_settings(profile: str = "lite", config: Path | None = None, assignments: Sequence[str] = ()) -> BuildSettings:
    """The profile, then the file, then the `--set` assignments, each over the one before."""
    if profile not in profiles():
        raise ConfigError(f"there is no profile {profile!r}; there are {', '.join(profiles())}")
    layers: list[dict[str, Any]] = [{"profile": profile}, read_yaml(profiles()[profile])]
    if config is not None:
        layers.append(read_settings(config))
    layers.extend(parse_assignment(text) for text in assignments)
    return validate(BuildSettings, merge(*layers))
