"""Subset division follows the paper's section 3 for every clip that can occur."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.records import SUBSETS, Clip, DemixCheck, Diarization, Kind, Model, Persons, Subsets
from demix.stage import Dropped, Item, Kept
from demix.stages.subsets import SubsetsSettings, SubsetsStage, subsets_of

kinds = st.sampled_from(get_args(Kind))
silences = st.sets(st.sampled_from(["speech", "effects", "music"]))
humans = st.integers(0, 12)


def an_item(kind: Kind = "cinematic", visible: int = 1, speakers: int = 1, silent: tuple[str, ...] = ()) -> Item:
    clip = Clip(
        id="0" * 16, source_id="1" * 16, uri="film.mp4", kind=kind, ordinal=0, start_pts=0, end_pts=72, time_base="1/24"
    )
    model = Model(model="none", revision="1")
    records = (
        Persons(persons=model, faces=model, frames=(), boxes=(), tracks=(), count=visible, visible_share=1.0),
        Diarization(model="none", revision="1", turns=(), speakers=speakers, speech_seconds=0.0, confidence=1.0),
        DemixCheck(silent=silent, compared=()),
    )
    return Item(clip, {record.name: record for record in records})


def judge(item: Item, **settings: str) -> Kept | Dropped:
    (outcome,) = SubsetsStage(SubsetsSettings.model_validate(settings)).run([item])
    assert isinstance(outcome, Kept | Dropped)
    return outcome


@given(kind=kinds, humans=humans, silent=silences)
def test_talking_heads_are_basic_faces_and_nothing_else(kind: Kind, humans: int, silent: set[str]) -> None:
    subsets = subsets_of(kind, humans, silent)
    assert (kind == "talking_head") == (subsets == ("basic_face",)) == ("basic_face" in subsets)


@given(kind=st.sampled_from(["cinematic", "web"]), humans=humans, silent=silences)
def test_humans_and_sounds_decide_independently(kind: Kind, humans: int, silent: set[str]) -> None:
    subsets = subsets_of(kind, humans, silent)
    assert ("single_character" in subsets) == (humans == 1)
    assert ("multiple_characters" in subsets) == (humans >= 2)
    assert ("sound_event" in subsets) == ("effects" not in silent)
    assert ("visual_mood" in subsets) == ("music" not in silent)


@given(kind=kinds, humans=humans, silent=silences)
def test_subsets_are_in_their_fixed_order_without_repetition(kind: Kind, humans: int, silent: set[str]) -> None:
    places = [SUBSETS.index(subset) for subset in subsets_of(kind, humans, silent)]
    assert places == sorted(set(places))


@given(kind=kinds, visible=humans, speakers=humans, silent=silences)
def test_a_clip_is_dropped_exactly_when_it_has_no_subset(
    kind: Kind, visible: int, speakers: int, silent: set[str]
) -> None:
    outcome = judge(an_item(kind, visible, speakers, tuple(sorted(silent))))
    if isinstance(outcome, Dropped):
        assert outcome.reason == "no_subset"
        assert subsets_of(kind, visible, silent) == ()
        assert outcome.evidence["visible_persons"] == visible
    else:
        assert isinstance(outcome.record, Subsets)
        assert outcome.record.subsets == subsets_of(kind, visible, silent) != ()


@pytest.mark.parametrize(("count", "humans"), [("visible", 1), ("speakers", 2), ("max", 2)])
def test_the_setting_chooses_the_count_and_both_are_recorded(count: str, humans: int) -> None:
    outcome = judge(an_item(visible=1, speakers=2), count=count)
    assert isinstance(outcome, Kept)
    record = outcome.record
    assert isinstance(record, Subsets)
    assert (record.humans, record.visible_persons, record.speakers) == (humans, 1, 2)
    assert record.subsets[0] == ("single_character" if humans == 1 else "multiple_characters")


def test_outcomes_keep_the_order_of_the_items() -> None:
    items = [an_item(visible=n, speakers=0, silent=("speech", "effects", "music")) for n in (0, 1, 2)]
    outcomes = SubsetsStage(SubsetsSettings()).run(items)
    signatures = [outcome.record.signature if isinstance(outcome, Kept) else outcome.reason for outcome in outcomes]
    assert signatures == ["no_subset", "single_character", "multiple_characters"]
