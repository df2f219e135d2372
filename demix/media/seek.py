"""Key frames at which the decoding of a part of a film can begin; runs inside the sandbox's child."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from demix.media.container import open_container
from demix.media.limits import MediaLimits
from demix.media.packets import demuxed


def packets_from(container: Any, stream: Any, when: int) -> Iterator[Any]:
    """The stream's packets from the key frame on that the container finds for the time `when` (pts): as a rule the last
    one before it. None if there is no key frame from there on. Raises `av.FFmpegError` where it cannot seek."""
    container.seek(when, stream=stream)
    packets = demuxed(container, stream)
    for packet in packets:
        if packet.is_keyframe and packet.size > 0 and stamp(container, packet) is not None:
            yield packet
            yield from packets
            return


def key_frame(path: str, index: int, when: int, limits: MediaLimits) -> int | None:
    """pts of the first frame of `packets_from`. Asked for in a container of its own: where a container has been before
    may change where it goes to."""
    with open_container(path, limits) as container:
        first = next(packets_from(container, container.streams[index], when), None)
        return None if first is None else stamp(container, first)


def stamp(container: Any, packet: Any) -> int | None:
    """When a key frame is shown; AVI stores decoding times only (see `demix.media.container.frame_pts`)."""
    pts: int | None = packet.dts if container.format.name == "avi" else packet.pts
    return pts
