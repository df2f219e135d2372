"""Persons: counted robustly, on sampled frames that include both ends, in the clip's own pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.records import ClipMedia, Persons
from demix.stage import Item
from demix.stages.persons import PersonsSettings, PersonsStage, robust_count, sampled_frames
from demix.stages.tracks import overlap
from tests.stages.talking_faces import portrait, still
from tests.stages.voices_clips import context, make_item, read_recording


def persons_of(stage: PersonsStage, item: Item) -> Persons:
    (outcome,) = stage.run([item])
    assert isinstance(outcome.record, Persons)  # type: ignore[union-attr]
    return outcome.record  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> PersonsStage:
    stage = PersonsStage(PersonsSettings())
    stage.open(context(tmp_path_factory.mktemp("persons")))
    return stage


def test_a_face_is_a_person_tracked_over_the_whole_clip(stage: PersonsStage) -> None:
    persons = persons_of(stage, make_item(stage.context, "one", still(portrait(), 48)))
    assert persons.count == 1
    assert persons.visible_share == 1
    (track,) = persons.tracks
    assert track.frames == tuple(range(48))
    assert persons.frames[0] == 0
    assert persons.frames[-1] == 47
    assert len(persons.boxes) == len(persons.frames)


def test_boxes_are_in_the_clips_pixels_though_detection_ran_on_smaller_pictures(stage: PersonsStage) -> None:
    large = cv2.resize(portrait(), None, fx=3, fy=3)
    persons = persons_of(stage, make_item(stage.context, "large", np.stack([large] * 12)))
    assert persons.tracks[0].boxes[0].x0 == pytest.approx(3 * 160, abs=20)
    assert persons.boxes[0][0].y1 == pytest.approx(3 * 173, abs=25)


def test_nobody_is_nobody(stage: PersonsStage) -> None:
    persons = persons_of(stage, make_item(stage.context, "empty", still(np.full((240, 320, 3), 90, np.uint8), 48)))
    assert (persons.count, persons.visible_share, persons.tracks) == (0, 0, ())


def test_two_faces_of_which_one_leaves_count_as_two_and_stay_visible(stage: PersonsStage) -> None:
    both = np.hstack([portrait(), portrait()[:, ::-1]])
    alone = np.hstack([portrait(), np.full_like(portrait(), 128)])
    persons = persons_of(stage, make_item(stage.context, "two", np.stack([both] * 36 + [alone] * 36)))
    assert persons.count == 2
    assert persons.visible_share == 1
    assert [track.frames[0] for track in persons.tracks] == [0, 0]
    assert [track.frames[-1] for track in persons.tracks] == [71, 33]


def test_same_clip_same_record(stage: PersonsStage) -> None:
    item = make_item(stage.context, "same", still(portrait(), 24))
    assert persons_of(stage, item) == persons_of(stage, item)


def test_a_persons_model_that_is_not_the_faces_model_is_asked_itself(stage: PersonsStage) -> None:
    """The short cut for `mtcnn` must not change the answer."""
    item = make_item(stage.context, "asked", still(portrait(), 24))
    shortened = persons_of(stage, item)
    stage.persons = stage.faces
    try:
        asked = persons_of(stage, item)
    finally:
        stage.persons = None
    assert asked.frames == shortened.frames
    for (one,), (other,) in zip(asked.boxes, shortened.boxes, strict=True):
        assert overlap(one, other) > 0.99


def test_the_plan_knows_the_revision_without_opening() -> None:
    assert PersonsStage(PersonsSettings()).revision() == "mtcnn@1+mtcnn@1"


@given(frames=st.integers(1, 500), fps=st.sampled_from(["24", "25", "24000/1001", "30", "60", "12"]))
def test_sampled_frames_are_in_the_clip_with_both_ends_and_persons_among_faces(frames: int, fps: str) -> None:
    media = ClipMedia.model_construct(frames=frames, fps=fps)
    faces, persons = sampled_frames(media, PersonsSettings())
    for sampled in (faces, persons):
        assert sampled[0] == 0
        assert sampled[-1] == frames - 1
        assert sampled == sorted(set(sampled))
    assert set(persons) <= set(faces)


def test_faces_are_looked_for_on_every_third_frame_at_film_rates() -> None:
    for fps in ("24", "25", "24000/1001"):
        faces, _ = sampled_frames(ClipMedia.model_construct(frames=100, fps=fps), PersonsSettings())
        assert faces[:4] == [0, 3, 6, 9]


def test_one_frame_with_a_false_face_is_nobody() -> None:
    assert robust_count([0] * 9 + [1], 0.1) == 0
    assert robust_count([0] * 18 + [1, 1], 0.1) == 1
    assert robust_count([1] * 10 + [5] + [2] * 9, 0.1) == 2
    assert robust_count([3], 0.1) == 3


@given(counts=st.lists(st.integers(0, 6), min_size=1, max_size=60), share=st.floats(0.01, 1))
def test_the_count_is_among_those_seen_and_more_share_never_raises_it(counts: list[int], share: float) -> None:
    assert robust_count(counts, share) in counts
    assert robust_count(counts, share) >= robust_count(counts, 1.0) == min(counts)


@pytest.mark.parametrize(
    ("name", "count", "share"),
    [("friday.mp4", 2, 0.7), ("intel_asl_yes.mkv", 1, 1), ("grid/sbia1a.mpg", 1, 1), ("stream-of-water.mp4", 0, 0)],
)
def test_real_recordings(stage: PersonsStage, shared_media: Path, name: str, count: int, share: float) -> None:
    pictures, _ = read_recording(shared_media / "video" / name)
    persons = persons_of(stage, make_item(stage.context, name.replace("/", "_").replace(".", "_"), pictures))
    assert persons.count == count
    assert persons.visible_share >= share
    assert share or persons.visible_share == 0
