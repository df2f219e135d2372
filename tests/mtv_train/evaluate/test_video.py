"""A video as the metrics get it: pictures bit for bit, sound in step, other rates, turned pictures, bad files."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.media.errors import MediaError
from mtv_train.evaluate.video import Clip, Unscorable, Video, read_clip
from tests.mtv_train.evaluate.making import RATE, beeps, moving, write_video


def test_pictures_and_sound_come_back(tmp_path: Path) -> None:
    pictures, wave = moving(1), beeps(1, 0.5)
    clip = read_clip(Video("a", write_video(tmp_path / "a.mp4", pictures, wave), "text"), max_seconds=30)
    np.testing.assert_array_equal(clip.pictures, pictures)
    np.testing.assert_allclose(clip.times, np.arange(12) / 24, atol=1e-4)
    assert (clip.fps, clip.sample_rate, clip.text, clip.cut) == (24, RATE, "text", False)
    assert clip.wave is not None
    np.testing.assert_allclose(clip.wave[0], wave, atol=1e-4)
    assert len(clip.sha256) == 64


def test_only_the_beginning_of_a_long_video_is_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", moving(1, 24), beeps(1, 1.0))
    clip = read_clip(Video("a", path), max_seconds=0.5)
    assert clip.cut
    assert clip.pictures.shape[0] == 12
    assert clip.wave is not None
    assert clip.wave.shape == (1, RATE // 2)


def test_a_silent_film_has_no_sound(tmp_path: Path) -> None:
    clip = read_clip(Video("a", write_video(tmp_path / "a.mp4", moving(1), None)), max_seconds=30)
    assert clip.wave is None
    with pytest.raises(Unscorable, match="has no sound"):
        clip.mono(16_000)


def test_a_file_that_is_no_video_is_an_error_of_that_file(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"no video\n" * 100)
    with pytest.raises(MediaError, match="not a film container"):
        read_clip(Video("a", path), max_seconds=30)


def test_turned_pictures_stand_upright(shared_media: Path) -> None:
    """As ffmpeg itself shows them."""
    path = shared_media / "odd" / "rot_90.mov"
    clip = read_clip(Video("a", path), max_seconds=0.3)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-frames:v", "1"]
    shown = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    wanted = np.frombuffer(shown.stdout, np.uint8).reshape(clip.pictures[0].shape)
    assert np.abs(clip.pictures[0].astype(int) - wanted).mean() < 1
    assert np.abs(clip.pictures[0][::-1].astype(int) - wanted).mean() > 10


def _clip(frames: int, fps: Fraction) -> Clip:
    times = np.array([float(index / fps) for index in range(frames)])
    return Clip("a", np.zeros((frames, 1, 1, 3), np.uint8), times, fps, None, 0)


def test_other_frame_rates_show_what_is_on_the_screen() -> None:
    assert _clip(6, Fraction(24)).at(24).tolist() == list(range(6))
    assert _clip(4, Fraction(25, 2)).at(25).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert _clip(8, Fraction(50)).at(25).tolist() == [0, 2, 4, 6]
    assert len(_clip(49, Fraction(24)).at(25)) == 51


@given(st.integers(1, 200), st.sampled_from([Fraction(24), Fraction(30000, 1001), Fraction(12), Fraction(60)]))
def test_resampled_frames_are_in_order_and_exist(frames: int, fps: Fraction) -> None:
    indices = _clip(frames, fps).at(25)
    assert (np.diff(indices) >= 0).all()
    assert indices[0] == 0
    assert indices[-1] < frames
    # The picture of each moment is the one that began last.
    assert (indices / float(fps) <= np.arange(len(indices)) / 25 + 1e-5).all()
    # The end of the video is reached, to half a frame of the new rate.
    assert (indices[-1] + 1) / float(fps) > frames / float(fps) - 1.5 / 25 - 1e-6
