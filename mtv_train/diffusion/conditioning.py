"""What a training sample is told and what is kept from it: clean frames, dropped text, dropped tracks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from demix.config import Settings


class CleanFrameSettings(Settings):
    """How often which latent frames are kept clean in training, so that any frame can be given when sampling."""

    random: float = 0.01
    """Share of samples in which each frame is clean with a probability drawn from 0.1 to 0.9."""
    interpolate: float = 0.002
    """Share with every second frame clean."""
    quarter_random: float = 0.002
    """Share with a run of up to a quarter of the frames, anywhere."""
    quarter_head: float = 0.002
    """Share with such a run at the start."""
    quarter_tail: float = 0.002
    """Share with such a run at the end."""
    quarter_head_tail: float = 0.002
    """Share with runs at both ends."""
    head: float = 0.22
    """Share with the first frame."""
    tail: float = 0.005
    """Share with the last frame."""
    head_tail: float = 0.005
    """Share with both."""
    official_quarter_random: bool = False
    """Draw the place of the run in `quarter_random` from the picture's height in pixels, as the release does by
    mistake, so that it mostly misses the frames."""


class DropSettings(Settings):
    """How often conditions are left out in training, so that guidance has a branch without them."""

    text: float = 0.1
    """Share of samples whose text embedding is zeros."""
    audio: float = 0.05
    """Share whose tracks are all zeros together."""
    per_track: float = 0.0
    """Share in which each track, by itself, is zeros; it makes guidance per track possible. The release has none."""


@dataclass(frozen=True)
class Drops:
    """What is left out of one sample."""

    text: bool
    speech: bool
    effects: bool
    music: bool
    speech2: bool = False


def draw_clean_frames(generator: torch.Generator, frames: int, settings: CleanFrameSettings) -> Tensor:
    """Latent frames of one sample to be kept clean, boolean (frames,), at least one of them False."""
    raise NotImplementedError


def draw_drops(generator: torch.Generator, settings: DropSettings) -> Drops:
    """What is left out of one sample."""
    raise NotImplementedError
