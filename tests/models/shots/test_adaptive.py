"""The shot detector on pictures with known cuts, fades and dissolves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scenedetect import FrameTimecode, StatsManager
from scenedetect.detectors import AdaptiveDetector

from demix.models import model_class
from demix.models.shots import Boundaries
from demix.models.shots.adaptive import AdaptiveShots
from demix.models.shots.gradual import GradualFinder
from demix.models.shots.settings import AdaptiveSettings, GradualSettings, StructureSettings
from demix.models.shots.structure import StructureJudge
from demix.models.shots.tiny import tiny_pictures
from tests.models.shots.moving import dissolve, fade, joined, shot
from tests.models.vectors import Vector


def detect(pictures: list[np.ndarray], rate: float = 24.0, gradual: bool = True, structure: bool = True) -> Boundaries:
    model = AdaptiveShots(AdaptiveSettings(), StructureSettings(enabled=structure), GradualSettings(enabled=gradual))
    return model.detect(((7 * number + 3, picture) for number, picture in enumerate(pictures)), rate)


def test_registered_under_its_name() -> None:
    assert model_class("shots", "adaptive") is AdaptiveShots


@pytest.mark.parametrize("rate", [12.0, 24.0, 59.94])
def test_hard_cuts_are_frame_exact_at_any_rate(rate: float) -> None:
    pictures, cuts = joined([shot(seed, length) for seed, length in enumerate((40, 31, 25, 60))])
    found = detect(pictures, rate)
    assert found.cuts == cuts
    assert found.graduals == ()
    assert found.frames == len(pictures)
    assert found.pts == tuple(7 * number + 3 for number in range(len(pictures)))


def test_two_cuts_close_together_are_both_found() -> None:
    """A shot shorter than the command's 0.6 s must not stay in one clip with the next."""
    pictures, cuts = joined([shot(1, 40), shot(2, 8), shot(3, 40)])
    assert detect(pictures).cuts == cuts


def test_alone_it_is_the_adaptive_detector_of_pyscenedetect() -> None:
    """Second opinions off, its cuts are the library's own."""
    pictures, _ = joined([dissolve(shot(1, 50), shot(2, 50), 10), fade(shot(3, 40), shot(4, 40), 12), shot(5, 30, 9)])
    detector = AdaptiveDetector(min_scene_len=0)
    frames = enumerate(pictures)
    expected = [cut.frame_num for i, p in frames for cut in detector.process_frame(FrameTimecode(i, fps=24.0), p)]
    assert list(detect(pictures, gradual=False, structure=False).cuts) == expected


@pytest.mark.parametrize("rate", [24.0, 59.94, 120.0])
@pytest.mark.parametrize("block", [2, 7, 100])
def test_pictures_may_come_in_blocks_of_any_length(rate: float, block: int) -> None:
    """At 60 and 120 frames a second the finder takes every second and fourth, wherever blocks begin."""
    tiny = tiny_pictures(np.stack(fade(dissolve(shot(1, 150, 0.5), shot(2, 150, 0.5), 48), shot(3, 150), 30)))
    answers = []
    for length in (1, block):
        finder, judge = GradualFinder(GradualSettings(), rate), StructureJudge(StructureSettings())
        for start in range(0, len(tiny), length):
            finder.add(tiny[start : start + length])
            judge.add(tiny[start : start + length])
        answers.append((finder.spans(), judge.cuts([])))
    assert answers[0] == answers[1]
    assert len(answers[0][0]) == 2


@pytest.mark.parametrize("length", [6, 12, 24, 45])
def test_a_dissolve_between_moving_shots_is_one_gradual(length: int) -> None:
    found = detect(dissolve(shot(1, 100, 0.5), shot(2, 100, 0.5), length))
    assert found.cuts == ()
    ((first, last),) = found.graduals
    assert first <= 100 - length + 1
    assert last >= 99 - 1
    assert last - first < length + 12


@pytest.mark.parametrize("colour", [0, 255, 90])
@pytest.mark.parametrize("length", [5, 12, 30])
def test_a_fade_through_any_colour_is_one_gradual(length: int, colour: int) -> None:
    found = detect(fade(shot(1, 80), shot(2, 80), length, colour))
    assert found.cuts == ()
    ((first, last),) = found.graduals
    assert 80 - length - 8 <= first <= 80 - length + 1
    assert 80 + 5 + length - 2 <= last <= 80 + 5 + length + 8


@pytest.mark.parametrize("pan", [0.0, 0.5, 2.0, 6.0])
def test_a_moving_camera_is_not_a_transition(pan: float) -> None:
    found = detect(shot(4, 100, pan))
    assert (found.cuts, found.graduals) == ((), ())


def test_a_lamp_is_not_a_transition() -> None:
    pictures = [
        np.clip(picture * (0.6 + 0.4 * np.tanh((number - 50) / 4)), 0, 255).astype(np.uint8)
        for number, picture in enumerate(shot(5, 100, 0.2), start=20)
    ]
    found = detect(pictures)
    assert (found.cuts, found.graduals) == ((), ())


def test_a_title_over_a_shot_is_not_a_transition() -> None:
    pictures = shot(6, 100, 0.0)
    for number in range(30, 80):
        share = min(1.0, (number - 30) / 12, (80 - number) / 12)
        title = pictures[number][50:70, 30:130].astype(float)
        pictures[number][50:70, 30:130] = (title * (1 - share) + 255 * share).astype(np.uint8)
    found = detect(pictures)
    assert (found.cuts, found.graduals) == ((), ())


