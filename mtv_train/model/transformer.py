"""MTV: CogVideoX's transformer with the multi-stream temporal ControlNet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from diffusers import CogVideoXTransformer3DModel
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor

from mtv_train.model.audio import AudioWindows
from mtv_train.model.config import MTVSettings

Trainable = Literal["attention", "none", "all"]


class MTVTransformer3DModel(ModelMixin, ConfigMixin):
    """Denoiser of video latents under text and three (or four) sound tracks (paper section 4).

    `transformer_blocks`: the blocks, each to be checkpointed, compiled or sharded by itself; `audio`: projectors
    (`audio.projectors`), interaction blocks (`audio.interaction`).
    """

    @register_to_config
    def __init__(self, backbone: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        raise NotImplementedError

    @classmethod
    def from_backbone(
        cls,
        backbone: CogVideoXTransformer3DModel | str | os.PathLike[str],
        settings: MTVSettings | None = None,
        **load: Any,
    ) -> MTVTransformer3DModel:
        """MTV around a trained CogVideoX whose modules it takes over; its output at first equals the backbone's.

        `backbone`: the model, or a folder of `THUDM/CogVideoX-5b`, `-2b` or `-5b-I2V` (the pipeline's or its
        `transformer/`); `load` (`torch_dtype`, ...) goes to diffusers' `from_pretrained`.
        """
        raise NotImplementedError

    def forward(
        self,
        latents: Tensor,
        text: Tensor,
        timestep: Tensor,
        audio: AudioWindows,
        clean_frames: Tensor | None = None,
    ) -> Tensor:
        """The prediction (v or noise), (batch, latent frames, channels, height, width).

        `latents` (batch, latent frames, 16, height, width), noisy except where clean; an I2V backbone's remaining
        input channels are zeros unless given too. `text` (batch, 226, 4096). `timestep` int64 (batch,) in 0..999.
        `audio` of 1 + 4 (latent frames - 1) video frames. `clean_frames` boolean (batch, latent frames): frames that
        were kept clean (at timestep 0) and are modulated from timestep 0.
        """
        raise NotImplementedError

    def trainable(self, mode: Trainable = "attention") -> MTVTransformer3DModel:
        """Mark what is trained and return self: the ControlNet and, of the backbone, its attention layers (the
        paper), nothing (W/o TB), or all of it."""
        raise NotImplementedError
