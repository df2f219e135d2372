"""The paper's model: CogVideoX-5B with the multi-stream temporal ControlNet, five stages of 40,000 steps."""

from __future__ import annotations

from mtv_train.config import OptimSettings, ParallelSettings, TrainSettings


def mtv_5b() -> TrainSettings:
    """Paper section 5.1; where it is silent, the authors' release: clip 0.1, AdamW (0.9, 0.95), weight decay 1e-4."""
    return TrainSettings(
        optim=OptimSettings(clip=0.1, ema=0.9999),
        # What was fastest of what fits 24 GPUs of 80 GB, or one of 141 GB (benchmarks/results/training_step.md).
        parallel=ParallelSettings(activation="projections", compile=True),
    )
