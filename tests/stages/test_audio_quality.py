"""The stage that measures sound quality, and the filter that judges it by limits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demix.config import ConfigError
from demix.media.audio import write_flac
from demix.records import AudioQuality, Clip, ClipMedia, Media
from demix.stage import Context, Dropped, Item, Kept
from demix.stages.audio_quality import (
    AudioQualitySettings,
    AudioQualityStage,
    QualityFilter,
    QualityFilterSettings,
)
from demix.store import Store
from tests.sounds import MUSIC, at_level

RATE = 44100
CLIP = Clip(id="c" * 16, source_id="s", uri="u", kind="web", ordinal=0, start_pts=0, end_pts=1, time_base="1/1")


def measured(tmp_path: Path, wave: np.ndarray) -> AudioQuality:
    store = Store(tmp_path)
    with store.write("mix.flac") as path:
        write_flac(path, wave, RATE)
    media = Media(key="mix.flac", bytes=1)
    record = ClipMedia(
        video=media,
        mix=media,
        width=2,
        height=2,
        fps="24",
        frames=24,
        sample_rate=RATE,
        channels=len(wave),
        samples=wave.shape[1],
    )
    stage = AudioQualityStage(AudioQualitySettings())
    stage.open(Context(store=store, fingerprint="f" * 32))
    [outcome] = stage.run([Item(CLIP, {ClipMedia.name: record})])
    assert isinstance(outcome, Kept)
    assert isinstance(outcome.record, AudioQuality)
    assert stage.revision() == f"{outcome.record.model}@{outcome.record.revision}"
    return outcome.record


def judged(quality: AudioQuality, settings: QualityFilterSettings | None = None) -> Kept | Dropped:
    [outcome] = QualityFilter(settings or QualityFilterSettings()).run([Item(CLIP, {AudioQuality.name: quality})])
    assert isinstance(outcome, Kept | Dropped)
    return outcome


def record(**scores: float) -> AudioQuality:
    return AudioQuality(model="m", revision="1", scores=scores)


def test_ordinary_sound_and_digital_silence_are_kept_by_default(tmp_path: Path) -> None:
    music = at_level(MUSIC["groove"](np.random.default_rng(0), 3 * RATE, RATE), -20)
    assert judged(measured(tmp_path, np.stack([music, music]))) == Kept()
    assert judged(measured(tmp_path, np.zeros((2, RATE), np.float32))) == Kept()


def test_hard_clipped_sound_is_dropped_with_the_score_that_failed(tmp_path: Path) -> None:
    music = MUSIC["strings"](np.random.default_rng(0), 3 * RATE, RATE)
    outcome = judged(measured(tmp_path, 0.9 * np.clip(20 * music, -1, 1)[np.newaxis]))
    assert isinstance(outcome, Dropped)
    assert outcome.reason == "low_quality"
    assert set(outcome.evidence) == {"clipped_share", "clipped_share_maximum"}
    assert outcome.evidence["clipped_share"] > outcome.evidence["clipped_share_maximum"] == 0.01  # type: ignore[operator]


def test_a_clip_on_the_limit_is_kept_and_null_switches_a_limit_off() -> None:
    limits = QualityFilterSettings(minimum={"bandwidth_hz": 4000, "off": None}, maximum={"dc_offset": 0.1})
    assert judged(record(bandwidth_hz=4000, dc_offset=0.1), limits) == Kept()
    below = judged(record(bandwidth_hz=3999.9, dc_offset=0.1), limits)
    above = judged(record(bandwidth_hz=4000, dc_offset=0.1001), limits)
    assert isinstance(below, Dropped)
    assert below.evidence == {"bandwidth_hz": 3999.9, "bandwidth_hz_minimum": 4000}
    assert isinstance(above, Dropped)
    assert above.evidence == {"dc_offset": 0.1001, "dc_offset_maximum": 0.1}


def test_the_evidence_names_every_score_that_failed() -> None:
    outcome = judged(record(cut_off_hz=3000, clipped_share=0.5, dc_offset=0))
    assert isinstance(outcome, Dropped)
    assert set(outcome.evidence) == {"cut_off_hz", "cut_off_hz_minimum", "clipped_share", "clipped_share_maximum"}


def test_a_limit_on_a_score_that_nobody_measured_is_an_error_not_a_pass() -> None:
    with pytest.raises(ConfigError, match=r"bandwith_hz.*known: bandwidth_hz"):
        judged(record(bandwidth_hz=1), QualityFilterSettings(minimum={"bandwith_hz": 4000}, maximum={}))
