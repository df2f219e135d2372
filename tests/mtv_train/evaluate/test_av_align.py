"""AV-Align in both published versions: the reference, clicks and moving squares with known times, librosa's picker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import librosa
import numpy as np
import pytest

from mtv_train.evaluate.av_align import SAMPLE_RATE, AVAlign, agreement, motion, motion_peaks, onsets
from mtv_train.evaluate.metric import Unscorable
from mtv_train.evaluate.video import Clip
from tests.mtv_train.evaluate.conftest import Vector


def clicks(times: list[float], seconds: float) -> np.ndarray:
    wave = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
    k = np.arange(2000)
    burst = 0.7 * np.exp(-k / 200) * np.sin(2 * np.pi * 1000 * k / SAMPLE_RATE)
    for time in times:
        at = round(time * SAMPLE_RATE)
        wave[at : at + 2000] += burst[: len(wave) - at].astype(np.float32)
    return wave


def squares(jumps: list[int], frames: int) -> list[np.ndarray]:
    """Grey pictures of a textured square that jumps by three pixels at the given frames."""
    texture = np.kron(np.random.default_rng(0).integers(60, 230, (8, 8)), np.ones((3, 3))).astype(np.uint8)
    pictures, place = [], 20
    for frame in range(frames):
        if frame in jumps:
            place = 23 if place == 20 else 20
        picture = np.full((64, 64), 40, np.uint8)
        picture[place : place + 24, 20:44] = texture
        pictures.append(picture)
    return pictures


@pytest.mark.parametrize("name", ["aligned24", "late24", "pairs12", "weak30"])
def test_reference(vector: Callable[[str], Vector], name: str) -> None:
    reference = vector("av_align")
    facts = reference.facts["videos"][name]
    fps, side = facts["fps"], facts["square"]
    texture = np.kron(reference.input("avalign_texture", (8, 8), 60, 230), np.ones((3, 3)))[:side, :side]
    background = np.kron(reference.input("avalign_background", (16, 16), 20, 60), np.ones((4, 4)))
    pictures = []
    for y, x in facts["positions"]:
        picture = background.copy()
        picture[y : y + side, x : x + side] = texture
        pictures.append(picture.astype(np.uint8))
    lengths = motion(pictures)
    np.testing.assert_allclose(lengths, reference[f"{name}.flow"], rtol=1e-3, atol=1e-4)
    found = onsets(_wave(reference, name, facts))
    np.testing.assert_allclose(found, reference[f"{name}.audio_peaks"], atol=1e-9)
    for version in ("2023", "2025"):
        peaks = motion_peaks(lengths, fps, version)
        np.testing.assert_allclose(peaks, reference[f"{name}.video_peaks_{version}"], atol=1e-9)
        score = agreement(found, peaks, fps, version)
        assert score == pytest.approx(float(reference[f"{name}.score_{version}"]), abs=1e-9)


def _wave(reference: Vector, name: str, facts: dict) -> np.ndarray:
    length = round(48 / facts["fps"] * SAMPLE_RATE)
    y = 0.001 * reference.input(f"avalign_noise_{name}", (length,)).astype(np.float64)
    k = np.arange(2000)
    for time in facts["clicks"]:
        at = round(time * SAMPLE_RATE)
        burst = 0.7 * np.exp(-k / 200) * np.sin(2 * np.pi * 1000 * k / SAMPLE_RATE)
        y[at : at + 2000] += burst[: length - at]
    return (np.round(np.clip(y, -1, 1) * 32767) / 32768).astype(np.float32)


def test_clicks_and_jumps_at_known_times() -> None:
    jumps = [8, 17, 25, 34]
    peaks = motion_peaks(motion(squares(jumps, 48)), 24, "2025")
    np.testing.assert_allclose(peaks, np.array(jumps) / 24)
    times = [jump / 24 for jump in jumps]
    found = onsets(clicks(times, 2.0))
    assert len(found) == len(times)
    assert np.abs(found - times).max() < 1 / 24
    assert agreement(found, peaks, 24, "2025") == 1.0
    late = onsets(clicks([time + 0.2 for time in times], 2.0))
    assert agreement(late, peaks, 24, "2025") == 0.0


def test_onsets_are_librosas() -> None:
    """The picker's own entry point on the wave, with nothing of ours between."""
    wave = clicks([0.3, 0.9, 1.31, 1.7], 2.2) + np.random.default_rng(1).normal(0, 0.002, 48510).astype(np.float32)
    np.testing.assert_allclose(onsets(wave), librosa.onset.onset_detect(y=wave, sr=SAMPLE_RATE, units="time"))


@pytest.mark.slow
def test_processes_that_begin_together_with_nothing_compiled_all_end_well(tmp_path: Path) -> None:
    """Without waiting for one another, most of them die of a segmentation fault."""
    code = "import numpy; from mtv_train.evaluate.av_align import onsets; w = numpy.zeros(22050, 'f'); w[9000] = 1"
    command = [sys.executable, "-c", f"{code}; print(onsets(w).tolist())"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    begun = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate()[0] for process in begun]
    assert [process.returncode for process in begun] == [0, 0, 0]
    assert len(set(said)) == 1
    assert said[0] != "[]\n"


def test_versions_differ_where_peaks_are_weak_or_shared() -> None:
    weak = np.array([0.0, 0.0, 0.05, 0.0, 0.3, 0.0])
    assert motion_peaks(weak, 10, "2023").tolist() == [0.2, 0.4]
    assert motion_peaks(weak, 10, "2025").tolist() == [0.4]
    # Two onsets about one peak: both hit it in 2023, one in 2025.
    assert agreement(np.array([0.36, 0.44]), np.array([0.4]), 10, "2023") == 2.0 / (2 + 1 - 2)
    assert agreement(np.array([0.36, 0.44]), np.array([0.4]), 10, "2025") == 1.0 / (2 + 1 - 1)


def test_the_window_is_open_at_both_ends() -> None:
    assert agreement(np.array([0.5]), np.array([0.625]), 8, "2025") == 0.0
    assert agreement(np.array([0.5]), np.array([0.6249]), 8, "2025") == 1.0


def test_nothing_at_all_has_no_score() -> None:
    still = np.zeros((12, 32, 32, 3), np.uint8)
    silent = np.zeros((1, 11025), np.float32)
    clip = Clip("still", still, np.arange(12) / 24, Fraction(24), silent, SAMPLE_RATE)
    metric = AVAlign()
    with pytest.raises(Unscorable, match="neither an onset"):
        metric.score(metric.measure(clip))
    with pytest.raises(Unscorable, match="single picture"):
        motion([still[0, ..., 0]])
