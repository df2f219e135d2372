"""The operations on spectra that both demixers stand on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.models.demixing import rnnoise
from demix.models.demixing.rnnoise import enhance
from demix.models.demixing.spectrum import (
    Transform,
    centre_similarity,
    hysteresis,
    noise_power,
    runs,
    sample_gate,
)
from tests.films.speech import say


@settings(deadline=None, max_examples=25)
@given(samples=st.integers(1, 9000), channels=st.integers(1, 3), rate=st.sampled_from([8000, 22050, 44100, 48000]))
def test_the_transform_is_exactly_invertible_at_any_length(samples: int, channels: int, rate: int) -> None:
    wave = np.random.default_rng(samples).normal(size=(channels, samples)).astype(np.float32)
    transform = Transform(rate)
    back = transform.inverse(transform.forward(wave), samples)
    assert back.shape == wave.shape
    np.testing.assert_allclose(back, wave, atol=1e-5)


@given(st.lists(st.booleans(), max_size=40))
def test_runs_are_exactly_the_true_places(values: list[bool]) -> None:
    again = np.zeros(len(values), bool)
    for start, end in runs(np.array(values, bool)):
        assert start < end
        again[start:end] = True
    assert again.tolist() == values


def test_hysteresis_needs_one_sure_moment_and_then_holds_on() -> None:
    probability = np.array([0, 0.4, 0.9, 0.4, 0.1, 0.4, 0.45, 0])
    assert hysteresis(probability, 0.5, 0.35, 0).tolist() == [0, 1, 1, 1, 0, 0, 0, 0]
    assert hysteresis(probability, 0.5, 0.35, 1).tolist() == [1, 1, 1, 1, 1, 0, 0, 0]


@settings(deadline=None)
@given(frames=st.integers(2, 60), seed=st.integers(0, 999))
def test_the_sample_gate_is_zero_outside_and_within_one_everywhere(frames: int, seed: int) -> None:
    gate = (np.random.default_rng(seed).random(frames) > 0.5).astype(np.float32)
    samples = (frames - 1) * 512 + 100
    smooth = sample_gate(gate, 512, samples, 400)
    assert smooth.shape == (samples,)
    assert smooth.min() >= 0
    assert smooth.max() <= 1
    nearest = gate[np.clip((np.arange(samples) + 256) // 512, 0, frames - 1)]
    assert not smooth[nearest == 0].any()


def test_centre_similarity_of_known_images() -> None:
    random = np.random.default_rng(0)
    left, right = (random.normal(size=(65, 40)) + 1j * random.normal(size=(65, 40)) for _ in range(2))
    assert centre_similarity(np.stack([left, left])).min() > 0.999
    assert centre_similarity(np.stack([left, -left])).max() == 0
    assert centre_similarity(np.stack([left, right])).mean() < 0.3
    assert centre_similarity(left[np.newaxis]).min() == 1


def test_too_few_idle_frames_mean_an_unknown_level_not_silence() -> None:
    power = np.full((10, 50), 4.0)
    idle = np.zeros(50, bool)
    idle[:7] = True
    power[:, :7] = 1e-9
    assert noise_power(power, idle).max() == pytest.approx(1.5e-9)
    idle[:7] = False
    assert noise_power(power[:, 7:], idle[7:]).min() == pytest.approx(6.0)


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_rnnoise_answers_in_step_with_its_input(rate: int) -> None:
    """Its delay is taken out, also at rates that are not its own; the sample count is the input's."""
    wave = 0.3 * say("admiral", 0, rate)
    enhanced = enhance(wave, rate)
    assert enhanced.wave.shape == wave.shape
    assert len(enhanced.voice) == -(-round(len(wave) * 48000 / rate) // 480)
    shifts = range(-50, 51)
    middle = slice(rate // 2, rate // 2 + rate)
    likeness = [float(np.dot(np.roll(enhanced.wave, shift)[middle], wave[middle])) for shift in shifts]
    assert abs(shifts[int(np.argmax(likeness))]) <= rate // 10000


def test_rnnoise_hears_a_clip_once_and_nothing_sticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both demixers of `lite` ask for the same wave; the answer that one of them changes is not the other's, and
    another wave is heard anew."""
    heard = []
    process = rnnoise._process
    monkeypatch.setattr(rnnoise, "_process", lambda frames: (heard.append(len(frames)), process(frames))[1])
    wave, other = 0.31 * say("admiral", 0, 48000), 0.3 * say("admiral", 1, 48000)
    first = enhance(wave, 48000)
    kept = first.wave.copy()
    first.wave[:] = 0
    assert np.array_equal(enhance(wave.copy(), 48000).wave, kept)
    assert len(heard) == 1
    enhance(other, 48000)
    enhance(wave, 44100)
    assert np.array_equal(enhance(wave, 48000).wave, kept)
    assert len(heard) == 4
