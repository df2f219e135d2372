"""Adaptive norms that know of clean frames: each frame is modulated from its own denoising step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from diffusers.models.normalization import AdaLayerNorm, CogVideoXLayerNormZero
from torch import Tensor


class Steps(NamedTuple):
    """The denoising step, embedded."""

    current: Tensor
    """Of the sample, (batch, time dim)."""
    clean: Tensor | None = None
    """Of timestep 0, (batch, time dim)."""
    clean_frames: Tensor | None = None
    """Frames that are at timestep 0, boolean (batch, latent frames); none where absent."""


def modulate(
    norm: CogVideoXLayerNormZero, video: Tensor, text: Tensor, steps: Steps
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Video and text, normed and modulated, and their gates, by a CogVideoX block's own `norm`.

    `video` (batch, frames, tokens a frame, dim), `text` (batch, tokens, dim). The arithmetic is that of diffusers,
    so that without clean frames the numbers are the same to the last bit.
    """
    current = norm.linear(norm.silu(steps.current)).chunk(6, dim=1)
    clean = None if steps.clean is None else norm.linear(norm.silu(steps.clean)).chunk(6, dim=1)
    shift, scale, gate = (per_frame(current[i], clean and clean[i], steps.clean_frames) for i in range(3))
    text_shift, text_scale, text_gate = (part[:, None] for part in current[3:])
    video = norm.norm(video) * (1 + scale) + shift
    text = norm.norm(text) * (1 + text_scale) + text_shift
    return video, text, gate, text_gate


def modulate_out(norm: AdaLayerNorm, video: Tensor, steps: Steps) -> Tensor:
    """The last adaptive norm; `video` (batch, frames, tokens a frame, dim)."""
    current = norm.linear(norm.silu(steps.current)).chunk(2, dim=1)
    clean = None if steps.clean is None else norm.linear(norm.silu(steps.clean)).chunk(2, dim=1)
    shift, scale = (per_frame(current[i], clean and clean[i], steps.clean_frames) for i in range(2))
    return norm.norm(video) * (1 + scale) + shift


def per_frame(current: Tensor, clean: Tensor | None, clean_frames: Tensor | None) -> Tensor:
    """`clean` where a frame is clean, `current` elsewhere: (batch, frames or 1, 1, dim) of two (batch, dim)."""
    if clean is None or clean_frames is None:
        return current[:, None, None]
    return torch.where(clean_frames[:, :, None], clean[:, None], current[:, None])[:, :, None]
