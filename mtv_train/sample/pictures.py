"""Latents to pictures and back, by CogVideoX's VAE."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from demix.config import ConfigError
from mtv_train.sample.decoder import GROUP, Decoder, Finish, to_bytes


def latent_frame(frame: int) -> int:
    """Which latent frame holds a video frame."""
    return 0 if frame == 0 else 1 + (frame - 1) // GROUP


def frames_of(latent: int) -> tuple[int, int]:
    """First and last video frame of a latent frame."""
    return (0, 0) if latent == 0 else (GROUP * (latent - 1) + 1, GROUP * latent)


def decode(
    vae: Any, latents: Tensor, scale: float, device: torch.device | None = None, finish: Finish = to_bytes
) -> Tensor:
    """Scaled latents (batch, n, channels, height, width) as video of 1 + 4 (n - 1) frames, by default uint8 (batch,
    frames, height, width, 3), on the CPU. For `device` and `finish` see `Decoder`."""
    return torch.cat(list(Decoder(vae, scale, device, finish).feed(latents, last=True)), 1)


@torch.no_grad()
def encode(vae: Any, video: Tensor, scale: float, device: torch.device | None = None) -> Tensor:
    """uint8 video (frames, height, width, 3) as scaled latents (1, latent frames, channels, height, width), float32.

    The mean of the posterior, so that the same pictures always give the same latents.
    """
    weight = next(vae.parameters())
    pixels = video.to(device or weight.device).permute(3, 0, 1, 2)[None].to(weight.dtype) / 127.5 - 1
    return vae.encode(pixels).latent_dist.mean.transpose(1, 2).float() * scale


def still(picture: Image.Image, latent: int, height: int, width: int) -> Tensor:
    """A picture as a video that shows it and nothing else, up to latent frame 0 or 1, uint8 (1 or 5, height, width, 3).

    Scaled until it covers height x width and cropped at its middle, as training pictures are. Raises `ConfigError` for
    one that cannot be shown (`rgb`).
    """
    shown = ImageOps.fit(rgb(picture)[0], (width, height), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(shown))[None].repeat(1 if latent == 0 else 1 + GROUP, 1, 1, 1)


def rgb(picture: Image.Image) -> tuple[Image.Image, str]:
    """A picture of any kind as it is to be seen, upright, in mode RGB; and what is to be said of that, or nothing.

    What is transparent is laid over white. Grey values of 16 bits and floats of 0..1 are scaled to 8 bits. Raises
    `ConfigError` for values whose range nobody states.
    """
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith(("I", "F")):
        grey, said = _scaled(upright)
        return grey.convert("RGB"), said
    if upright.has_transparency_data:
        layered = upright.convert("RGBA")
        if np.asarray(layered)[..., 3].min() < 255:
            white = Image.new("RGBA", layered.size, "white")
            return Image.alpha_composite(white, layered).convert("RGB"), "is transparent; it was laid over white"
    return upright.convert("RGB"), ""


def _scaled(picture: Image.Image) -> tuple[Image.Image, str]:
    values = np.asarray(picture).astype(np.float64)
    top, kind = (1.0, "floats") if picture.mode.startswith("F") else (65535.0, "deep grey values")
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= top):  # NaN too
        raise ConfigError(f"its {kind} run from {low:g} to {high:g}, not 0 to {top:g}; convert it to 8 bits")
    grey = Image.fromarray((values / top * 255).round().astype(np.uint8))
    return grey, f"has {kind}; 0 to {top:g} were scaled to 8 bits"
