"""Tracks become persons, and those who speak are found."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from demix.records import ActiveSpeaker, Box, Diarization, FaceTrack, Model, Persons, TrackActivity, Turn
from demix.stages.cast import cast_of, same_person, spoken_shares

FPS = Fraction(25)


def a_track(first: int, last: int, x: float, width: float = 100.0) -> FaceTrack:
    box = Box(x0=x, y0=100, x1=x + width, y1=100 + width, score=1.0)
    frames = tuple(range(first, last + 1))
    return FaceTrack(frames=frames, boxes=(box,) * len(frames), detections=len(frames))


def a_diarization(*turns: tuple[float, float, int]) -> Diarization:
    return Diarization(
        model="none",
        revision="1",
        turns=tuple(Turn(start_seconds=a, end_seconds=b, speaker=who) for a, b, who in turns),
        speakers=len({who for _, _, who in turns}),
        speech_seconds=sum(b - a for a, b, _ in turns),
        confidence=1.0,
    )


def some_persons(*tracks: FaceTrack) -> Persons:
    model = Model(model="none", revision="1")
    return Persons(persons=model, faces=model, frames=(), boxes=(), tracks=tracks, count=len(tracks), visible_share=1.0)


def activity(*scores: list[float] | None) -> ActiveSpeaker:
    tracks = tuple(
        TrackActivity(track=index, scores=tuple(values or ()), decidable=values is not None)
        for index, values in enumerate(scores)
    )
    return ActiveSpeaker(model="none", revision="1", tracks=tracks)


def test_a_face_that_comes_back_to_its_place_is_the_same_person() -> None:
    assert same_person([a_track(0, 20, 100), a_track(30, 60, 150)]) == [[0, 1]]


def test_a_face_elsewhere_or_at_the_same_time_is_another_person() -> None:
    assert same_person([a_track(0, 20, 100), a_track(30, 60, 500)]) == [[0], [1]]
    assert same_person([a_track(0, 40, 100), a_track(30, 60, 110)]) == [[0], [1]]


def test_a_returning_face_goes_to_the_nearest_person() -> None:
    tracks = [a_track(0, 20, 100), a_track(0, 20, 260), a_track(30, 50, 250)]
    assert same_person(tracks) == [[0], [1, 2]]


@given(st.lists(st.tuples(st.integers(0, 80), st.integers(0, 40), st.floats(0, 600)), max_size=8))
def test_nobody_is_in_two_places_at_once(spans: list[tuple[int, int, float]]) -> None:
    tracks = [a_track(first, first + length, x) for first, length, x in spans]
    groups = same_person(tracks)
    assert sorted(index for group in groups for index in group) == list(range(len(tracks)))
    for group in groups:
        for before, after in pairwise(group):
            assert tracks[before].frames[-1] < tracks[after].frames[0]


def test_a_face_speaks_for_its_share_of_the_speech() -> None:
    """Two faces through 4 s; speech in seconds 0..2, of which the left face has the first three quarters."""
    tracks = (a_track(0, 99, 100), a_track(0, 99, 400))
    left, right = np.full(100, -1.0), np.full(100, -1.0)
    left[:38], right[38:50], left[60:] = 1.0, 1.0, 1.0
    shares = spoken_shares(tracks, {0: left, 1: right}, a_diarization((0, 2, 0)), FPS)
    assert np.allclose(shares, [0.76, 0.24])


def test_only_the_most_active_face_speaks_at_a_time() -> None:
    tracks = (a_track(0, 49, 100), a_track(0, 49, 400))
    shares = spoken_shares(tracks, {0: np.full(50, 1.0), 1: np.full(50, 2.0)}, a_diarization((0, 2, 0)), FPS)
    assert shares == [0.0, 1.0]


def test_speech_while_a_face_is_out_of_sight_counts_against_it() -> None:
    assert spoken_shares((), {}, a_diarization((0, 2, 0)), FPS) == []
    assert spoken_shares((a_track(0, 10, 5),), {0: np.ones(11)}, a_diarization((3, 4, 0)), FPS) == [0.0]
    assert spoken_shares((a_track(0, 24, 5),), {0: np.ones(25)}, a_diarization((0, 4, 0)), FPS) == [0.25]


def test_the_cast_stands_from_left_to_right_with_boxes_by_frame() -> None:
    tracks = (a_track(0, 49, 400), a_track(0, 20, 100), a_track(30, 49, 120))
    persons = some_persons(*tracks)
    cast = cast_of(persons, activity([1.0] * 50, None, [-1.0] * 20), a_diarization((0, 2, 0)), FPS)
    assert [member.x for member in cast] == [150.0, 450.0]
    assert [member.decidable for member in cast] == [True, True]
    assert [member.spoken_share for member in cast] == [0.0, 1.0]
    assert cast[0].seen == 41
    assert cast[0].box(10) == tracks[1].boxes[10]
    assert cast[0].box(25) is None
    assert cast[0].box(49) == tracks[2].boxes[-1]
