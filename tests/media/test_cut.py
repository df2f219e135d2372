"""Cutting: exactly the frames and samples of the span, in every container, and the same bytes every time."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demix.media import cut as cut_module
from demix.media.command import ffmpeg_binary
from demix.media.cut import Cut, CutSettings, cut
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.probe import probe
from demix.records import Clip, Probe
from tests.media import barcode

LIMITS = MediaLimits()
EVEN, UNEVEN, TICKS = [4] * 200, [3, 4, 5, 2, 6] * 40, [1] * 200
OPEN = {"bf": "3", "g": "30", "x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}
X265 = {"x265-params": "pools=none:frame-threads=1:log-level=error:open-gop=1:keyint=30:bframes=4"}
MPEG2 = {"bf": "2", "g": "15"}
FPS25 = {"time_base": Fraction(1, 25)}
FORMATS: dict[str, tuple[list[int], dict[str, Any]]] = {
    "plain.mp4": (EVEN, {}),
    "open_gop.mp4": (EVEN, {"options": OPEN}),
    "open_gop.mkv": (EVEN, {"options": OPEN, "first_seconds": Fraction(7, 2)}),
    "uneven.mkv": (UNEVEN, {"options": {"bf": "3", "g": "30"}}),
    "uneven.mp4": (UNEVEN, {"options": {"bf": "3", "g": "30"}, "first_seconds": Fraction(3, 2)}),
    "one_key_frame.mp4": (EVEN, {"options": {"bf": "3", "g": "250"}}),
    "hevc.mp4": (EVEN, {"codec": "libx265", "options": X265}),
    "h264.ts": (EVEN, {"options": OPEN, "first_seconds": Fraction(2), "audio_codec": "mp2"}),
    "yesterday.ts": (EVEN, {"options": {"g": "30"}, "first_seconds": Fraction(90_000), "audio_codec": "mp2"}),
    "mpeg2.ts": (TICKS, {"codec": "mpeg2video", "options": MPEG2, "audio_codec": "mp2", **FPS25}),
    "mpeg2.mpg": (
        TICKS,
        {"codec": "mpeg2video", "options": MPEG2, "audio_codec": "mp2", "first_seconds": Fraction(2), **FPS25},
    ),
    "h264.avi": (TICKS, {"options": {"bf": "3", "g": "30"}, "audio_codec": "pcm_s16le", **FPS25}),
    "mpeg4.avi": (TICKS, {"codec": "mpeg4", "options": {"bf": "2", "g": "30"}, "audio_codec": "pcm_s16le", **FPS25}),
    "vp8.webm": (EVEN, {"codec": "libvpx", "audio_codec": "libopus"}),
    "vp9.webm": (UNEVEN, {"codec": "libvpx-vp9", "audio_codec": "libopus"}),
    "h264.flv": (EVEN, {"options": {"bf": "3", "g": "30"}, "audio_codec": "mp3", "sample_rate": 44100}),
}
FILMS: dict[str, tuple[barcode.BarFilm, Probe]] = {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


def film_of(folder: Path, name: str) -> tuple[barcode.BarFilm, Probe]:
    path = folder / name
    if str(path) not in FILMS:
        durations, options = FORMATS[name]
        film = barcode.make(path, durations, **options)
        FILMS[str(path)] = film, probe(path, LIMITS)
    return FILMS[str(path)]


def frame_pts(film: barcode.BarFilm, known: Probe) -> list[int]:
    """The container's stamp of every frame, and last the film's end."""
    tick = Fraction(known.video.time_base)
    shift = known.video.start_pts * tick - film.stamps[0]
    return [round((stamp + shift) / tick) for stamp in film.stamps[:-1]] + [known.video.end_pts]


def clip_of(film: barcode.BarFilm, known: Probe, first: int, end: int) -> Clip:
    pts = frame_pts(film, known)
    return Clip(
        id="0" * 16, source_id="0" * 16, uri=str(film.path), kind="web", ordinal=0, start_pts=pts[first],
        end_pts=pts[end], time_base=known.video.time_base,
    )  # fmt: skip


def cut_of(
    film: barcode.BarFilm, known: Probe, first: int, end: int, name: str = "clip", **options: Any
) -> tuple[Cut, Path, Path]:
    video, mix = film.path.with_name(f"{name}.mp4"), film.path.with_name(f"{name}.flac")
    clip = clip_of(film, known, first, end)
    return cut(film.path, known, clip, video, mix, CutSettings(**options), LIMITS), video, mix


def expected_numbers(film: barcode.BarFilm, known: Probe, first: int, end: int, made: Cut) -> list[int]:
    """Frame k shows the last source frame that has begun k/fps after the clip's first, stamps rounded by a tick."""
    pts, tick = frame_pts(film, known), Fraction(known.video.time_base)
    slack = tick if tick * Fraction(known.video.average_rate) < Fraction(1, 8) else 0
    moments = [pts[first] * tick + k / made.fps + slack for k in range(made.frames)]
    return [max(n for n in range(first, end) if pts[n] * tick <= moment) for moment in moments]


