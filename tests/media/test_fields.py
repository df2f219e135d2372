"""Film made of fields: found by what it shows, not by its flags, and cut into whole frames, at the same places."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from demix.media.command import ffmpeg_binary
from demix.media.cut import CutSettings, cut
from demix.media.limits import MediaLimits
from demix.media.probe import probe
from demix.media.survey import combed_share, luma_of
from demix.records import Clip, Probe

LIMITS = MediaLimits()
MPEG2 = ("-c:v", "mpeg2video", "-b:v", "6M", "-flags", "+ilme+ildct")
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "16")
NTSC = "24000/1001"
FILMS: dict[str, tuple[str, str, tuple[str, ...], str, tuple[str, str]]] = {
    # rate of the pictures, filters, encoder, file, (fields, which is first)
    "576i25, top first": ("50", "tinterlace=interleave_top", MPEG2, "film.mpg", ("interlaced", "top")),
    "576i25, bottom first": ("50", "tinterlace=interleave_bottom", MPEG2, "film.mpg", ("interlaced", "bottom")),
    "576i25, flagged as progressive": ("50", "tinterlace=interleave_top,setfield=prog", X264, "film.mp4",
                                       ("interlaced", "top")),
    "576i25, flagged the wrong way": ("50", "tinterlace=interleave_bottom,setfield=tff", MPEG2, "film.mkv",
                                      ("interlaced", "bottom")),
    "480i30": ("60000/1001", "tinterlace=interleave_top", MPEG2, "film.ts", ("interlaced", "top")),
    "480i telecined": (NTSC, "telecine=pattern=23", MPEG2, "film.mpg", ("telecined", "top")),
    "480i telecined, bottom first": (NTSC, "telecine=first_field=bottom:pattern=23", MPEG2, "film.mkv",
                                     ("telecined", "bottom")),
    "480i telecined, flagged as progressive": (NTSC, "telecine=pattern=23,setfield=prog", X264, "film.mp4",
                                               ("telecined", "top")),
    "576p25, flagged as interlaced": ("25", "setfield=tff", MPEG2, "film.mpg", ("progressive", "")),
    "480p30": ("30000/1001", "null", MPEG2[:4], "film.mpg", ("progressive", "")),
}  # fmt: skip


WIDTH, HEIGHT, SPEED = 384, 288, 3
"""Of a picture, and the pixels that it moves by."""


def texture(width: int) -> np.ndarray:
    """Clouds that never repeat, uint8 (HEIGHT, width)."""
    noise = np.random.default_rng(3).standard_normal((HEIGHT, width)).astype(np.float32)
    clouds = sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (1.5, 4, 9))
    return np.clip(128 + 40 * np.asarray(clouds), 0, 255).astype(np.uint8)


CLOUDS = texture(WIDTH + SPEED * 200)


def made(path: Path, rate: str, filters: str, encoder: tuple[str, ...], numbers: int = 150) -> Path:
    """A film whose pictures, before they become fields, are views of `CLOUDS`, `SPEED` pixels from each other."""
    frames = np.stack([CLOUDS[:, SPEED * number :][:, :WIDTH] for number in range(numbers)])
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{WIDTH}x{HEIGHT}", "-r", rate, "-i", "pipe:"]
    sound = ["-f", "lavfi", "-i", "sine=440:r=48000", "-shortest", "-c:a", "mp2"]
    chain = f"format=yuv420p,{filters}"
    command = [ffmpeg_binary(), "-v", "error", "-y", *raw, *sound, "-vf", chain, *encoder]
    subprocess.run([*command, str(path)], input=frames.tobytes(), check=True)
    return path


def numbers_in(video: Path) -> list[int]:
    """Which picture each frame of a clip shows; ValueError where it shows none clearly."""
    found = []
    with av.open(str(video)) as container:
        for frame in container.decode(video=0):
            middle = luma_of(frame)[100:180, 40:300]
            match = cv2.minMaxLoc(cv2.matchTemplate(CLOUDS[100:180], middle, cv2.TM_CCOEFF_NORMED))
            if match[1] < 0.95:
                raise ValueError(f"frame {len(found)}: matches by {match[1]:.3f} only")
            found.append(round((match[3][0] - 40) / SPEED))
    return found


def clip_of(path: Path, known: Probe, first: int, end: int, **settings: Any) -> tuple[list[int], float]:
    """The numbers that the frames [first, end) of a film show as a clip, and the largest share of combs in one."""
    step = 1 / Fraction(known.video.average_rate) / Fraction(known.video.time_base)
    start, stop = (known.video.start_pts + round(frame * step) for frame in (first, end))
    clip = Clip(
        id="0" * 16, source_id="0" * 16, uri=str(path), kind="web", ordinal=0, start_pts=start, end_pts=stop,
        time_base=known.video.time_base,
    )  # fmt: skip
    video, mix = path.with_name("clip.mp4"), path.with_name("clip.flac")
    cut(path, known, clip, video, mix, CutSettings(**settings), LIMITS)
    with av.open(str(video)) as container:
        combs = max(combed_share(luma_of(frame)) for frame in container.decode(video=0))
    return numbers_in(video), combs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fields")


@pytest.mark.parametrize("name", FILMS)
def test_fields_are_found_and_every_frame_is_whole_and_in_its_place(folder: Path, name: str) -> None:
    rate, filters, encoder, file, (fields, first) = FILMS[name]
    path = folder / f"{list(FILMS).index(name)}-{file}"
    known = probe(made(path, rate, filters, encoder), LIMITS)
    assert (known.video.fields, known.video.first_field) == (fields, first)
    numbers, combs = clip_of(path, known, 20, 60, fps="native")
    assert combs == 0
    if fields == "telecined":
        # Frame 20 is the first of a cycle: four of the film's own frames for five.
        numbers, _ = clip_of(path, known, 20, 60, fps=NTSC)
        assert numbers == list(range(16, 48))
    else:
        each = 2 if fields == "interlaced" else 1
        assert numbers == list(range(20 * each, 60 * each, each))


@pytest.mark.parametrize("first", [21, 22, 23, 24, 33])
def test_a_telecined_film_is_cut_anywhere_in_its_cycle(folder: Path, first: int) -> None:
    path = folder / "anywhere.mpg"
    if not path.exists():
        made(path, NTSC, "telecine=pattern=23", MPEG2)
    known = probe(path, LIMITS)
    numbers, combs = clip_of(path, known, first, first + 30)
    assert combs == 0
    assert set(np.diff(numbers).tolist()) <= {0, 1, 2}, "motion without jerks"
    assert all(abs(number - (first + 1.25 * k) * 0.8) < 2 for k, number in enumerate(numbers))
    assert numbers[0] >= first * 4 // 5, "no frame of before"
    assert numbers[-1] <= (first + 29) * 4 // 5 + 1, "no frame of after"


def test_recorded_and_real_films(shared_faults: Path, shared_media: Path) -> None:
    path = shared_faults / "builder/10_interlaced.mpg"
    known = probe(path, LIMITS)
    assert (known.video.fields, known.video.first_field) == ("interlaced", "top")
    for name in ("video/friday.mp4", "video/big_buck_bunny_0_30.webm", "video/grid/bbaf2n.mpg", "video/flower.mp4"):
        assert probe(shared_media / name, LIMITS).video.fields == "progressive", name


def test_a_pan_upwards_is_not_taken_for_fields(tmp_path: Path) -> None:
    """Lines that move by one from frame to frame look like fields to a comparison of frames."""
    noise = np.random.default_rng(1).integers(0, 255, (400, 192), np.uint8)
    frames = np.stack([np.repeat(noise[k : k + 112, :, None], 3, axis=2) for k in range(100)])
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "192x112", "-r", "25", "-i", "pipe:"]
    smooth = ["-vf", "gblur=1.5", "-pix_fmt", "yuv420p", *MPEG2, str(tmp_path / "film.mpg")]
    subprocess.run([ffmpeg_binary(), "-v", "error", *raw, *smooth], input=frames.tobytes(), check=True)
    assert probe(tmp_path / "film.mpg", LIMITS).video.fields == "progressive"
