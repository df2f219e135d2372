"""A small model, made at random, that trains on one CPU core in minutes and downloads nothing."""

from __future__ import annotations

from mtv_train.config import (
    BackboneSettings,
    CheckpointSettings,
    LogSettings,
    ModelSettings,
    OptimSettings,
    ParallelSettings,
    RandomEncoders,
    TrainSettings,
    ValidationSettings,
    five_stages,
)
from mtv_train.data.settings import DataSettings, LoaderSettings, WindowSettings
from mtv_train.model.config import MTVSettings


def tiny() -> TrainSettings:
    """Every part of the 5B recipe at the smallest useful size: all stages, caches, checkpoints and logs work alike."""
    return TrainSettings(
        model=tiny_model(),
        data=DataSettings(
            window=WindowSettings(frames=9, stride=8, height=48, width=64), loader=LoaderSettings(workers=0)
        ),
        optim=OptimSettings(batch=4, lr=2e-3, warmup_steps=10, ema=0.95),
        stages=five_stages(steps=20),
        parallel=ParallelSettings(precision="float32", activation="none"),
        checkpoint=CheckpointSettings(every=25, keep_last=2, keep_every=0),
        validation=ValidationSettings(every=50, loss_samples=4, samples=1, steps=20),
        log=LogSettings(every=5),
    )


def tiny_model() -> ModelSettings:
    """Two blocks of width 64; encoders to match."""
    return ModelSettings(
        weights="random",
        backbone=BackboneSettings(
            num_attention_heads=4,
            attention_head_dim=16,
            num_layers=2,
            time_embed_dim=32,
            text_embed_dim=32,
            max_text_seq_length=16,
            sample_width=8,
            sample_height=6,
            sample_frames=9,
        ),
        encoders=RandomEncoders(
            vae_channels=(8, 8, 8, 8), vae_layers=1, text_layers=1, text_heads=2, audio_heads=2, audio_channels=16
        ),
        mtv=MTVSettings(
            feature_layers=2,
            feature_dim=16,
            projector_dim=32,
            audio_tokens=4,
            audio_dim=32,
            interval_blocks=1,
            interval_heads=4,
        ),
    )
