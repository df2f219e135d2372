"""How much of a machine one stranger's file may take. Declared once, used by every room that opens media."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from demix.config import Added, Runtime, Settings

RECORDED: dict[str, float] = {
    "max_pixels": 8192 * 4608, "max_side": 16384, "max_seconds": 12 * 3600.0, "max_frame_rate": 240.0,
    "max_streams": 64, "max_bytes": 256 << 30, "memory_bytes": 6 << 30, "output_bytes": 2 << 30, "stall_seconds": 120.0,
    "probe_seconds": 1800.0, "scan_seconds": 6 * 3600.0, "cut_seconds": 300.0,
}  # fmt: skip
"""What stands in fingerprints of stages whose limits are all runtime settings (`Runtime.recorded`): never changed."""


class MediaLimits(Settings):
    """Beyond these a file is refused (`too_large`) or its child process is ended (`Failed`); see docs/security.md.

    What a probe refuses is an answer, so those that begin with `max_` or `min_` count in its fingerprint. Later stages
    can only fail by a limit; to them all of these are runtime settings.
    """

    max_pixels: int = Field(default=8192 * 4608, gt=0)
    """Pixels of one frame, stored size. 8192x4608 holds every 8K format; memory per decoded frame grows with it."""
    max_side: int = Field(default=16384, gt=0)
    """Pixels along either side, against 1 x 2^31 pictures."""
    max_displayed_side: Annotated[int, Added()] = Field(default=8192, gt=0)
    """Pixels to which the shape of the pixels may stretch either side, against pixels of 255:1."""
    max_seconds: float = Field(default=12 * 3600, gt=0)
    """Length of a source on its own time line. Twelve hours hold every film; an endless stream is refused."""
    max_frame_rate: float = Field(default=240, gt=0)
    """Average frames per second. 240 holds slow-motion phones."""
    min_frame_rate: Annotated[float, Added()] = Field(default=1.0, ge=0)
    """Average frames per second below which a file is no film (`too_few_frames`): slides, or a few pictures hours
    apart, which make a small file as long as it likes. Silent films have 16; time lapses are stored at the rate that
    they are shown at."""
    max_streams: int = Field(default=64, gt=0)
    """Streams of every kind in one file. Discs with all languages stay below 40."""
    max_bytes: int = Field(default=256 << 30, gt=0)
    """Size of a source file."""
    memory_bytes: Annotated[int, Runtime(recorded=6 << 30)] = Field(default=6 << 30, ge=256 << 20)
    """Address space of one child process (RLIMIT_AS). 8K ten-bit HEVC was seen to need about 4 GiB."""
    output_bytes: Annotated[int, Runtime(recorded=2 << 30)] = Field(default=2 << 30, gt=0)
    """Largest file that one child process may write (RLIMIT_FSIZE)."""
    stall_seconds: Annotated[float, Runtime(recorded=120.0)] = Field(default=120, gt=0)
    """Longest wait for a child that is streaming to say anything at all."""
    probe_seconds: Annotated[float, Runtime(recorded=1800.0)] = Field(default=1800, gt=0)
    """Longest probe: one read of the whole file and its hash."""
    scan_seconds: Annotated[float, Runtime(recorded=6 * 3600.0)] = Field(default=6 * 3600, gt=0)
    """Longest decode of a whole source, time in which the reader was busy elsewhere not counted."""
    cut_seconds: Annotated[float, Runtime(recorded=300.0)] = Field(default=300, gt=0)
    """Longest cut of one clip."""
