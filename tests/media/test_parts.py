"""Films of several clocks: joined transport and programme streams, splices of broadcasts, clocks that wrap around."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from demix.media.cut import CutSettings, cut
from demix.media.limits import MediaLimits
from demix.media.parts import begin_of, part_with, parts_of
from demix.media.probe import probe
from demix.media.scan import ScanSettings, scan
from demix.media.whole import read_whole
from demix.records import Clip, Probe
from tests.media import barcode
from tests.media.sound_films import ffmpeg, lag_seconds

LIMITS = MediaLimits()
FRAMES = 96
SECOND = 1000
"""Number of the second film's first frame."""
WRAP = Fraction(2**33, 90_000)
B_FRAMES = {"bf": "2", "g": "12"}
AVC: dict[str, Any] = {"options": B_FRAMES, "audio_codec": "aac"}
"""H.264 with B-frames. x264 opens no group unless asked."""
OPEN: dict[str, Any] = {"options": B_FRAMES | {"x264-params": "open-gop=1"}, "audio_codec": "ac3"}
MPEG2: dict[str, Any] = {"codec": "mpeg2video", "options": {"bf": "2", "g": "12", "b": "3M"}, "audio_codec": "mp2",
                         "time_base": Fraction(1, 25)}  # fmt: skip
"""Its encoder opens every group."""


@dataclass(frozen=True)
class Piece:
    """One of two films that are joined."""

    film: barcode.BarFilm
    first: int
    """Number of its first frame."""


def piece(path: Path, first: int, at: Fraction, **options: Any) -> Piece:
    tick = options.get("time_base", Fraction(1, 96))
    at = at // tick * tick
    durations = [round(Fraction(1, 24 if tick == Fraction(1, 96) else 25) / tick)] * FRAMES
    return Piece(barcode.make(path, durations, first_seconds=at, first_number=first, **options), first)


def join(path: Path, *pieces: Piece) -> Path:
    path.write_bytes(b"".join(part.film.path.read_bytes() for part in pieces))
    return path


def check_clip(path: Path, known: Probe, number: int, piece: Piece, begin: int, frames: int) -> None:
    """A clip of `frames` from frame `begin` of a part on: its pictures to the frame, its sound to 0.3 ms."""
    part, video = parts_of(known)[number], known.video
    rate = Fraction(part.video.average_rate)
    step = 1 / rate / Fraction(video.time_base)
    start = begin_of(part) + round(begin * step)
    clip = Clip(id="0" * 16, source_id="0" * 16, uri=str(path), kind="web", ordinal=0, start_pts=start,
                end_pts=start + round(frames * step), time_base=video.time_base)  # fmt: skip
    assert part_with(known, clip) is part
    files = path.with_name("clip.mp4"), path.with_name("mix.flac")
    made = cut(path, known, clip, *files, CutSettings(fps="native"), LIMITS)
    assert barcode.numbers_in(files[0]) == list(range(piece.first + begin, piece.first + begin + frames))
    wave, hertz = soundfile.read(files[1], dtype="float32", always_2d=True)
    wanted = piece.film.wave[0][round(begin / rate * piece.film.sample_rate) :][: round(made.samples)]
    assert abs(lag_seconds(wave[:, 0], wanted, hertz, piece.film.sample_rate)) < 0.0003
    assert np.corrcoef(wave[:, 0][: len(wanted)], wanted[: len(wave)])[0, 1] > 0.5


