"""The caption stage: who takes part, which frames are shown, and that captions reach their clips."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.config import ConfigError
from demix.models.captioning import Description
from demix.models.captioning.facts import FactsCaptioner
from demix.records import (
    ActiveSpeaker,
    Box,
    Caption,
    Clip,
    ClipMedia,
    DemixCheck,
    Diarization,
    FaceTrack,
    Media,
    Model,
    Persons,
    TrackActivity,
    Turn,
)
from demix.stage import Context, Item, Kept
from demix.stages.captioning import CaptionSettings, CaptionStage, by_clip, participants, spaced
from demix.store import Store
from tests.films import Shot, View, make_film

FRAMES = 60
NOBODY = Model(model="none", revision="1")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"))
    with store.write("clip.mp4") as path:
        make_film(path, [Shot("both", 2.5, View(0.5, 0.5, 0.97))], audio_codec=None, size=(640, 360))
    return store


def a_face(x: float) -> FaceTrack:
    box = Box(x0=x - 50, y0=70, x1=x + 50, y1=200, score=1.0)
    return FaceTrack(frames=tuple(range(FRAMES)), boxes=(box,) * FRAMES, detections=20)


def an_item(
    faces: Sequence[float] = (),
    activity: Sequence[float | None] = (),
    speakers: int = 0,
    silent: tuple[str, ...] = (),
    clip_id: str = "0" * 16,
) -> Item:
    """`faces`: centres in pixels; `activity`: score of each through the whole clip, None where undecidable."""
    clip = Clip(
        id=clip_id, source_id="1" * 16, uri="film.mp4", kind="web", ordinal=0, start_pts=0, end_pts=60, time_base="1/24"
    )
    media = Media(key="clip.mp4", bytes=1)
    clip_media = ClipMedia(
        video=media, mix=media, width=640, height=360, fps="24", frames=FRAMES, sample_rate=48000, channels=2, samples=1
    )
    tracks = tuple(a_face(x) for x in faces)
    active = tuple(
        TrackActivity(track=index, scores=() if score is None else (score,) * FRAMES, decidable=score is not None)
        for index, score in enumerate(activity)
    )
    turns = tuple(Turn(start_seconds=0.5 * n, end_seconds=0.5 * n + 0.5, speaker=n) for n in range(speakers))
    records = (
        clip_media,
        Persons(persons=NOBODY, faces=NOBODY, frames=(), boxes=(), tracks=tracks, count=len(faces), visible_share=1.0),
        Diarization(
            model="none", revision="1", turns=turns, speakers=speakers, speech_seconds=0.5 * speakers, confidence=1.0
        ),
        ActiveSpeaker(model="none", revision="1", tracks=active),
        DemixCheck(silent=silent, compared=()),
    )
    return Item(clip, {record.name: record for record in records})


def captions(store: Store, *items: Item) -> list[Caption]:
    stage = CaptionStage(CaptionSettings())
    stage.open(Context(store=store, fingerprint="0" * 32))
    outcomes = stage.run(items)
    records = [outcome.record for outcome in outcomes if isinstance(outcome, Kept)]
    assert len(records) == len(items)
    return [record for record in records if isinstance(record, Caption)]


def test_a_clip_in_which_one_of_two_people_speaks(store: Store) -> None:
    (caption,) = captions(store, an_item([180, 460], [-1.0, 1.0], speakers=1, silent=("effects", "music")))
    assert (caption.model, caption.revision) == ("facts", FactsCaptioner.revision)
    assert caption.speaking == (0,)
    assert len(caption.persons) == 1
    assert caption.persons[0].startswith("a person on the right, in a medium close-up")
    assert caption.text == (
        f"One person conversation. Persons: Person1: {caption.persons[0]}. Person1 is speaking. "
        f"Scene Description: {caption.scene}."
    )
    assert caption.scene.startswith("A medium close-up of Person1 and one more person. ")
    assert caption.scene.endswith(" Speech is heard")


def test_a_clip_in_which_nobody_speaks_has_the_description_alone(store: Store) -> None:
    (caption,) = captions(store, an_item([180, 460], [-1.0, -1.0], silent=("speech", "effects")))
    assert caption.persons == caption.speaking == ()
    assert caption.text == f"{caption.scene}."
    assert caption.text.startswith("A medium close-up of two people. ")


def test_captions_reach_their_clips_in_any_batch(store: Store) -> None:
    items = [
        an_item([180, 460], [1.0, 1.0], 2, clip_id="a" * 16),
        an_item([], [], 0, ("speech",), clip_id="b" * 16),
        an_item([460], [1.0], 1, clip_id="c" * 16),
    ]
    together = captions(store, *items)
    assert together == [captions(store, item)[0] for item in items]
    assert [len(caption.persons) for caption in together] == [2, 0, 1]


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (an_item([180, 460], [-1.0, 1.0], 1), (1, (0,), [460, 180])),
        (an_item([460, 180], [1.0, 1.5], 2), (2, (0,), [180, 460])),
        (an_item([180, 460], [None, None], 2), (2, (0, 1), [180, 460])),
        (an_item([180], [None], 2), (2, (0,), [180])),
        (an_item([180], [-1.0], 1), (1, (), [180])),
        (an_item([180], [1.0], 1, ("speech",)), (0, (), [180])),
        (an_item([], [], 1), (1, (), [])),
    ],
    ids=["the-active", "louder-mouth", "undecidable", "one-unseen", "off-screen", "silent", "nobody-seen"],
)
def test_participants(item: Item, expected: tuple[int, tuple[int, ...], list[int]]) -> None:
    """As many as speakers, those seen to speak first, from left to right; without a judge all of them speak."""
    members, count, speaking = participants(item, 0.2)
    assert (count, speaking, [round(member.x) for member in members]) == expected


def test_answers_of_a_captioner_are_matched_by_id_and_checked() -> None:
    wanted = {"a": 1, "b": 0}
    answers = [Description("b", (), "B."), Description("a", ("x",), "A.")]
    assert [by_clip(answers, wanted)[name].scene for name in "ab"] == ["A.", "B."]
    for wrong in (
        answers[:1],
        [*answers, answers[0]],
        [Description("c", (), "C."), answers[1]],
        [answers[0], Description("a", (), "A.")],
    ):
        with pytest.raises(ValueError, match="described"):
            by_clip(wrong, wanted)


@given(frames=st.integers(1, 500), count=st.integers(1, 64))
def test_frames_are_spread_evenly_over_the_clip(frames: int, count: int) -> None:
    chosen = spaced(frames, count)
    assert len(chosen) == min(frames, count)
    assert 0 <= chosen[0] <= chosen[-1] < frames
    gaps = [later - earlier for earlier, later in pairwise(chosen)]
    assert all(gap >= 1 for gap in gaps)
    assert not gaps or max(gaps) - min(gaps) <= 1
    assert abs(chosen[0] - (frames - 1 - chosen[-1])) <= 1


def test_an_unknown_model_is_refused_with_a_hint() -> None:
    with pytest.raises(ConfigError, match="did you mean facts"):
        CaptionStage(CaptionSettings(model="fact")).revision()


def test_the_revision_needs_no_weights() -> None:
    assert CaptionStage(CaptionSettings()).revision() == f"facts@{FactsCaptioner.revision}"
