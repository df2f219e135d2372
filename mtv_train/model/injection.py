"""How a block takes in the sound: cross-attention interval by interval, then scale and shift of all intervals."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor, nn

from mtv_train.model.config import MTVSettings
from mtv_train.model.control import Control

Rope = tuple[Tensor, Tensor]
"""Cosines and sines of the video tokens' rotary angles, each float32 (latent frames * tokens a frame, head dim)."""


def _turned(query: Tensor, rope: Rope) -> Tensor:
    """`query` (batch, heads, tokens of one frame, head dim) turned by the angles of frame 0."""
    tokens = query.shape[2]
    turned: Tensor = apply_rotary_emb(query, (rope[0][:tokens], rope[1][:tokens]))
    return turned


class CrossAttention(nn.Module):
    """Video tokens of an interval ask, the audio tokens of the same interval answer (equation 2 of the paper).

    Queries and keys pass the norms of the block's own self-attention, and queries its rotary embedding at frame 0, in
    every frame: place within the picture matters, time is already matched (release).
    """

    def __init__(self, dim: int, heads: int, audio_dim: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, dim)
        self.to_k = nn.Linear(audio_dim, dim)
        self.to_v = nn.Linear(audio_dim, dim)
        self.to_out = nn.Linear(dim, dim)

    def forward(self, video: Tensor, tokens: Tensor, norm_q: nn.Module, norm_k: nn.Module, rope: Rope | None) -> Tensor:
        """`video` (batch, frames, tokens a frame, dim), `tokens` (batch, frames, tokens, audio dim); like `video`."""
        query, key, value = (
            hidden.flatten(0, 1).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for hidden in (self.to_q(self.norm(video)), self.to_k(tokens), self.to_v(tokens))
        )  # (batch * frames, heads, tokens, head dim)
        query, key = norm_q(query), norm_k(key)
        if rope is not None:
            query = _turned(query, rope)
        heard = F.scaled_dot_product_attention(query, key, value)
        return self.to_out(heard.transpose(1, 2).flatten(2)).view_as(video)


class Injection(nn.Module):
    """The audio part of one block. The paper's: one cross-attention a track, summed onto the video, and the style."""

    def __init__(self, settings: MTVSettings, dim: int, heads: int):
        super().__init__()
        names = settings.interval_tracks if settings.injection == "separate" else ("shared",)
        self.attention = nn.ModuleDict({name: CrossAttention(dim, heads, settings.audio_dim) for name in names})
        self.style = nn.Linear(settings.audio_dim, 2 * dim) if settings.has_style else None

    def attentions(self) -> list[CrossAttention]:
        """The cross-attentions, in the order of the tracks."""
        return [module for module in self.attention.values() if isinstance(module, CrossAttention)]

    def forward(
        self, video: Tensor, control: Control, norm_q: nn.Module, norm_k: nn.Module, rope: Rope | None
    ) -> Tensor:
        """`video` (batch, frames, tokens a frame, dim), changed by what is heard."""
        tokens = control.tokens if "shared" not in self.attention else (torch.cat(control.tokens, 2),)
        heard = [
            attention(video, track, norm_q, norm_k, rope)
            for attention, track in zip(self.attentions(), tokens, strict=True)
        ]
        video = video + sum(heard[1:], start=heard[0])
        if self.style is not None and control.style is not None:
            scale, shift = self.style(control.style)[:, None, None].chunk(2, dim=-1)
            video = video * (1 + scale) + shift
        return video
