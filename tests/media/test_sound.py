"""The sound of a clip: cut at any sample of any codec, in step at any rate, through changes of layout and rate, and
every channel of every layout in it at its level."""

from __future__ import annotations

import itertools
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.media import layouts
from demix.media.audio import rms_db
from demix.media.probe import probe
from tests.media import barcode
from tests.media.sound_films import (
    LIMITS,
    channels,
    cut_whole,
    ffmpeg,
    film,
    lag_seconds,
    level_db,
    loudest_hz,
    sine,
    tone,
)

CODECS = {"aac": "mp4", "ac3": "mp4", "mp2": "mp4", "libmp3lame": "mp4", "flac": "mp4", "dca": "mkv", "libopus": "mp4"}
"""Codec → a container that states times to the sample; DTS has none here."""
QUICK = (("aac", 1), ("aac", 15), ("ac3", 8), ("flac", 15), ("libmp3lame", 1))
REMAINDERS = [(codec, left) for codec in CODECS for left in range(17)]


def any_sample(folder: Path, codec: str) -> Path:
    """A film whose pictures can be cut at every sample of its sound: their ticks are 1/48000 s."""
    path = folder / f"{codec}.{CODECS[codec]}"
    if not path.exists():
        scale = ("-video_track_timescale", "48000") if path.suffix == ".mp4" else ()
        film(path, [tone(440)], "-c:a", codec, "-strict", "-2", *scale)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("films")


