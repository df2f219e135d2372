"""Films that are stored turned, mirrored or stretched are cut, trained on and evaluated as a player shows them."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from demix.media.cut import CutSettings, cut
from demix.media.limits import MediaLimits
from demix.media.orientation import Orientation
from demix.media.probe import probe
from demix.media.whole import read_whole
from demix.records import Clip
from mtv_train.data.settings import WindowSettings
from mtv_train.data.video import decode_window

LIMITS = MediaLimits()
SIZE = 128, 96
COLOURS = np.array([[220, 40, 40], [40, 200, 40], [40, 40, 220], [210, 210, 40]], np.uint8)
"""Of the quarters of the picture as stored, in reading order."""


def quarters() -> np.ndarray:
    """uint8 RGB (height, width, 3)."""
    width, height = SIZE
    return np.repeat(np.repeat(COLOURS.reshape(2, 2, 3), height // 2, axis=0), width // 2, axis=1)


def matrix(degrees: float, mirrored: bool) -> bytes:
    """A track's display matrix: mirrored left to right, then turned clockwise."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    sign = -1 if mirrored else 1
    values = [sign * cosine, sign * sine, 0, -sine, cosine, 0, 0, 0]
    return struct.pack(">8i", *(round(value * (1 << 16)) for value in values)) + struct.pack(">i", 1 << 30)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "stored.mp4"
    with av.open(str(path), "w") as output:
        film = output.add_stream("libx264", rate=24, options={"crf": "10"})
        film.width, film.height, film.pix_fmt = *SIZE, "yuv420p"
        sound = output.add_stream("aac", rate=48000, layout="mono")
        for number in range(24):
            frame = av.VideoFrame.from_ndarray(quarters(), format="rgb24")
            frame.pts = number
            output.mux(film.encode(frame))
            block = av.AudioFrame.from_ndarray(np.zeros((1, 2000), np.float32), "fltp", "mono")
            block.sample_rate, block.pts = 48000, 2000 * number
            output.mux(sound.encode(block))
        output.mux(film.encode(None))
        output.mux(sound.encode(None))
    return path


def turned(stored: Path, path: Path, degrees: float, mirrored: bool, shape: Fraction = Fraction(1)) -> Path:
    content = bytearray(stored.read_bytes())
    at = content.index(b"tkhd") + 4 + 40  # version 0: the matrix of the first track
    content[at : at + 36] = matrix(degrees, mirrored)
    path.write_bytes(content)
    if shape == 1:
        return path
    stretched = path.with_name("stretched.mp4")
    with av.open(str(path)) as source, av.open(str(stretched), "w") as output:
        streams = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        streams[0].codec_context.sample_aspect_ratio = shape
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                output.mux(packet)
    return stretched


