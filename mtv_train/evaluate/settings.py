"""Settings of an evaluation."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from demix.config import Settings


class FVDSettings(Settings):
    """Fréchet video distance."""

    frames: int = Field(default=49, ge=10)
    """First frames of each video that are compared; a video with fewer is listed and not counted. 49 is one MTV video;
    16 fits methods that make short ones. Values for other numbers are not comparable."""
    fps: float = Field(default=24.0, gt=0, le=240)
    """Frames a second at which videos are looked at, so that the same stretch of time is compared: one of another rate
    is resampled by its time stamps. 24 is MTV's. Values for other rates are not comparable."""
    i3d: Literal["torchscript", "state_dict"] = "torchscript"
    """`torchscript`: StyleGAN-V's `i3d_torchscript.pt`, as in most published numbers. `state_dict`: our I3D with
    `i3d_pretrained_400.pt`."""


class SyncSettings(Settings):
    """Sync-C and Sync-D."""

    max_shift: int = Field(default=15, ge=1)
    """Frames (1/25 s) by which sound and lips are shifted against each other at most. 15 is what everybody uses."""
    min_track: int = Field(default=50, ge=20)
    """Frames (1/25 s) for which a face has to be followed. SyncNet's own pipeline asks for 100, four seconds; 50, as
    LatentSync has it, is about what a video of 49 frames at 24 a second can give."""
    min_face: float = Field(default=50.0, gt=0)
    """Mean side in pixels of a face that counts; SyncNet's own pipeline asks for 100."""


class AudioCSettings(Settings):
    """Audio-C."""

    arithmetic: Literal["repaired", "published"] = "repaired"
    """`published`: ImageBind's own code, which most published numbers come from. It takes the mean of each of its
    windows off the file itself, so that overlapping windows are shifted more than once. `repaired` does not. Values of
    the two are not comparable."""


class EvaluateSettings(Settings):
    """How videos are scored."""

    max_seconds: float = Field(default=30.0, gt=0)
    """Of each video, from its beginning; longer ones are scored on this part, and the report says so."""
    batch: int = Field(default=16, ge=1)
    """Pictures or windows in a network at once. No result depends on it."""
    workers: int = Field(default=2, ge=1)
    """Videos that are decoded ahead. No result depends on it; each costs the memory of a decoded video."""
    seed: int = 0
    """Of the bootstrap."""
    clip: Literal["clip_vit_b32", "clip_vit_l14"] = "clip_vit_b32"
    """The CLIP of Temp-C. The paper does not name its own; values of different ones are not comparable."""
    fvd: FVDSettings = FVDSettings()
    audio_c: AudioCSettings = AudioCSettings()
    sync: SyncSettings = SyncSettings()
