"""Rotary angles of the video tokens, as diffusers' pipelines compute them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.pipelines.cogvideo.pipeline_cogvideox import get_resize_crop_region_for_grid

from mtv_train.model.injection import Rope


def rotary_angles(
    backbone: Mapping[str, Any], frames: int, height: int, width: int, device: torch.device
) -> Rope | None:
    """Cosines and sines, each float32 (frames * tokens a frame, head dim), or None for a backbone without them (2b).

    `backbone`: its config; `frames`, `height`, `width`: of the latents. At the backbone's own size positions are whole
    numbers; other sizes are fitted into its grid.
    """
    if not backbone["use_rotary_positional_embeddings"]:
        return None
    patch = backbone["patch_size"]
    grid = (height // patch, width // patch)
    crop = get_resize_crop_region_for_grid(grid, backbone["sample_width"] // patch, backbone["sample_height"] // patch)
    # Computed at every forward pass, where it costs nothing: a cache would hold on to inference tensors, fake ones...
    cosines, sines = get_3d_rotary_pos_embed(
        embed_dim=backbone["attention_head_dim"], crops_coords=crop, grid_size=grid, temporal_size=frames, device=device
    )
    return cosines, sines
