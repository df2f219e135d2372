"""One window of a clip as raw numbers: pictures, tracks, caption."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mtv_train.data.batch import ClipWaves
from mtv_train.data.index import DatasetIndex, Window
from mtv_train.data.prompt import decoded_caption, prompt_text
from mtv_train.data.settings import WindowSettings
from mtv_train.data.shards import Shards
from mtv_train.data.sound import read_track, samples_at
from mtv_train.data.video import decode_window

Part = Literal["video", "waves"]
PARTS: tuple[Part, ...] = ("video", "waves")


@dataclass(frozen=True)
class RawWindow:
    """What a window holds; parts that were not asked for are None."""

    key: str
    caption: str
    """As the text encoder is given it (see `prompt`)."""
    video: Tensor | None
    """uint8 RGB (frames, 3, height, width)"""
    waves: ClipWaves | None


def fields_of(parts: Collection[Part], window: WindowSettings) -> tuple[str, ...]:
    """The members that some parts are made of; the caption is always read."""
    tracks = [f"{track}.flac" for track in window.tracks] if "waves" in parts else []
    return (*(["mp4"] if "video" in parts else []), *tracks, "txt")


def sizes_of(parts: Collection[Part], window: WindowSettings, longest: int) -> list[int]:
    """Bytes that the tensors of these parts take at most, where no clip has more frames than `longest`."""
    pictures = [window.frames * 3 * window.height * window.width] if "video" in parts else []
    heard = samples_at(longest if window.audio_context == "clip" else window.frames, window)
    return pictures + ([4 * heard] * len(window.tracks) if "waves" in parts else [])


class WindowReader:
    """Reads windows of an index; one for each process."""

    def __init__(self, index: DatasetIndex, shards: Shards):
        self.settings = index.window_settings
        self._shards = shards

    def read(
        self, window: Window, parts: Collection[Part] = PARTS, place: tuple[float, float] = (0.5, 0.5)
    ) -> RawWindow:
        """`place` is where the crop lies, 0 (left, top) to 1. Raises SampleError."""
        data = self._shards.read(window.clip, fields_of(parts, self.settings))
        video = waves = None
        if "video" in parts:
            video = torch.from_numpy(decode_window(data["mp4"], window.clip.key, window.first, self.settings, place))
        if "waves" in parts:
            waves = heard_waves(read_waves(window, data, self.settings), self.settings)
        return RawWindow(window.key, read_caption(window, data["txt"], self.settings), video, waves)


def read_caption(window: Window, data: bytes, settings: WindowSettings) -> str:
    """The text that the text encoder is given, from a member `txt`. Raises SampleError (`caption`)."""
    return prompt_text(decoded_caption(window.clip.key, data), settings.prompt)


def read_waves(window: Window, data: Mapping[str, bytes], settings: WindowSettings) -> ClipWaves:
    """The tracks of the whole clip, from its members `<track>.flac`. Raises SampleError (`sound`, `short`)."""
    key, frames = window.clip.key, window.clip_frames
    waves: dict[str, Tensor] = {
        track: torch.from_numpy(read_track(data[f"{track}.flac"], key, track, frames, settings))
        for track in settings.tracks
    }
    return ClipWaves(waves, frames, window.first)


def heard_waves(whole: ClipWaves, settings: WindowSettings) -> ClipWaves:
    """What the audio encoder is given of a clip's samples: all, or those of the window alone."""
    if settings.audio_context == "clip":
        return whole
    start = samples_at(whole.first, settings)
    length = samples_at(settings.frames, settings)
    cut = {track: wave[start : start + length].clone() for track, wave in whole.waves.items()}
    return ClipWaves(cut, settings.frames, 0)