@pytest.mark.parametrize(
    ("codec", "left"),
    [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in REMAINDERS],
)
def test_a_clip_may_begin_any_number_of_samples_before_a_block_of_sound(folder: Path, codec: str, left: int) -> None:
    """FLAC's encoder takes its block size from the first block that it is given, and refuses fewer than 16 samples."""
    path = any_sample(folder, codec)
    known = probe(path, LIMITS)
    assert known.audio is not None
    block = {"aac": 1024, "ac3": 1536, "mp2": 1152, "libmp3lame": 1152, "flac": 4608, "dca": 512, "libopus": 960}[codec]
    sound, picture = (stream.start_pts * Fraction(stream.time_base) for stream in (known.audio, known.video))
    start = (sound - picture) + Fraction(block * (1 + 24_000 // block) - left, 48000)
    made, wave = cut_whole(path, known, start)
    assert loudest_hz(wave[0], made.sample_rate) == pytest.approx(440, abs=1)


RATES = (8000, 16000, 22254, 32000, 44100, 48000, 88200, 96000, 192000)
MOST = (96000, 48000, 44100, 16000)
FRAMES = (0, 1, 26, 35, 47)
"""Of 24 a second: fractions of a second 0, .04, .08, .46, .96."""
QUICK_RATES = ((96000, 48000, 47), (192000, 48000, 26), (22254, 48000, 35), (44100, 16000, 47), (48000, 48000, 1))


@pytest.mark.parametrize(
    ("rate", "most", "frame"),
    [
        pytest.param(*case, marks=() if case in QUICK_RATES else pytest.mark.slow)
        for case in itertools.product(RATES, MOST, FRAMES)
    ],
)
def test_sound_is_in_step_at_every_rate_from_every_fraction_of_a_second(
    folder: Path, rate: int, most: int, frame: int
) -> None:
    made = barcode.make(folder / f"{rate}.mov", [4] * 72, audio_codec="pcm_s16le", sample_rate=rate)
    clip, wave = cut_whole(made.path, start=Fraction(frame, 24), max_sample_rate=most)
    wanted = made.wave[0, round(frame / 24 * rate) :]
    assert abs(lag_seconds(wave[0], wanted, clip.sample_rate, rate)) < 0.0003


@pytest.mark.parametrize("container", ["mkv", "webm", "flv"])
def test_stamps_of_a_millisecond_cost_less_than_half_of_one(folder: Path, container: str) -> None:
    """Blocks are rounded to the tick in either direction; the middle of what they say is near the truth. Pictures are
    rounded too, so the tick is allowed once."""
    codec = {"flv": "libmp3lame", "mkv": "flac", "webm": "libopus"}[container]
    video = {"codec": "libvpx"} if container == "webm" else {}
    rate = 44100 if container == "flv" else 48000
    made = barcode.make(folder / f"ticks.{container}", [4] * 96, audio_codec=codec, sample_rate=rate, **video)
    for frame in (25, 50, 64):
        clip, wave = cut_whole(made.path, start=Fraction(frame, 24))
        found = lag_seconds(wave[0], made.wave[0, round(frame / 24 * rate) :], clip.sample_rate, rate)
        assert abs(found) < 0.0008, frame


def joined(path: Path, *parts: Path) -> Path:
    """Transport streams one after the other, as a broadcast sends them; their stamps go on."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


CHANGES = {
    # name: codec, (sound of each part, rate)
    "stereo_51_stereo": ("ac3", [channels("stereo", sine(440), sine(440)),
                                 channels("5.1", "0", "0", sine(660), "0", "0", "0"),
                                 channels("stereo", sine(440), sine(440))]),
    "51_stereo": ("ac3", [channels("5.1", "0", "0", sine(660), "0", "0", "0"),
                          channels("stereo", sine(440), sine(440))]),
    "stereo_mono": ("mp2", [channels("stereo", sine(440), sine(440)), tone(660)]),
    "mono_stereo": ("mp2", [tone(660), channels("stereo", sine(440), sine(440))]),
    "48_441": ("aac", [channels("stereo", sine(440), sine(440)),
                       channels("stereo", sine(660), sine(660), rate=44100)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_clip_goes_through_a_change_of_layout_or_rate(tmp_path: Path, name: str) -> None:
    codec, sounds = CHANGES[name]
    parts = [film(tmp_path / f"{part}.ts", [sound], "-c:a", codec, "-b:a", "256k", "-output_ts_offset", str(2 * part))
             for part, sound in enumerate(sounds)]  # fmt: skip
    path = joined(tmp_path / "film.ts", *parts)
    made, wave = cut_whole(path)
    assert made.samples == pytest.approx(2 * len(parts) * made.sample_rate, abs=made.sample_rate / 20)
    for part, sound in enumerate(sounds):
        hertz = 440 if "440" in sound else 660
        inner = wave[:, round((2 * part + 0.2) * made.sample_rate) : round((2 * part + 1.8) * made.sample_rate)]
        for channel in inner:
            assert loudest_hz(channel, made.sample_rate) == pytest.approx(hertz, abs=1)
            assert level_db(channel, hertz, made.sample_rate) == pytest.approx(-20, abs=0.3)


def test_sound_stays_in_step_behind_a_change_of_rate(tmp_path: Path) -> None:
    noise = (np.random.default_rng(3).standard_normal(96_000) * 0.1).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", noise, 48000)
    for part, rate in enumerate((48000, 44100)):
        ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=25:d=2", "-i", tmp_path / "noise.wav", "-c:v", "libx264",
               "-bf", "0", "-ar", str(rate), "-c:a", "aac", "-b:a", "320k", "-output_ts_offset", str(2 * part),
               tmp_path / f"{part}.ts")  # fmt: skip
    paths = [tmp_path / "0.ts", tmp_path / "1.ts"]
    begins = [video.start_pts * Fraction(video.time_base) for video in (probe(path, LIMITS).video for path in paths)]
    made, wave = cut_whole(joined(tmp_path / "film.ts", *paths))
    # Between the stamps of a transport stream libav counts frames as if they still had the first rate: 4 ms at most.
    for part, most in enumerate((0.0003, 0.005)):
        second = wave[0, 2 * part * made.sample_rate : (2 * part + 2) * made.sample_rate]
        late = lag_seconds(second, noise, made.sample_rate, 48000) - float(begins[part] - begins[0] - 2 * part)
        assert abs(late) < most, part


@pytest.mark.parametrize(
    ("name", "sound", "codec"),
    [
        ("ambisonic.mkv", channels("ambisonic 1", *[sine(440)] * 4), ["-c:a", "libopus", "-mapping_family", "2"]),
        ("nine.mkv", channels("", *[sine(440)] * 9), ["-c:a", "pcm_s16le"]),
        ("nine_last.mkv", channels("", *["0"] * 8, sine(440)), ["-c:a", "pcm_s16le"]),
        ("seven.mkv", channels("7.1", *["0"] * 7, sine(440)), ["-c:a", "flac"]),
        ("height.mkv", channels("5.1.2", *["0"] * 6, sine(440), "0"), ["-c:a", "pcm_s16le"]),
    ],
)
def test_every_layout_is_heard(tmp_path: Path, name: str, sound: str, codec: list[str]) -> None:
    made, wave = cut_whole(film(tmp_path / name, [sound], *codec))
    assert made.channels == 2
    assert made.layout not in ("", "stereo")
    loudest = wave[np.argmax(np.abs(wave).max(axis=1))]
    assert loudest_hz(loudest, made.sample_rate) == pytest.approx(440, abs=1)
    assert rms_db(wave) > -30


@pytest.mark.parametrize("layout", ["3.0", "5.0", "5.1", "7.1"])
@pytest.mark.parametrize("level", [-20, -43])
def test_dialogue_in_the_centre_keeps_its_level(tmp_path: Path, layout: str, level: float) -> None:
    """-43 dBFS is above the paper's limit of silence, and must still be so in the clip."""
    sound = channels(layout, "0", "0", sine(440, level), *["0"] * {"3.0": 0, "5.0": 2, "5.1": 3, "7.1": 5}[layout])
    made, wave = cut_whole(film(tmp_path / "film.mkv", [sound], "-c:a", "flac"))
    assert rms_db(wave) == pytest.approx(level, abs=0.2)
    assert made.layout.startswith(layout)
    assert made.centre_db == pytest.approx(level, abs=0.2)
    assert made.rest_db == -120
    assert made.gain_db == 0


def test_the_level_of_the_centre_and_of_the_rest_are_recorded(tmp_path: Path) -> None:
    sound = channels("5.1", sine(300, -30), sine(300, -30), sine(440, -20), "0", "0", "0")
    made, _ = cut_whole(film(tmp_path / "film.mkv", [sound], "-c:a", "flac"))
    assert (made.centre_db, made.rest_db) == (pytest.approx(-20, abs=0.1), pytest.approx(-30, abs=0.1))
    plain, _ = cut_whole(film(tmp_path / "stereo.mkv", [channels("stereo", sine(300), sine(440))], "-c:a", "flac"))
    assert (plain.centre_db, plain.rest_db, plain.layout) == (None, None, "stereo")


def test_a_loud_downmix_is_turned_down_and_not_clipped(tmp_path: Path) -> None:
    sound = channels("5.1", *[sine(440, -4)] * 6)
    made, wave = cut_whole(film(tmp_path / "film.mkv", [sound], "-c:a", "flac"))
    assert made.gain_db == pytest.approx(-20 * np.log10(2.7071 * 10 ** (-4 / 20) * 2**0.5), abs=0.1)
    assert np.abs(wave).max() > 0.999
    assert level_db(wave[0], 440, made.sample_rate) == pytest.approx(rms_db(wave), abs=0.01)  # no distortion


NAMES = st.lists(st.sampled_from(sorted(layouts.GAINS)), min_size=1, max_size=9, unique=True)


@settings(deadline=None, derandomize=True)
@given(names=NAMES)
def test_gains_of_a_layout_do_not_depend_on_the_order_of_its_channels(names: list[str]) -> None:
    wave = np.random.default_rng(1).standard_normal((len(names), 8)).astype(np.float32) * 0.05
    order = sorted(range(len(names)), key=names.__getitem__)
    mixed = layouts.downmix(wave, names)
    assert mixed.shape == (min(len(names), 2), 8)
    np.testing.assert_allclose(mixed, layouts.downmix(wave[order], [names[i] for i in order]), atol=1e-6)


@pytest.mark.parametrize("count", range(1, 17))
def test_channels_without_names_have_places(count: int) -> None:
    heard = [any(gain) for gain in layouts.gains([""] * count)]
    assert heard == [not (count > 5 and place == 3) for place in range(count)]  # all but the low-frequency effects


def fault(name: str) -> Path:
    """A film that once came out wrong; not part of the project."""
    path = Path(os.environ.get("DEMIX_SHARED", Path(__file__).parents[2] / "shared")) / "faults" / "builder" / name
    if not path.exists():
        pytest.skip(f"{path} is not here; set DEMIX_SHARED to the folder that holds faults/")
    return path


def test_both_clips_of_the_film_with_a_short_block_are_cut() -> None:
    path = fault("01_flac_block_2997.mp4")
    cut_at = Fraction(116 * 1001, 30000)
    for start in (Fraction(0), cut_at):
        made, _ = cut_whole(path, start=start)
        assert made.samples == round(made.frames / made.fps * made.sample_rate)


def test_the_chirp_sounds_when_the_square_appears() -> None:
    path = fault("02_rate_96000_aac.mp4")
    for start, instants in ((Fraction(0), (1.0, 2.4, 3.2)), (Fraction(528, 100), (6.4, 7.2))):
        made, wave = cut_whole(path, start=start)
        loud = np.abs(wave[0]) > 0.25 * np.abs(wave[0]).max()
        for instant in instants:
            begin = round((instant - float(start)) * made.sample_rate)
            assert loud[begin : begin + made.sample_rate // 100].any()
            assert not loud[begin - made.sample_rate // 10 : begin - made.sample_rate // 200].any()


def test_the_film_that_changes_its_layout_is_one_clip() -> None:
    made, wave = cut_whole(fault("03_stereo_51_stereo.ts"))
    assert made.samples == 432_000
    for part, hertz in enumerate((440, 660, 440)):
        inner = wave[0, round((3 * part + 0.2) * made.sample_rate) : round((3 * part + 2.8) * made.sample_rate)]
        assert loudest_hz(inner, made.sample_rate) == pytest.approx(hertz, abs=1)


def test_the_ambisonic_film_is_heard() -> None:
    made, wave = cut_whole(fault("04_ambisonic.mkv"))
    assert (made.layout, loudest_hz(wave[0], made.sample_rate)) == ("ambisonic 1", pytest.approx(440, abs=1))
