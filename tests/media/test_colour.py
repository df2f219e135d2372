"""Colours: film for other displays comes out as its BT.709 twin, and ordinary film as it is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from demix.media.colour import WHITE, source_of, table
from demix.media.command import ffmpeg_binary
from demix.media.cut import CutSettings, cut
from demix.media.limits import MediaLimits
from demix.media.probe import probe
from demix.media.whole import read_whole
from demix.records import Clip, VideoStream
from mtv_train.data.settings import WindowSettings
from mtv_train.data.video import decode_window

LIMITS = MediaLimits()
BARS = "smptehdbars=s=320x180:r=24:d=0.5"
AS_BT709 = "format=yuv444p,setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
LINEAR = f"{AS_BT709},zscale=t=linear:npl=100,format=gbrpf32le"
X265 = ("-c:v", "libx265", "-x265-params", "lossless=1:log-level=error:pools=none")
X264 = ("-c:v", "libx264", "-qp", "0", "-preset", "ultrafast")
PQ = f"{LINEAR},zscale=p=bt2020:t=smpte2084:m=2020_ncl:r=tv:npl=100"
HLG = f"{LINEAR},zscale=p=bt2020:t=arib-std-b67:m=2020_ncl:r=tv:npl=100"
FILMS = {
    "PQ": (f"{PQ},format=yuv420p10le", X265, ("smpte2084", "bt2020")),
    "PQ 4:4:4 12 bits": (f"{PQ},format=yuv444p12le", X265, ("smpte2084", "bt2020")),
    "PQ 4:2:2, full range": (f"{PQ.replace('r=tv', 'r=pc')},format=yuv422p10le", X265, ("smpte2084", "bt2020")),
    "HLG": (f"{HLG},format=yuv420p10le", X265, ("arib-std-b67", "bt2020")),
    "BT.2020": (
        f"{LINEAR},zscale=p=bt2020:t=2020_10:m=2020_ncl:r=tv,format=yuv420p10le",
        X265,
        ("bt2020-10", "bt2020"),
    ),
    "Display P3": (f"{LINEAR},zscale=p=smpte432:t=bt709:m=bt709:r=tv,format=yuv420p", X264, ("bt709", "smpte432")),
    "BT.709, 10 bits": (f"{AS_BT709},format=yuv420p10le", X264, ("bt709", "bt709")),
    "BT.709, 4:4:4 12 bits": (f"{AS_BT709},format=yuv444p12le", X265, ("bt709", "bt709")),
    "BT.709, 4:2:2, full range": (f"{AS_BT709},zscale=r=pc,format=yuv422p", X264, ("bt709", "bt709")),
    "BT.601": (f"{AS_BT709},zscale=m=170m,format=yuv420p", X264, ("bt709", "bt709")),
    "RGB": (f"{AS_BT709},zscale=m=gbr:r=pc,format=gbrp", ("-c:v", "libx264rgb", "-qp", "0"), ("bt709", "bt709")),
}


def made(path: Path, filters: str, encoder: tuple[str, ...]) -> Path:
    arguments = ["-f", "lavfi", "-i", BARS, "-f", "lavfi", "-i", "sine=440:d=0.5:r=48000", "-vf", filters, *encoder]
    subprocess.run([ffmpeg_binary(), "-v", "error", "-y", *arguments, "-c:a", "flac", str(path)], check=True)
    return path


def as_clip(path: Path) -> tuple[VideoStream, av.VideoFrame]:
    """The film's facts, and the first frame of all of it as a clip."""
    known = probe(path, LIMITS)
    video, mix = path.with_name("clip.mp4"), path.with_name("clip.flac")
    clip = Clip(
        id="0" * 16, source_id="0" * 16, uri=str(path), kind="web", ordinal=0, start_pts=known.video.start_pts,
        end_pts=known.video.end_pts, time_base=known.video.time_base,
    )  # fmt: skip
    cut(path, known, clip, video, mix, CutSettings(crf=4), LIMITS)
    with av.open(str(video)) as container:
        return known.video, next(container.decode(video=0))


def rgb(frame: av.VideoFrame) -> np.ndarray:
    """As a player of BT.709 film shows it, from Y, U and V as they are stored."""
    planes = [
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)[:, : plane.width].astype(np.float32)
        for plane in frame.planes
    ]
    y = (planes[0] - 16) / 219
    u, v = (cv2.resize(plane, y.shape[::-1], interpolation=cv2.INTER_LINEAR) / 224 - 128 / 224 for plane in planes[1:])
    # BT.601 where the clip says so.
    red, blue = (0.299, 0.114) if frame.colorspace in (5, 6) else (0.2126, 0.0722)
    r, b = y + 2 * (1 - red) * v, y + 2 * (1 - blue) * u
    return np.clip(np.stack([r, (y - red * r - blue * b) / (1 - red - blue), b], axis=-1), 0, 1)


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """CIE 1976 colour differences of two pictures, edges between the bars left out."""
    lab = [cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_RGB2LAB) for picture in (one, other)]
    flat = cv2.morphologyEx(lab[1], cv2.MORPH_GRADIENT, np.ones((9, 9))).max(axis=-1) < 3
    return np.linalg.norm(lab[0] - lab[1], axis=-1)[flat]


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return rgb(as_clip(made(tmp_path_factory.mktemp("truth") / "film.mkv", f"{AS_BT709},format=yuv420p", X264))[1])


