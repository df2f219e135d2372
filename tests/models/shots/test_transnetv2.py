"""TransNetV2: windows cover every frame once, transitions become cuts and graduals, loading leaves no trace."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.models.shots.settings import TransNetSettings
from demix.models.shots.transnetv2 import MARGIN, STEP, TransNetShots, load, transitions, windows
from tests.models.shots.moving import joined, shot


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 330))
def test_every_frame_is_in_the_middle_of_one_window(count: int) -> None:
    pictures = [np.full((1, 1, 1), number) for number in range(count)]
    seen = []
    for window, answered in windows(pictures):
        assert len(window) == 100
        seen += [int(picture[0, 0, 0]) for picture in window[MARGIN : MARGIN + STEP][:answered]]
        edges = window.reshape(-1)
        assert np.array_equal(edges, np.clip(np.arange(100) + seen[-answered] - MARGIN, 0, count - 1))
    assert seen == list(range(count))
    assert list(windows([])) == []


def test_short_runs_are_cuts_and_long_ones_graduals() -> None:
    likely = np.zeros((100, 2), np.float32)
    likely[9] = 0.9, 0.8  # a cut: the last frame of the shot before
    likely[30:41, 1] = 0.7  # a dissolve
    likely[35, 0] = 0.6
    likely[60:70, 1] = 0.9  # nothing sure in it
    likely[99] = 0.9, 0.9  # the film's end is no cut
    assert transitions(likely, 0.5, 0.5) == ((10,), ((30, 40),))


def test_loading_leaves_the_generators_and_switches_alone() -> None:
    random.seed(3)
    torch.manual_seed(3)
    np.random.seed(3)
    load()
    drawn = random.random(), torch.rand(1).item(), np.random.random()
    random.seed(3)
    torch.manual_seed(3)
    np.random.seed(3)
    assert drawn == (random.random(), torch.rand(1).item(), np.random.random())
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.slow
def test_hard_cuts_are_exact_and_probabilities_those_of_the_package() -> None:
    pictures, cuts = joined([shot(seed, length) for seed, length in enumerate((40, 31, 25, 60))])
    model = TransNetShots(TransNetSettings(batch=3), "cpu")
    found = model.detect(((7 * number, picture) for number, picture in enumerate(pictures)), 24.0)
    assert found.cuts == cuts
    assert found.graduals == ()
    assert found.pts == tuple(7 * number for number in range(len(pictures)))
    tiny = np.random.default_rng(0).integers(0, 256, (130, 27, 48, 3), np.uint8)
    single, inside = model.network.predict_frames(torch.from_numpy(tiny), quiet=True)
    expected = torch.stack([single, inside], dim=1).numpy()
    assert np.abs(model.probabilities(list(tiny)) - expected).max() < 1e-5
