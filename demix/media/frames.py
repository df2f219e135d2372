"""Pictures of a clip that we cut ourselves (constant frame rate, no rotation), decoded in this process.

The latest clips stay decoded (`demix.media.kept_frames`), so that stages which follow one another decode a clip once:
persons, faces, active speaker and caption ask for different frames in different sizes of the same clip.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from demix.lazy_module import lazy_module
from demix.media.errors import MediaError
from demix.media.kept_frames import KeptFrames

av: Any = lazy_module("av")

KEPT = KeptFrames()
"""Those of this process."""


def iter_frames(
    path: str | os.PathLike[str],
    indices: Sequence[int] | None = None,
    width: int | None = None,
    grey: bool = False,
) -> Iterator[np.ndarray]:
    """Yields frames of the first video stream in display order, one at a time. The whole file is decoded, unless it
    has been just now.

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
    except LookupError as error:
        raise MediaError("no_video", f"{path}: {error}") from error
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
    frames = KEPT.frames(path)
    if wanted is None:
        yield from (_picture(frame, width, grey) for frame in frames)
        return
    remaining = iter(wanted)
    following = next(remaining)
    for index, frame in enumerate(frames):
        if index < following:
            continue
        picture = _picture(frame, width, grey)
        after = next(remaining, None)
        if after is None:
            # To the end, so that the clip is kept: whoever got the last picture does not come back for another.
            deque(frames, maxlen=0)
            yield picture
            return
        yield picture
        following = after
    raise MediaError("decode", f"{path}: there is no frame {following}")


def _picture(frame: av.VideoFrame, width: int | None, grey: bool) -> np.ndarray:
    if width is None or width >= frame.width:
        size = (frame.width, frame.height)
    else:
        size = (width, max(round(frame.height * width / frame.width), 1))
    scaled = frame.reformat(*size, format="gray" if grey else "rgb24", interpolation="AREA")
    return scaled.to_ndarray()
