"""The film holds exactly the pictures, and the sound exactly in step, whatever the rate."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from demix.media.audio import mono, resample
from demix.media.limits import MediaLimits
from demix.media.whole import read_whole
from mtv_train.sample.film import write_film
from mtv_train.sample.track import Track

FPS = Fraction(24)
FRAMES = 49


def _video() -> torch.Tensor:
    values = torch.arange(FRAMES, dtype=torch.uint8)[:, None, None, None] * 5
    return values.expand(FRAMES, 48, 64, 3).contiguous()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000, 96000])
def test_sound_and_pictures_are_in_step(tmp_path: Path, rate: int, channels: int) -> None:
    noise = np.random.default_rng(0).standard_normal((channels, round(FRAMES / FPS * rate))).astype(np.float32) * 0.1
    noise = resample(resample(noise, rate, 8000), 8000, rate)[:, : noise.shape[1]]  # what every rate and AAC keep
    write_film(tmp_path / "film.mp4", _video(), Track(noise, rate), FPS)
    whole = read_whole(tmp_path / "film.mp4", MediaLimits(), 10)
    assert whole.probe.video.frames == FRAMES
    assert Fraction(whole.probe.video.average_rate) == FPS
    np.testing.assert_allclose(whole.times, np.arange(FRAMES) / 24, atol=1e-4)
    assert np.abs(whole.pictures.mean((1, 2, 3)) - np.arange(FRAMES) * 5).max() < 4
    assert whole.wave is not None
    assert whole.wave.shape[0] == channels
    assert whole.sample_rate == min(rate, 48000)
    wave = mono(whole.wave)
    assert abs(len(wave) / whole.sample_rate - FRAMES / 24) < 1 / 24
    wanted = mono(resample(noise, rate, whole.sample_rate))
    length = min(len(wave), len(wanted))
    spectrum = np.fft.rfft(wave[:length], 2 * length) * np.conj(np.fft.rfft(wanted[:length], 2 * length))
    assert int(np.argmax(np.fft.irfft(spectrum))) == 0  # not one sample early or late


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    sound = Track(np.zeros((1, 32667), np.float32), 16000)
    for name in ("a.mp4", "b.mp4"):
        write_film(tmp_path / name, _video(), sound, FPS)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_a_film_without_sound(tmp_path: Path) -> None:
    write_film(tmp_path / "film.mp4", _video(), None, FPS)
    assert read_whole(tmp_path / "film.mp4", MediaLimits(), 10).wave is None


WAVES = """
import sys
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
import torch
from mtv_train.sample.film import write_film
x, y, t = torch.arange(160), torch.arange(120)[:, None], torch.arange(12)[:, None, None]
grey = 127 + 100 * torch.sin((x + 3 * t) / 40) + y / 6
write_film(Path(sys.argv[1]), grey.clamp(0, 255).to(torch.uint8)[..., None].repeat(1, 1, 1, 3), None, Fraction(24))
"""


@pytest.mark.slow
def test_the_same_pictures_are_the_same_bytes_whatever_lies_in_memory(tmp_path: Path) -> None:
    """x264 has read memory that it had not written; `MALLOC_PERTURB_` says what lies in such memory (glibc)."""
    for fill in ("1", "165"):
        environment = os.environ | {"MALLOC_PERTURB_": fill}
        subprocess.run([sys.executable, "-c", WAVES, str(tmp_path / f"{fill}.mp4")], env=environment, check=True)
    assert (tmp_path / "1.mp4").read_bytes() == (tmp_path / "165.mp4").read_bytes()
