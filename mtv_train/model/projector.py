"""From windows of wav2vec2 features at the video's rate to tokens per latent interval."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mtv_train.model.config import MTVSettings

GROUPINGS = 2
"""Halvings of the frame count; 2 * 2 = 4 is the VAE's compression in time."""


class AudioProjector(nn.Module):
    """Three linear layers a frame, then a convolution in time that groups frames as the causal video VAE does.

    The first frame stands alone, every further interval holds four frames: 1 + 4n frames give 1 + n intervals. The one
    convolution of kernel and stride 2 is applied twice with the same weights, the first frame kept aside each time
    (release; the paper names three linear layers and a 1D convolution).
    """

    def __init__(self, settings: MTVSettings):
        super().__init__()
        self.tokens, self.dim = settings.audio_tokens, settings.audio_dim
        self.per_token, self.any_count = settings.temporal_conv == "per_token", settings.official
        window = settings.window_frames * settings.feature_layers * settings.feature_dim
        self.linear_1 = nn.Linear(window, settings.projector_dim)
        self.linear_2 = nn.Linear(settings.projector_dim, settings.projector_dim)
        self.linear_3 = nn.Linear(settings.projector_dim, self.tokens * self.dim)
        channels = self.dim if self.per_token else self.tokens * self.dim
        self.conv = nn.Conv1d(channels, channels, kernel_size=2, stride=2)
        self.norm = nn.LayerNorm(self.dim)

    def forward(self, windows: Tensor) -> Tensor:
        """Tokens (batch, intervals, tokens, dim) of windows (batch, 1 + 4n frames, window, layers, channels)."""
        frames = windows.shape[1]
        if frames % 4 != 1 and not self.any_count:
            raise ValueError(f"{frames} frames of sound do not group into latent intervals; there must be 1 + 4n")
        hidden = self.linear_1(windows.flatten(2)).relu()
        hidden = self.linear_3(self.linear_2(hidden).relu())  # (batch, frames, tokens * dim)
        if self.per_token:
            hidden = hidden.unflatten(2, (self.tokens, self.dim)).transpose(1, 2).flatten(0, 1)
        for _ in range(GROUPINGS):
            hidden = self._halved(hidden)
        if self.per_token:
            hidden = hidden.unflatten(0, (-1, self.tokens)).transpose(1, 2)
        else:
            hidden = hidden.unflatten(2, (self.tokens, self.dim))
        return self.norm(hidden)

    def _halved(self, hidden: Tensor) -> Tensor:
        """(batch, frames, channels) to (batch, 1 + (frames - 1) / 2, channels); even counts give half (release)."""
        alone = hidden.shape[1] % 2
        first, rest = hidden[:, :alone], hidden[:, alone:]
        if rest.shape[1] < 2:
            return first
        return torch.cat([first, self.conv(rest.transpose(1, 2)).transpose(1, 2)], 1)
