"""What is a whole film: edit lists, dropped frames, rounded rates and the shape of pixels are no faults."""

from __future__ import annotations

import struct
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from demix.media.command import ffmpeg_binary
from demix.media.cut import CutSettings, cut
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.probe import probe
from demix.records import Clip, Probe
from tests.media import barcode

LIMITS = MediaLimits()


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([ffmpeg_binary(), "-v", "error", "-y", *map(str, arguments)], check=True)


def shown_numbers(path: Path, known: Probe) -> list[int]:
    """The numbers that the frames of the whole film show, cut as one clip at the source's own clock."""
    span = known.video.start_pts, known.video.end_pts
    clip = Clip(
        id="0" * 16, source_id="0" * 16, uri=str(path), kind="web", ordinal=0, start_pts=span[0], end_pts=span[1],
        time_base=known.video.time_base,
    )  # fmt: skip
    video, mix = path.with_name("clip.mp4"), path.with_name("clip.flac")
    cut(path, known, clip, video, mix, CutSettings(fps="24"), LIMITS)
    return barcode.numbers_in(video)


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 frames at 24 a second, a key frame every 2 s."""
    options = {"bf": "2", "g": "48", "sc_threshold": "0"}
    path = tmp_path_factory.mktemp("phone") / "phone.mp4"
    return barcode.make(path, [4] * 240, options=options, audio_codec="aac").path


def trimmed(phone: Path, path: Path, start: Fraction, seconds: Fraction) -> Path:
    """The film with other edit lists: every sample stays, and `seconds` from `start` on are shown, as phones trim."""
    content = bytearray(phone.read_bytes())
    at = 0
    for _ in range(2):  # a track's edit list comes before the header that has its time scale
        at = content.index(b"elst", at) + 4
        (scale,) = struct.unpack_from(">I", content, content.index(b"mdhd", at) + 16)
        _, first = struct.unpack_from(">Ii", content, at + 8)
        struct.pack_into(">Ii", content, at + 8, int(seconds * 1000), first + round(start * scale))
    path.write_bytes(content)
    return path


TRIMS = [(60, 96), (60, 180), (100, 7), (239, 1), (1, 238)]


@pytest.mark.parametrize(("start", "frames"), TRIMS)
def test_a_lossless_trim_is_a_whole_film(tmp_path: Path, phone: Path, start: int, frames: int) -> None:
    film = trimmed(phone, tmp_path / "film.mp4", Fraction(start, 24), Fraction(frames, 24))
    if frames == 1:
        with pytest.raises(MediaError, match="no stream of moving pictures"):
            probe(film, LIMITS)
        return
    known = probe(film, LIMITS)
    assert known.video.frames == frames
    assert shown_numbers(film, known) == list(range(start, start + frames))


@pytest.mark.parametrize("share", [0.3, 0.4])
def test_a_trim_that_is_cut_off_is_truncated(tmp_path: Path, phone: Path, share: float) -> None:
    moved = tmp_path / "moved.mp4"
    ffmpeg("-i", phone, "-c", "copy", "-movflags", "+faststart", moved)
    film = trimmed(moved, tmp_path / "film.mp4", Fraction(2), Fraction(5))
    content = film.read_bytes()
    film.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(MediaError) as caught:
        probe(film, LIMITS)
    assert caught.value.kind == "truncated"


@pytest.mark.parametrize(("codec", "every"), [("mpeg4", 2), ("mpeg4", 10), ("mjpeg", 4)])
def test_an_avi_with_dropped_frames_is_whole_and_in_time(tmp_path: Path, codec: str, every: int) -> None:
    durations = [2 if number % every == 0 else 1 for number in range(100)]
    options = {"b": "4M", "g": "12"} if codec == "mpeg4" else {"b": "20M", "strict": "unofficial"}
    film = barcode.make(
        tmp_path / "film.avi", durations, time_base=Fraction(1, 24), codec=codec, options=options,
        audio_codec="pcm_s16le",
    )  # fmt: skip
    known = probe(film.path, LIMITS)
    assert known.video.frames == len(durations)
    assert known.video.end_pts - known.video.start_pts == sum(durations)
    wanted = [number for number, ticks in enumerate(durations) for _ in range(ticks)]
    numbers = shown_numbers(film.path, known)
    assert numbers[: len(wanted)] == wanted
    assert set(numbers[len(wanted) :]) <= {99}


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_an_avi_that_is_cut_off_is_truncated(tmp_path: Path, share: float) -> None:
    film = barcode.make(
        tmp_path / "film.avi", [1, 1, 2] * 40, time_base=Fraction(1, 24), codec="mpeg4", audio_codec="pcm_s16le"
    )
    content = film.path.read_bytes()
    film.path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(MediaError) as caught:
        probe(film.path, LIMITS)
    assert caught.value.kind == "truncated"


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4", "film.ts", "film.avi"])
@pytest.mark.parametrize("rate", ["240", "240000/1001"])
def test_a_rate_at_the_limit_is_not_beyond_it_by_rounding(tmp_path: Path, name: str, rate: str) -> None:
    path, frames = tmp_path / name, 122
    picture = f"color=s=64x64:r={rate}"
    ffmpeg("-f", "lavfi", "-i", picture, "-frames:v", str(frames), "-c:v", "libx264", "-preset", "ultrafast", path)
    video = probe(path, MediaLimits(max_frame_rate=float(Fraction(rate)) + 1e-9)).video
    assert video.frames == frames
    assert abs(Fraction(video.average_rate) / Fraction(rate) - 1) < 0.001
    with pytest.raises(MediaError, match="frame_rate"):
        probe(path, MediaLimits(max_frame_rate=float(Fraction(rate)) * 0.99))


@pytest.mark.parametrize(
    ("pixel", "shown"),
    [("4/3", (213, 120)), ("16/15", (171, 120)), ("1/60", (3, 120))],
)
def test_a_picture_is_as_wide_as_its_pixels_make_it(tmp_path: Path, pixel: str, shown: tuple[int, int]) -> None:
    video = probe(stretched(tmp_path, pixel), LIMITS).video
    assert (video.width, video.height) == shown


@pytest.mark.parametrize(
    ("name", "pixel"), [("film.mp4", "255/1"), ("film.mov", "1/200"), ("film.mkv", "255/1"), ("film.mkv", "60/1")]
)
def test_pixels_that_stretch_a_picture_beyond_all_bounds_are_refused(tmp_path: Path, name: str, pixel: str) -> None:
    with pytest.raises(MediaError, match="displayed_side") as caught:
        probe(stretched(tmp_path, pixel, name), LIMITS)
    assert caught.value.kind == "limits"
    assert caught.value.evidence["displayed_side"] > caught.value.evidence["limit"]  # type: ignore[operator]


def stretched(folder: Path, pixel: str, name: str = "film.mp4") -> Path:
    path = folder / name
    ffmpeg("-f", "lavfi", "-i", f"testsrc2=s=160x120:r=24:d=0.2,setsar={pixel}", "-c:v", "libx264", path)
    return path
