"""Reading, writing, levels and rates of our own sound files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.media.audio import SILENCE_DB, mono, read_wave, resample, rms_db, write_flac


def tone(hertz: float, sample_rate: int, seconds: float, amplitude: float = 1.0) -> np.ndarray:
    time = np.arange(round(sample_rate * seconds)) / sample_rate
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_every_sample_value_survives_a_flac(tmp_path: Path, bits: int, channels: int) -> None:
    """Extremes and neighbours of zero included: what is on the grid comes back bit for bit."""
    full = 2 ** (bits - 1)
    grid = np.array([-full, -full + 1, -1, 0, 1, 2, full - 1] * 700) / full
    wave = np.stack([np.roll(grid, shift) for shift in range(channels)]).astype(np.float32)
    write_flac(tmp_path / "a.flac", wave, 48000, bits)
    back, sample_rate = read_wave(tmp_path / "a.flac")
    assert sample_rate == 48000
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, wave)


def test_same_wave_same_bytes_and_beyond_full_scale_is_clipped(tmp_path: Path) -> None:
    wave = 1.5 * tone(440, 16000, 0.5)[None]
    write_flac(tmp_path / "a.flac", wave, 16000)
    write_flac(tmp_path / "b.flac", wave, 16000)
    assert (tmp_path / "a.flac").read_bytes() == (tmp_path / "b.flac").read_bytes()
    back, _ = read_wave(tmp_path / "a.flac")
    assert back.max() == np.float32(1 - 2**-15)
    assert back.min() == -1


def test_what_is_no_wave_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="finite"):
        write_flac(tmp_path / "a.flac", np.array([[np.nan]]), 16000)
    with pytest.raises(ValueError, match="channels, samples"):
        write_flac(tmp_path / "a.flac", np.zeros(10), 16000)
    with pytest.raises(ValueError, match="bits"):
        write_flac(tmp_path / "a.flac", np.zeros((1, 10)), 16000, bits=12)
    assert not (tmp_path / "a.flac").exists()


def test_levels_of_known_waves() -> None:
    assert rms_db(np.ones((2, 100))) == 0
    assert rms_db(tone(100, 16000, 1)[None]) == pytest.approx(-3.0103, abs=1e-3)
    assert rms_db(np.full((1, 10), 10 ** (-45 / 20))) == pytest.approx(-45, abs=1e-9)
    assert rms_db(np.zeros((1, 10))) == rms_db(np.zeros((1, 0))) == SILENCE_DB
    assert rms_db(np.full((1, 10), 1e-9)) == SILENCE_DB


def test_mono_is_the_mean_of_the_channels() -> None:
    np.testing.assert_array_equal(mono(np.array([[1.0, 0.5], [0.0, -0.5]], np.float32)), np.float32([0.5, 0]))


@settings(deadline=None, max_examples=40)
@given(
    samples=st.integers(0, 5000),
    rates=st.sampled_from([(44100, 48000), (48000, 16000), (8000, 44100), (22050, 16000), (16000, 16000)]),
    channels=st.integers(1, 3),
)
def test_resampling_keeps_time_to_the_sample(samples: int, rates: tuple[int, int], channels: int) -> None:
    wave = np.random.default_rng(samples).normal(size=(channels, samples)).astype(np.float32)
    there = resample(wave, *rates)
    assert there.shape == (channels, round(samples * rates[1] / rates[0]))
    assert there.dtype == np.float32
    np.testing.assert_array_equal(there, resample(wave, *rates))


@pytest.mark.parametrize("rates", [(44100, 48000), (48000, 16000), (16000, 44100)])
def test_a_resampled_tone_is_the_tone_without_delay(rates: tuple[int, int]) -> None:
    there = resample(tone(1000, rates[0], 1), *rates)
    inner = slice(rates[1] // 10, -rates[1] // 10)
    assert np.abs(there - tone(1000, rates[1], 1))[inner].max() < 1e-3