JOINS: dict[str, tuple[str, tuple[Fraction, dict[str, Any]], tuple[Fraction, dict[str, Any]]]] = {
    "the same clock": ("film.ts", (Fraction(0), AVC), (Fraction(0), AVC)),
    "back by an hour": ("film.ts", (Fraction(3700), OPEN), (Fraction(2), OPEN)),
    "on by hours": ("film.ts", (Fraction(2), OPEN), (Fraction(20_000), OPEN)),
    "MPEG-2, open groups": ("film.ts", (Fraction(0), MPEG2), (Fraction(0), MPEG2)),
    "programme stream": ("film.vob", (Fraction(0), MPEG2), (Fraction(0), MPEG2)),
    "programme stream, on": ("film.mpg", (Fraction(0), MPEG2), (Fraction(500), MPEG2)),
    "other codecs and rates": ("film.ts", (Fraction(0), AVC), (Fraction(0), MPEG2 | {"sample_rate": 44100})),
    "sound that begins later": ("film.ts", (Fraction(9), OPEN), (Fraction(1), OPEN | {"sound_delay": Fraction(1)})),
    "sound that ends early": ("film.ts", (Fraction(9), OPEN | {"sound_delay": Fraction(-1)}), (Fraction(1), OPEN)),
    "around the clock": ("film.ts", (WRAP - 9, OPEN), (Fraction(1), OPEN)),
    "around the clock within a part": ("film.ts", (WRAP - 2, OPEN), (WRAP - 2, OPEN)),
}
QUICK = ("back by an hour", "programme stream")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in JOINS]
)
def test_clips_of_joined_films_are_of_the_right_film_and_in_step(tmp_path: Path, name: str) -> None:
    ending, *films = JOINS[name]
    pieces = [
        piece(tmp_path / f"{number}{Path(ending).suffix}", number * SECOND, at, **options)
        for number, (at, options) in enumerate(films)
    ]
    silent_end = films[0][1].get("sound_delay", 0) < 0
    check(join(tmp_path / ending, *pieces), pieces, silent_end)


def check(path: Path, pieces: list[Piece], silent_end: bool = False) -> None:
    """Everything that reads a film of two parts."""
    known = probe(path, LIMITS)
    assert [part.video.frames for part in known.parts] == [FRAMES, FRAMES]
    assert known.video.frames == 2 * FRAMES
    assert known.seconds == pytest.approx(sum(part.seconds for part in known.parts))
    assert begin_of(known.parts[1]) == known.parts[0].video.end_pts
    for number, part in enumerate(pieces):
        for begin, frames in ((0, FRAMES), (50, 40), (90, 6)):
            if not (silent_end and (number, begin) == (0, 90)):
                check_clip(path, known, number, part, begin, frames)
    shown = [
        (pts, barcode.number_of(picture[:, :, 0]))
        for pts, picture in scan(path, known.video, ScanSettings(), LIMITS, parts=known.parts)
    ]
    assert [number for _, number in shown] == [*range(FRAMES), *range(SECOND, SECOND + FRAMES)]
    assert np.all(np.diff([pts for pts, _ in shown]) > 0)
    whole = read_whole(path, LIMITS, 60)
    assert [barcode.number_of(picture[:, :, 0]) for picture in whole.pictures] == [number for _, number in shown]
    assert whole.wave is not None
    seconds = known.parts[0].seconds
    for number, part in enumerate(pieces):
        heard = whole.wave[0][round(number * seconds * whole.sample_rate) :][: round(seconds * whole.sample_rate)]
        assert abs(lag_seconds(heard, part.film.wave[0], whole.sample_rate, part.film.sample_rate)) < 0.0003


def at_path(part: Piece, path: Path) -> Piece:
    return replace(part, film=replace(part.film, path=path))


def pair(folder: Path, *ats: Fraction, suffix: str = ".ts", **options: Any) -> list[Piece]:
    return [
        piece(folder / f"{number}{suffix}", number * SECOND, at, **options)
        for number, at in enumerate(ats or (Fraction(2), Fraction(2)))
    ]


def test_a_film_whose_streams_have_other_numbers_is_a_part(tmp_path: Path) -> None:
    first, second = pair(tmp_path, **OPEN)
    other = tmp_path / "other.ts"
    ffmpeg("-i", second.film.path, "-c", "copy", "-mpegts_start_pid", "500", "-mpegts_pmt_start_pid", "5000", other)
    pieces = [first, at_path(second, other)]
    check(join(tmp_path / "film.ts", *pieces), pieces)


