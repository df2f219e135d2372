"""Opens a stranger's file with libav so that no other file, and no network, can be reached through it.

Runs inside the sandbox's child. The file is handed to libav as an open descriptor under the protocol white-list `fd`:
playlists, concat lists, external references and side files have no protocol left to open anything with, and the
file's name never reaches a demuxer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from demix.media.errors import MediaError
from demix.media.limits import MediaLimits

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.frame import VideoFrame

FILM_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,live_flv,kux,mpeg,mpegts,asf,asf_o,ogg,mxf,nut,wtv,rm,dv,gxf,ivf,"
    "amv,nsv,lxf"
)
"""Demuxers that strangers' files may use: containers of moving pictures with time stamps. Everything else is refused:
playlists and lists that name other files (hls, dash, concat, imf, ...), pictures, subtitles, raw streams."""

AUDIO_FORMATS = (
    "aac,ac3,aiff,amr,ape,au,caf,dsf,dts,eac3,flac,latm,loas,mp3,mpc,mpc8,opus,spx,tak,truehd,tta,voc,w64,wav,wv,xwma"
)
"""Formats that hold sound only: known, so that the reason can say so, but never opened."""

_SURE = 25
"""libav's probe score (0..100) from which a format counts as recognised; text and noise stay below."""


_PROBED = re.compile(r"Format (\S+) (?:probed with size=\d+ and|detected only with low) score(?: of |=)(\d+)")


Part = Sequence[Any]
"""A part of a file that is read as a film of its own: format, first byte, byte behind the last one."""


@contextmanager
def open_container(path: str, limits: MediaLimits, part: Part | None = None) -> Iterator[InputContainer]:
    """The file at `path`, or a part of it, as an opened libav container; libav's errors go to stderr, which the parent
    keeps.

    Raises `MediaError`: `not_media`, `no_video`, `truncated` (recognised, but its header or index cannot be read).
    """
    import av.logging

    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    options = {
        "fd": str(descriptor),
        "protocol_whitelist": protocols(part),
        "format_whitelist": FILM_FORMATS,
        "max_streams": str(limits.max_streams),
    }
    try:
        # Which format libav recognised is told in its log only.
        av.logging.set_level(av.logging.DEBUG)
        with av.logging.Capture() as lines:
            try:
                container = open_leniently(address(part), format=part and part[0], options=options)
            except av.FFmpegError as error:
                raise _refusal(error, [line for _, _, line in lines], limits) from error
        av.logging.set_level(av.logging.ERROR)
        av.logging.restore_default_callback()
        with container:
            yield container
    finally:
        os.close(descriptor)


def address(part: Part | None) -> str:
    """libav's name of an open descriptor, or of a part of what it reads."""
    return "fd:" if part is None else f"subfile,,start,{part[1]},end,{part[2]},,:fd:"


def protocols(part: Part | None) -> str:
    """Those that are allowed: an open descriptor, and a part of what it reads."""
    return "fd" if part is None else "fd,subfile"


def open_leniently(file: Any, **options: Any) -> InputContainer:
    """`av.open` for reading, whatever bytes are in a film's tags. PyAV 19 has no option for it and needs none."""
    import av

    lenient = {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
    return av.open(file, **options, **lenient)


def frame_pts(container: InputContainer, frame: VideoFrame) -> int:
    """When a frame is shown, in ticks of its stream: the same number that ffmpeg's filters see.

    AVI stores no presentation times: there the decoder's order is the only truth, and its clock is the frame's dts.
    Raises `MediaError("decode")` for a frame without any time.
    """
    pts = frame.dts if container.format.name == "avi" else frame.pts
    if pts is None:
        raise MediaError("decode", "a frame without time stamp")
    return pts


def _refusal(error: av.FFmpegError, lines: list[str], limits: MediaLimits) -> MediaError:
    if any("max_streams" in line and "exceeds" in line for line in lines):
        evidence = {"streams": limits.max_streams + 1, "limit": limits.max_streams}
        return MediaError("limits", f"streams: more than {limits.max_streams}", evidence=evidence)
    probed = [found for line in lines if (found := _PROBED.match(line))]
    names = {name for found in probed if int(found[2]) >= _SURE for name in found[1].split(",")}
    name = ",".join(sorted(names)) or "unknown"
    detail = f"{type(error).__name__}: {error}\n" + "".join(
        line for line in lines if line.startswith("Format ") and "whitelist '" not in line
    )
    if names & set(FILM_FORMATS.split(",")):
        return MediaError("truncated", f"a {name} file whose header or index cannot be read", detail, {"format": name})
    if names & set(AUDIO_FORMATS.split(",")):
        return MediaError("no_video", f"sound only ({name})", detail, {"format": name})
    return MediaError("not_media", f"not a film container (recognised as: {name})", detail, {"format": name})
