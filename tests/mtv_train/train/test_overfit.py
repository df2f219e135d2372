"""Guards: the whole of MTV learns. Four samples, seen again and again, are known by heart."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtv_train.config import CheckpointSettings, LogSettings, OptimSettings, ParallelSettings, StageSettings
from mtv_train.train.sinks import read_metrics
from tests.mtv_train.train.ranks import in_ranks, train_toy
from tests.mtv_train.train.toy import SUBSETS, Toy, toy_settings


@pytest.mark.slow
def test_four_clips_are_overfit_below_a_twentieth_of_the_first_loss(tmp_path: Path) -> None:
    settings = toy_settings(
        stages={SUBSETS[0]: StageSettings(steps=140, weights={SUBSETS[0]: 1.0})},
        optim=OptimSettings(batch=4, lr=3e-3, warmup_steps=10, weight_decay=0.0),
        parallel=ParallelSettings(precision="float32", activation="none", micro_batch=4),
        checkpoint=CheckpointSettings(every=1000),
        log=LogSettings(every=1, tensorboard=False),
    )
    # The toy's backbone knows nothing yet: all of it has to learn.
    settings = settings.model_copy(update={"model": settings.model.model_copy(update={"train_backbone": "all"})})
    in_ranks(1, train_toy, lambda: Toy(settings, tmp_path, only=4))
    losses = [row["loss"] for row in read_metrics(tmp_path)]
    assert len(losses) == 140
    assert sum(losses[-10:]) / 10 < 0.05 * losses[0]
