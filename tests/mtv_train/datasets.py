"""Tiny training datasets: WebDataset tars whose every frame and sample says which clip it is of."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import soundfile

FPS, RATE = 24, 16000
TRACKS = ("speech", "effects", "music")


@dataclass(frozen=True)
class TinyClip:
    """Clip `number`: a grey that grows by 4 a frame from a level of the clip's own, and a tone of its own a track."""

    number: int
    frames: int = 12
    subsets: tuple[str, ...] = ("single_character",)
    split: str = "train"
    caption: str = ""
    instead: Mapping[str, bytes | None] = field(default_factory=dict)
    """Members that are other bytes, or absent."""

    @property
    def key(self) -> str:
        return f"clip{self.number:04d}"

    def grey(self, frame: int) -> int:
        """0..255 of a frame's pixels."""
        return 40 + 13 * self.number % 100 + 4 * frame

    def members(self) -> dict[str, bytes]:
        made: dict[str, bytes | None] = {"mp4": video(self), "txt": (self.caption or f"Scene {self.number}.").encode()}
        made |= {f"{track}.flac": tone(self, 200 * (1 + position)) for position, track in enumerate(TRACKS)}
        made["json"] = json.dumps({"subsets": self.subsets, "split": self.split}).encode()
        return {name: data for name, data in (made | dict(self.instead)).items() if data is not None}


def video(clip: TinyClip, size: tuple[int, int] = (48, 64)) -> bytes:
    """H.264 at 24 frames a second, without loss."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"qp": "0", "preset": "ultrafast", "g": "5"})
        stream.height, stream.width = size
        stream.pix_fmt = "yuv420p"
        for number in range(clip.frames):
            picture = np.full((*size, 3), clip.grey(number), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def tone(clip: TinyClip, hertz: float) -> bytes:
    """A sine as long as the video."""
    times = np.arange(round(clip.frames / FPS * RATE)) / RATE
    file = io.BytesIO()
    wave = 0.2 * np.sin(2 * np.pi * (hertz + clip.number) * times)
    soundfile.write(file, wave.astype(np.float32), RATE, format="FLAC", subtype="PCM_16")
    return file.getvalue()


def write_tars(folder: Path, clips: Sequence[TinyClip], per_tar: int = 4) -> Path:
    """The clips as tars of `per_tar` each; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(clips), per_tar):
        with tarfile.open(folder / f"{start // per_tar:03d}.tar", "w") as tar:
            for clip in clips[start : start + per_tar]:
                for name, data in sorted(clip.members().items()):
                    info = tarfile.TarInfo(f"{clip.key}.{name}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return folder
