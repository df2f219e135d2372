"""H.264 without smoothed block edges: every frame, the same cuts, and the proper pictures wherever there is a doubt."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from demix.media import rough as module
from demix.media.container import open_container
from demix.media.limits import MediaLimits
from demix.media.packets import SMOOTH
from demix.media.rough import ROUGH, rough
from demix.media.small import _every, small_picture
from demix.models.shots.adaptive import AdaptiveShots
from demix.models.shots.settings import AdaptiveSettings, GradualSettings, StructureSettings
from tests.media.films import write_film
from tests.models.shots.moving import joined, shot

PICTURES, CUTS = joined([shot(1, 50, 2.0), shot(2, 40, -2.0), shot(3, 60, 0.5)])
ENCODINGS = {
    "B-frames": {"preset": "veryfast", "crf": "36", "g": "24"},
    "open groups": {"preset": "veryfast", "crf": "36", "g": "24", "x264-params": "open-gop=1"},
    "no B-frames": {"preset": "veryfast", "crf": "36", "bf": "0", "g": "24", "sc_threshold": "0"},
    "one group": {"preset": "veryfast", "crf": "36", "g": "999", "sc_threshold": "0"},
    "key frames only": {"preset": "veryfast", "crf": "36", "g": "1"},
}
Frames = list[tuple[int, np.ndarray]]


@pytest.fixture(params=list(ENCODINGS))
def film(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_film(tmp_path / "film.mp4", PICTURES, options=ENCODINGS[request.param])


def read(path: Path, way: Callable[..., Iterator[tuple[int, np.ndarray]]], options: dict[str, str]) -> Frames:
    with open_container(str(path), MediaLimits()) as container:
        stream: Any = container.streams.video[0]
        stream.codec_context.options = dict(options)
        return list(way(container, stream, partial(small_picture, height=72, width=128)))


def difference(some: Frames, others: Frames) -> float:
    """Largest mean difference of two pictures of one time, in grey levels."""
    assert [pts for pts, _ in some] == [pts for pts, _ in others]
    pairs = zip(some, others, strict=True)
    return max(float(np.abs(one.astype(int) - other).mean()) for (_, one), (_, other) in pairs)


def cuts(frames: Frames) -> tuple[int, ...]:
    plain = StructureSettings(enabled=False), GradualSettings(enabled=False)
    return AdaptiveShots(AdaptiveSettings(), *plain).detect(iter(frames), 24.0).cuts


def test_every_frame_and_the_same_cuts(film: Path) -> None:
    smooth = read(film, _every, SMOOTH)
    got = read(film, rough, ROUGH)
    assert difference(got, smooth) < 12
    assert cuts(got) == cuts(smooth) == tuple(CUTS)


def doubt_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LEAST", -1.0)
    monkeypatch.setattr(module, "_RATIO", -1.0)
    monkeypatch.setattr(module, "_PLAIN", (1e9, 1e9))


def test_what_is_in_doubt_is_decoded_properly(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doubt_everything(monkeypatch)
    monkeypatch.setattr(module, "_TRIAL", 1000)
    assert difference(read(film, rough, ROUGH), read(film, _every, SMOOTH)) < 0.5


@pytest.mark.parametrize("limit", [("_MOST_BYTES", 10 * 128 * 72 * 3), ("_TRIAL", 3)])
def test_where_it_does_not_pay_the_rest_is_smoothed(
    film: Path, limit: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group too long to be kept, and too many groups in doubt."""
    doubt_everything(monkeypatch)
    monkeypatch.setattr(module, *limit)
    assert difference(read(film, rough, ROUGH), read(film, _every, SMOOTH)) < 0.5


def test_without_doubts_pictures_do_drift(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the tests above would show nothing."""
    film = write_film(tmp_path / "film.mp4", PICTURES, options=ENCODINGS["no B-frames"])
    monkeypatch.setattr(module, "_LEAST", 1e9)
    assert difference(read(film, rough, ROUGH), read(film, _every, SMOOTH)) > 1


def test_a_damaged_film_keeps_what_decodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doubt_everything(monkeypatch)
    path = write_film(tmp_path / "film.mp4", PICTURES, options=ENCODINGS["no B-frames"])
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 1500] = bytes(np.random.default_rng(0).integers(0, 256, 1500, dtype=np.uint8))
    path.write_bytes(content)
    got = [pts for pts, _ in read(path, rough, ROUGH)]
    assert len(got) > 100
    assert got == [pts for pts, _ in read(path, _every, SMOOTH)]
