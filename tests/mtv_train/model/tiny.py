"""Small models, backbones and inputs: three blocks, 49 frames of 48 x 64 pixels, every kind of backbone."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from diffusers import CogVideoXTransformer3DModel
from torch import Tensor

from mtv_train.model.audio import AudioWindows
from mtv_train.model.config import MTVSettings
from mtv_train.model.transformer import MTVTransformer3DModel

KINDS: dict[str, dict[str, Any]] = {
    "2b": {"in_channels": 4},
    "5b": {"in_channels": 4, "use_rotary_positional_embeddings": True},
    "5b-I2V": {
        "in_channels": 8,
        "use_rotary_positional_embeddings": True,
        "use_learned_positional_embeddings": True,
    },
}
"""What tells the released backbones apart."""
BACKBONE = {
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "out_channels": 4,
    "time_embed_dim": 24,
    "text_embed_dim": 20,
    "num_layers": 3,
    "sample_width": 8,
    "sample_height": 6,
    "sample_frames": 49,
    "max_text_seq_length": 6,
}
SIZES: dict[str, Any] = {
    "feature_layers": 3,
    "feature_dim": 8,
    "projector_dim": 16,
    "audio_tokens": 4,
    "audio_dim": 12,
    "interval_blocks": 2,
    "interval_heads": 3,
}


class Inputs(NamedTuple):
    """Arguments of a model's forward pass."""

    latents: Tensor
    text: Tensor
    timestep: Tensor
    audio: AudioWindows

    def row(self, index: int) -> Inputs:
        """One sample of the batch."""
        one = slice(index, index + 1)
        return Inputs(self.latents[one], self.text[one], self.timestep[one], self.audio.map(lambda t: t[one]))


def backbone(kind: str = "5b", seed: int = 0) -> CogVideoXTransformer3DModel:
    torch.manual_seed(seed)
    return CogVideoXTransformer3DModel(**BACKBONE, **KINDS[kind]).eval()


def model(kind: str = "5b", *, moved: bool = True, **changes: Any) -> MTVTransformer3DModel:
    """A model; `moved`: away from its zeros, as if it had been trained."""
    torch.manual_seed(0)
    built = MTVTransformer3DModel({**BACKBONE, **KINDS[kind]}, settings(**changes).model_dump()).eval()
    if moved:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in built.parameters():
                parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return built


def settings(**changes: Any) -> MTVSettings:
    return MTVSettings(**{**SIZES, **changes})


def inputs(batch: int = 2, *, speech_tracks: int = 1, frames: int = 13, seed: int = 0) -> Inputs:
    torch.manual_seed(seed)
    tracks = (*("speech", "speech2")[:speech_tracks], "effects", "music")
    windows = {track: torch.randn(batch, 4 * (frames - 1) + 1, 5, 3, 8) for track in tracks}
    timesteps = torch.tensor([701, 13, 500])[:batch]
    return Inputs(torch.randn(batch, frames, 4, 6, 8), torch.randn(batch, 6, 20), timesteps, AudioWindows(**windows))