def lag_of(mix: Path, film: barcode.BarFilm, first: int) -> float:
    """Seconds by which the cut sound is later than the first frame asks for, by cross-correlation."""
    found = soundfile.read(mix, dtype="float32", always_2d=True)[0][:, 0]
    start = round((film.stamps[first] - film.stamps[0]) * film.sample_rate)
    wanted = film.wave[0, start : start + len(found)]
    length = min(len(wanted), len(found))
    spectrum = np.fft.rfft(found[:length], 2 * length) * np.conj(np.fft.rfft(wanted[:length], 2 * length))
    lag = int(np.argmax(np.fft.irfft(spectrum)))
    return (lag if lag < length else lag - 2 * length) / film.sample_rate


def check(film: barcode.BarFilm, known: Probe, first: int, end: int, **options: Any) -> None:
    made, video, mix = cut_of(film, known, first, end, **options)
    assert barcode.numbers_in(video) == expected_numbers(film, known, first, end, made)
    clip = clip_of(film, known, first, end)
    assert made.frames == max(1, int((clip.seconds + Fraction(clip.time_base)) * made.fps))
    info = soundfile.info(str(mix))
    assert info.frames == made.samples == round(made.frames / made.fps * made.sample_rate)
    assert abs(Fraction(made.samples, made.sample_rate) - made.frames / made.fps) < 1 / made.fps
    # Two milliseconds: stamps of FLV, Matroska and WebM are rounded to one.
    assert abs(lag_of(mix, film, first)) < 0.002


@pytest.mark.parametrize("name", FORMATS)
def test_a_cut_holds_the_frames_and_samples_of_its_span_and_no_others(folder: Path, name: str) -> None:
    film, known = film_of(folder, name)
    check(film, known, 67, 131)


