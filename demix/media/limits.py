"""How much of a machine one stranger's file may take. Declared once, used by every room that opens media."""

from __future__ import annotations

from pydantic import Field

from demix.config import Settings


class MediaLimits(Settings):
    """Beyond these a file is refused (`too_large`) or its child process is ended (`Failed`); see docs/security.md."""

    max_pixels: int = Field(default=8192 * 4608, gt=0)
    """Pixels of one frame, stored size. 8192x4608 holds every 8K format; memory per decoded frame grows with it."""
    max_side: int = Field(default=16384, gt=0)
    """Pixels along either side, against 1 x 2^31 pictures."""
    max_seconds: float = Field(default=12 * 3600, gt=0)
    """Length of a source on its own time line. Twelve hours hold every film; an endless stream is refused."""
    max_frame_rate: float = Field(default=240, gt=0)
    """Average frames per second. 240 holds slow-motion phones."""
    max_streams: int = Field(default=64, gt=0)
    """Streams of every kind in one file. Discs with all languages stay below 40."""
    max_bytes: int = Field(default=256 << 30, gt=0)
    """Size of a source file."""
    memory_bytes: int = Field(default=6 << 30, ge=256 << 20)
    """Address space of one child process (RLIMIT_AS). 8K ten-bit HEVC was seen to need about 4 GiB."""
    output_bytes: int = Field(default=2 << 30, gt=0)
    """Largest file that one child process may write (RLIMIT_FSIZE)."""
    stall_seconds: float = Field(default=120, gt=0)
    """Longest wait for a child that is streaming to say anything at all."""
    probe_seconds: float = Field(default=1800, gt=0)
    """Longest probe: one read of the whole file and its hash."""
    scan_seconds: float = Field(default=6 * 3600, gt=0)
    """Longest decode of a whole source, time in which the reader was busy elsewhere not counted."""
    cut_seconds: float = Field(default=300, gt=0)
    """Longest cut of one clip."""
