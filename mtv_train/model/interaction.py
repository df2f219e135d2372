"""Interval interaction blocks: the tracks understand themselves and each other, interval by interval."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from diffusers.models.attention import FeedForward
from torch import Tensor, nn

from mtv_train.model.config import MTVSettings


def kind_of(track: str) -> str:
    """Tracks of one kind share norms and modulation: both speakers are speech."""
    return "speech" if track.startswith("speech") else track


class IntervalAttention(nn.Module):
    """Self-attention over the tokens of one interval; never across intervals."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(dim, dim)
        self.to_k = nn.Linear(dim, dim)
        self.to_v = nn.Linear(dim, dim)
        self.to_out = nn.Linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """`tokens` (batch, intervals, tokens, dim), and so the result."""
        batch, intervals = tokens.shape[:2]
        q, k, v = (
            layer(tokens).flatten(0, 1).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for layer in (self.to_q, self.to_k, self.to_v)
        )  # (batch * intervals, heads, tokens, dim / heads)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.to_out(mixed).unflatten(0, (batch, intervals))


class InteractionBlock(nn.Module):
    """AdaLN, joint self-attention, gate; AdaLN, FFN, gate. Each kind of track has its own norm and modulation from
    the denoising step; attention, second norm and FFN are shared by all."""

    def __init__(self, settings: MTVSettings, time_dim: int):
        super().__init__()
        dim = settings.audio_dim
        self.kinds = tuple(dict.fromkeys(kind_of(track) for track in settings.interval_tracks))
        self.tracks = tuple(kind_of(track) for track in settings.interval_tracks)
        self.official = settings.official
        self.silu = nn.SiLU()
        self.adaln = nn.Linear(time_dim, len(self.kinds) * 6 * dim)
        self.norm1 = nn.ModuleDict({kind: nn.LayerNorm(dim) for kind in self.kinds})
        self.attention = IntervalAttention(dim, settings.interval_heads)
        self.norm2 = nn.LayerNorm(dim)
        self.ff = FeedForward(dim, activation_fn="gelu-approximate")

    def forward(self, tracks: Sequence[Tensor], temb: Tensor) -> tuple[Tensor, ...]:
        """`tracks` each (batch, intervals, tokens, audio dim); `temb` (batch, time dim)."""
        if self.official:
            temb = temb[:1]
        chunks = self.adaln(self.silu(temb))[:, None, None].chunk(6 * len(self.kinds), dim=-1)
        # (shift, scale, gate of the attention; shift, scale, gate of the FFN) of each track's kind
        modulation = [chunks[6 * index : 6 * index + 6] for index in map(self.kinds.index, self.tracks)]
        sizes = [track.shape[2] for track in tracks]

        normed = [
            self.norm1[kind](track) * (1 + scale) + shift
            for kind, track, (shift, scale, *_) in zip(self.tracks, tracks, modulation, strict=True)
        ]
        attended = self.attention(torch.cat(normed, 2)).split(sizes, 2)
        tracks = [t + m[2] * a for t, m, a in zip(tracks, modulation, attended, strict=True)]

        normed = [self.norm2(t) * (1 + m[4]) + m[3] for t, m in zip(tracks, modulation, strict=True)]
        refined = self.ff(torch.cat(normed, 2)).split(sizes, 2)
        return tuple(t + m[5] * r for t, m, r in zip(tracks, modulation, refined, strict=True))
