"""The voice-over rule: literal and strict, what is undecidable, and what does not matter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.records import (
    ActiveSpeaker,
    Box,
    Clip,
    ClipMedia,
    Diarization,
    FaceTrack,
    Media,
    Model,
    Persons,
    TrackActivity,
    Turn,
    VoiceOver,
)
from demix.stage import Dropped, Item, Kept, Outcome
from demix.stages.voice_over import VoiceOverFilter, VoiceOverSettings, covered

FRAMES, FPS = 96, 24
BOX = Box(x0=0, y0=0, x1=50, y1=50, score=1)
CREDIT = Model(model="test", revision="0")


def clip_of(
    speech: list[tuple[float, float]],
    tracks: list[tuple[int, int, float | None]] = (),  # type: ignore[assignment]
    seen: list[int] = (),  # type: ignore[assignment]
    kind: str = "cinematic",
) -> Item:
    """Speech in seconds; tracks (first frame, last frame, score or None for undecidable); frames with a person."""
    sampled = tuple(range(0, FRAMES, 6))
    turns = tuple(Turn(start_seconds=start, end_seconds=end, speaker=0) for start, end in speech)
    media = Media(key="k", bytes=1)
    spans = [tuple(range(first, last + 1)) for first, last, _ in tracks]
    records: dict[str, Any] = {
        "clip_media": ClipMedia(
            video=media, mix=media, width=64, height=64, fps=str(FPS), frames=FRAMES, sample_rate=48000, channels=1,
            samples=FRAMES * 2000,
        ),
        "persons": Persons(
            persons=CREDIT, faces=CREDIT, frames=sampled,
            boxes=tuple((BOX,) if frame in seen else () for frame in sampled),
            tracks=tuple(FaceTrack(frames=span, boxes=(BOX,) * len(span), detections=9) for span in spans),
            count=1, visible_share=1,
        ),
        "diarization": Diarization(
            model="t", revision="0", turns=turns, speakers=1, confidence=1,
            speech_seconds=sum(end - start for start, end in speech),
        ),
        "active_speaker": ActiveSpeaker(
            model="t", revision="0",
            tracks=tuple(
                TrackActivity(track=index, scores=(score or 0.0,) * len(span), decidable=score is not None)
                for index, (span, (_, _, score)) in enumerate(zip(spans, tracks, strict=True))
            ),
        ),
    }  # fmt: skip
    subject = Clip(id="c", source_id="s", uri="u", kind=kind, ordinal=0, start_pts=0, end_pts=FRAMES, time_base="1/24")
    return Item(subject, records)


def judge(item: Item, **settings: Any) -> Outcome:
    (outcome,) = VoiceOverFilter(VoiceOverSettings(**settings)).run([item])
    return outcome


def verdict(item: Item, **settings: Any) -> str:
    outcome = judge(item, **settings)
    if isinstance(outcome, Dropped):
        return f"dropped: {outcome.reason}"
    assert isinstance(outcome, Kept)
    assert isinstance(outcome.record, VoiceOver)
    return outcome.record.verdict


SPEECH = [(0.0, 4.0)]
EVERYWHERE = list(range(0, FRAMES, 6))


@pytest.mark.parametrize(
    ("tracks", "seen", "literal", "strict"),
    [
        ([], [], "dropped: voice_over", "dropped: voice_over"),
        ([(0, 95, 1.0)], EVERYWHERE, "on_screen", "on_screen"),
        ([(0, 95, -1.0)], EVERYWHERE, "on_screen", "dropped: voice_over"),
        ([(0, 95, None)], EVERYWHERE, "on_screen", "undecidable"),
        ([], EVERYWHERE, "on_screen", "undecidable"),
        ([(0, 95, -1.0), (0, 95, 1.0)], EVERYWHERE, "on_screen", "on_screen"),
        ([(0, 95, -1.0), (0, 95, None)], EVERYWHERE, "on_screen", "undecidable"),
        ([(0, 9, 1.0)], [0], "dropped: voice_over", "dropped: voice_over"),
    ],
    ids=["nobody", "speaker", "silent face", "unjudged face", "back view", "one of two", "one unjudged", "too briefly"],
)
def test_verdicts(tracks: list, seen: list, literal: str, strict: str) -> None:  # type: ignore[type-arg]
    item = clip_of(SPEECH, tracks, seen)
    assert verdict(item) == literal
    assert verdict(item, rule="strict") == strict


def test_the_default_is_the_papers_literal_rule() -> None:
    assert VoiceOverSettings().rule == "literal"


def test_undecidable_may_be_dropped_with_a_reason_of_its_own() -> None:
    item = clip_of(SPEECH, [(0, 95, None)], EVERYWHERE)
    assert verdict(item, rule="strict", undecidable="drop") == "dropped: undecidable"
    assert verdict(item, rule="literal", undecidable="drop") == "on_screen"


def test_only_the_frames_during_which_speech_is_heard_matter() -> None:
    """Somebody is visible in the first half; a voice speaks in the second."""
    item = clip_of([(2.0, 4.0)], [(0, 47, -1.0)], EVERYWHERE[:8])
    assert verdict(item) == "dropped: voice_over"
    assert verdict(clip_of([(0.0, 2.0)], [(0, 47, -1.0)], EVERYWHERE[:8])) == "on_screen"


def test_hardly_any_speech_is_none() -> None:
    assert verdict(clip_of([])) == "no_speech"
    assert verdict(clip_of([(1.0, 1.4)])) == "no_speech"
    assert verdict(clip_of([(1.0, 1.6)])) == "dropped: voice_over"
    assert verdict(clip_of([(1.0, 1.4)]), min_speech_seconds=0.3) == "dropped: voice_over"


def test_the_share_that_must_be_covered_is_a_setting() -> None:
    item = clip_of(SPEECH, [(0, 47, -1.0)])
    assert verdict(item, min_covered_share=0.5) == "on_screen"
    assert verdict(item, min_covered_share=0.51) == "dropped: voice_over"


def test_kinds_that_the_rule_does_not_apply_to_are_measured_and_kept() -> None:
    item = clip_of(SPEECH, kind="talking_head")
    assert verdict(item) == "voice_over"
    assert verdict(item, kinds=["talking_head"]) == "dropped: voice_over"


def test_numbers_are_recorded_when_kept_and_when_dropped() -> None:
    kept = judge(clip_of(SPEECH, [(0, 47, 1.0)], EVERYWHERE[:12]))
    assert isinstance(kept, Kept)
    assert kept.record == VoiceOver(
        verdict="on_screen", speech_seconds=4.0, person_covered_share=0.7292, speaker_covered_share=0.5
    )
    dropped = judge(clip_of(SPEECH))
    assert isinstance(dropped, Dropped)
    assert dropped.evidence == {"speech_seconds": 4.0, "person_covered_share": 0.0, "speaker_covered_share": 0.0}


tracks = st.lists(
    st.tuples(st.integers(0, 95), st.integers(0, 95), st.sampled_from([None, -1.0, 1.0])).map(
        lambda row: (min(row[0], row[1]), max(row[0], row[1]), row[2])
    ),
    max_size=5,
)


@given(
    tracks=tracks,
    seen=st.lists(st.sampled_from(EVERYWHERE)),
    speech=st.lists(st.booleans(), min_size=FRAMES, max_size=FRAMES),
    random=st.randoms(use_true_random=False),
)
def test_shares_lie_in_0_to_1_in_order_and_do_not_depend_on_the_order_of_tracks(
    tracks: list[tuple[int, int, float | None]], seen: list[int], speech: list[bool], random: Any
) -> None:
    def shares(rows: list[tuple[int, int, float | None]]) -> Any:
        item = clip_of(SPEECH, rows, seen)
        return covered(np.array(speech), item[Persons], item[ActiveSpeaker])

    plain = shares(tracks)
    assert 0 <= plain.speaker <= plain.possible <= plain.person <= 1
    shuffled = list(tracks)
    random.shuffle(shuffled)
    assert shares(shuffled) == plain


@given(tracks=tracks, seen=st.lists(st.sampled_from(EVERYWHERE)))
def test_what_the_strict_rule_keeps_for_certain_the_literal_rule_keeps(
    tracks: list[tuple[int, int, float | None]], seen: list[int]
) -> None:
    item = clip_of(SPEECH, tracks, seen)
    if verdict(item, rule="strict") == "on_screen":
        assert verdict(item) == "on_screen"
