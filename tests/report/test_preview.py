"""Previews: small, playable, true to the clip."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from demix.media.audio import write_flac
from demix.report import preview
from tests.report.fake import Fake
from tests.report.fake_media import FPS, RATE, SECONDS, write_clip


def test_a_film_keeps_shape_rate_and_length(fake: Fake) -> None:
    with open(fake.work / "media" / "0" / "clip.mp4", "rb") as clip:
        found = preview.film(clip)
    assert found.seconds == SECONDS
    assert found.poster.startswith(b"\xff\xd8")
    with av.open(io.BytesIO(found.mp4)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        assert (video.width, video.height, video.average_rate) == (found.width, found.height, FPS)
        assert sum(1 for _ in container.decode(video)) == FPS * SECONDS


def test_a_tall_film_is_scaled_to_its_short_side_in_even_numbers(tmp_path: Path) -> None:
    silence = np.zeros((2, RATE * SECONDS), np.float32)
    write_clip(tmp_path / "tall.mp4", 0, silence, (482, 1022))
    with open(tmp_path / "tall.mp4", "rb") as clip:
        found = preview.film(clip)
    assert found.width == preview.SHORT_SIDE
    assert found.height % 2 == 0
    assert found.height / found.width == pytest.approx(1022 / 482, rel=0.01)


def test_a_long_stem_is_cut_and_its_waveform_shows_where_it_sounds(tmp_path: Path) -> None:
    wave = np.zeros((1, 3 * RATE * int(preview.SECONDS)), np.float32)
    wave[:, : RATE * 4] = 0.5
    write_flac(tmp_path / "stem.flac", wave, RATE)
    with open(tmp_path / "stem.flac", "rb") as stem:
        found = preview.sound(stem)
    assert len(found.peaks) == preview.PEAKS
    assert min(found.peaks[: preview.PEAKS // 2 - 2]) == pytest.approx(0.5, abs=0.05)
    assert max(found.peaks[preview.PEAKS // 2 + 2 :]) < 0.05
    with av.open(io.BytesIO(found.m4a)) as container:
        samples = sum(frame.samples for frame in container.decode(audio=0))
        assert samples / container.streams.audio[0].rate == pytest.approx(preview.SECONDS, abs=0.2)


def test_what_is_no_media_is_an_error_of_known_kind() -> None:
    for make in (preview.film, preview.sound):
        with pytest.raises((av.FFmpegError, ValueError)):
            make(io.BytesIO(b"no media at all"))
