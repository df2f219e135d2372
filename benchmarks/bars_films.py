"""Films whose black bars are known, made from real recordings: for benchmarks/bars.py and the tests of bars.

Every shot is a few seconds of a recording that fills the picture; the bars are painted around it as they are found in
the wild: of odd sizes, not quite black, noisy, with soft or dirty edges, with subtitles or a logo in them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np

RATE, FRAMES = 24, 36
"""Frames a second, and of a shot."""
RECORDINGS = (
    ("video/big_buck_bunny_0_30.webm", 6), ("video/friday.mp4", 1), ("video/flower.mp4", 1),
    ("video/big_buck_bunny_0_30.webm", 19), ("video/gcp_climber.mp4", 4), ("video/intel_car-detection.mp4", 9),
    ("video/latentsync_demo1.mp4", 3), ("video/nasa_13013.mp4", 10), ("video/big_buck_bunny_0_30.webm", 26),
    ("video/stream-of-water.mp4", 1), ("odd/small_bunny_1080p60_5.1.mp4", 0), ("video/intel_asl_yes.mkv", 0),
)  # fmt: skip
"""Files below the folder of recordings, and the second at which a shot begins."""
Sides = tuple[int, int, int, int]
"""Bars at the left, top, right and bottom."""
NONE: Sides = (0, 0, 0, 0)


@dataclass(frozen=True)
class Shot:
    bars: Sides = NONE
    look: str = "plain"
    """plain, dark, night, fade, stars, lamp, title, filled title, doorway, blurred fill."""
    subtitles: float = 0.0
    """Share of the frames that have some, over the bar at the bottom."""


@dataclass(frozen=True)
class Case:
    """A film; `first` is the number of its first recording."""

    name: str
    shots: tuple[Shot, ...]
    size: tuple[int, int] = (640, 360)
    level: int = 0
    """Grey of the bars, 0 to 255."""
    noise: float = 0.0
    soft: float = 0.0
    """Standard deviation, in pixels, by which edges are blurred."""
    dirty: bool = False
    logo: bool = False
    first: int = 0
    codec: tuple[str, str, str] = ("libx264", "mp4", "yuv420p")
    options: dict[str, str] = field(default_factory=lambda: {"preset": "veryfast", "crf": "23"})

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First frame and end of every shot, without the frames beside cuts."""
        return [(number * FRAMES + 1, (number + 1) * FRAMES - 1) for number in range(len(self.shots))]


def pictures(case: Case, media: Path, which: range = range(FRAMES)) -> Iterator[np.ndarray]:
    """Those frames of every shot, uint8 RGB (height, width, 3)."""
    random = np.random.default_rng(case.first)
    for number, shot in enumerate(case.shots):
        recording = RECORDINGS[(case.first + number) % len(RECORDINGS)]
        left, top, right, bottom = shot.bars
        size = case.size[0] - left - right, case.size[1] - top - bottom
        for index in which:
            frame = np.full((case.size[1], case.size[0], 3), case.level, np.uint8)
            inside = _looking(shot.look, _filling(_recorded(media, *recording)[index], size), (number, index), size)
            frame[top : top + size[1], left : left + size[0]] = inside
            yield _finished(frame, case, shot, index, random)


def write(case: Case, media: Path, path: Path) -> Path:
    """Writes the film; the container becomes the suffix."""
    codec, container, pixel_format = case.codec
    path = path.with_suffix(f".{container}")
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=RATE, options=case.options)
        stream.width, stream.height, stream.pix_fmt = *case.size, pixel_format
        stream.codec_context.time_base = Fraction(1, RATE)
        stream.codec_context.thread_count = 1
        for number, picture in enumerate(pictures(case, media)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixel_format)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return path


