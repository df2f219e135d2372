"""How large a video is, and what can be asked of one; refusals before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from demix.config import ConfigError
from mtv_train.sample.pictures import GROUP, frames_of, latent_frame

VAE_SIDE = 8
"""Pixels on a side of a latent pixel."""


@dataclass(frozen=True)
class Shape:
    """A window: `frames` (1 + 4n) of `height` x `width` pixels."""

    frames: int
    height: int
    width: int

    @classmethod
    def of(cls, backbone: Mapping[str, Any], frames: int | None, height: int | None, width: int | None) -> Shape:
        """What is asked for, the rest as the backbone was made. Raises `ConfigError` for what it cannot do."""
        made = cls(backbone["sample_frames"], backbone["sample_height"] * VAE_SIDE, backbone["sample_width"] * VAE_SIDE)
        asked = cls(frames or made.frames, height or made.height, width or made.width)
        side = VAE_SIDE * backbone["patch_size"]
        if asked.frames < 1 or asked.frames % GROUP != 1:
            near = 1 + GROUP * max(round((asked.frames - 1) / GROUP), 0)
            raise ConfigError(
                f"{asked.frames} frames: the VAE groups four, so there must be 1 + 4n, for instance {near}"
            )
        if asked.height % side or asked.width % side or min(asked.height, asked.width) < side:
            raise ConfigError(f"{asked.height} x {asked.width} pixels: both sides must be multiples of {side}")
        if backbone["use_learned_positional_embeddings"] and asked != made:
            raise ConfigError(
                f"this model has learned positions for {made}, so it can make no {asked}; one with rotary positions "
                "alone (CogVideoX-5b) can"
            )
        return asked

    @property
    def latent_frames(self) -> int:
        """Latent frames."""
        return 1 + (self.frames - 1) // GROUP

    @property
    def latent_size(self) -> tuple[int, int]:
        """(height, width) of the latents."""
        return self.height // VAE_SIDE, self.width // VAE_SIDE

    def __str__(self) -> str:
        return f"{self.frames} frames of {self.height} x {self.width}"


def check_keyframes(frames: Iterable[int], shape: Shape, total: int | None = None) -> None:
    """Raises `ConfigError` for a keyframe outside of the video (of `total` frames), or two in one latent frame."""
    last = (total or shape.frames) - 1
    taken: dict[int, int] = {}
    for frame in sorted(frames):
        if not 0 <= frame <= last:
            raise ConfigError(f"keyframe {frame}: the video has frames 0 to {last}")
        place = latent_frame(frame)
        if place in taken:
            first, end = frames_of(place)
            raise ConfigError(
                f"keyframes {taken[place]} and {frame} lie in one latent frame (frames {first} to {end}), which can "
                "show one picture only; move one of them or leave it out"
            )
        taken[place] = frame
