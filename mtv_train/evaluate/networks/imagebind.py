"""ImageBind (Girdhar et al. 2023): pictures, sound and text in one space. Here are the three towers that are used."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn import functional as F

from mtv_train.evaluate.networks.clip_blocks import causal_mask

UNUSED = ("depth", "thermal", "imu")
"""Modalities of the release that no metric needs: their weights are left on the disk."""
NORM_EPS = 1e-6
"""Of every norm but the sound stem's."""
LARGEST_SCALE = 100.0


@dataclass(frozen=True)
class Shape:
    """Width, depth and heads of one tower."""

    width: int
    blocks: int
    heads: int


@dataclass(frozen=True)
class Shapes:
    """`imagebind_huge`."""

    vision: Shape = field(default_factory=lambda: Shape(1280, 32, 16))
    text: Shape = field(default_factory=lambda: Shape(1024, 24, 16))
    audio: Shape = field(default_factory=lambda: Shape(768, 12, 12))
    embedding: int = 1024


class ImageBind(nn.Module):
    """Embeds clips of pictures, of sound, or texts. State dict: the layout of `imagebind_huge.pth` without `UNUSED`."""

    def __init__(self, shapes: Shapes | None = None):
        super().__init__()
        shapes = shapes or Shapes()
        vision, text, audio = shapes.vision, shapes.text, shapes.audio
        self.modality_preprocessors = nn.ModuleDict(
            {"vision": _VideoTokens(vision.width), "text": _TextTokens(text.width), "audio": _SoundTokens(audio.width)}
        )
        self.modality_trunks = nn.ModuleDict(
            {
                "vision": _Trunk(vision, pre_norm=True),
                "text": _Trunk(text),
                # The sound's attention has one learned key and value more than tokens.
                "audio": _Trunk(audio, bias_kv=True),
            }
        )
        self.modality_heads = nn.ModuleDict(
            {
                "vision": _ClassHead(vision.width, shapes.embedding),
                "text": _EndHead(text.width, shapes.embedding),
                "audio": _ClassHead(audio.width, shapes.embedding),
            }
        )
        self.modality_postprocessors = nn.ModuleDict(
            {name: nn.Sequential(_Unit(), _Scale()) for name in ("text", "audio")}
        )

    def embed_video(self, clips: torch.Tensor) -> torch.Tensor:
        """(batch, embedding) of `clips` (batch, views, 3, 2, 224, 224): the mean of the views' unit vectors."""
        return _mean_over_views(self._embed_pictures, clips)

    def embed_sound(self, clips: torch.Tensor) -> torch.Tensor:
        """(batch, embedding) of `clips` (batch, clips, 1, 128, 204): the mean of unit vectors times the logit scale."""
        return _mean_over_views(self._embed_mels, clips)

    def embed_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """(batch, embedding) of `tokens` (batch, 77): unit vectors times the logit scale."""
        tower = self.modality_preprocessors["text"]
        x = self.modality_trunks["text"](tower(tokens), tower.mask)
        return self.modality_postprocessors["text"](self.modality_heads["text"](x, tokens))

    def _embed_pictures(self, clips: torch.Tensor) -> torch.Tensor:
        x = self.modality_trunks["vision"](self.modality_preprocessors["vision"](clips))
        return F.normalize(self.modality_heads["vision"](x), dim=-1)

    def _embed_mels(self, mels: torch.Tensor) -> torch.Tensor:
        x = self.modality_trunks["audio"](self.modality_preprocessors["audio"](mels))
        return self.modality_postprocessors["audio"](self.modality_heads["audio"](x))


def _mean_over_views(embed, clips: torch.Tensor) -> torch.Tensor:  # type: ignore[no-untyped-def]
    batch, views = clips.shape[:2]
    return embed(clips.flatten(0, 1)).unflatten(0, (batch, views)).mean(1)


class _Positions(nn.Module):
    def __init__(self, tokens: int, width: int):
        super().__init__()
        self.pos_embed = nn.Parameter(torch.zeros(1, tokens, width))
        nn.init.trunc_normal_(self.pos_embed, std=0.02)


