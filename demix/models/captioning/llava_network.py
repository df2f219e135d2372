"""LLaVA-Video's network: SigLIP, two linear layers, Qwen2. Its state dict has the released names and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import Qwen2Config, Qwen2ForCausalLM, SiglipVisionConfig, SiglipVisionModel

from demix.models.captioning.llava_inputs import pooled, token_rows
from demix.weights import WeightsBroken

TOWER = "google/siglip-so400m-patch14-384"
SO400M = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
}
"""The tower that the release names."""


class LlavaVideoConfig(Qwen2Config):
    """The release's `config.json`. A file that describes a tower of its own (`vision_config`) gets that one."""

    model_type = "llava_video_qwen2"

    @classmethod
    def read(cls, folder: Path) -> LlavaVideoConfig:
        """Raises `WeightsBroken` for a model that is built in another way."""
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        wanted = {"mm_projector_type": "mlp2x_gelu", "mm_newline_position": "grid"}
        if not settings.get("vision_config"):
            settings["vision_config"] = SO400M
            wanted["mm_vision_tower"] = TOWER
        for key, value in wanted.items():
            if settings.get(key) != value:
                raise WeightsBroken(f"{folder}: {key} is {settings.get(key)!r}, not LLaVA-Video's {value!r}")
        pooling = settings.get("mm_spatial_pool_mode") or "bilinear"
        if pooling not in ("average", "max", "bilinear"):
            raise WeightsBroken(f"{folder}: mm_spatial_pool_mode {pooling!r} is not known")
        settings.pop("model_type", None)
        return cls(**{**settings, "mm_spatial_pool_mode": pooling})


class _Siglip(nn.Module):
    """SigLIP without its last layer, up to before the final norm: the features that the reference reads."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        shorter = {**config, "num_hidden_layers": config["num_hidden_layers"] - 1, "vision_use_head": False}
        self.vision_model = SiglipVisionModel(SiglipVisionConfig(**shorter))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        embedded = self.vision_model.embeddings(pictures)
        features: torch.Tensor = self.vision_model.encoder(inputs_embeds=embedded).last_hidden_state
        return features


class _Tower(nn.Module):
    """A wrapper that the released names go through."""

    def __init__(self, config: dict[str, Any]):
        super().__init__()
        self.vision_tower = _Siglip(config)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.vision_tower(pictures)
        return features


class LlavaVideoNetwork(Qwen2ForCausalLM):
    """`LlavaQwenForCausalLM` of the release."""

    config_class = LlavaVideoConfig

    def __init__(self, config: LlavaVideoConfig):
        super().__init__(config)
        seen, width = config.vision_config["hidden_size"], config.hidden_size
        self.model.vision_tower = _Tower(config.vision_config)
        self.model.mm_projector = nn.Sequential(nn.Linear(seen, width), nn.GELU(), nn.Linear(width, width))
        self.model.image_newline = nn.Parameter(torch.zeros(width))
        self.post_init()

    def see(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures (frames, 3, side, side) as projected, coarser grids (frames, height, width of the grid, width)."""
        features = self.model.mm_projector(self.model.vision_tower(pictures))
        return pooled(features, self.config.mm_spatial_pool_mode)

    def embed(self, before: Sequence[int], grids: torch.Tensor, after: Sequence[int]) -> torch.Tensor:
        """Tokens, video, tokens as one prompt of embeddings (1, length, width)."""
        table = self.model.embed_tokens
        texts = [table(torch.tensor(part, device=grids.device, dtype=torch.long)) for part in (before, after)]
        return torch.cat([texts[0], token_rows(grids, self.model.image_newline), texts[1]])[None]