def shown_by_definition(degrees: int, mirrored: bool) -> list[list[list[int]]]:
    quarter = COLOURS.reshape(2, 2, 3)
    return np.rot90(quarter[:, ::-1] if mirrored else quarter, -degrees // 90).tolist()


def corners(picture: np.ndarray) -> np.ndarray:
    """Colours in the middles of the quarters of an RGB picture, (2, 2, 3)."""
    height, width = picture.shape[:2]
    return picture[np.ix_((height // 4, 3 * height // 4), (width // 4, 3 * width // 4))].astype(int)


def readings(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The first picture as the clip, the metrics and the trainer have it."""
    known = probe(path, LIMITS)
    clip = Clip(
        id="0" * 16, source_id="0" * 16, uri=str(path), kind="web", ordinal=0, start_pts=known.video.start_pts,
        end_pts=known.video.end_pts, time_base=known.video.time_base,
    )  # fmt: skip
    video = path.with_name("clip.mp4")
    made = cut(path, known, clip, video, path.with_name("clip.flac"), CutSettings(), LIMITS)
    with av.open(str(video)) as container:
        frame = next(container.decode(video=0))
        assert Orientation.of(frame) == Orientation(), "the clip must not be turned a second time"
        yield "clip", frame.to_ndarray(format="rgb24")
    assert abs(made.width - known.video.width) <= 1
    assert abs(made.height - known.video.height) <= 1
    whole = read_whole(path, LIMITS, 1)
    yield "metrics", whole.pictures[0]
    assert whole.pictures.shape[1:3] == (known.video.height, known.video.width)
    shape: dict[str, Any] = {"height": known.video.height // 16 * 16, "width": known.video.width // 16 * 16}
    window = WindowSettings(frames=5, **shape)
    yield "trainer", decode_window(path.read_bytes(), "k", 0, window)[0].transpose(1, 2, 0)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_every_orientation_is_read_the_same_way(tmp_path: Path, stored: Path, degrees: int, mirrored: bool) -> None:
    film = turned(stored, tmp_path / "film.mp4", degrees, mirrored)
    video = probe(film, LIMITS).video
    assert (video.rotation, video.mirrored) == (degrees, mirrored)
    for reader, picture in readings(film):
        assert np.abs(corners(picture) - shown_by_definition(degrees, mirrored)).max() < 25, reader


@pytest.mark.parametrize(
    ("degrees", "nearest", "mirrored"), [(3, 0, False), (87, 90, False), (200, 180, True), (-80, 270, True)]
)
def test_a_film_that_is_held_askew_gets_the_nearest_quarter_turn(
    tmp_path: Path, stored: Path, degrees: int, nearest: int, mirrored: bool
) -> None:
    film = turned(stored, tmp_path / "film.mp4", degrees, mirrored)
    for reader, picture in readings(film):
        assert np.abs(corners(picture) - shown_by_definition(nearest, mirrored)).max() < 25, reader
        assert picture.min(axis=2).mean() > 25, f"{reader}: black corners"


@pytest.mark.parametrize(("degrees", "shape"), [(0, Fraction(1, 2)), (90, Fraction(4, 3))])
def test_stretched_pixels_are_read_the_same_way(tmp_path: Path, stored: Path, degrees: int, shape: Fraction) -> None:
    film = turned(stored, tmp_path / "film.mp4", degrees, False, shape)
    wide = round(SIZE[0] * shape), SIZE[1]
    video = probe(film, LIMITS).video
    assert (video.width, video.height) == (wide if degrees == 0 else wide[::-1])
    for reader, picture in readings(film):
        assert np.abs(corners(picture) - shown_by_definition(degrees, False)).max() < 25, reader


def test_the_trainer_crops_what_is_shown(tmp_path: Path, stored: Path) -> None:
    """A window of the left half of what is shown, of a film that is stored on its side."""
    film = turned(stored, tmp_path / "film.mp4", 90, False)
    window = WindowSettings(frames=5, height=128, width=48)
    picture = decode_window(film.read_bytes(), "k", 0, window, (0.0, 0.5))[0].transpose(1, 2, 0)
    left = np.array(shown_by_definition(90, False))[:, 0]
    assert np.abs(picture[[32, 96], 24].astype(int) - left).max() < 25


@pytest.mark.parametrize("name", ["trainer/phone_portrait.mp4", "trainer/sar.mp4", "builder/14_mirrored_hflip.mp4"])
def test_recorded_films(shared_faults: Path, name: str) -> None:
    path = shared_faults / name
    whole = read_whole(path, LIMITS, 1)
    _, height, width, _ = whole.pictures.shape
    window = WindowSettings(frames=5, height=height // 16 * 16, width=width // 16 * 16)
    frame = decode_window(path.read_bytes(), "k", 0, window)[0].transpose(1, 2, 0)
    both = [cv2.resize(picture, (8, 8), interpolation=cv2.INTER_AREA) for picture in (frame, whole.pictures[0])]
    assert np.abs(both[0].astype(int) - both[1]).mean() < 20
