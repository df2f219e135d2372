"""The pictures of a clip are decoded once in a worker, whoever looks at them: persons, faces, mouths, captioner."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from demix.media import frames
from demix.media.kept_frames import KeptFrames
from demix.records import DemixCheck, Diarization, Turn
from demix.stage import Item, Kept, Stage
from demix.stages.active_speaker import ActiveSpeakerSettings, ActiveSpeakerStage
from demix.stages.captioning import CaptionSettings, CaptionStage
from demix.stages.persons import PersonsSettings, PersonsStage
from tests.stages.talking_faces import portrait, talking
from tests.stages.voices_clips import SAMPLE_RATE, context, make_item

CLIPS, FRAMES = 3, 36


def test_persons_faces_mouths_and_captioner_share_one_decode_a_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stage after stage over a whole batch, as a worker takes them."""
    kept = KeptFrames()
    monkeypatch.setattr(frames, "KEPT", kept)
    lent = context(tmp_path)
    noise = np.random.default_rng(1).normal(0, 0.05, FRAMES * SAMPLE_RATE // 24).astype(np.float32)
    voice = Diarization(
        model="t", revision="0", turns=(Turn(start_seconds=0, end_seconds=1.5, speaker=0),), speakers=1,
        speech_seconds=1.5, confidence=1,
    )  # fmt: skip
    check = DemixCheck(silent=(), compared=())
    items = [
        make_item(lent, f"talk{number}", talking(portrait(), FRAMES), speech=noise)
        .with_record(voice)
        .with_record(check)
        for number in range(CLIPS)
    ]
    stages: list[Stage] = [
        PersonsStage(PersonsSettings()),
        ActiveSpeakerStage(ActiveSpeakerSettings()),
        CaptionStage(CaptionSettings()),
    ]
    for stage in stages:
        stage.open(lent)
        items = [answered(stage, item) for item in items]
    assert all(item.records["persons"].tracks for item in items)  # type: ignore[attr-defined]
    assert all("speaking" in item.records["caption"].text for item in items)  # type: ignore[attr-defined]
    assert kept.decoded == CLIPS


def answered(stage: Stage, item: Item) -> Item:
    (outcome,) = stage.run([item])
    assert isinstance(outcome, Kept)
    return item.with_record(outcome.record)