@pytest.mark.parametrize("name", FILMS)
def test_every_film_looks_like_its_bt709_twin(tmp_path: Path, truth: np.ndarray, name: str) -> None:
    filters, encoder, (transfer, primaries) = FILMS[name]
    video, frame = as_clip(made(tmp_path / "film.mkv", filters, encoder))
    assert (video.transfer, video.primaries) == (transfer, primaries)
    off = difference(rgb(frame), truth)
    assert off.mean() < 2
    assert np.quantile(off, 0.99) < 6
    white = rgb(frame)[60, 60] * 255
    assert np.abs(white - 191).max() < 4
    assert frame.color_range == 1
    assert frame.color_trc in (1, 2), "a clip that is tagged as HDR"


def test_the_recorded_film(shared_faults: Path) -> None:
    video, frame = as_clip(shared_faults / "builder/11_hdr_pq.mp4")
    assert (video.transfer, video.primaries, video.matrix) == ("smpte2084", "bt2020", "bt2020nc")
    assert np.abs(rgb(frame)[60, 60] * 255 - 188).max() < 8
    assert (frame.color_trc, frame.color_primaries, frame.colorspace) == (1, 1, 1)


@pytest.mark.parametrize(
    "name", ["PQ", *(pytest.param(name, marks=pytest.mark.slow) for name in ("HLG", "Display P3", "BT.709, 10 bits"))]
)
def test_trainer_and_metrics_see_the_colours_of_the_clip(tmp_path: Path, name: str) -> None:
    filters, encoder, _ = FILMS[name]
    path = made(tmp_path / "film.mkv", filters, encoder)
    clip = rgb(as_clip(path)[1])
    whole = read_whole(path, LIMITS, 1).pictures[0] / 255
    window = WindowSettings(frames=9, height=176, width=320, fps="24")
    seen = decode_window(path.read_bytes(), "film", 0, window)[0].transpose(1, 2, 0) / 255
    for picture, shown in ((whole, clip), (seen, clip[2:-2])):
        off = difference(picture, shown)
        assert off.mean() < 1.5
        assert np.quantile(off, 0.99) < 6


def as_709_of_601(picture: np.ndarray) -> np.ndarray:
    """RGB that was made of BT.709's Y, U and V with BT.601's matrix, made with the right one."""
    y = picture @ (0.299, 0.587, 0.114)
    u, v = (picture[..., 2] - y) / 1.772, (picture[..., 0] - y) / 1.402
    red, blue = y + 1.5748 * v, y + 1.8556 * u
    return np.clip(np.stack([red, (y - 0.2126 * red - 0.0722 * blue) / 0.7152, blue], axis=-1), 0, 1)


def test_the_recorded_film_is_its_reference_read_with_the_right_matrix(tmp_path: Path, shared_faults: Path) -> None:
    """The reference's green is 13, 222, 3 where 75 % bars have 0, 191, 0: its maker took BT.709 for BT.601."""
    shutil.copy(shared_faults / "builder/sdr_reference.mp4", tmp_path / "reference.mp4")
    shutil.copy(shared_faults / "builder/11_hdr_pq.mp4", tmp_path / "film.mp4")
    reference, film = (rgb(as_clip(tmp_path / name)[1]) for name in ("reference.mp4", "film.mp4"))
    assert difference(film, reference).mean() < 5.5
    assert difference(film, as_709_of_601(reference)).mean() < 3


def coded(nits: float) -> float:
    """PQ."""
    power = (nits / 10000) ** 0.1593017578125
    return float(((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375)


def test_highlights_are_pressed_and_what_lies_below_is_kept() -> None:
    levels = np.array([5.0, 20.0, 50.0, 100.0, 203.0, 400.0, 1000.0])
    steps = np.linspace(0, 1, 65)
    grey = table("smpte2084", "bt2020", 1000.0, 65)[np.arange(65), np.arange(65), np.arange(65)]
    out = np.array([np.interp(coded(level), steps, grey[:, 1]) for level in levels])
    assert np.allclose(out[:3], (levels[:3] / WHITE) ** (1 / 2.4), atol=0.01)
    assert np.all(np.diff(out) > 0.01), "highlights keep their differences"
    assert out[-1] > 0.99
    assert 0.9 < out[4] < 0.98, "a white wall of 203 cd/m2 is nearly white"


def test_ordinary_film_is_not_converted() -> None:
    facts = {"index": 0, "codec": "h264", "width": 2, "height": 2, "rotation": 0, "pixel_format": "yuv420p",
             "time_base": "1/24", "start_pts": 0, "end_pts": 1, "average_rate": "24", "frames": 1,
             "variable_rate": False}  # fmt: skip
    said = [("", "", ""), ("bt709", "bt709", "bt709"), ("smpte170m", "smpte170m", "smpte170m"), ("", "bt470bg", "")]
    for transfer, primaries, matrix in said:
        video = VideoStream.model_validate(facts | {"transfer": transfer, "primaries": primaries, "matrix": matrix})
        assert source_of(video) is None
    assert source_of(VideoStream.model_validate(facts | {"transfer": "smpte2084"})) == ("smpte2084", "bt2020")
    assert source_of(VideoStream.model_validate(facts | {"matrix": "bt2020nc"})) == ("bt1886", "bt2020")
