"""The MP4 that a video leaves as: H.264 pictures, and the sound from the same moment on."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from torch import Tensor

from demix.media.audio import resample
from demix.media.cut import SAMPLE_RATES
from demix.store import atomic
from mtv_train.sample.track import Track


def write_film(path: Path, video: Tensor, sound: Track | None, fps: Fraction, crf: int = 17) -> None:
    """`video` uint8 (frames, height, width, 3); `sound`, if any, exactly as long, or silence. The same input gives the
    same bytes, with the same libraries."""
    with atomic(path) as aside, av.open(str(aside), "w", options={"fflags": "+bitexact"}) as container:
        # x264's macroblock tree reads memory that it has not written, and so encodes the same pictures differently.
        options = {"crf": str(crf), "threads": "1", "x264-params": "mbtree=0"}
        pictures = container.add_stream("libx264", rate=fps, options=options)
        pictures.height, pictures.width = int(video.shape[1]), int(video.shape[2])
        pictures.pix_fmt = "yuv420p"
        heard = _carried(sound) if sound is not None else None
        voice = None
        if heard is not None:
            voice = container.add_stream("aac", rate=heard.sample_rate)
            voice.layout = "stereo" if len(heard.wave) == 2 else "mono"
            voice.bit_rate = 192_000
        for picture in video.numpy():
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(pictures.encode())
        if heard is not None and voice is not None:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(heard.wave), format="fltp", layout=voice.layout.name
            )
            frame.sample_rate = heard.sample_rate
            frame.pts = 0  # without it the encoder's run-in of 1024 samples would be heard as silence
            container.mux(voice.encode(frame))
            container.mux(voice.encode())


def _carried(sound: Track) -> Track:
    """At a rate that AAC has, 48 kHz at most."""
    allowed = [rate for rate in SAMPLE_RATES if rate <= 48_000]
    rate = next((rate for rate in allowed if rate >= sound.sample_rate), allowed[-1])
    return Track(resample(sound.wave, sound.sample_rate, rate), rate)
