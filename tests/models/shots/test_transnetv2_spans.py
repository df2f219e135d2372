"""TransNetV2 asked of the spans of a film, against the whole film asked at once: equal to the last bit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.media.limits import MediaLimits
from demix.media.probe import probe
from demix.media.scan import BEGINNING, END, ScanSettings
from demix.models.shots import transnetv2
from demix.models.shots.measured import SETTLING, NotJoined, Prints, SpanMeasured
from demix.models.shots.settings import TransNetSettings
from demix.models.shots.transnetv2 import MARGIN, TransNetShots
from demix.records import Source
from demix.stages import shot_spans
from demix.stages.shot_spans import Film, Measuring, Span
from tests.media.films import write_film
from tests.models.shots.moving import dissolve, fade, joined, shot
from tests.stages.test_shot_spans import ENCODINGS, MORE

RATE = 24.0
FRAMES = list(enumerate(np.random.default_rng(1).integers(0, 256, (1130, 18, 32, 3), np.uint8)))


class Sensitive(torch.nn.Module):
    """Its answers show every picture of a window, its place in it, and how many windows are asked at once."""

    def forward(self, windows: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        count, length = windows.shape[:2]
        light = windows.reshape(count, length, -1).double().mean(-1)
        place = torch.arange(1, length + 1, dtype=torch.float64)
        batch = count + torch.arange(count, dtype=torch.float64)[:, None] / 10
        answer = ((light * place).sum(1, keepdim=True) / 3e5 - 3.2 + (light - 128) + batch / 50 + place / 1e3).float()
        return answer[..., None], {"many_hot": answer[..., None] + 0.1}


@pytest.fixture(scope="module")
def model() -> TransNetShots:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transnetv2, "_network", lambda _: Sensitive())
        return TransNetShots(TransNetSettings(batch=2), "cpu")


def span(model: TransNetShots, begin: int, end: int, unsettled: int = 0, shift: int = 0) -> SpanMeasured:
    """Frames `begin` to `end` and what a span holds beyond; the first pictures are wrong."""
    last = min(len(FRAMES), end + model.beyond(RATE)) if end < len(FRAMES) else len(FRAMES)
    frames = [
        (pts, 255 - picture if begin and place < unsettled else picture)
        for place, (pts, picture) in enumerate(FRAMES[begin:last])
    ]
    edges = BEGINNING if begin == 0 else begin, END if end == len(FRAMES) else end
    prints = Prints(iter(frames), edges[1], model.beyond(RATE))
    return SpanMeasured(model.measure(prints, RATE, begin + shift), *edges, begin + shift, prints.array())


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, len(FRAMES) - 1), unique=True, min_size=1, max_size=3), st.integers(0, SETTLING - 1))
def test_spans_joined_are_the_whole_film_wherever_they_meet(
    model: TransNetShots, seams: list[int], unsettled: int
) -> None:
    edges = [0, *sorted(seams), len(FRAMES)]
    whole = model.measure(FRAMES, RATE)
    parts = [span(model, *places, unsettled=unsettled) for places in pairwise(edges)]
    try:
        found = model.joined([SpanMeasured.from_bytes(part.to_bytes()) for part in parts], RATE)
    except NotJoined:  # then the film is taken undivided
        assert any(end - begin <= model.beyond(RATE) for begin, end in pairwise(edges))
        return
    np.testing.assert_array_equal(found.likely, whole.likely)
    np.testing.assert_array_equal(found.pts, whole.pts)
    assert model.decide(found, RATE) == model.decide(whole, RATE)


def test_the_whole_film_has_something_to_find(model: TransNetShots) -> None:
    found = model.decide(model.measure(FRAMES, RATE), RATE)
    assert len(found.cuts) + len(found.graduals) > 20


@pytest.mark.parametrize("shift", [1, 7, -3])
def test_a_span_whose_frames_were_counted_wrongly_is_not_joined(model: TransNetShots, shift: int) -> None:
    parts = [span(model, 0, 500), span(model, 500, len(FRAMES), shift=shift)]
    with pytest.raises(NotJoined):
        model.joined(parts, RATE)


def test_spans_of_batches_of_another_size_are_not_joined(model: TransNetShots) -> None:
    """The setting may change from one run to the next, and the network's last bits with it."""
    parts = [span(model, 0, 500), span(model, 500, len(FRAMES))]
    other = TransNetShots.__new__(TransNetShots)
    other.__dict__.update(model.__dict__ | {"settings": TransNetSettings(batch=1)})
    later = span(other, 500, len(FRAMES))
    assert model.joined(parts, RATE) is not None
    with pytest.raises(NotJoined):
        other.joined([span(other, 0, 500), span(model, 500, len(FRAMES))], RATE)
    assert np.isnan(later.measured.likely[: MARGIN + 1]).any()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("encoding", ["x264, open groups", "MPEG-2 in a transport stream", "VP9", "x265", "MPEG-4"])
def test_a_film_in_spans_is_the_whole_film(encoding: str, tmp_path: Path) -> None:
    """With the released network, over a fade, a dissolve and cuts."""
    shots = [shot(1, 150), shot(2, 120, -2.0), dissolve(shot(3, 120, 0.5), shot(4, 110, 0.3), 24)]
    pictures, _ = joined([*shots, fade(shot(5, 90), shot(6, 95, 0.0), 12), shot(8, 60, 3.0)])
    container, codec, options, pixels = (ENCODINGS | MORE)[encoding]
    film = write_film(tmp_path / f"film.{container}", pictures, codec, options, pixels)
    told = probe(film, MediaLimits())
    settings = TransNetSettings(batch=1)
    model = TransNetShots(settings, "cpu")
    how = Measuring(lambda: model, ScanSettings(), MediaLimits(), 1, str(tmp_path), "f" * 32)
    source = Source(id="0123456789abcdef", uri=str(film), kind="cinematic")
    times = [None, *shot_spans._cut_times(told.video, 3), None]
    spans = [Span(Film(source, told), how, n, *edges) for n, edges in enumerate(pairwise(times))]
    (whole,) = (shot_spans._measured(one).measured for one in [Span(Film(source, told), how, 0, None, None)])
    found = model.joined([shot_spans._measured(one) for one in spans], RATE)
    np.testing.assert_array_equal(found.likely, whole.likely)
    assert model.decide(found, RATE) == model.decide(whole, RATE)
    assert whole.pts.shape == (told.video.frames,)
