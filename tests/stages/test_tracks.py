"""Face tracks: gaps, splits, crossings, interpolation, and what does not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.records import Box
from demix.stages.tracks import boxes_at, build_tracks, overlap


def box(x: float, y: float = 0, side: float = 100, score: float = 1) -> Box:
    return Box(x0=x, y0=y, x1=x + side, y1=y + side, score=score)


def seen(frames: list[int], **options: float) -> list[tuple[int, ...]]:
    """Frames of the tracks of a face that stays where it is and is found on `frames`."""
    tracks = build_tracks(frames, [[box(0)] for _ in frames], **{"min_detections": 1, **options})  # type: ignore[arg-type]
    return [(track.frames[0], track.frames[-1]) for track in tracks]


def test_a_gap_of_ten_frames_is_bridged_and_one_of_eleven_splits() -> None:
    assert seen([0, 10, 20]) == [(0, 20)]
    assert seen([0, 11, 21]) == [(0, 0), (11, 21)]


@given(steps=st.lists(st.integers(1, 25), max_size=30), gap=st.integers(1, 15))
def test_tracks_split_exactly_at_gaps_above_the_limit(steps: list[int], gap: int) -> None:
    frames = np.cumsum([0, *steps]).tolist()
    assert len(seen(frames, max_gap=gap)) == 1 + sum(step > gap for step in steps)


@given(frames=st.sets(st.integers(0, 60), min_size=1).map(sorted), data=st.data())
def test_tracks_are_gapless_hold_every_detection_and_stay_inside_their_span(
    frames: list[int], data: st.DataObject
) -> None:
    shifts = [data.draw(st.floats(-20, 20)) for _ in frames]
    detections = [[box(shift), box(1000 + shift)] for shift in shifts]
    tracks = build_tracks(frames, detections, min_detections=1)
    assert sum(track.detections for track in tracks) == 2 * len(frames)
    for track in tracks:
        assert track.frames == tuple(range(track.frames[0], track.frames[-1] + 1))
        assert len(track.boxes) == len(track.frames)
        for frame, shift in zip(frames, shifts, strict=True):
            if track.frames[0] <= frame <= track.frames[-1]:
                assert track.boxes[frame - track.frames[0]].x0 in (pytest.approx(shift), pytest.approx(1000 + shift))


@given(order=st.permutations(range(3)))
def test_the_order_of_boxes_on_a_frame_does_not_matter(order: list[int]) -> None:
    boxes = [box(0), box(300), box(600)]
    plain = build_tracks(range(10), [boxes] * 10)
    assert build_tracks(range(10), [[boxes[index] for index in order]] * 10) == plain
    assert len(plain) == 3


def test_boxes_between_detections_lie_on_a_line() -> None:
    (track,) = build_tracks([0, 3], [[box(0)], [box(30)]], min_detections=2)
    assert [each.x0 for each in track.boxes] == [0, 10, 20, 30]


def test_two_close_faces_keep_their_own_tracks() -> None:
    """Each box continues the track that it overlaps most, though it overlaps both."""
    detections = [[box(0 + 2 * step), box(60 + 2 * step)] for step in range(8)]
    tracks = build_tracks(range(0, 24, 3), detections)
    assert [track.boxes[0].x0 for track in tracks] == [0, 60]
    assert [track.boxes[-1].x0 for track in tracks] == [14, 74]


def test_too_few_detections_or_none_that_is_sure_are_no_track() -> None:
    assert build_tracks(range(7), [[box(0)]] * 7) == ()
    unsure = [[box(0, score=0.91)]] * 10
    assert build_tracks(range(10), unsure, sure_score=0.97) == ()
    assert len(build_tracks(range(10), [*unsure[1:], [box(0, score=0.98)]], sure_score=0.97)) == 1


def test_overlap_is_symmetric_one_for_equal_and_zero_for_apart_or_empty() -> None:
    assert overlap(box(0), box(0)) == 1
    assert overlap(box(0), box(50)) == overlap(box(50), box(0)) == pytest.approx(1 / 3)
    assert overlap(box(0), box(100)) == 0
    assert overlap(box(0, side=0), box(0, side=0)) == 0


def test_boxes_at_a_frame_come_from_the_tracks_that_cover_it() -> None:
    tracks = build_tracks(range(10), [[box(300), *([box(0)] if frame > 3 else [])] for frame in range(10)], 0.3, 10, 2)
    assert [each.x0 for each in boxes_at(tracks, 2)] == [300]
    assert [each.x0 for each in boxes_at(tracks, 5)] == [0, 300]
    assert boxes_at(tracks, 10) == []
