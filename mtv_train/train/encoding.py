"""The frozen encoders of a recipe, as training steps and the precomputation use them: the same, so that a cache holds
what a step would compute."""

from __future__ import annotations

from typing import Any, cast

import torch

from mtv_train.config import TrainSettings
from mtv_train.data.encoders import SoundEncoder, TextEncoder, VideoEncoder
from mtv_train.distributed.fsdp import PRECISIONS
from mtv_train.train import components


def video_encoder(settings: TrainSettings, device: torch.device) -> VideoEncoder:
    """The VAE, in the precision of the run."""
    precision = PRECISIONS[settings.parallel.precision]
    return VideoEncoder(components.make_vae(settings.model, settings.seed, precision).to(device))


def text_encoder(settings: TrainSettings, device: torch.device) -> TextEncoder:
    """T5, in the precision of the run."""
    precision = PRECISIONS[settings.parallel.precision]
    tokenizer, t5 = components.make_text_encoder(settings.model, settings.seed, precision)
    return TextEncoder(tokenizer, cast(Any, t5).to(device), settings.model.backbone.max_text_seq_length)


def sound_encoder(settings: TrainSettings, device: torch.device) -> SoundEncoder:
    """wav2vec2, in float32."""
    wav2vec = components.make_audio_encoder(settings.model, settings.seed).to(device)
    return SoundEncoder(wav2vec, settings.data.window, official_alignment=settings.model.official_alignment)
