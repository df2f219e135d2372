"""Black bars: found within two pixels whatever they are like, never in dark film, and gone from the clip."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.bars import found_in, is_right, measure
from benchmarks.bars_films import (
    FRAMES,
    GEOMETRIES,
    NONE,
    Case,
    Shot,
    Sides,
    bare,
    barred,
    changing,
    letterbox,
    pictures,
    pillarbox,
    single,
    write,
)
from demix.media.bars import LOOK, NO_LOOKS, bars_of, bars_of_film
from demix.media.command import ffmpeg_binary
from demix.media.cut import Cut, CutSettings, cut
from demix.media.edges import look
from demix.media.limits import MediaLimits
from demix.media.probe import probe
from demix.media.scan import ScanSettings, SpanScan, scan
from demix.records import Bars, Clip, VideoStream, clip_id

LIMITS = MediaLimits()


def seen_without_encoding(case: Case, media: Path) -> list[Sides]:
    """What is found in some of the pictures of a film, as they are before any encoder."""
    rows = []
    which = range(3, FRAMES, 6)
    for number, picture in enumerate(pictures(case, media, which)):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        rows.append([number // len(which) * FRAMES + which[number % len(which)], *look(frame)])
    video = VideoStream(
        index=0, codec="", width=case.size[0], height=case.size[1], rotation=0, pixel_format="", time_base="1/24",
        start_pts=0, end_pts=len(case.shots) * FRAMES, average_rate="24", frames=1, variable_rate=False,
    )  # fmt: skip
    return [bars.sides for bars in bars_of(np.array(rows, np.int64), case.spans, video)]


@pytest.mark.parametrize(
    "geometry",
    [pytest.param(one, marks=pytest.mark.slow if number % 2 else ()) for number, one in enumerate(GEOMETRIES)],
)
def test_bars_of_every_size_are_found_whatever_they_are_like(geometry: str, shared_media: Path) -> None:
    for case in barred():
        if case.name.startswith(f"{geometry}, ") and case.codec[0] == "libx264":
            seen = seen_without_encoding(case, shared_media)
            assert all(map(is_right, [shot.bars for shot in case.shots], seen)), (case.name, seen)


def test_dark_film_has_no_bars(shared_media: Path) -> None:
    for case in bare():
        assert set(seen_without_encoding(case, shared_media)) == {NONE}, case.name


def test_bars_that_change_are_found_shot_by_shot(shared_media: Path) -> None:
    for case in changing():
        seen = seen_without_encoding(case, shared_media)
        wrong = [pair for pair in zip([shot.bars for shot in case.shots], seen, strict=True) if not is_right(*pair)]
        if case.name == "4:3 parts in a wide film":  # its second part is the night of space: too dark to tell
            assert wrong == [(pillarbox(80), NONE)]
        else:
            assert not wrong, case.name


# --- films -----------------------------------------------------------------------------------------------------------


def made(path: Path, media: Path, bars: Sides, size: tuple[int, int], filters: str, *encoder: str) -> Path:
    """A film of three shots with a tone; `filters` make it what it is to be."""
    plain = write(Case("film", (Shot(bars), Shot(bars), Shot(bars)), size), media, path.with_name("plain"))
    sound = ["-f", "lavfi", "-i", "sine=440:r=48000", "-shortest"]
    command = [ffmpeg_binary(), "-v", "error", "-y", "-i", str(plain), *sound, "-vf", filters]
    subprocess.run([*command, *(encoder or ("-c:v", "libx264", "-preset", "veryfast")), str(path)], check=True)
    return path


def clip_of(path: Path, bars: Bars, **settings: object) -> tuple[Cut, np.ndarray]:
    """A clip of the first shot, and its middle frame, RGB."""
    known = probe(path, LIMITS)
    video = known.video
    end = video.start_pts + round(1.4 / Fraction(video.time_base))
    clip = Clip(
        id="0" * 16, source_id="0" * 16, uri=str(path), kind="web", ordinal=0, start_pts=video.start_pts, end_pts=end,
        time_base=video.time_base, bars=bars,
    )  # fmt: skip
    target, mix = path.with_name("clip.mp4"), path.with_name("clip.flac")
    how = cut(path, known, clip, target, mix, CutSettings(**settings), LIMITS)  # type: ignore[arg-type]
    with av.open(str(target)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return how, frames[len(frames) // 2]


SPANS = [[(shot * frames + 1, (shot + 1) * frames - 1) for shot in range(3)] for frames in (FRAMES, FRAMES // 2)]
"""Frames of the three shots: of film as it is, and of film whose fields were frames."""
MPEG2 = ("-c:v", "mpeg2video", "-b:v", "6M", "-flags", "+ilme+ildct")
FILMS: dict[str, tuple[str, str, tuple[str, ...], tuple[int, int], Sides]] = {
    # filters, file, encoder, displayed size, bars as displayed
    "as it is": ("null", "film.mp4", (), (640, 360), (0, 45, 0, 45)),
    "wide pixels": ("scale=480:360,setsar=4/3", "film.mkv", (), (640, 360), (0, 45, 0, 45)),
    "interlaced": ("tinterlace=interleave_top", "film.mpg", MPEG2, (640, 360), (0, 45, 0, 45)),
    "deep": ("format=yuv422p10le", "film.mkv", ("-c:v", "ffv1"), (640, 360), (0, 45, 0, 45)),
    "full range": ("scale=out_range=pc,format=yuvj420p", "film.mkv", ("-c:v", "mjpeg"), (640, 360), (0, 45, 0, 45)),
    "RGB": ("format=bgr0", "film.mkv", ("-c:v", "ffv1"), (640, 360), (0, 45, 0, 45)),
    "grey": ("format=gray", "film.mkv", ("-c:v", "ffv1"), (640, 360), (0, 45, 0, 45)),
}  # fmt: skip


SLOW = ("deep", "RGB", "grey", "full range")


@pytest.mark.parametrize("name", [pytest.param(one, marks=pytest.mark.slow if one in SLOW else ()) for one in FILMS])
def test_the_clip_of_any_film_is_its_picture_without_the_bars(name: str, shared_media: Path, tmp_path: Path) -> None:
    filters, file, encoder, size, truth = FILMS[name]
    path = made(tmp_path / file, shared_media, letterbox(45), (640, 360), filters, *encoder)
    video = probe(path, LIMITS).video
    assert (video.width, video.height) == size
    assert video.fields == ("interlaced" if name == "interlaced" else "progressive")
    (bars,) = set(found_in(path, SPANS[name == "interlaced"]))
    assert is_right(truth, bars.sides)
    how, frame = clip_of(path, bars)
    assert how.cropped
    assert (how.width, how.height) == frame.shape[1::-1]
    assert how.width == size[0]
    assert -2 <= size[1] - truth[1] - truth[3] - how.height <= 4
    brightness = frame.mean(axis=(1, 2))
    assert min(brightness[0], brightness[-1]) > 0.6 * brightness[8:-8].min(), "a black line is left"
    how, frame = clip_of(path, bars, crop_bars=False)
    assert not how.cropped
    assert (how.width, how.height) == size


@pytest.mark.parametrize(
    ("rotation", "mirrored"),
    [(90, True), *(pytest.param(*turn, marks=pytest.mark.slow) for turn in product((90, 180, 270), (False, True)))],
)
def test_bars_are_those_of_the_film_as_it_is_shown(
    rotation: int, mirrored: bool, shared_media: Path, tmp_path: Path
) -> None:
    """Of four unequal bars each is found on its own side."""
    plain = made(tmp_path / "film.mp4", shared_media, (40, 24, 62, 40), (640, 360), "null")
    path = tmp_path / "turned.mp4"
    turn = ["-display_rotation:v", str(-rotation), *(["-display_hflip:v"] if mirrored else [])]
    subprocess.run([ffmpeg_binary(), "-v", "error", *turn, "-i", str(plain), "-c", "copy", str(path)], check=True)
    (bars,) = set(found_in(path, SPANS[0]))
    assert bars.kind == "windowbox"
    how, frame = clip_of(path, bars)
    whole, picture = clip_of(path, bars, crop_bars=False)
    left, top, right, bottom = bars.sides
    inside = picture[top : whole.height - bottom, left : whole.width - right]
    assert how.cropped
    assert abs(inside.shape[0] - frame.shape[0]) <= 2 >= abs(inside.shape[1] - frame.shape[1])
    grey = picture.mean(axis=2)
    for outside in (grey[: top - 2], grey[whole.height - bottom + 2 :], grey[:, : left - 2].T):
        assert outside.max() < 24
    assert grey[:, whole.width - right + 2 :].max() < 24
    assert sorted(bars.sides) == pytest.approx([24, 40, 40, 62], abs=2)


@pytest.mark.parametrize("path", ["exact", "fast"])
def test_looks_do_not_depend_on_how_a_film_is_divided(path: str, shared_media: Path, tmp_path: Path) -> None:
    film = write(
        Case("film", (Shot(letterbox(45)),) * 4, options={"preset": "veryfast", "g": "20"}),
        shared_media,
        tmp_path / "f",
    )
    video, settings = probe(film, LIMITS).video, ScanSettings(path=path)
    whole = [NO_LOOKS]
    frames = [pts for pts, _ in scan(film, video, settings, LIMITS, looks=whole)]
    middle = frames[len(frames) // 2]
    parts = []
    for bounds in ((None, middle, 30), (middle, None, 30)):
        span = SpanScan(film, video, settings, LIMITS, bounds)
        assert [*span]
        parts += span.looks
    looks = [np.concatenate(some) for some in (whole, parts)]
    assert set(map(tuple, looks[0])) == set(map(tuple, looks[1]))
    if path == "exact":
        seconds = len(frames) / 24
        assert len(looks[0]) == pytest.approx(settings.bars_per_second * seconds, abs=1)
    shots = [(frames[0], middle), (middle, frames[-1])]
    assert bars_of(looks[0], shots, video) == bars_of(looks[1], shots, video)


def test_film_that_changes_its_size_has_none_and_neither_has_one_without_looks() -> None:
    video = VideoStream(
        index=0, codec="", width=64, height=64, rotation=0, pixel_format="", time_base="1/24", start_pts=0, end_pts=9,
        average_rate="24", frames=9, variable_rate=False,
    )  # fmt: skip
    looks = np.zeros((4, 1 + LOOK), np.int64)
    looks[:, 0], looks[:, 1:3] = range(4), 64
    looks[3, 1] = 32
    assert bars_of(looks, [(0, 4)], video) == [Bars()]
    assert bars_of(NO_LOOKS, [(0, 4), (4, 9)], video) == [Bars(), Bars()]


def test_the_kind_of_bars() -> None:
    wide, old = Bars.of(left=0, top=40, right=0, bottom=41), Bars.of(left=80, top=0, right=80, bottom=0)
    assert (wide.kind, old.kind) == ("letterbox", "pillarbox")
    assert Bars.of(left=9, top=9, right=9, bottom=9).kind == "windowbox"
    assert Bars.of(left=0, top=0, right=0, bottom=0) == Bars()
    assert bars_of_film([wide, wide]) == wide
    assert bars_of_film([wide, old, Bars()]) == Bars(kind="changing")
    assert bars_of_film([]) is None


def test_bars_are_part_of_what_a_clip_is_and_their_absence_is_not() -> None:
    bars = Bars.of(left=0, top=40, right=0, bottom=40)
    assert clip_id("a", 0, 9) == clip_id("a", 0, 9, bars=Bars()) != clip_id("a", 0, 9, bars=bars)


# --- the whole sweep, through encoders -------------------------------------------------------------------------------


@pytest.mark.slow
def test_nearly_all_shots_are_right_and_nothing_is_cropped_of_film_without_bars(shared_media: Path) -> None:
    right = shots = 0
    for _, pairs in measure([*barred(), *changing(), *single()], shared_media).items():
        right += sum(is_right(*pair) for pair in pairs)
        shots += len(pairs)
    assert right >= 0.99 * shots
    for name, pairs in measure(bare(), shared_media).items():
        assert {found for _, found in pairs} == {NONE}, name
