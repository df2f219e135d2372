"""Spans of a film, measured apart and joined, against the whole film measured at once: equal to the last bit."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.media.scan import BEGINNING, END
from demix.models.shots.adaptive import AdaptiveShots
from demix.models.shots.flashes import REACH
from demix.models.shots.measured import SETTLING, Measured, NotJoined, Prints, SpanMeasured
from demix.models.shots.settings import AdaptiveSettings, GradualSettings, StructureSettings
from tests.models.shots.moving import dissolve, fade, joined, shot

_SHOTS = [
    joined([shot(1, 61), shot(2, 47, -2.0)])[0],
    dissolve(shot(3, 80, 0.5), shot(4, 70, 0.3), 24),
    fade(shot(5, 60), shot(6, 55, 0.0), 12),
    shot(7, 33, 3.0),
    dissolve(shot(8, 90, 0.5), shot(9, 90, 0.3), 48),
]
PICTURES, CUTS = joined(_SHOTS)
MODEL = AdaptiveShots(AdaptiveSettings(), StructureSettings(), GradualSettings())
RATES = (24.0, 59.94, 120.0)
WHOLE = {rate: MODEL.measure(list(enumerate(PICTURES)), rate) for rate in RATES}


def span(
    begin: int, end: int, rate: float, model: AdaptiveShots = MODEL, unsettled: int = 0, shift: int = 0
) -> SpanMeasured:
    """Frames `begin` to `end` and what a span holds beyond; its first pictures are wrong, as those of a decoder may be
    that began at a key frame in the middle."""
    last = min(len(PICTURES), end + model.beyond(rate)) if end < len(PICTURES) else len(PICTURES)
    frames = list(enumerate(PICTURES))[begin:last]
    frames = [(pts, 255 - picture if place < unsettled else picture) for place, (pts, picture) in enumerate(frames)]
    edges = BEGINNING if begin == 0 else begin, END if end == len(PICTURES) else end
    prints = Prints(iter(frames), edges[1], model.beyond(rate))
    return SpanMeasured(model.measure(prints, rate, begin + shift), *edges, begin + shift, prints.array())


def assert_equal(found: Measured, whole: Measured, rate: float, model: AdaptiveShots = MODEL) -> None:
    for name in (one.name for one in fields(Measured) if one.name != "hits"):
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name), err_msg=name)
    assert set(map(tuple, found.hits.tolist())) == set(map(tuple, whole.hits.tolist()))
    assert model.decide(found, rate) == model.decide(whole, rate)


@settings(deadline=None, max_examples=12)
@given(st.data(), st.sampled_from(RATES), st.integers(0, SETTLING - 1))
def test_spans_joined_are_the_whole_film_wherever_they_meet(data: st.DataObject, rate: float, unsettled: int) -> None:
    seams = data.draw(st.lists(st.integers(1, len(PICTURES) - 1), unique=True, min_size=1, max_size=4).map(sorted))
    parts = [
        span(*edges, rate, unsettled=unsettled if edges[0] else 0) for edges in pairwise([0, *seams, len(PICTURES)])
    ]
    read = [SpanMeasured.from_bytes(part.to_bytes()) for part in parts]
    try:
        found = MODEL.joined(read, rate)
    except NotJoined:  # too near to settle: then the film is taken undivided
        edges = [0, *seams, len(PICTURES)]
        assert unsettled or len(PICTURES) - seams[-1] <= REACH
        assert any(end - begin <= MODEL.beyond(rate) for begin, end in pairwise(edges))
        return
    assert_equal(found, WHOLE[rate], rate)


def _marks() -> list[int]:
    """Beside, at and behind every cut, and at the ends and in the middle of every fade and dissolve."""
    found = MODEL.decide(WHOLE[24.0], 24.0)
    assert len(found.cuts) == 5
    assert len(found.graduals) == 3
    spots = [*found.cuts, *(spot for a, b in found.graduals for spot in (a, (a + b) // 2, b))]
    return [spot + beside for spot in spots for beside in (-1, 0, 1)]


def test_a_transition_at_a_seam_is_found_as_in_the_whole_film() -> None:
    for mark in _marks():
        assert_equal(MODEL.joined([span(0, mark, 24.0), span(mark, len(PICTURES), 24.0)], 24.0), WHOLE[24.0], 24.0)


@pytest.mark.parametrize("switched_off", ["edges", "gradual", "structure", "both"])
def test_whatever_is_switched_on(switched_off: str) -> None:
    model = AdaptiveShots(
        AdaptiveSettings(weight_edges=1.0 if switched_off == "edges" else 0.0),
        StructureSettings(enabled=switched_off not in ("structure", "both")),
        GradualSettings(enabled=switched_off not in ("gradual", "both")),
    )
    whole = model.measure(list(enumerate(PICTURES)), 24.0)
    parts = [span(0, 200, 24.0, model), span(200, len(PICTURES), 24.0, model)]
    assert_equal(model.joined(parts, 24.0), whole, 24.0, model)


def test_spans_that_may_not_be_the_film_are_refused() -> None:
    end = len(PICTURES)
    late = span(200, end, 24.0)
    with pytest.raises(NotJoined, match="differ"):  # a decoder that has not found to itself in time
        MODEL.joined([span(0, 200, 24.0), span(200, end, 24.0, unsettled=SETTLING)], 24.0)
    with pytest.raises(NotJoined, match="follow one another"):
        MODEL.joined([span(0, 190, 24.0), late], 24.0)
    with pytest.raises(NotJoined, match="follow one another"):
        MODEL.joined([span(0, 200, 24.0)], 24.0)
    broken_off = Measured(*(getattr(WHOLE[24.0], one.name)[:210] for one in fields(Measured)))
    with pytest.raises(NotJoined, match="differ"):  # the film goes on although its first span has broken off
        MODEL.joined([SpanMeasured(broken_off, BEGINNING, 200, 0, span(0, 200, 24.0).prints[:210]), late], 24.0)
    with pytest.raises(NotJoined, match="not 201"):  # at 60 frames a second every second frame is looked at
        MODEL.joined([span(0, 200, 60.0), span(200, end, 60.0, shift=1)], 60.0)


def test_what_was_measured_does_not_depend_on_how_pictures_come_in_blocks() -> None:
    """The same numbers to the last bit from any frame on: no sum may depend on what is summed beside it."""
    for begin in (1, 3, 8, 77):
        part = MODEL.measure(list(enumerate(PICTURES))[begin:], 24.0)
        np.testing.assert_array_equal(part.alike[1:], WHOLE[24.0].alike[begin + 1 :])
        np.testing.assert_array_equal(part.change[1:], WHOLE[24.0].change[begin + 1 :])
        np.testing.assert_array_equal(part.contrast, WHOLE[24.0].contrast[begin:])
