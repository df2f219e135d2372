"""One low-resolution decode of a source for shot detection, in a sandboxed child: times and small pictures."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from demix.config import Added, Settings
from demix.media import sandbox
from demix.media.bars import LOOK, NO_LOOKS
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
    bars_per_second: Annotated[float, Added()] = Field(default=2.0, ge=0, le=30)
    """Frames a second on which black bars are looked for; 0: they are not measured. Films that were indexed before this
    was done stay as they are; another number, such as 5, has them indexed anew."""


def scan(
    source: Path,
    video: VideoStream,
    settings: ScanSettings,
    limits: MediaLimits,
    threads: int = 1,
    parts: Sequence[Probe] = (),
    looks: list[np.ndarray] | None = None,
) -> Generator[tuple[int, np.ndarray], None, None]:
    """Yields (pts, picture) of every frame in display order: strictly ascending pts in ticks of the stream's time base,
    uint8 BGR (height, width, 3), not rotated. `parts`: of a film that has several (`Probe.parts`).

    Where `looks` is given it gets what was seen of black bars meanwhile, see `demix.media.bars.bars_of`.

    A frame that does not decode is left out; so is what comes after the point where the container itself breaks. Raises
    `MediaError`: `decode` if no frame decodes at all, and `timeout`, `crash`, `limits` of the child.
    """
    frames = 0
    shape = _small_size(video, settings.side)
    for record in _records(source, video, settings, limits, threads, None, parts):
        for pts, picture in _unpacked(record, shape, looks):
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
        self.looks = [NO_LOOKS]
        """Of the frames that have passed; see `demix.media.bars.bars_of`."""
        self._shape = _small_size(video, settings.side)
        self._records = _records(source, video, settings, limits, threads, span)
        try:
            self.begin, self.end = np.frombuffer(next(self._records), np.int64).tolist()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for record in self._records:
            yield from _unpacked(record, self._shape, self.looks)

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
        "looks": settings.bars_per_second,
    }
    return sandbox.stream("demix.media.small:read", arguments, limits, seconds=limits.scan_seconds)


def _small_size(video: VideoStream, side: int) -> tuple[int, int]:
    """(height, width) of the small picture, both even, as stored: before the player's rotation."""
    width, height = (video.height, video.width) if video.rotation in (90, 270) else (video.width, video.height)
    shrink = max(1.0, max(width, height) / side)
    return 2 * max(1, round(height / shrink / 2)), 2 * max(1, round(width / shrink / 2))


def _unpacked(
    record: bytearray, shape: tuple[int, int], looks: list[np.ndarray] | None
) -> Iterator[tuple[int, np.ndarray]]:
    """What `demix.media.small.read` packs: how many frames, their pts, their pictures, and looks at some of them."""
    height, width = shape
    (count,) = np.frombuffer(record, np.int64, 1).tolist()
    times = np.frombuffer(record, np.int64, count, 8)
    ends = 8 + count * (8 + height * width * 3)
    pictures = np.frombuffer(record, np.uint8, count * height * width * 3, 8 + 8 * count)
    if looks is not None and len(record) > ends:
        looks.append(np.frombuffer(bytes(record[ends:]), np.int64).reshape(-1, 1 + LOOK))
    return zip(times.tolist(), pictures.reshape(count, height, width, 3), strict=True)
