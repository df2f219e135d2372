"""Packets and decoders one by one: what the two thrifty ways through a film share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame

CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
"""Containers in which every packet is one picture and has its time."""

SMOOTH = {"skip_loop_filter": "noref"}
"""Options of a decoder whose errors cannot spread: only pictures that nothing refers to keep their block edges."""

Small = Callable[[VideoFrame], np.ndarray]
"""Makes the small picture, uint8 BGR (height, width, 3)."""


def packets_of(container: Any, stream: Any) -> Iterator[Any]:
    """Every packet with a picture; a broken container ends the film."""
    try:
        for packet in container.demux(stream):
            if packet.size > 0 and packet.pts is not None:
                yield packet
    except av.FFmpegError as error:
        print(f"the container breaks off: {error}")  # the sandbox keeps it with libav's own words


def decoded(context: Any, packet: Any) -> list[Any]:
    """The frames with a time that a decoder gives for a packet (None: the last ones); none for a damaged packet."""
    try:
        return [frame for frame in context.decode(packet) if frame.pts is not None]
    except av.FFmpegError:
        return []  # libav has told stderr


def second_decoder(stream: Any, options: dict[str, str]) -> Any:
    """Another decoder for the same stream, on one thread."""
    own = stream.codec_context
    context = av.CodecContext.create(own.codec.name, "r")
    context.extradata = own.extradata
    context.options = dict(options)
    context.thread_type, context.thread_count = "NONE", 1
    return context
