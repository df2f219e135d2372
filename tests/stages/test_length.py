"""The length filter judges on the source's own time line, exactly at its boundary."""

from __future__ import annotations

import pytest

from demix.records import Clip
from demix.stage import Dropped, Item, Kept
from demix.stages.length import LengthFilter, LengthSettings


def clip(ticks: int, time_base: str) -> Item:
    return Item(
        Clip(
            id="c",
            source_id="s",
            uri="film.mp4",
            kind="web",
            ordinal=0,
            start_pts=-7,
            end_pts=ticks - 7,
            time_base=time_base,
        )
    )


@pytest.mark.parametrize(("ticks", "kept"), [(2099, False), (2100, True), (2101, True), (1, False)])
def test_a_clip_is_dropped_below_the_threshold_only(ticks: int, kept: bool) -> None:
    (outcome,) = LengthFilter(LengthSettings(min_seconds=2.1)).run([clip(ticks, "1/1000")])
    if kept:
        assert outcome == Kept()
    else:
        assert outcome == Dropped("too_short", {"seconds": ticks / 1000})


def test_answers_come_in_order() -> None:
    outcomes = LengthFilter(LengthSettings()).run([clip(1001 * n, "1/24000") for n in (100, 10, 50, 51)])
    assert [type(outcome) for outcome in outcomes] == [Kept, Dropped, Dropped, Kept]
