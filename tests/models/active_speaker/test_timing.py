"""From a clip's frames to the nets' 25 a second and back; chunks that answer for every frame once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from demix.models.active_speaker.timing import at_net_rate, from_net_rate, smoothed, spans

RATES = st.sampled_from([8.0, 23.976, 24.0, 25.0, 29.97, 30.0, 50.0, 59.94])


@given(frames=st.integers(1, 400), fps=RATES)
def test_the_frame_shown_is_within_one_frame_of_the_time_asked_for(frames: int, fps: float) -> None:
    chosen = at_net_rate(frames, fps)
    middles = (np.arange(len(chosen)) + 0.5) / 25
    inside = middles < frames / fps
    shown = chosen[inside] / fps
    assert (shown <= middles[inside]).all()
    assert (middles[inside] < shown + 1 / fps + 1e-9).all()
    assert (np.diff(chosen) >= 0).all()
    assert chosen[-1] < frames


@given(frames=st.integers(1, 400), fps=RATES)
def test_there_and_back_is_off_by_one_frame_at_most(frames: int, fps: float) -> None:
    back = from_net_rate(at_net_rate(frames, fps), frames, fps)
    assert len(back) == frames
    assert (np.abs(back - np.arange(frames)) <= max(fps / 25, 1)).all()


def test_25_frames_a_second_stay_as_they_are() -> None:
    assert at_net_rate(80, 25.0).tolist() == list(range(80))


@given(frames=st.integers(1, 300), length=st.integers(1, 150), flush=st.booleans())
def test_chunks_answer_for_every_frame_once(frames: int, length: int, flush: bool) -> None:
    found = spans(frames, length, flush)
    owned = [frame for _, end, own in found for frame in range(own, end)]
    assert owned == list(range(frames))
    sizes = {end - start for start, end, _ in found}
    assert max(sizes) <= length
    if flush and frames >= length:
        assert sizes == {length}


def test_a_mean_over_five_frames() -> None:
    scores = np.array([0.0, 0, 5, 0, 0, 0])
    np.testing.assert_allclose(smoothed(scores), [5 / 3, 5 / 4, 1, 1, 5 / 4, 0])
    np.testing.assert_allclose(smoothed(scores, drop_last=True), [5 / 3, 5 / 4, 1, 5 / 4, 5 / 3, 0])
