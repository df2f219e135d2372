"""Ablation "W/o SI" of the paper's table 3."""

from __future__ import annotations

from mtv_train.config import TrainSettings
from mtv_train.recipes.mtv_5b import mtv_5b


def without_si() -> TrainSettings:
    """Without separate injection: the tokens of all tracks enter by one cross-attention."""
    recipe = mtv_5b()
    mtv = recipe.model.mtv.model_copy(update={"injection": "shared"})
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"mtv": mtv})})
