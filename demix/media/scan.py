"""One low-resolution decode of a source for shot detection, in a sandboxed child: times and small pictures."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from demix.config import Settings
from demix.media import sandbox
from demix.media.errors import MediaError
from demix.media.limits import MediaLimits
from demix.media.parts import pictures_of, shift_of
from demix.records import Probe, VideoStream

BEGINNING, END = -(1 << 62), 1 << 62
"""Of a film, as pts."""


class ScanSettings(Settings):
    """How a source is decoded for shot detection."""

    side: int = Field(default=128, ge=64, le=1024)
    """Pixels of the longer side of the small picture; smaller pictures stay as they are. `scenedetect` takes 256;
    benchmarks/results/index.md shows that 128 finds the same true cuts for less."""
    path: Literal["exact", "fast"] = "exact"
    """`exact`: every frame is decoded. `fast`: of H.264, HEVC and MPEG-4 in mp4 and mkv, most frames that no other
    refers to are blended from their neighbours (see `demix.media.skip`; benchmarks/results/index.md has both)."""


def scan(
    source: Path,
    video: VideoStream,
    settings: ScanSettings,
    limits: MediaLimits,
    threads: int = 1,
    parts: Sequence[Probe] = (),
) -> Generator[tuple[int, np.ndarray], None, None]:
    """Yields (pts, picture) of every frame in display order: strictly ascending pts in ticks of the stream's time base,
    uint8 BGR (height, width, 3), not rotated. `parts`: of a film that has several (`Probe.parts`).

    A frame that does not decode is left out; so is what comes after the point where the container itself breaks. Raises
    `MediaError`: `decode` if no frame decodes at all, and `timeout`, `crash`, `limits` of the child.
    """
    frames = 0
    shape = _small_size(video, settings.side)
    for record in _records(source, video, settings, limits, threads, None, parts):
        for pts, picture in _unpacked(record, shape):
            frames += 1
            yield pts, picture
    if not frames:
        raise MediaError("decode", "no frame can be decoded")


class SpanScan:
    """The scan of a span of a film: from the key frame for `begin` on (None: from where the film begins), up to that
    for `end` (None: to where it ends) and `beyond` frames more. Raises `MediaError` when made as `scan` does later."""

    begin: int
    """pts of the first key frame; `BEGINNING` for that of the film."""
    end: int
    """pts of the key frame that begins the next span; `END` where the film ends. Not behind `begin`: an empty span."""

    def __init__(
        self,
        source: Path,
        video: VideoStream,
        settings: ScanSettings,
        limits: MediaLimits,
        span: tuple[int | None, int | None, int],
        threads: int = 1,
    ):
        self._shape = _small_size(video, settings.side)
        self._records = _records(source, video, settings, limits, threads, span)
        try:
            self.begin, self.end = np.frombuffer(next(self._records), np.int64).tolist()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for record in self._records:
            yield from _unpacked(record, self._shape)

    def close(self) -> None:
        """Ends the child."""
        self._records.close()


def _records(
    source: Path,
    video: VideoStream,
    settings: ScanSettings,
    limits: MediaLimits,
    threads: int,
    span: tuple[int | None, int | None, int] | None,
    parts: Sequence[Probe] = (),
) -> Generator[bytearray, None, None]:
    arguments = {
        "path": str(source.absolute()),
        "index": video.index,
        "shape": _small_size(video, settings.side),
        "limits": limits.model_dump(),
        "threads": threads,
        "fast": settings.path == "fast",
        "span": span,
        "parts": [
            {
                "place": pictures_of(part),
                "index": part.video.index,
                "span": (part.video.start_pts, part.video.end_pts),
                "shift": shift_of(part),
            }
            for part in parts
        ],
    }
    return sandbox.stream("demix.media.small:read", arguments, limits, seconds=limits.scan_seconds)


def _small_size(video: VideoStream, side: int) -> tuple[int, int]:
    """(height, width) of the small picture, both even, as stored: before the player's rotation."""
    width, height = (video.height, video.width) if video.rotation in (90, 270) else (video.width, video.height)
    shrink = max(1.0, max(width, height) / side)
    return 2 * max(1, round(height / shrink / 2)), 2 * max(1, round(width / shrink / 2))


def _unpacked(record: bytearray, shape: tuple[int, int]) -> Iterator[tuple[int, np.ndarray]]:
    """What `demix.media.small.read` packs: the pts of some frames, then their pictures."""
    height, width = shape
    count = len(record) // (8 + height * width * 3)
    pictures = np.frombuffer(record, np.uint8, offset=8 * count).reshape(count, height, width, 3)
    return zip(np.frombuffer(record, np.int64, count).tolist(), pictures, strict=True)
