"""Pictures of a clip that we cut ourselves (constant frame rate, no rotation), decoded in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import av
import numpy as np

from demix.media.errors import MediaError


def iter_frames(
    path: str | os.PathLike[str],
    indices: Sequence[int] | None = None,
    width: int | None = None,
    grey: bool = False,
) -> Iterator[np.ndarray]:
    """Yields frames of the first video stream in display order, one at a time.

    `indices` are 0-based frame numbers, strictly ascending (None: every frame). A `width` below the video's own scales
    the pictures down, keeping their shape, by area averaging; a larger one is ignored. Each picture is uint8
    RGB (height, width, 3), or (height, width) when `grey`.

    Raises `MediaError` (kind "decode") if the file cannot be decoded or has fewer frames than asked for, and
    `ValueError` if `indices` is not ascending.
    """
    wanted = None if indices is None else list(indices)
    if wanted is not None and any(later <= earlier for earlier, later in zip([-1, *wanted], wanted, strict=False)):
        raise ValueError(f"frame indices must be ascending from 0, not {wanted[:10]}")
    if wanted == []:
        return
    try:
        yield from _decode(os.fspath(path), wanted, width, grey)
    except (av.FFmpegError, OSError) as error:
        raise MediaError("decode", f"{path}: {error}") from error


def read_frames(
    path: str | os.PathLike[str],
    indices: Sequence[int] | None = None,
    width: int | None = None,
    grey: bool = False,
) -> np.ndarray:
    """The same frames as one array, uint8 (frames, height, width, 3) or (frames, height, width) when `grey`.

    Asking for no frames gives an array of shape (0, 0, 0, 3) or (0, 0, 0). Raises as `iter_frames` does.
    """
    frames = list(iter_frames(path, indices, width, grey))
    return np.stack(frames) if frames else np.zeros((0, 0, 0) if grey else (0, 0, 0, 3), np.uint8)


def _decode(path: str, wanted: list[int] | None, width: int | None, grey: bool) -> Iterator[np.ndarray]:
    # Opened by us, so that a name like "concat:..." or "http://..." can never reach ffmpeg's protocol layer.
    with open(path, "rb") as file, av.open(file) as container:
        if not container.streams.video:
            raise MediaError("no_video", f"{path}: no video stream")
        stream = container.streams.video[0]
        remaining = None if wanted is None else iter(wanted)
        following = None if remaining is None else next(remaining)
        for index, frame in enumerate(container.decode(stream)):
            if following is not None and index < following:
                continue
            yield _picture(frame, width, grey)
            if remaining is not None:
                following = next(remaining, None)
                if following is None:
                    return
        if following is not None:
            raise MediaError("decode", f"{path}: there is no frame {following}")


def _picture(frame: av.VideoFrame, width: int | None, grey: bool) -> np.ndarray:
    if width is None or width >= frame.width:
        size = (frame.width, frame.height)
    else:
        size = (width, max(round(frame.height * width / frame.width), 1))
    scaled = frame.reformat(*size, format="gray" if grey else "rgb24", interpolation="AREA")
    return scaled.to_ndarray()
