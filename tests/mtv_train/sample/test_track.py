"""Sounds of all kinds: each is heard for what it is, handled with a word, or refused with a sentence."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile

from demix.config import ConfigError
from mtv_train.sample.track import Track, length_remarks, mixed, read_track
from tests.mtv_train.sample.making import RATE, tone, write_tone

SECOND = Fraction(1)


def _write(path: Path, wave: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, wave, rate, subtype="FLOAT")
    return path


def _bad(folder: Path) -> dict[str, tuple[Path, str]]:
    """Kind to file and what is said when it is refused."""
    wrong = tone(0.5)
    wrong[100], wrong[200] = np.nan, np.inf
    text = folder / "text.wav"
    text.write_text("no sound")
    return {
        "absent": (folder / "absent.wav", "speech .*absent.wav: there is no such file"),
        "no sound": (text, r"speech .*: cannot be read as sound \(.*\); give WAV, FLAC, OGG or MP3"),
        "empty": (_write(folder / "empty.wav", tone(0)), "holds no samples; leave the track out to mean silence"),
        "low rate": (_write(folder / "low.wav", tone(1, rate=4000), 4000), "4000 Hz is too low a rate"),
        "not finite": (
            _write(folder / "nan.wav", wrong),
            r"2 samples are not finite \(NaN or infinity\), the first at 0.006 s; repair the file",
        ),
    }


@pytest.mark.parametrize("kind", ["absent", "no sound", "empty", "low rate", "not finite"])
def test_refused(tmp_path: Path, kind: str) -> None:
    path, message = _bad(tmp_path)[kind]
    with pytest.raises(ConfigError, match=message):
        read_track(path, "speech")


def test_handled_with_a_word(tmp_path: Path) -> None:
    loud, said = read_track(_write(tmp_path / "loud.wav", 8 * tone(0.5)), "music")
    assert "goes up to 2.4" in said[0]
    assert np.abs(loud.wave).max() == pytest.approx(1)
    clipped, said = read_track(_write(tmp_path / "clipped.wav", (8 * tone(0.5)).clip(-1, 1)), "music")
    assert "clipped (" in said[0]
    assert np.abs(clipped.wave).max() == 1
    many, said = read_track(_write(tmp_path / "many.wav", np.repeat(tone(0.5), 6, 1)), "music")
    assert "6 channels are mixed down to one" in said[0]
    assert many.wave.shape == (1, RATE // 2)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_rates_channels_and_formats_are_heard_alike(tmp_path: Path, suffix: str, channels: int, rate: int) -> None:
    track, said = read_track(write_tone(tmp_path / f"tone{suffix}", 1.0, rate=rate, channels=channels), "speech")
    heard = track.heard(RATE, SECOND)
    assert not said
    assert heard.shape == (RATE,)
    inner = slice(800, -800)  # the ends ring
    assert np.corrcoef(heard[inner], tone(1.0)[inner, 0])[0, 1] > 0.99


def test_lengths() -> None:
    track = Track(tone(0.5).T, RATE)
    assert track.heard(RATE, SECOND).shape == (RATE,)
    assert not track.heard(RATE, SECOND)[RATE // 2 :].any()
    assert track.heard(RATE, Fraction(1, 4)).shape == (RATE // 4,)
    assert "silence follows up to 1.00 s" in length_remarks("speech", track, SECOND)[0]
    assert "the rest is left out (--long" in length_remarks("speech", track, Fraction(1, 4))[0]
    assert not length_remarks("speech", track, Fraction(49, 96))


def test_the_mix_is_the_sum_at_the_highest_rate() -> None:
    low, high = Track(tone(1.0).T, RATE), Track(tone(1.0, 300, 48000, 2).T, 48000)
    both = mixed([low, high], SECOND)
    assert both is not None
    assert both.sample_rate == 48000
    assert both.wave.shape == (2, 48000)
    np.testing.assert_allclose(both.wave, low.at(48000).wave + high.wave, atol=1e-6)
    loud = mixed([high] * 9, SECOND)
    assert loud is not None
    assert np.abs(loud.wave).max() == pytest.approx(1)
    assert mixed([], SECOND) is None