class _VideoTokens(nn.Module):
    """Patches of 2 frames x 14 x 14 pixels of a (3, 2, 224, 224) clip, behind a class token."""

    def __init__(self, width: int):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        # Entry 0 of the released list is a module without weights that repeats single pictures.
        conv = nn.Conv3d(3, width, (2, 14, 14), stride=(2, 14, 14), bias=False)
        self.rgbt_stem = nn.ModuleDict({"proj": nn.Sequential(nn.Identity(), conv)})
        self.pos_embedding_helper = _Positions(1 + 16 * 16, width)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        x = self.rgbt_stem["proj"](clips).flatten(2).transpose(1, 2)
        return torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embedding_helper.pos_embed


class _SoundTokens(nn.Module):
    """Patches of 16 x 16, 10 apart, of a (1, 128 mel, 204) spectrogram, behind a class token."""

    def __init__(self, width: int):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        conv = nn.Conv2d(1, width, 16, stride=10, bias=False)
        self.rgbt_stem = nn.ModuleDict({"proj": conv, "norm_layer": nn.LayerNorm(width)})
        self.pos_embedding_helper = _Positions(1 + 12 * 19, width)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        x = self.rgbt_stem["norm_layer"](self.rgbt_stem["proj"](mels).flatten(2).transpose(1, 2))
        return torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embedding_helper.pos_embed


class _TextTokens(nn.Module):
    """CLIP tokens; the causal mask is a part of the checkpoint."""

    def __init__(self, width: int, vocabulary: int = 49_408, context: int = 77):
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.pos_embed = nn.Parameter(torch.empty(1, context, width))
        nn.init.normal_(self.pos_embed, std=0.01)
        self.mask: torch.Tensor
        self.register_buffer("mask", causal_mask(context, torch.device("cpu"), torch.float32))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.token_embedding(tokens) + self.pos_embed


class _Trunk(nn.Module):
    def __init__(self, shape: Shape, pre_norm: bool = False, bias_kv: bool = False):
        super().__init__()
        if pre_norm:
            self.pre_transformer_layer = nn.Sequential(nn.LayerNorm(shape.width, eps=NORM_EPS))
        self.blocks = nn.ModuleList(_Block(shape.width, shape.heads, bias_kv) for _ in range(shape.blocks))
        self.pre_norm = pre_norm

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        x = self.pre_transformer_layer(x) if self.pre_norm else x
        for block in self.blocks:
            x = block(x, mask)
        return x


class _Block(nn.Module):
    def __init__(self, width: int, heads: int, bias_kv: bool):
        super().__init__()
        self.attn = nn.MultiheadAttention(width, heads, add_bias_kv=bias_kv, batch_first=True)
        self.norm_1 = nn.LayerNorm(width, eps=NORM_EPS)
        layers = [("fc1", nn.Linear(width, 4 * width)), ("act", nn.GELU()), ("fc2", nn.Linear(4 * width, width))]
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.norm_2 = nn.LayerNorm(width, eps=NORM_EPS)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        y = self.norm_1(x)
        x = x + self.attn(y, y, y, attn_mask=mask, need_weights=False)[0]
        return x + self.mlp(self.norm_2(x))


class _ClassHead(nn.Sequential):
    """Norm, choice of the class token, projection: places 0, 1 and 2 of the released list."""

    def __init__(self, width: int, embedding: int):
        super().__init__(nn.LayerNorm(width, eps=NORM_EPS), _ClassToken(), nn.Linear(width, embedding, bias=False))


class _ClassToken(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, 0]


class _EndHead(nn.Module):
    """Projects the token at the end of the text: the one with the highest id."""

    def __init__(self, width: int, embedding: int):
        super().__init__()
        self.proj = nn.Sequential(nn.LayerNorm(width, eps=NORM_EPS), nn.Linear(width, embedding, bias=False))

    def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        return self.proj(x[torch.arange(len(x), device=x.device), tokens.argmax(1)])


class _Unit(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(x, dim=-1)


class _Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.log_logit_scale = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.log_logit_scale.exp().clamp(max=LARGEST_SCALE) * x
