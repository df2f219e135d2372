"""The small decode: every frame once, at its own time, looking like itself, whatever the encoding."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from av.video.frame import VideoFrame

from demix.media.command import ffmpeg_binary
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.probe import probe
from demix.media.scan import ScanSettings, scan
from demix.media.skip import enough
from demix.records import VideoStream
from tests.media.films import write_film
from tests.models.shots.moving import joined, shot

PICTURES, CUTS = joined([shot(1, 40, 2.0), shot(2, 30, -2.0), shot(3, 35, 0.0)])
ENCODINGS = {
    "x264": ("mp4", "libx264", {"preset": "veryfast"}, "yuv420p"),
    "x264 without B-frames": ("mkv", "libx264", {"preset": "ultrafast", "bf": "0", "g": "500"}, "yuv420p"),
    "x264 4:4:4 ten bits": ("mkv", "libx264", {"preset": "ultrafast"}, "yuv444p10le"),
    "x265": ("mkv", "libx265", {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"}, "yuv420p"),
    "VP8": ("webm", "libvpx", {"deadline": "realtime", "cpu-used": "8", "b": "2M"}, "yuv420p"),
    "VP9": ("webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "b": "2M"}, "yuv420p"),
    "MPEG-2 in a transport stream": ("ts", "mpeg2video", {"b": "4M", "bf": "2"}, "yuv420p"),
    "MPEG-4 in AVI": ("avi", "mpeg4", {"b": "4M", "bf": "2"}, "yuv420p"),
    "JPEG pictures, full range": ("mkv", "mjpeg", {"b": "20M"}, "yuvj422p"),
    "lossless RGB": ("mkv", "ffv1", {}, "bgr0"),
}


def frames_of(film: Path, **settings: Any) -> tuple[VideoStream, list[int], list[np.ndarray]]:
    video = probe(film, MediaLimits()).video
    frames = [(pts, picture.copy()) for pts, picture in scan(film, video, ScanSettings(**settings), MediaLimits())]
    return video, [pts for pts, _ in frames], [picture for _, picture in frames]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_frame_comes_once_at_its_time_and_looks_like_itself(encoding: str, tmp_path: Path) -> None:
    container, codec, options, pixel_format = ENCODINGS[encoding]
    path = write_film(tmp_path / f"film.{container}", PICTURES, codec, options, pixel_format)
    video, pts, pictures = frames_of(path, side=256)
    assert len(pts) == len(PICTURES) == video.frames
    assert pts[0] == video.start_pts
    step = 1 / Fraction(24) / Fraction(video.time_base)
    assert all(abs(time - pts[0] - number * step) <= 1 for number, time in enumerate(pts))
    for number, (seen, true) in enumerate(zip(pictures, PICTURES, strict=True)):
        assert np.abs(cv2.blur(seen, (5, 5)).astype(int) - cv2.blur(true, (5, 5))).mean() < 6, number


@pytest.mark.parametrize("encoding", ["x264", "x264 without B-frames", "x265", "VP9"])
def test_the_fast_path_gives_every_frame_its_time_and_keeps_the_cuts_sharp(encoding: str, tmp_path: Path) -> None:
    container, codec, options, pixel_format = ENCODINGS[encoding]
    path = write_film(tmp_path / f"film.{container}", PICTURES, codec, options, pixel_format)
    _, pts, pictures = frames_of(path)
    _, fast_pts, fast = frames_of(path, path="fast")
    assert fast_pts == pts
    beside = [number for cut in CUTS for number in range(cut - 2, cut + 2)]
    assert all(np.abs(fast[number].astype(int) - pictures[number]).mean() < 1 for number in beside)


@pytest.mark.parametrize("path", ["exact", "fast"])
def test_a_film_that_begins_within_a_group_of_pictures(path: str, tmp_path: Path) -> None:
    """Cut without encoding: an edit list hides the frames before, which the first ones shown are predicted from."""
    whole = write_film(tmp_path / "whole.mp4", PICTURES, options={"g": "999", "sc_threshold": "0"})
    film = tmp_path / "film.mp4"
    cut = ["-v", "error", "-ss", "0.5", "-i", str(whole), "-c", "copy", str(film)]
    subprocess.run([ffmpeg_binary(), *cut], check=True)
    _, pts, pictures = frames_of(film, path=path)
    assert len(pts) == len(PICTURES) - 12
    shown = [cv2.resize(picture, pictures[0].shape[1::-1], interpolation=cv2.INTER_AREA) for picture in PICTURES[12:]]
    assert all(np.abs(one.astype(int) - true).mean() < 12 for one, true in zip(pictures, shown, strict=True))


def test_pictures_are_shrunk_to_the_longer_side_and_not_turned(tmp_path: Path) -> None:
    tall = [cv2.resize(picture, (270, 480)) for picture in PICTURES[:10]]
    _, _, pictures = frames_of(write_film(tmp_path / "film.mp4", tall), side=128)
    assert pictures[0].shape == (128, 72, 3)
    assert np.abs(pictures[0].astype(int) - cv2.resize(tall[0], (72, 128), interpolation=cv2.INTER_AREA)).mean() < 8


def test_variable_rate_and_a_late_start_keep_the_films_own_times(tmp_path: Path) -> None:
    gaps = np.tile([40, 40, 80, 120, 40], 21)
    times = [int(time) for time in 5000 + np.cumsum(gaps)]
    path = write_film(tmp_path / "film.mkv", PICTURES, times=times, tick=Fraction(1, 1000))
    video, pts, _ = frames_of(path)
    assert video.variable_rate
    assert [round(time * Fraction(video.time_base) * 1000) for time in pts] == times


def test_damaged_packets_cost_their_frames_only(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mkv", PICTURES, options={"g": "10", "bf": "0", "preset": "ultrafast"})
    video = probe(path, MediaLimits()).video
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2000] = bytes(np.random.default_rng(0).integers(0, 256, 2000, dtype=np.uint8))
    path.write_bytes(content)
    pts = [time for time, _ in scan(path, video, ScanSettings(), MediaLimits())]
    assert 50 <= len(pts) <= len(PICTURES)
    assert pts == sorted(set(pts))
    assert pts[0] == video.start_pts


def test_a_truncated_transport_stream_yields_what_is_left(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.ts", PICTURES, "mpeg2video", {"b": "4M", "g": "5"})
    video = probe(path, MediaLimits()).video
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    frames = sum(1 for _ in scan(path, video, ScanSettings(), MediaLimits()))
    assert 20 < frames < len(PICTURES)


def test_a_film_of_which_nothing_decodes_is_an_error(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mkv", PICTURES[:30])
    video = probe(path, MediaLimits()).video
    content = bytearray(path.read_bytes())
    content[600:-200] = bytes(len(content) - 800)
    path.write_bytes(content)
    with pytest.raises(MediaError):
        list(scan(path, video, ScanSettings(), MediaLimits()))


def test_a_reader_that_stops_early_ends_the_child(tmp_path: Path) -> None:
    path = write_film(tmp_path / "film.mp4", PICTURES)
    frames = scan(path, probe(path, MediaLimits()).video, ScanSettings(), MediaLimits())
    next(frames)
    frames.close()
    assert list(frames) == []


def test_few_large_frames_wait_for_their_small_pictures() -> None:
    """Eight of 720 lines fill some megabytes, eight of 8K would fill hundreds."""
    small, large = VideoFrame(1280, 720, "yuv420p"), VideoFrame(8192, 4320, "yuv420p")
    assert [held for held in range(1, 9) if enough(held, small)] == [8]
    assert [held for held in range(1, 9) if enough(held, large)] == [2, 3, 4, 5, 6, 7, 8]
