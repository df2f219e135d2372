"""What media that call themselves ours turn out to be when every frame and sample of them is decoded.

For `demix verify`: a dataset may come from anywhere, so its members are strangers' media until they are proven. Runs
inside the sandbox's child; members are read by offset out of a shard's tar.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import av
from av.container import InputContainer

from demix.media.container import open_leniently

FORMATS = {"mp4": "mov", "flac": "flac"}


def members(path: str, spans: Sequence[Sequence[Any]]) -> Iterator[bytes]:
    """One JSON record for each (kind, offset, size) of `spans`, in order: what `video` or `sound` say, or an "error".

    `kind` is a key of `FORMATS`; bytes outside the span cannot be reached by the decoder.
    """
    with open(path, "rb") as tar:
        for kind, offset, size in spans:
            tar.seek(offset)
            yield json.dumps(_measured(kind, tar.read(size))).encode()


def _measured(kind: str, data: bytes) -> dict[str, Any]:
    # The only protocol that is allowed does not exist: external references inside the container lead nowhere.
    options = {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2" if kind == "mp4" else kind, "protocol_whitelist": "none"}
    try:
        with open_leniently(io.BytesIO(data), format=FORMATS[kind], options=options) as container:
            return video(container) if kind == "mp4" else sound(container)
    except (av.FFmpegError, ValueError) as error:
        return {"error": f"{type(error).__name__}: {error}"}


def video(container: InputContainer) -> dict[str, Any]:
    """Frames, width and height of the picture, its rate as "24/1"; samples, rate and channels of its sound track."""
    if not container.streams.video or not container.streams.audio:
        return {"error": "it lacks a video or an audio stream"}
    picture, audio = container.streams.video[0], container.streams.audio[0]
    frames = samples = 0
    for frame in container.decode(picture, audio):
        if isinstance(frame, av.VideoFrame):
            frames += 1
        elif isinstance(frame, av.AudioFrame):
            samples += frame.samples
    context = picture.codec_context
    rate = picture.average_rate
    return {
        "frames": frames,
        "width": context.width,
        "height": context.height,
        "fps": f"{rate.numerator}/{rate.denominator}" if rate else "unknown",
        "samples": samples,
        "sample_rate": audio.codec_context.sample_rate,
        "channels": audio.codec_context.channels,
    }


def sound(container: InputContainer) -> dict[str, Any]:
    """Samples per channel, rate and channels of a sound file."""
    if not container.streams.audio:
        return {"error": "it lacks an audio stream"}
    stream = container.streams.audio[0]
    samples = sum(frame.samples for frame in container.decode(stream))
    context = stream.codec_context
    return {"samples": samples, "sample_rate": context.sample_rate, "channels": context.channels}
