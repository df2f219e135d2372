"""Decoded clips are kept within a bound, forgotten when they are old, and never mixed up with a file of now."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from demix.media import frames as frames_module
from demix.media.frames import iter_frames, read_frames
from demix.media.kept_frames import KeptFrames

SIZE = (48, 64)
FRAME = 48 * 64 * 3 // 2


def make(path: Path, grey: int, frames: int = 10) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "8", "bf": "2"})
        stream.height, stream.width = SIZE
        stream.pix_fmt = "yuv420p"
        for _ in range(frames):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.full((*SIZE, 3), grey, np.uint8), format="rgb24"))
            )
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> KeptFrames:
    """The store of this process, for one test: two clips of ten frames fit, three do not."""
    store = KeptFrames(budget=25 * 2 * FRAME)
    monkeypatch.setattr(frames_module, "KEPT", store)
    return store


def test_a_clip_is_decoded_once_whatever_is_asked_of_it(kept: KeptFrames, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", 90)
    first = read_frames(path)
    assert np.array_equal(read_frames(path, [2, 5]), first[[2, 5]])
    assert read_frames(path, [0], width=32, grey=True).shape == (1, 24, 32)
    assert kept.decoded == 1


def test_whoever_takes_a_few_frames_and_leaves_has_the_clip_kept(kept: KeptFrames, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", 90)
    pictures = iter_frames(path, [1, 4])
    assert [next(pictures).shape for _ in range(2)] == [(*SIZE, 3)] * 2
    read_frames(path)
    assert kept.decoded == 1


def test_the_least_recently_read_is_forgotten(kept: KeptFrames, tmp_path: Path) -> None:
    kept.budget = sum(_sizes(make(tmp_path / "measured.mp4", 0))) * 5 // 2
    a, b, c = (make(tmp_path / f"{name}.mp4", grey) for name, grey in (("a", 40), ("b", 90), ("c", 140)))
    for path in (a, b, a, c, a):
        read_frames(path)
    assert kept.decoded == 3
    read_frames(b)
    assert kept.decoded == 4


def _sizes(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [sum(plane.buffer_size for plane in frame.planes) for frame in container.decode(video=0)]


def test_a_clip_beyond_the_bound_is_passed_on_but_not_kept(kept: KeptFrames, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", 90)
    kept.budget = 3 * FRAME
    assert len(read_frames(path)) == len(read_frames(path)) == 10
    assert kept.decoded == 2


def test_a_file_that_was_rewritten_is_another(kept: KeptFrames, tmp_path: Path) -> None:
    path = make(tmp_path / "a.mp4", 40)
    dark = read_frames(path, [0]).mean()
    make(path, 200, frames=11)
    assert read_frames(path, [0]).mean() > dark + 100