@cache
def _recorded(media: Path, name: str, second: int) -> list[np.ndarray]:
    """`FRAMES` frames of a recording, at most 640 pixels wide; the last one again where it ends."""
    frames: list[np.ndarray] = []
    with av.open(str(media / name)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and frame.time >= second:
                width = min(640, frame.width)
                frames.append(frame.reformat(width, frame.height * width // frame.width // 2 * 2, "rgb24").to_ndarray())
            if len(frames) == FRAMES:
                break
    return frames + frames[-1:] * (FRAMES - len(frames))


def _filling(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of a picture, scaled so that it fills the size. Its own borders, which are not always clean, go."""
    height, width = picture.shape[:2]
    picture = picture[height // 20 : -(height // 20), width // 20 : -(width // 20)]
    scale = max(size[0] / picture.shape[1], size[1] / picture.shape[0])
    scaled = cv2.resize(picture, None, fx=scale + 1e-3, fy=scale + 1e-3, interpolation=cv2.INTER_AREA)
    top, left = (scaled.shape[0] - size[1]) // 2, (scaled.shape[1] - size[0]) // 2
    return scaled[top : top + size[1], left : left + size[0]]


def _looking(look: str, picture: np.ndarray, at: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """`at` is the number of the shot, and of the frame in it."""
    (number, index), (width, height) = at, size
    black = np.zeros_like(picture)
    if look == "dark":
        return _darkened(picture, 0.3, 2.0)
    if look == "night":
        return _darkened(picture, 0.12, 3.0)
    if look == "fade":
        return cv2.convertScaleAbs(picture, alpha=min(1.0, index / (FRAMES - 6)))
    if look == "stars":
        places = np.random.default_rng(7).integers(0, (width * 2, height), (150, 2))
        for x, y in places:
            cv2.circle(black, ((int(x) - 3 * index) % (2 * width), int(y)), 1, (230, 230, 230), -1)
        return black
    if look == "lamp":
        light = _darkened(picture, 0.9, 1.0).astype(np.float32)
        ys, xs = np.mgrid[:height, :width]
        spot = np.exp(
            -(((xs - width / 2 - 2 * index) / (0.2 * width)) ** 2 + ((ys - height / 2) / (0.25 * height)) ** 2)
        )
        return (light * spot[..., None]).astype(np.uint8)
    if look in ("title", "filled title"):
        frame = (width // 8, height // 8), (width * 7 // 8, height * 7 // 8)
        cv2.rectangle(black, *frame, (200, 200, 200), -1 if look == "filled title" else 4)
        ink = (10, 10, 10) if look == "filled title" else (255, 255, 255)
        cv2.putText(black, "THE END", (width // 4, height * 5 // 9), 0, height / 150, ink, 3, cv2.LINE_AA)
        return cv2.convertScaleAbs(black, alpha=min(1.0, index / 12))
    if look == "doorway":  # a dark room, and a lit one behind its door
        left = width * (3 + number % 3) // 10
        door = slice(height // (9 - number % 4), height), slice(left, left + width * 3 // 10)
        black[door] = picture[door]
        return black
    if look == "blurred fill":
        back = cv2.convertScaleAbs(cv2.GaussianBlur(picture, (0, 0), 12), alpha=0.5)
        inner = _filling(picture, (height * 9 // 16 // 2 * 2, height))
        left = (width - inner.shape[1]) // 2
        back[:, left : left + inner.shape[1]] = inner
        return back
    return picture


def _darkened(picture: np.ndarray, gain: float, gamma: float) -> np.ndarray:
    return (255 * gain * (picture / 255.0) ** gamma).astype(np.uint8)


def _finished(frame: np.ndarray, case: Case, shot: Shot, index: int, random: np.random.Generator) -> np.ndarray:
    height, width = frame.shape[:2]
    left, top, right, bottom = shot.bars
    if case.soft:
        frame = cv2.GaussianBlur(frame, (0, 0), case.soft)
    if case.noise:
        bars = np.ones(frame.shape[:2], bool)
        bars[top : height - bottom, left : width - right] = False
        noise = random.normal(0, case.noise, frame.shape[:2])
        frame[bars] = np.clip(frame[bars] + noise[bars][:, None], 0, 255)
    if case.dirty:
        frame[0], frame[:, -1] = 90, 60
        if top:
            frame[top] //= 3
    if case.logo:
        cv2.putText(frame, "TV", (width - 70, max(22, top * 2 // 3)), 0, 0.7, (220, 220, 220), 2, cv2.LINE_AA)
    if index < shot.subtitles * FRAMES:
        text, scale = "It was not I who told them where to look", width / 900
        y = height - max(8, bottom // 3)
        for ink, thick in (((0, 0, 0), 4), ((255, 255, 255), 1)):
            cv2.putText(frame, text, (width // 8, y), 0, scale, ink, thick, cv2.LINE_AA)
    return frame


# --- the sweep -------------------------------------------------------------------------------------------------------


def letterbox(lines: int) -> Sides:
    return 0, lines, 0, lines


def pillarbox(columns: int) -> Sides:
    return columns, 0, columns, 0


GEOMETRIES: dict[str, tuple[tuple[int, int], Sides]] = {
    "2.39 in 16:9": ((640, 360), letterbox(46)),
    "odd letterbox": ((640, 360), letterbox(37)),
    "thin letterbox": ((640, 360), letterbox(7)),
    "16:9 in 4:3": ((640, 480), letterbox(60)),
    "4:3 in 16:9": ((640, 360), pillarbox(80)),
    "odd pillarbox": ((640, 360), pillarbox(53)),
    "phone in 16:9": ((640, 360), pillarbox(219)),
    "windowbox": ((640, 360), (61, 33, 61, 33)),
    "unequal by a line": ((640, 360), (0, 40, 0, 41)),
    "unequal": ((640, 360), (0, 24, 0, 52)),
    "upright, square inside": ((360, 640), letterbox(140)),
}  # fmt: skip
_SEVEN = 7


def barred() -> list[Case]:
    """Films with the same bars throughout: geometries by what bars are like."""
    kinds: dict[str, dict[str, object]] = {
        "black": {},
        "level 20": {"level": 5},
        "noise": {"level": 3, "noise": 3.0},
        "soft edges": {"soft": 1.0},
        "dirty edges": {"dirty": True},
        "coarse": {"options": {"preset": "veryfast", "crf": "32"}},
        "logo": {"logo": True},
        "MPEG-2": {"codec": ("mpeg2video", "mpg", "yuv420p"), "options": {"b": "2M"}},
        "10 bits": {"codec": ("libx265", "mkv", "yuv420p10le"),
                    "options": {"preset": "ultrafast", "x265-params": "log-level=none:pools=1"}},
    }  # fmt: skip
    cases = []
    for number, (name, (size, bars)) in enumerate(GEOMETRIES.items()):
        for kind, how in kinds.items():
            cases.append(Case(f"{name}, {kind}", tuple(Shot(bars) for _ in range(_SEVEN)), size, first=number, **how))  # type: ignore[arg-type]
        looks = ("plain", "dark", "plain", "night", "lamp", "fade", "plain", "stars")
        cases.append(Case(f"{name}, dark shots", tuple(Shot(bars, look) for look in looks), size, first=number))
        subtitled = tuple(Shot(bars, subtitles=share) for share in (1, 0, 0.5, 1, 0, 1, 0.3))
        cases.append(Case(f"{name}, subtitles", subtitled, size, first=number))
    return cases


def changing() -> list[Case]:
    """Films whose bars change."""
    wide, old, full = Shot(letterbox(46)), Shot(pillarbox(80)), Shot()
    return [
        Case("IMAX scenes", (wide, wide, full, full, wide, wide, full, wide), first=1),
        Case("4:3 parts in 16:9", (full, full, old, old, full, full, old, full), first=2),
        Case("4:3 parts in a wide film", (wide, wide, wide, old, old, wide, wide, wide), first=3),
        Case("one 4:3 shot", (full, full, full, old, full, full, full), first=5),
        Case(
            "dark shots between",
            (wide, Shot(letterbox(46), "dark"), wide, full, Shot(NONE, "dark"), full, wide),
            first=5,
        ),
    ]


def single() -> list[Case]:
    """Films of one shot with bars."""
    return [
        Case(f"one shot, {name}, {first}", (Shot(bars),), size, first=first)
        for name, (size, bars) in GEOMETRIES.items()
        if name != "unequal"
        for first in range(0, len(RECORDINGS), 2)
    ]


def bare() -> list[Case]:
    """Films without bars, many of them dark."""
    dark = ("dark", "night", "fade", "stars", "lamp", "title", "filled title", "doorway", "blurred fill")
    cases = [Case("plain", tuple(Shot() for _ in range(12)))]
    for first, look in enumerate(dark):
        cases.append(Case(f"only {look}", tuple(Shot(NONE, look) for _ in range(6)), first=first))
        cases.append(Case(f"one {look}", tuple(Shot(NONE, look if n == 3 else "plain") for n in range(7)), first=first))
        cases.append(Case(f"a single shot, {look}", (Shot(NONE, look),), first=first))
        mixed = tuple(Shot(NONE, look if n % 2 else "dark", subtitles=0.5) for n in range(8))
        cases.append(Case(f"{look} and dark, subtitles", mixed, first=first))
    cases.append(Case("a filled title in every second shot",
                      tuple(Shot(NONE, "filled title" if n % 2 else "plain") for n in range(8))))  # fmt: skip
    return cases