@pytest.mark.slow
@pytest.mark.parametrize("fps", ["24", "native", "30000/1001"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_kind_of_span_of_every_container(folder: Path, name: str, fps: str) -> None:
    film, known = film_of(folder, name)
    spans = [(0, 60), (60, 61), (140, 200), (0, 200), (199, 200)]
    choose = random.Random(name)
    spans += [(first, first + choose.randint(1, 200 - first)) for first in choose.sample(range(200), 6)]
    for first, end in spans:
        made, video, _ = cut_of(film, known, first, end, fps=fps)
        assert barcode.numbers_in(video) == expected_numbers(film, known, first, end, made)


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(0, 190), frames=st.integers(10, 200), fps=st.sampled_from(["24", "native", "25/2", "60"]))
def test_any_span_at_any_rate(folder: Path, first: int, frames: int, fps: str) -> None:
    film, known = film_of(folder, "uneven.mp4")
    check(film, known, first, min(first + frames, 200), fps=fps)


def test_two_neighbours_share_no_frame_and_lose_none(folder: Path) -> None:
    film, known = film_of(folder, "open_gop.mp4")
    _, left, _ = cut_of(film, known, 40, 83, name="left", fps="native")
    _, right, _ = cut_of(film, known, 83, 120, name="right", fps="native")
    assert barcode.numbers_in(left) + barcode.numbers_in(right) == list(range(40, 120))


def test_lossless_sound_comes_through_sample_by_sample(folder: Path) -> None:
    film, known = film_of(folder, "plain.mp4")
    _, _, mix = cut_of(film, known, 24, 96)
    found = soundfile.read(mix, dtype="float32", always_2d=True)[0].T
    start = round((film.stamps[24] - film.stamps[0]) * film.sample_rate)
    assert np.abs(found - film.wave[:, start : start + found.shape[1]]).max() <= 2 / 32768


def test_the_sound_inside_the_mp4_is_the_mix_in_step(folder: Path) -> None:
    film, known = film_of(folder, "plain.mp4")
    made, video, mix = cut_of(film, known, 24, 96)
    with av.open(str(video)) as container:
        assert container.duration == pytest.approx(made.frames / made.fps * av.time_base, abs=2)
        frames = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    inside = np.concatenate(frames)[: made.samples]
    mix_wave = soundfile.read(mix, dtype="float32", always_2d=True)[0][:, 0]
    # Noise is what AAC is worst at; out of step it would correlate with nothing at all.
    assert np.corrcoef(inside, mix_wave)[0, 1] > 0.5


@pytest.mark.parametrize(("delay", "silent"), [(Fraction(1), "before"), (Fraction(-1), "after")])
def test_silence_stands_where_the_source_has_no_sound_yet_or_any_more(
    tmp_path: Path, delay: Fraction, silent: str
) -> None:
    film = barcode.make(tmp_path / "film.mkv", [4] * 96, sound_delay=delay)
    known = probe(film.path, LIMITS)
    made, _, mix = cut_of(film, known, 0, 96)
    wave = soundfile.read(mix, dtype="float32", always_2d=True)[0]
    second = made.sample_rate
    quiet, loud = (wave[: second - 480], wave[second + 480 :]) if silent == "before" else (
        wave[-second + 480 :], wave[: -second - 480])  # fmt: skip
    assert len(wave) == made.samples
    assert np.abs(quiet).max() == 0
    assert np.sqrt((loud**2).mean()) > 0.05
    nothing = cut_of(film, known, *((0, 20) if silent == "before" else (76, 96)), name="silent")
    assert np.abs(soundfile.read(nothing[2])[0]).max() == 0


def test_surround_becomes_stereo_and_mono_stays(tmp_path: Path) -> None:
    for channels, expected in ((6, 2), (1, 1)):
        film = barcode.make(tmp_path / f"{channels}.mkv", [4] * 48, channels=channels)
        made, _, mix = cut_of(film, probe(film.path, LIMITS), 0, 48, name=f"clip{channels}")
        assert made.channels == soundfile.info(str(mix)).channels == expected
        assert np.sqrt((soundfile.read(mix)[0] ** 2).mean()) > 0.03


def test_odd_and_high_sample_rates_become_ones_that_every_player_knows(tmp_path: Path) -> None:
    for rate, expected in ((22254, 24000), (96000, 48000), (16000, 16000)):
        film = barcode.make(tmp_path / f"{rate}.mkv", [4] * 48, sample_rate=rate)
        made, _, mix = cut_of(film, probe(film.path, LIMITS), 12, 48, name=f"clip{rate}")
        assert made.sample_rate == soundfile.info(str(mix)).samplerate == expected
        assert made.samples == round(made.frames / made.fps * expected)


def test_pictures_shrink_to_the_short_side_and_never_grow(folder: Path) -> None:
    film, known = film_of(folder, "plain.mp4")
    small, video, _ = cut_of(film, known, 0, 24, short_side=64)
    assert (small.width, small.height) == (110, 64)
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height, stream.pix_fmt) == (110, 64, "yuv420p")
        assert (stream.codec_context.name, stream.average_rate) == ("h264", 24)
    same, _, _ = cut_of(film, known, 0, 24, short_side=1080)
    assert (same.width, same.height) == barcode.SIZE