def test_a_refreshed_key_frame_is_not_a_cut() -> None:
    """A pale picture whose faint tint changes although it stays: the adaptive detector alone reports a cut."""
    tints = [np.array([8, 0, 0])] * 40 + [np.array([0, 0, 8])] * 40
    pictures = [(150 + grey // 3 + tint).astype(np.uint8) for grey, tint in zip(greys(7, 80), tints, strict=True)]
    assert detect(pictures, structure=False).cuts == (40,)
    assert detect(pictures).cuts == ()


def test_a_cut_between_dark_shots_is_found() -> None:
    """The adaptive detector alone sees too little change there."""
    pictures, cuts = joined([[(grey // 8).astype(np.uint8) for grey in greys(seed, 40)] for seed in (1, 2)])
    assert detect(pictures, structure=False).cuts == ()
    assert detect(pictures).cuts == cuts


def greys(seed: int, frames: int) -> list[np.ndarray]:
    """A shot without colour, int (90, 160, 3)."""
    return [np.repeat(picture[..., :1].astype(int), 3, axis=2) for picture in shot(seed, frames, 0.0)]


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_very_short_film_has_no_transitions(frames: int) -> None:
    found = detect(shot(1, frames))
    assert (found.frames, found.cuts, found.graduals) == (frames, (), ())


def test_long_films_are_searched_in_chunks_without_seams() -> None:
    """More frames than one chunk holds: every dissolve is found once, wherever it lies."""
    length, film, truth = 16, shot(0, 70, 0.3), []
    for seed in range(1, 14):
        film = dissolve(film, shot(seed, 70, 0.3), length)
        truth.append((len(film) - 70, len(film) - 70 + length - 1))
    found = detect(film)
    assert found.cuts == ()
    assert len(found.graduals) == len(truth)
    for (first, last), (begin, end) in zip(found.graduals, truth, strict=True):
        assert abs(first - begin) <= 4
        assert abs(last - end) <= 4


@pytest.mark.parametrize(("case", "edges"), [("default", 0.0), ("with_edges", 1.0)])
def test_frames_are_scored_as_the_reference_scores_them(case: str, edges: float, shared_vectors: Path) -> None:
    """With all settings as we state them: hue, saturation and brightness as PySceneDetect weighs them."""
    vector = Vector(shared_vectors, "scenedetect_content")
    blocks = np.kron(vector.array("psd_blocks", (4, 9, 16, 3), 20, 236), np.ones((1, 8, 8, 1), np.int64))
    pictures = np.clip(blocks + vector.array("psd_noise", (4, 72, 128, 3), -6, 7), 0, 255)
    pictures[3] = np.clip(pictures[2] + 12, 0, 255)
    model = AdaptiveShots(AdaptiveSettings(weight_edges=edges), StructureSettings(), GradualSettings())
    detector = model._detector(24.0)
    detector.stats_manager = StatsManager()
    detector.stats_manager.register_metrics(detector.get_metrics())
    times = [FrameTimecode(number, fps=24.0) for number in range(4)]
    for time, picture in zip(times, pictures.astype(np.uint8), strict=True):
        detector.process_frame(time, picture)
    names = ["content_val", "delta_hue", "delta_sat", "delta_lum", "delta_edges"]
    found = [detector.stats_manager.get_metrics(time, names) for time in times[1:]]
    expected = vector.outputs[f"{case}.score_hue_sat_lum_edges"]
    np.testing.assert_allclose(np.array(found, float)[:, 1:4], expected[:, 1:4], rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.array(found, float), expected, rtol=0, atol=1e-2)
    if not edges:
        scores = model._detector(24.0).scores(pictures.astype(np.uint8))
        np.testing.assert_allclose(scores[1:], expected[:, 0], rtol=0, atol=1e-6)


def test_weights_that_weigh_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing would ever be a cut"):
        AdaptiveSettings(weight_hue=0, weight_saturation=0, weight_brightness=0)


def lit(pictures: list[np.ndarray], frames: list[int], light: float) -> list[np.ndarray]:
    """With some frames brighter; 255 is white."""
    changed = list(pictures)
    for number in frames:
        changed[number] = np.clip(pictures[number] + light, 0, 255).astype(np.uint8)
    return changed


FLASHES = {
    "one frame": [40],
    "two frames": [40, 41],
    "three frames": [40, 41, 42],
    "lightning": [30, 31, 33, 36, 37, 40],
    "two near each other": [40, 43],
    "strobe": [number for number in range(20, 80) if number % 4 < 2],
    "slow strobe": [number for number in range(20, 80) if number % 10 < 5],
    "in the last frame but one": [98],
}


@pytest.mark.parametrize("light", [60.0, 150.0, 255.0, -120.0, -255.0])
@pytest.mark.parametrize("name", FLASHES)
@pytest.mark.parametrize("pan", [0.0, 1.0])
def test_a_light_that_comes_and_goes_is_not_a_cut(name: str, light: float, pan: float) -> None:
    found = detect(lit(shot(11, 100, pan), FLASHES[name], light), 25.0)
    assert (found.cuts, found.graduals) == ((), ())


@pytest.mark.parametrize("offset", [-5, -2, -1, 0, 1, 3])
def test_a_cut_beside_a_flash_is_found(offset: int) -> None:
    pictures, cuts = joined([shot(1, 50), shot(2, 50)])
    found = detect(lit(pictures, [50 + offset], 150.0), 25.0)
    assert len(found.cuts) <= 2
    assert min(abs(cut - cuts[0]) for cut in found.cuts) <= 1


@pytest.mark.parametrize("length", [4, 6, 8, 12])
def test_fast_montage_between_two_cameras_is_cut(length: int) -> None:
    """Shots that return to another camera's picture after a few frames are shots, not flashes."""
    here, there = shot(1, 200, 0.5), shot(2, 200, 0.5)
    pictures = [(here if number // length % 2 == 0 else there)[number] for number in range(96)]
    assert detect(pictures, 25.0).cuts == tuple(range(length, 96, length))
