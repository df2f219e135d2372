"""The block detector against the library: scores to the last bit, and cuts, however pictures are put into blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector, ContentDetector

from demix.models.shots.content import BlockDetector
from tests.models.shots.moving import joined, shot

PICTURES = np.stack(joined([shot(seed, length) for seed, length in enumerate((40, 31, 25, 60))])[0])
SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40))
WEIGHTS = st.floats(-2, 2, allow_subnormal=False)


def library(pictures: np.ndarray, detector: AdaptiveDetector) -> tuple[list[float], list[int]]:
    scores: list[float] = []
    cuts: list[int] = []
    for number, picture in enumerate(pictures):
        cuts += [cut.frame_num for cut in detector.process_frame(FrameTimecode(number, fps=24.0), picture)]
        scores.append(detector._frame_score)
    return scores, cuts


def blocks(pictures: np.ndarray, lengths: list[int]) -> list[np.ndarray]:
    return [block for block in np.split(pictures, np.minimum(np.cumsum(lengths), len(pictures))) if len(block)]


@settings(deadline=None)
@given(st.data(), SIZES, st.tuples(WEIGHTS, WEIGHTS, WEIGHTS), st.lists(st.integers(1, 9), max_size=6))
def test_scores_are_the_librarys_to_the_last_bit(
    data: st.DataObject, size: tuple[int, int], weights: tuple[float, float, float], lengths: list[int]
) -> None:
    if not sum(map(abs, weights)):
        weights = (1.0, 1.0, 1.0)
    seed = data.draw(st.integers(0, 2**32 - 1))
    pictures = np.random.default_rng(seed).integers(0, 256, (data.draw(st.integers(1, 25)), *size, 3), np.uint8)
    parts = ContentDetector.Components(*weights, delta_edges=0.0)
    ours = BlockDetector(24.0, weights=parts)
    found = [score for block in blocks(pictures, lengths) for score in ours.scores(block)]
    assert found == library(pictures, AdaptiveDetector(weights=parts))[0]


@pytest.mark.parametrize("edges", [0.0, 1.0])
@pytest.mark.parametrize("lengths", [[1, 2, 3, 39, 1, 70], [8] * 20, [156]])
def test_cuts_are_the_librarys(lengths: list[int], edges: float) -> None:
    parts = ContentDetector.Components(delta_edges=edges)
    _, expected = library(PICTURES, AdaptiveDetector(weights=parts, min_scene_len=15))
    ours = BlockDetector(24.0, weights=parts, min_scene_len=15)
    assert [cut for block in blocks(PICTURES, lengths) for cut in ours.cuts(block)] == expected
    assert len(expected) == 3
