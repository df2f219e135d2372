"""`demix.media.frames` gives exactly the frames that were asked for, of our own clips."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from demix.media.errors import MediaError
from demix.media.frames import iter_frames, read_frames

FRAMES = 30


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty frames with B-frames; frame k is grey 5k+20 on its left half and red on its right half."""
    path = tmp_path_factory.mktemp("frames") / "numbered.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": "8", "bf": "2", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        for index in range(FRAMES):
            picture = np.full((64, 96, 3), 5 * index + 20, np.uint8)
            picture[:, 48:] = (200, 20, 20)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def numbers(frames: np.ndarray) -> list[int]:
    left = frames[:, :, : frames.shape[2] // 2 - 2]
    return [round((float(frame.mean()) - 20) / 5) for frame in left]


def test_all_frames_in_display_order_despite_b_frames(video: Path) -> None:
    frames = read_frames(video)
    assert frames.shape == (FRAMES, 64, 96, 3)
    assert frames.dtype == np.uint8
    assert numbers(frames) == list(range(FRAMES))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=st.sets(st.integers(0, FRAMES - 1), min_size=1).map(sorted))
def test_any_choice_of_indices_is_frame_exact(video: Path, wanted: list[int]) -> None:
    assert numbers(read_frames(video, wanted)) == wanted


def test_channels_are_red_green_blue(video: Path) -> None:
    red, green, blue = read_frames(video, [0])[0, :, 60:].reshape(-1, 3).mean(0)
    assert red > 150
    assert green < 60
    assert blue < 60


def test_width_scales_down_keeping_the_shape_and_never_up(video: Path) -> None:
    assert read_frames(video, [0], width=48).shape == (1, 32, 48, 3)
    assert read_frames(video, [0], width=960).shape == (1, 64, 96, 3)


def test_grey_frames_have_no_channel_axis(video: Path) -> None:
    frames = read_frames(video, [3, 4], grey=True)
    assert frames.shape == (2, 64, 96)
    assert numbers(frames) == [3, 4]


def test_no_indices_is_an_empty_array(video: Path) -> None:
    assert read_frames(video, []).shape == (0, 0, 0, 3)


def test_a_frame_past_the_end_is_an_error_not_a_shorter_answer(video: Path) -> None:
    with pytest.raises(MediaError, match="no frame 30"):
        read_frames(video, [0, FRAMES])


def test_descending_or_repeated_indices_are_refused(video: Path) -> None:
    for indices in ([3, 2], [3, 3], [-1]):
        with pytest.raises(ValueError, match="ascending"):
            list(iter_frames(video, indices))


def test_a_file_that_is_no_video_is_a_media_error(tmp_path: Path) -> None:
    path = tmp_path / "noise.mp4"
    path.write_bytes(b"not a video at all")
    with pytest.raises(MediaError):
        read_frames(path)
