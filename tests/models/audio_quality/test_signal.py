"""The signal measures: each fault is seen, faultless sound is not accused, every score is finite."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.media.audio import SILENCE_DB, resample
from demix.models.audio_quality.signal import SignalQuality, clipped_share
from tests.sounds import MUSIC, at_level

RATE = 44100
NAMES = {
    "clipped_share",
    "bandwidth_hz",
    "cut_off_hz",
    "noise_floor_db",
    "dynamics_db",
    "loudness_lufs",
    "silent_share",
    "dc_offset",
}


def scores(wave: np.ndarray, sample_rate: int = RATE) -> dict[str, float]:
    [answer] = SignalQuality().score([np.atleast_2d(wave).astype(np.float32)], sample_rate)
    return answer


def rich(seed: int = 0, seconds: float = 3, rate: int = RATE) -> np.ndarray:
    """Chords over a little full-band noise."""
    random = np.random.default_rng(seed)
    samples = int(seconds * rate)
    return at_level(MUSIC["strings"](random, samples, rate), -20) + at_level(random.normal(size=samples), -60)


@settings(deadline=None, max_examples=30)
@given(
    samples=st.integers(1, 3000),
    channels=st.integers(1, 6),
    rate=st.sampled_from([8000, 16000, 44100, 48000]),
    amplitude=st.sampled_from([0.0, 1e-6, 0.3, 1.0]),
)
def test_every_score_is_finite_for_any_wave(samples: int, channels: int, rate: int, amplitude: float) -> None:
    wave = amplitude * np.random.default_rng(samples).uniform(-1, 1, (channels, samples))
    answer = scores(wave, rate)
    assert set(answer) == NAMES
    assert all(math.isfinite(value) for value in answer.values())


def test_digital_silence_has_the_floor_as_level_and_no_faults() -> None:
    answer = scores(np.zeros((2, RATE)))
    assert answer["loudness_lufs"] == answer["noise_floor_db"] == SILENCE_DB
    assert answer["silent_share"] == 1
    assert answer["clipped_share"] == answer["dc_offset"] == answer["bandwidth_hz"] == 0
    assert answer["cut_off_hz"] == RATE / 2


def test_loudness_of_the_reference_tone() -> None:
    """EBU Tech 3341: a stereo 1 kHz sine at -23 dBFS peak reads -23 LUFS."""
    tone = 10 ** (-23 / 20) * np.sin(2 * np.pi * 1000 * np.arange(48000 * 5) / 48000)
    assert scores(np.stack([tone, tone]), 48000)["loudness_lufs"] == pytest.approx(-23, abs=0.1)


@pytest.mark.parametrize("gain_db", [12, 20])
@pytest.mark.parametrize("after_db", [0, -10])
def test_hard_clipping_is_seen_also_when_it_was_turned_down_later(gain_db: float, after_db: float) -> None:
    wave = rich()
    wave /= np.abs(wave).max()
    assert scores(wave)["clipped_share"] < 0.005
    clipped = 10 ** (after_db / 20) * np.clip(wave * 10 ** (gain_db / 20), -1, 1)
    assert scores(clipped)["clipped_share"] > 0.01


@pytest.mark.parametrize("hertz", [50, 440, 2000])
def test_a_full_scale_sine_is_not_clipped(hertz: float) -> None:
    assert clipped_share(np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)) == 0


@pytest.mark.parametrize("rate", [8000, 16000])
def test_a_telephone_is_a_cut_off_and_a_pure_tone_is_none(rate: int) -> None:
    noise = rich(1) + at_level(np.random.default_rng(5).normal(size=3 * RATE), -30)
    narrow = resample(resample(noise, RATE, rate), rate, RATE)
    assert scores(narrow)["cut_off_hz"] == pytest.approx(rate / 2, rel=0.1)
    assert scores(noise)["cut_off_hz"] == RATE / 2
    tone = scores(0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE))
    assert tone["bandwidth_hz"] < 1000
    assert tone["cut_off_hz"] == RATE / 2


def test_offset_floor_and_silent_share_of_known_waves() -> None:
    noise = at_level(np.random.default_rng(0).normal(size=RATE), -50)
    loud = np.concatenate([noise, noise + at_level(np.random.default_rng(1).normal(size=RATE), -20), np.zeros(RATE)])
    answer = scores(loud + 0.0)
    assert answer["silent_share"] == pytest.approx(1 / 3, abs=0.03)
    assert scores(loud[: 2 * RATE])["noise_floor_db"] == pytest.approx(-50, abs=1)
    assert scores(noise + 0.2)["dc_offset"] == pytest.approx(0.2, abs=0.01)


def test_real_recordings(shared_media: Path) -> None:
    """The degraded twin of a clean sentence loses its treble; clean stems have no fault."""
    pair = [soundfile.read(shared_media / "audio/quality" / name) for name in ("CA01_01.wav", "transcoded_CA01_01.wav")]
    clean, degraded = (scores(wave, rate) for wave, rate in pair)
    assert clean["cut_off_hz"] > 12000 > 4500 > degraded["cut_off_hz"]
    for name in ("p286_011.wav", "jfk.flac", "spk1_snt1.wav"):
        wave, rate = soundfile.read(shared_media / "audio/stems/speech" / name, always_2d=True)
        answer = scores(wave.T, rate)
        assert answer["clipped_share"] < 0.001
        assert answer["dc_offset"] < 0.001
