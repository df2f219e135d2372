"""Ablation "W/o TB" of the paper's table 3."""

from __future__ import annotations

from mtv_train.config import TrainSettings
from mtv_train.recipes.mtv_5b import mtv_5b


def without_tb() -> TrainSettings:
    """Without training of the backbone: only the ControlNet learns."""
    recipe = mtv_5b()
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"train_backbone": "none"})})
