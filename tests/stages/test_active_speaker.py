"""The active speaker: mouth and voice together, never one alone."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.media.audio import read_wave
from demix.records import ActiveSpeaker, Box, Demixing, Diarization, FaceTrack, Model, Persons, Turn
from demix.stage import Item
from demix.stages.active_speaker import (
    SILENT,
    ActiveSpeakerSettings,
    ActiveSpeakerStage,
    largest,
    voices_heard,
    yielding,
)
from demix.stages.diarization import DiarizationSettings, DiarizationStage
from demix.stages.persons import PersonsSettings, PersonsStage
from tests.stages.talking_faces import portrait, still, talking
from tests.stages.voices_clips import SAMPLE_RATE, context, make_item, read_recording

CREDIT = Model(model="test", revision="0")
FACE = Box(x0=160, y0=65, x1=245, y1=173, score=1)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> ActiveSpeakerStage:
    stage = ActiveSpeakerStage(ActiveSpeakerSettings())
    stage.open(context(tmp_path_factory.mktemp("active")))
    return stage


def track(box: Box, frames: int, first: int = 0) -> FaceTrack:
    return FaceTrack(frames=tuple(range(first, first + frames)), boxes=(box,) * frames, detections=frames)


def persons(*tracks: FaceTrack) -> Persons:
    return Persons(persons=CREDIT, faces=CREDIT, frames=(0,), boxes=((),), tracks=tracks, count=1, visible_share=1)


def heard(*turns: Turn) -> Diarization:
    return Diarization(model="t", revision="0", turns=turns, speakers=1, speech_seconds=1, confidence=1)


def scored(stage: ActiveSpeakerStage, item: Item, who: Persons, voice: Diarization) -> ActiveSpeaker:
    (outcome,) = stage.run([item.with_record(who).with_record(voice)])
    assert isinstance(outcome.record, ActiveSpeaker)  # type: ignore[union-attr]
    return outcome.record  # type: ignore[union-attr]


def clip(stage: ActiveSpeakerStage, name: str, pictures: np.ndarray) -> Item:
    noise = np.random.default_rng(1).normal(0, 0.05, len(pictures) * SAMPLE_RATE // 24).astype(np.float32)
    return make_item(stage.context, name, pictures, speech=noise)


def test_a_moving_mouth_speaks_during_the_turn_and_at_no_other_time(stage: ActiveSpeakerStage) -> None:
    item = clip(stage, "talk", talking(portrait(), 72))
    turn = Turn(start_seconds=1.0, end_seconds=2.0, speaker=0)
    (activity,) = scored(stage, item, persons(track(FACE, 72)), heard(turn)).tracks
    scores = np.array(activity.scores)
    assert activity.decidable
    assert (scores[24:48] > 0).all()
    assert (scores[:23] <= SILENT).all()
    assert (scores[49:] <= SILENT).all()


def test_a_still_face_does_not_speak_whoever_is_heard(stage: ActiveSpeakerStage) -> None:
    item = clip(stage, "still", still(portrait(), 72))
    turn = Turn(start_seconds=0.0, end_seconds=3.0, speaker=0)
    (activity,) = scored(stage, item, persons(track(FACE, 72)), heard(turn)).tracks
    assert activity.decidable
    assert max(activity.scores) < 0


def test_of_two_faces_the_one_with_the_moving_mouth_speaks(stage: ActiveSpeakerStage) -> None:
    pictures = np.concatenate([still(portrait(), 60), talking(portrait(), 60)], axis=2)
    right = FACE.model_copy(update={"x0": FACE.x0 + 400, "x1": FACE.x1 + 400})
    turn = Turn(start_seconds=0.0, end_seconds=2.5, speaker=0)
    record = scored(stage, clip(stage, "pair", pictures), persons(track(FACE, 60), track(right, 60)), heard(turn))
    assert max(record.tracks[0].scores) < 0 < min(record.tracks[1].scores)


def test_without_speech_nothing_is_decoded_and_nobody_speaks(stage: ActiveSpeakerStage) -> None:
    item = clip(stage, "mute", still(portrait(), 24))
    stage.context.store.remove("media/mute")
    (activity,) = scored(stage, item, persons(track(FACE, 24)), heard()).tracks
    assert activity.decidable
    assert set(activity.scores) == {SILENT}


def test_a_face_too_small_to_judge_is_undecidable(stage: ActiveSpeakerStage) -> None:
    item = clip(stage, "small", talking(portrait(), 48))
    tiny = Box(x0=100, y0=50, x1=120, y1=75, score=1)
    turn = Turn(start_seconds=0.0, end_seconds=2.0, speaker=0)
    (activity,) = scored(stage, item, persons(track(tiny, 48)), heard(turn)).tracks
    assert not activity.decidable
    assert set(activity.scores) == {0.0}


def test_a_track_on_which_nobody_is_heard_is_undecidable(stage: ActiveSpeakerStage) -> None:
    item = clip(stage, "later", talking(portrait(), 72))
    turn = Turn(start_seconds=0.0, end_seconds=1.0, speaker=0)
    (activity,) = scored(stage, item, persons(track(FACE, 30, first=42)), heard(turn)).tracks
    assert not activity.decidable
    assert len(activity.scores) == 30


@pytest.mark.parametrize("name", ["grid/bbaf2n.mpg", "grid/brbk7n.mpg", "grid/lbax4n.mpg", "latentsync_demo1.mp4"])
def test_real_talking_heads_speak(stage: ActiveSpeakerStage, shared_media: Path, name: str) -> None:
    pictures, wave = read_recording(shared_media / "video" / name, seconds=3)
    item = judged_before(stage, make_item(stage.context, Path(name).stem, pictures, speech=wave))
    (outcome,) = stage.run([item])
    (activity,) = outcome.record.tracks  # type: ignore[union-attr]
    speech = voices_heard(item[Diarization].turns, len(pictures), Fraction(24)) > 0
    assert activity.decidable
    assert (np.array(activity.scores) > 0)[speech].mean() > 0.8


def test_a_real_silent_face_does_not_speak_another_persons_words(stage: ActiveSpeakerStage, shared_media: Path) -> None:
    pictures, _ = read_recording(shared_media / "video" / "intel_asl_yes.mkv")
    _, wave = read_recording(shared_media / "video" / "grid" / "brbk7n.mpg")
    item = judged_before(stage, make_item(stage.context, "dubbed", pictures, speech=wave))
    assert item[Diarization].speech_seconds > 1
    (outcome,) = stage.run([item])
    (activity,) = outcome.record.tracks  # type: ignore[union-attr]
    assert activity.decidable
    assert max(activity.scores) < 0


def judged_before(stage: ActiveSpeakerStage, item: Item) -> Item:
    for before in (PersonsStage(PersonsSettings()), DiarizationStage(DiarizationSettings())):
        before.open(stage.context)
        (outcome,) = before.run([item])
        item = item.with_record(outcome.record)  # type: ignore[union-attr]
    return item


def test_the_crops_are_of_the_demixed_speech_not_of_the_mix(stage: ActiveSpeakerStage) -> None:
    """The stage must not hear anything where the speech track is silent, though a turn is claimed there."""
    item = make_item(stage.context, "hollow", talking(portrait(), 48), speech=np.zeros(10, np.float32))
    assert not read_wave(stage.context.store.local(item[Demixing].speech.key))[0].any()
    turn = Turn(start_seconds=0.0, end_seconds=2.0, speaker=0)
    (activity,) = scored(stage, item, persons(track(FACE, 48)), heard(turn)).tracks
    assert not activity.decidable


def test_a_frame_that_a_turn_touches_is_heard() -> None:
    turns = [
        Turn(start_seconds=0.09, end_seconds=0.21, speaker=0),
        Turn(start_seconds=0.15, end_seconds=0.4, speaker=1),
        Turn(start_seconds=0.15, end_seconds=0.2, speaker=0),
    ]
    assert voices_heard(turns, 6, Fraction(10)).tolist() == [1, 2, 2, 1, 0, 0]


def test_the_largest_faces_are_judged() -> None:
    sides = [40, 90, 20, 60]
    tracks = [track(Box(x0=0, y0=0, x1=side / 2, y1=side, score=1), 3) for side in sides]
    assert largest(tracks, smallest=32, most=8) == [0, 1, 3]
    assert largest(tracks, smallest=32, most=2) == [1, 3]


@given(data=st.data(), count=st.integers(1, 4), frames=st.integers(1, 12))
def test_never_more_speak_than_are_heard_and_the_best_keep_their_scores(
    data: st.DataObject, count: int, frames: int
) -> None:
    values = st.floats(-2, 2).map(lambda value: round(value, 3))
    scores = {
        index: np.array(data.draw(st.lists(values, min_size=frames, max_size=frames, unique=True))) + index * 1e-4
        for index in range(count)
    }
    voices = np.array(data.draw(st.lists(st.integers(1, 3), min_size=frames, max_size=frames)))
    tracks = [track(FACE, frames) for _ in range(count)]
    after = yielding(scores, tracks, voices)
    speaking = sum((values > 0).astype(int) for values in after.values())
    assert (speaking <= voices).all()
    for index in scores:
        kept = after[index] > 0
        assert (after[index][kept] == scores[index][kept]).all()
    best = np.max([scores[index] for index in scores], axis=0)
    assert (np.max([after[index] for index in after], axis=0)[best > 0] == best[best > 0]).all()


@pytest.fixture(params=["lr_asd", "light_asd"])
def network_stage(
    request: pytest.FixtureRequest, tmp_path: Path, shared_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> ActiveSpeakerStage:
    """The stage with a net and its released weights."""
    release = {"lr_asd": "LR-ASD", "light_asd": "Light-ASD"}[request.param]
    shutil.copytree(shared_weights / release, tmp_path / "weights" / request.param)
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "weights"))
    stage = ActiveSpeakerStage(ActiveSpeakerSettings(model=request.param))
    stage.open(context(tmp_path))
    return stage


def test_the_nets_hear_a_talking_head_and_not_a_closed_mouth_under_anothers_voice(
    network_stage: ActiveSpeakerStage, shared_media: Path
) -> None:
    pictures, wave = read_recording(shared_media / "video" / "grid" / "brbk7n.mpg")
    silent, _ = read_recording(shared_media / "video" / "intel_asl_yes.mkv")
    for name, seen in (("talking", pictures), ("closed", silent)):
        item = judged_before(network_stage, make_item(network_stage.context, name, seen, speech=wave))
        (outcome,) = network_stage.run([item])
        (activity,) = outcome.record.tracks  # type: ignore[union-attr]
        speech = voices_heard(item[Diarization].turns, len(seen), Fraction(24)) > 0
        assert activity.decidable
        if name == "talking":
            assert (np.array(activity.scores) > 0)[speech].mean() > 0.9
            assert (np.array(activity.scores)[~speech] <= SILENT).all()
        else:
            assert max(activity.scores) < 0
