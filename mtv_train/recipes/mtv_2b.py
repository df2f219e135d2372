"""The same on CogVideoX-2B: text-to-video, no rotary positions, half the width of the budget."""

from __future__ import annotations

from mtv_train.config import BackboneSettings, DiffusionSettings, ModelSettings, OptimSettings, TrainSettings


def mtv_2b() -> TrainSettings:
    """CogVideoX-2b's shape, latent scale and SNR shift; the rest as the 5B recipe."""
    backbone = BackboneSettings(
        num_attention_heads=30,
        num_layers=30,
        in_channels=16,
        use_rotary_positional_embeddings=False,
        use_learned_positional_embeddings=False,
    )
    return TrainSettings(
        model=ModelSettings(source="THUDM/CogVideoX-2b", backbone=backbone, latent_scale=1.15258426),
        diffusion=DiffusionSettings(snr_shift=3.0),
        optim=OptimSettings(clip=0.1, ema=0.9999),
    )
