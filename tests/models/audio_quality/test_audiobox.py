"""Audiobox Aesthetics: windows and their weights as in the reference, scores equal to it on generated weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from demix.models.audio_quality.audiobox import AXES, RATE, WINDOW, AudioboxQuality, at_rate, load, windows
from demix.models.audio_quality.settings import AudioboxSettings
from demix.weights import WeightsBroken
from tests.models.audio_quality.released import audiobox_file
from tests.models.vectors import Vector

CASES = [(16_000, 4), (16_000, 10), (16_000, 25), (44_100, 4), (44_100, 10), (44_100, 25)]


@pytest.fixture
def vector(shared_vectors: Path) -> Vector:
    return Vector(shared_vectors, "audiobox_tiny")


@pytest.fixture
def scorer(vector: Vector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AudioboxQuality:
    return made(vector, "linear", tmp_path, monkeypatch)


def made(vector: Vector, head: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AudioboxQuality:
    """The scorer on generated weights, of the vector's small WavLM, saved in the released layout."""
    audiobox_file(folder / "audiobox", vector, head, monkeypatch)
    monkeypatch.setenv("DEMIX_WEIGHTS", str(folder))
    return AudioboxQuality(AudioboxSettings(), "cpu")


def sound(vector: Vector, rate: int, seconds: int) -> np.ndarray:
    t = np.arange(rate * seconds) / rate
    noise = (
        vector.array(f"abx_{rate}_{seconds}", (2, rate * seconds)) * 0.1 * (0.5 + 0.5 * np.sin(2 * np.pi * 0.23 * t))
    )
    return (noise + 0.3 * np.sin(2 * np.pi * (120 + 40 * t) * t)).astype(np.float32)


@pytest.mark.parametrize("head", ["linear", "mlp5ln"])
def test_the_reference_is_met(head: str, vector: Vector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = made(vector, head, tmp_path, monkeypatch)
    for (rate, seconds), expected in zip(CASES, vector.outputs[f"{head}_scores"], strict=True):
        wave = sound(vector, rate, seconds)
        cut = windows(at_rate(wave, rate))
        np.testing.assert_allclose(
            scorer._answers(cut), vector.outputs[f"{head}_{rate}_{seconds}_raw"], rtol=0, atol=1e-5
        )
        weights = [valid / WINDOW for _, valid in cut]
        np.testing.assert_allclose(weights, vector.outputs[f"{head}_{rate}_{seconds}_weights"])
        (found,) = scorer.score([wave], rate)
        assert list(found) == list(AXES)
        np.testing.assert_allclose(list(found.values()), expected, rtol=0, atol=2e-5)


def test_resampling_is_the_reference_s(vector: Vector) -> None:
    for seconds in (4, 10, 25):
        wave = at_rate(sound(vector, 44_100, seconds), 44_100)
        assert len(wave) == vector.outputs[f"resampled_{seconds}_len"]
        np.testing.assert_allclose(wave[:400], vector.outputs[f"resampled_{seconds}_first400"], rtol=0, atol=1e-6)


def test_a_batch_is_scored_as_its_members_alone(scorer: AudioboxQuality) -> None:
    rng = np.random.default_rng(0)
    waves = [rng.normal(0, 0.1, (2, n)).astype(np.float32) for n in (30_000, WINDOW + 7, 400)]
    together = scorer.score(waves, RATE)
    alone = [scorer.score([wave], RATE)[0] for wave in waves]
    for a, b in zip(together, alone, strict=True):
        assert a == pytest.approx(b, abs=1e-5)
        assert np.isfinite(list(a.values())).all()


@given(samples=st.integers(1, 3 * WINDOW))
def test_windows_hold_every_sample_once(samples: int) -> None:
    cut = windows(torch.ones(samples))
    assert sum(valid for _, valid in cut) == samples
    assert all(len(window) == WINDOW and window.sum() == valid for window, valid in cut)
    assert [valid for _, valid in cut[:-1]] == [WINDOW] * (len(cut) - 1)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("audiobox_aesthetics", reason="an optional package")
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    with pytest.raises(WeightsBroken, match="not the released checkpoint"):
        load(tmp_path / "other.pt")
