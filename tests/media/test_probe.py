"""Probing: what a source is, whatever its name and header say; what is no film, and what is broken."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.probe import probe
from tests.media import barcode
from tests.media.films import write_film

LIMITS = MediaLimits()
EVEN, UNEVEN = [4] * 60, [3, 4, 5, 2, 6] * 12
B_FRAMES = {"bf": "3", "g": "24"}


def kind_of_failure(path: Path, limits: MediaLimits = LIMITS) -> str:
    with pytest.raises(MediaError) as caught:
        probe(path, limits)
    assert caught.value.message
    return caught.value.kind


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return barcode.make(tmp_path_factory.mktemp("film") / "film.mp4", EVEN, options=B_FRAMES).path


@pytest.mark.parametrize(
    ("name", "durations", "options"),
    [
        ("even.mp4", EVEN, {"options": B_FRAMES}),
        ("late.mkv", EVEN, {"options": B_FRAMES, "first_seconds": Fraction(7, 2)}),
        ("uneven.mp4", UNEVEN, {"options": B_FRAMES, "first_seconds": Fraction(3, 2)}),
        ("uneven.mkv", UNEVEN, {}),
        ("stream.ts", EVEN, {"options": B_FRAMES, "first_seconds": Fraction(2), "audio_codec": "mp2"}),
        ("film.webm", EVEN, {"codec": "libvpx", "audio_codec": "libopus"}),
        ("old.flv", EVEN, {"options": B_FRAMES, "audio_codec": "mp3", "sample_rate": 44100}),
    ],
)
def test_times_rate_and_count_come_from_the_packets(
    tmp_path: Path, name: str, durations: list[int], options: dict[str, object]
) -> None:
    film = barcode.make(tmp_path / name, durations, **options)  # type: ignore[arg-type]
    found = probe(film.path, LIMITS)
    video, tick = found.video, Fraction(found.video.time_base)
    assert video.frames == len(durations)
    assert video.variable_rate == (durations is UNEVEN)
    assert abs(Fraction(video.average_rate) - Fraction(96, 4)) < Fraction(1, 2)
    length = (video.end_pts - video.start_pts) * tick
    # What the last frame lasts is not in the packets of every container; all others are.
    assert abs(length - (film.stamps[-1] - film.stamps[0])) <= Fraction(3, 96) + tick
    assert found.seconds == pytest.approx(float(length))
    assert found.audio is not None
    assert (found.audio.sample_rate, found.audio.channels) == (film.sample_rate, 2)
    assert abs(found.audio.start_pts * Fraction(found.audio.time_base) - video.start_pts * tick) < Fraction(1, 10)
    assert found.sha256 == hashlib.sha256(film.path.read_bytes()).hexdigest()
    assert found.bytes == film.path.stat().st_size


def test_avi_counts_from_the_first_frame_that_is_shown(tmp_path: Path) -> None:
    film = barcode.make(
        tmp_path / "b.avi", [1] * 50, time_base=Fraction(1, 25), options=B_FRAMES, audio_codec="pcm_s16le"
    )
    video = probe(film.path, LIMITS).video
    assert video.frames == 50
    assert video.end_pts - video.start_pts == 50


@pytest.mark.parametrize(
    "name", ["-i.mp4", "a b.mp4", "a\nb.mp4", "quo'te\".mp4", "pe%03d.mp4", "f\u00efl\u043c.mp4", "no ending", "x.m3u8"]
)
def test_names_are_data(tmp_path: Path, film: Path, name: str) -> None:
    shutil.copy(film, tmp_path / name)
    assert probe(tmp_path / name, LIMITS).video.frames == len(EVEN)


def test_default_streams_are_chosen_and_cover_art_is_not(tmp_path: Path, film: Path) -> None:
    path, cover = tmp_path / "many.mkv", tmp_path / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "color=s=1920x1080", "-frames:v", "1", cover)
    small = ("-f", "lavfi", "-i", "testsrc2=s=64x64:r=24:d=2.5", "-f", "lavfi", "-i", "sine=d=2.5:r=8000")
    ffmpeg(
        *("-i", cover, *small, "-i", film, "-map", "0:v", "-map", "1:v", "-map", "2:a", "-map", "3:v", "-map", "3:a"),
        *("-c:v", "libx264", "-c:v:0", "png", "-disposition:v:0", "attached_pic", "-disposition:v:1", "0"),
        *("-disposition:v:2", "default", "-disposition:a:0", "0", "-disposition:a:1", "default", path),
    )
    found = probe(path, LIMITS)
    assert (found.video.width, found.video.height) == barcode.SIZE
    assert found.audio is not None
    assert found.audio.sample_rate == 48000
    assert found.streams == 5


def test_sound_with_cover_art_only_is_no_video(tmp_path: Path, film: Path) -> None:
    path, cover = tmp_path / "song.m4a", tmp_path / "cover.png"
    ffmpeg("-f", "lavfi", "-i", "color=s=64x64", "-frames:v", "1", cover)
    ffmpeg("-i", film, "-i", cover, "-map", "0:a", "-map", "1:v", "-c:a", "aac", "-c:v", "png",
           "-disposition:v:0", "attached_pic", "-f", "mp4", path)  # fmt: skip
    assert kind_of_failure(path) == "no_video"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.mp4", b""),
        ("text.mp4", b"I am no film, whatever my name says.\n" * 100),
        ("noise.mkv", bytes(range(256)) * 64),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9.0,\nfilm.mp4\n#EXT-X-ENDLIST\n"),
        ("list.mp4", b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9.0,\nfile:film.mp4\n#EXT-X-ENDLIST\n"),
        ("concat.txt", b"ffconcat version 1.0\nfile film.mp4\n"),
        ("concat.mp4", b"ffconcat version 1.0\nfile film.mp4\n"),
        ("session.sdp", b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"),
        ("dash.mpd", b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period/></MPD>'),
        ("words.srt", b"1\n00:00:00,000 --> 00:00:02,000\nHello\n"),
    ],
)
def test_lists_texts_and_noise_are_not_media(tmp_path: Path, film: Path, name: str, content: bytes) -> None:
    shutil.copy(film, tmp_path / "film.mp4")
    (tmp_path / name).write_bytes(content)
    assert kind_of_failure(tmp_path / name) == "not_media"


def test_a_picture_is_not_media(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64", "-frames:v", "1", tmp_path / "picture.jpg")
    (tmp_path / "picture.jpg").rename(tmp_path / "picture.mp4")
    assert kind_of_failure(tmp_path / "picture.mp4") == "not_media"


@pytest.mark.parametrize(("flags", "share"), [("", 0.5), ("+faststart", 0.6)])
def test_a_truncated_mp4_is_broken(tmp_path: Path, film: Path, flags: str, share: float) -> None:
    whole = tmp_path / "whole.mp4"
    ffmpeg("-i", film, "-c", "copy", *(("-movflags", flags) if flags else ()), whole)
    content = whole.read_bytes()
    (tmp_path / "part.mp4").write_bytes(content[: int(len(content) * share)])
    assert kind_of_failure(tmp_path / "part.mp4") == "truncated"


def test_a_truncated_mkv_is_broken(tmp_path: Path, film: Path) -> None:
    ffmpeg("-stream_loop", "3", "-i", film, "-c", "copy", tmp_path / "whole.mkv")
    content = (tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "part.mkv").write_bytes(content[: len(content) // 2])
    assert probe(tmp_path / "whole.mkv", LIMITS).video.frames > 200
    assert kind_of_failure(tmp_path / "part.mkv") == "truncated"


def test_a_film_damaged_midway_goes_on(tmp_path: Path, film: Path) -> None:
    content = bytearray(film.read_bytes())
    middle = len(content) // 3
    content[middle : middle + 200] = bytes(200)
    (tmp_path / "damaged.mp4").write_bytes(content)
    assert probe(tmp_path / "damaged.mp4", LIMITS).video.frames == len(EVEN)


@pytest.mark.parametrize(
    ("limits", "what"),
    [
        ({"max_pixels": 100 * 100}, "pixels"),
        ({"max_side": 100}, "side"),
        ({"max_seconds": 1.0}, "seconds"),
        ({"max_frame_rate": 20.0}, "frame_rate"),
        ({"max_streams": 1}, "streams"),
        ({"max_bytes": 1000}, "bytes"),
    ],
)
def test_each_limit_refuses_with_its_number(film: Path, limits: dict[str, float], what: str) -> None:
    with pytest.raises(MediaError) as caught:
        probe(film, MediaLimits(**limits))  # type: ignore[arg-type]
    assert caught.value.kind == "limits"
    assert caught.value.evidence[what] > caught.value.evidence["limit"]  # type: ignore[operator]


@pytest.mark.parametrize("seconds", [0.04, 1.0, 1.02, 20_000.0])
@pytest.mark.parametrize(("suffix", "count"), [("mp4", 2), ("mkv", 40)])
def test_pictures_that_are_far_apart_are_no_film(tmp_path: Path, seconds: float, suffix: str, count: int) -> None:
    """A file of two frames 20,000 s apart has 10 KB and is hours long: a thousand clips of one picture each."""
    pictures = [np.full((64, 64, 3), 40 * (number % 5), np.uint8) for number in range(count)]
    ticks = [round(1000 * seconds) * number for number in range(count)]
    path = write_film(tmp_path / f"film.{suffix}", pictures, times=ticks, tick=Fraction(1, 1000))
    bounds = MediaLimits(max_seconds=1e6)
    if seconds <= 1:
        assert probe(path, bounds).video.frames == count
        return
    with pytest.raises(MediaError) as caught:
        probe(path, bounds)
    assert caught.value.kind == "sparse"
    assert caught.value.evidence == {
        "frames_per_second": pytest.approx(1 / seconds, rel=0.01), "least": 1.0, "frames": count
    }  # fmt: skip
    allowed = probe(path, MediaLimits(max_seconds=1e6, min_frame_rate=0))
    assert allowed.video.frames == count


def test_sound_that_jumps_back_alone_is_an_error_not_a_wrong_clock(tmp_path: Path) -> None:
    data = barcode.make(tmp_path / "film.ts", EVEN * 2, audio_codec="mp2").path.read_bytes()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    sound = [at for at, packet in enumerate(packets) if (packet[1] & 31) << 8 | packet[2] == 257]
    half = len(sound) // 2
    for again, first in zip(sound[half:], sound, strict=False):
        packets[again] = packets[first]
    (tmp_path / "film.ts").write_bytes(b"".join(packets))
    assert kind_of_failure(tmp_path / "film.ts") == "decode"


REAL = [
    # name, width, height, rotation, frames, variable rate, channels
    ("odd/fire2_vfr_rotated180.mp4", 1280, 720, 180, 25, True, 1),
    ("odd/no_duration.webm", 1280, 720, 0, 74, True, 2),
    ("odd/-video-with-dash-.mp4", 1, 1, 0, 5, False, 0),
    ("odd/small_bunny_1080p60_5.1.mp4", 1920, 1080, 0, 120, False, 6),
    ("odd/rot_0.mov", 568, 320, 0, 3, False, 0),
    ("odd/rot_90.mov", 320, 568, 90, 3, False, 0),
    ("odd/corrupted.mp4", 1280, 720, 0, 50, False, 0),
    ("odd/h265_10bits.mp4", 200, 200, 0, 30, False, 0),
    ("video/nasa_13013.mp4", 480, 270, 0, 390, False, 2),
    ("video/intel_asl_yes.mkv", 640, 480, 0, 65, False, 0),
    ("video/grid/bbaf2n.mpg", 360, 288, 0, 75, False, 2),
]


@pytest.mark.parametrize("known", REAL, ids=[name for name, *_ in REAL])
def test_real_films(shared_media: Path, known: tuple[str, int, int, int, int, bool, int]) -> None:
    name, width, height, rotation, frames, variable, channels = known
    found = probe(shared_media / name, LIMITS)
    video = found.video
    assert (video.width, video.height, video.rotation, video.frames) == (width, height, rotation, frames)
    assert (found.audio.channels if found.audio else 0) == channels
    if name != "odd/no_duration.webm":
        assert video.variable_rate == variable


@pytest.mark.parametrize("name", ["odd/57 - PNG PICTURE.flac", "odd/empty.wav"])
def test_real_sound_is_no_video(shared_media: Path, name: str) -> None:
    assert kind_of_failure(shared_media / name) == "no_video"
