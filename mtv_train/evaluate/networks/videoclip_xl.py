"""VideoCLIP-XL (Wang et al. 2024): ViCLIP's video tower beside Long-CLIP's text tower, trained on long descriptions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from mtv_train.evaluate.networks.clip_blocks import Blocks, causal_mask

UNCHANGED = 20
"""Text positions that keep CLIP's own embedding; Long-CLIP learned the later ones anew."""


@dataclass(frozen=True)
class TextShape:
    vocabulary: int = 49_408
    context: int = 248
    width: int = 768
    heads: int = 12
    layers: int = 12


@dataclass(frozen=True)
class VideoShape:
    side: int = 224
    patch: int = 14
    width: int = 1024
    heads: int = 16
    layers: int = 24
    frames: int = 8


class VideoCLIPXL(nn.Module):
    """Both towers. State dict: the layout of `VideoCLIP-XL.bin` (`model.` is the text, `viclip_model.` the video)."""

    def __init__(self, text: TextShape | None = None, video: VideoShape | None = None, embedding: int = 768):
        super().__init__()
        self.model = TextTower(text or TextShape(), embedding)
        self.viclip_model = _ViCLIP(video or VideoShape(), embedding)

    def embed_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, embedding), not normalised, of `tokens` (batch, context)."""
        return self.model(tokens)

    def embed_video(self, frames: torch.Tensor) -> torch.Tensor:
        """(batch, embedding), not normalised, of `frames` (batch, 8, 3, side, side)."""
        return self.viclip_model.vision_encoder(frames)


class TextTower(nn.Module):
    """Long-CLIP's text tower. `logit_scale` is in the checkpoint and takes no part in a cosine."""

    def __init__(self, shape: TextShape, embedding: int):
        super().__init__()
        self.token_embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.positional_embedding = nn.Parameter(torch.empty(shape.context, shape.width))
        self.positional_embedding_res = nn.Parameter(torch.empty(shape.context, shape.width))
        self.transformer = Blocks(shape.width, shape.layers, shape.heads)
        self.ln_final = nn.LayerNorm(shape.width)
        self.text_projection = nn.Parameter(torch.empty(shape.width, embedding))
        self.logit_scale = nn.Parameter(torch.zeros(()))
        for name in ("positional_embedding", "positional_embedding_res", "text_projection"):
            nn.init.normal_(getattr(self, name), std=0.01)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        positions = torch.cat([self.positional_embedding[:UNCHANGED], self.positional_embedding_res[UNCHANGED:]])
        x = self.token_embedding(tokens) + positions[: tokens.shape[1]]
        x = self.transformer(x, causal_mask(tokens.shape[1], x.device, x.dtype))
        # The end-of-text token has the highest id.
        ends = self.ln_final(x)[torch.arange(len(x), device=x.device), tokens.argmax(1)]
        return ends @ self.text_projection


class _ViCLIP(nn.Module):
    """The released nesting; `temp` takes no part in a cosine."""

    def __init__(self, shape: VideoShape, embedding: int):
        super().__init__()
        self.temp = nn.Parameter(torch.zeros(()))
        self.vision_encoder = VideoTower(shape, embedding)


class VideoTower(nn.Module):
    """A vision transformer over all patches of all frames at once."""

    def __init__(self, shape: VideoShape, embedding: int):
        super().__init__()
        patches = (shape.side // shape.patch) ** 2
        self.conv1 = nn.Conv3d(3, shape.width, (1, shape.patch, shape.patch), (1, shape.patch, shape.patch), bias=False)
        self.class_embedding = nn.Parameter(torch.empty(shape.width))
        self.positional_embedding = nn.Parameter(torch.empty(patches + 1, shape.width))
        self.temporal_positional_embedding = nn.Parameter(torch.empty(1, shape.frames, shape.width))
        self.ln_pre = nn.LayerNorm(shape.width)
        self.transformer = Blocks(shape.width, shape.layers, shape.heads)
        self.ln_post = nn.LayerNorm(shape.width)
        self.proj = nn.Parameter(torch.empty(shape.width, embedding))
        for name in ("class_embedding", "positional_embedding", "temporal_positional_embedding", "proj"):
            nn.init.normal_(getattr(self, name), std=0.01)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """(batch, embedding) of `frames` (batch, time, 3, side, side)."""
        patches = self.conv1(frames.transpose(1, 2)).flatten(3).permute(0, 2, 3, 1)  # (batch, time, patches, width)
        patches = patches + self.positional_embedding[1:] + self.temporal_positional_embedding[:, :, None]
        # One class token a video, at spatial position 0 and at no time.
        token = (self.class_embedding + self.positional_embedding[0]).expand(len(frames), 1, -1)
        x = self.ln_pre(torch.cat([token, patches.flatten(1, 2)], 1))
        return self.ln_post(self.transformer(x)[:, 0]) @ self.proj
