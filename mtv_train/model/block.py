"""CogVideoX's block with the injection of sound between attention and feed-forward."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from diffusers.models.transformers.cogvideox_transformer_3d import CogVideoXBlock
from torch import Tensor

from mtv_train.model.config import MTVSettings
from mtv_train.model.control import Control
from mtv_train.model.injection import Injection, Rope
from mtv_train.model.modulation import Steps, modulate


class Context(NamedTuple):
    """What all blocks are given alike. A tuple of tensors, so that whatever wraps a block (checkpointing, sharding,
    compilation) sees them; `rope` is float32 and must stay it under mixed precision."""

    steps: Steps
    control: Control
    rope: Rope | None


class MTVBlock(CogVideoXBlock):
    """norm1, joint attention of text and video, the sound (video only), norm2, feed-forward."""

    def __init__(self, settings: MTVSettings, *, dim: int, num_attention_heads: int, **backbone: Any):
        super().__init__(dim=dim, num_attention_heads=num_attention_heads, **backbone)
        self.injection = Injection(settings, dim, num_attention_heads)

    def forward(self, video: Tensor, text: Tensor, context: Context) -> tuple[Tensor, Tensor]:
        """`video` (batch, latent frames, tokens a frame, dim), `text` (batch, tokens, dim); both, changed."""
        frames, length = video.shape[1], text.shape[1]
        normed, normed_text, gate, text_gate = modulate(self.norm1, video, text, context.steps)
        attended, attended_text = self.attn1(
            hidden_states=normed.flatten(1, 2), encoder_hidden_states=normed_text, image_rotary_emb=context.rope
        )
        video = video + gate * attended.unflatten(1, (frames, -1))
        text = text + text_gate * attended_text

        video = self.injection(video, context.control, self.attn1.norm_q, self.attn1.norm_k, context.rope)

        normed, normed_text, gate, text_gate = modulate(self.norm2, video, text, context.steps)
        refined = self.ff(torch.cat([normed_text, normed.flatten(1, 2)], dim=1))
        video = video + gate * refined[:, length:].unflatten(1, (frames, -1))
        text = text + text_gate * refined[:, :length]
        return video, text
