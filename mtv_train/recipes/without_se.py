"""Ablation "W/o SE" of the paper's table 3."""

from __future__ import annotations

from mtv_train.config import TrainSettings
from mtv_train.recipes.mtv_5b import mtv_5b


def without_se() -> TrainSettings:
    """Without separate extraction: music goes through the interval interaction blocks like speech and effects."""
    recipe = mtv_5b()
    mtv = recipe.model.mtv.model_copy(update={"extraction": "joint"})
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"mtv": mtv})})