def test_the_same_cut_is_the_same_bytes_on_any_processor(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film, known = film_of(folder, "uneven.mp4")
    _, video, mix = cut_of(film, known, 30, 90, name="first")
    first = video.read_bytes(), mix.read_bytes()
    real = cut_module.film_command
    slow = lambda binary, *rest: [binary, "-cpuflags", "0", *real(binary, *rest)[1:]]  # noqa: E731
    monkeypatch.setattr(cut_module, "film_command", slow)
    _, video, mix = cut_of(film, known, 30, 90, name="second")
    assert (video.read_bytes(), mix.read_bytes()) == first


def test_nothing_of_the_source_but_pictures_and_sound_is_in_the_clip(tmp_path: Path) -> None:
    film = barcode.make(tmp_path / "film.mkv", [4] * 48, title="<script>alert('title')</script>")
    assert b"alert" in film.path.read_bytes()
    _, video, mix = cut_of(film, probe(film.path, LIMITS), 0, 48)
    assert b"alert" not in video.read_bytes() + mix.read_bytes()


def test_names_of_sources_and_outputs_are_data(tmp_path: Path) -> None:
    folder = tmp_path / "a 'b\" %d\n;[c]"
    folder.mkdir()
    film = barcode.make(folder / "-i.mp4", [4] * 48)
    check(film, probe(film.path, LIMITS), 5, 40)


def test_a_span_that_cannot_be_decoded_is_an_error(folder: Path) -> None:
    film, known = film_of(folder, "plain.mp4")
    clip = clip_of(film, known, 0, 24)
    beyond = 10**6 * (clip.end_pts - clip.start_pts)
    clip = clip.model_copy(update={"start_pts": clip.start_pts + beyond, "end_pts": clip.end_pts + beyond})
    with pytest.raises(MediaError):
        cut(film.path, known, clip, folder / "no.mp4", folder / "no.flac", CutSettings(), LIMITS)


def test_a_cut_that_takes_too_long_or_writes_too_much_is_ended(folder: Path) -> None:
    film, known = film_of(folder, "plain.mp4")
    clip = clip_of(film, known, 0, 200)
    for limits, kind in ((MediaLimits(cut_seconds=0.01), "timeout"), (MediaLimits(output_bytes=10_000), "limits")):
        with pytest.raises(MediaError) as caught:
            cut(film.path, known, clip, folder / "no.mp4", folder / "no.flac", CutSettings(), limits)
        assert caught.value.kind == kind


@pytest.mark.parametrize("value", ["0", "-24", "1000", "fast"])
def test_impossible_rates_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="fps"):
        CutSettings(fps=value)


def test_an_ffmpeg_that_is_not_there_is_said_so() -> None:
    with pytest.raises(ValueError, match="no-such-ffmpeg"):
        ffmpeg_binary("no-such-ffmpeg")


REAL = {
    # name: width, height, channels, seconds of the film
    "odd/fire2_vfr_rotated180.mp4": (854, 480, 1, 2.38),
    "odd/no_duration.webm": (854, 480, 2, 4.94),
    "odd/small_bunny_1080p60_5.1.mp4": (854, 480, 2, 2.0),
    "video/grid/bbaf2n.mpg": (360, 288, 2, 3.0),
    "video/nasa_13013.mp4": (480, 270, 2, 13.01),
}


@pytest.mark.parametrize("name", REAL)
def test_real_films(shared_media: Path, tmp_path: Path, name: str) -> None:
    known = probe(shared_media / name, LIMITS)
    video = known.video
    clip = Clip(
        id="0" * 16, source_id="0" * 16, uri=name, kind="web", ordinal=0, start_pts=video.start_pts,
        end_pts=video.end_pts, time_base=video.time_base,
    )  # fmt: skip
    made = cut(shared_media / name, known, clip, tmp_path / "a.mp4", tmp_path / "a.flac", CutSettings(), LIMITS)
    width, height, channels, seconds = REAL[name]
    assert (made.width, made.height, made.channels) == (width, height, channels)
    assert float(made.frames / made.fps) == pytest.approx(seconds, abs=1 / 24)