@pytest.mark.slow
def test_a_film_of_another_size_is_a_part(tmp_path: Path) -> None:
    first, second = pair(tmp_path, **OPEN)
    larger = tmp_path / "larger.ts"
    ffmpeg(
        "-copyts", "-i", second.film.path, "-vf", "scale=384:224", "-c:v", "libx264", "-bf", "2", "-c:a", "copy", larger
    )
    pieces = [first, at_path(second, larger)]
    check(join(tmp_path / "film.ts", *pieces), pieces)


def spliced(path: Path, first: Path, second: Path, late: int) -> Path:
    """Both transport streams joined as a broadcast joins them: the last of the first one's sound, about `late` packets,
    comes between the pictures of the second one."""
    one, two = (
        [data[at : at + 188] for at in range(0, len(data), 188)] for data in (first.read_bytes(), second.read_bytes())
    )
    sound = [at for at, packet in enumerate(one) if (packet[1] & 31) << 8 | packet[2] == 257][-late:]
    while not one[sound[0]][1] & 0x40:  # from the beginning of a frame on
        sound.pop(0)
    heard = next(at for at, packet in enumerate(two) if (packet[1] & 31) << 8 | packet[2] == 257)
    ahead = [packet for at, packet in enumerate(one) if at not in sound]
    path.write_bytes(b"".join([*ahead, *two[:heard], *(one[at] for at in sound), *two[heard:]]))
    return path


@pytest.mark.parametrize(
    "ats", [(Fraction(2), Fraction(2)), pytest.param((Fraction(5), Fraction(900)), marks=pytest.mark.slow)]
)
def test_sound_that_follows_pictures_of_the_next_part_is_heard_in_its_own(
    tmp_path: Path, ats: tuple[Fraction, Fraction]
) -> None:
    pieces = pair(tmp_path, *ats, **OPEN)
    path = spliced(tmp_path / "film.ts", pieces[0].film.path, pieces[1].film.path, 80)
    stretch = probe(path, LIMITS).parts[0].stretch
    assert stretch is not None
    assert stretch.sound[1] > stretch.pictures[1]
    check(path, pieces)


@pytest.mark.parametrize("share", [0.13, pytest.param(0.3, marks=pytest.mark.slow)])
def test_films_that_were_cut_from_the_air_begin_with_their_first_whole_picture(tmp_path: Path, share: float) -> None:
    pieces = pair(tmp_path, **OPEN)
    path, files = tmp_path / "film.ts", (tmp_path / "clip.mp4", tmp_path / "mix.flac")
    data = [part.film.path.read_bytes() for part in pieces]
    path.write_bytes(b"".join(some[int(share * len(some)) :] for some in data))
    known = probe(path, LIMITS)
    assert len(known.parts) == 2
    for part, made_of in zip(known.parts, pieces, strict=True):
        video, begin = part.video, begin_of(part)
        clip = Clip(id="0" * 16, source_id="0" * 16, uri=str(path), kind="web", ordinal=0, time_base="1/90000",
                    start_pts=begin, end_pts=begin + video.end_pts - video.start_pts)  # fmt: skip
        cut(path, known, clip, *files, CutSettings(fps="native"), LIMITS)
        numbers = barcode.numbers_in(files[0])
        first = numbers[0] - made_of.first
        assert 0 < first < FRAMES / 2
        assert numbers == list(range(numbers[0], made_of.first + FRAMES))[: len(numbers)]
        assert len(numbers) >= FRAMES - first - 1
        wave, hertz = soundfile.read(files[1], dtype="float32", always_2d=True)
        wanted = made_of.film.wave[0][round(first / Fraction(video.average_rate) * hertz) :]
        assert abs(lag_seconds(wave[:, 0], wanted[: len(wave)], hertz, hertz)) < 0.0003
