"""Recipes: functions that return the settings of a run. Each reads as what it changes."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from demix.config import ConfigError, merge, parse_assignment, read_yaml, validate
from mtv_train.config import TrainSettings

RECIPES = ("tiny", "mtv_2b", "mtv_5b", "without_se", "without_si", "without_tb")


def load(recipe: str, config: Path | None = None, assignments: Sequence[str] = ()) -> TrainSettings:
    """A recipe's settings with those of a YAML file and of `a.b=value` assignments laid over them.

    `recipe`: a name of `RECIPES`, or a file as `mtv_train show` prints it. Raises `ConfigError` that names the setting.
    """
    if recipe in RECIPES:
        made: TrainSettings = getattr(importlib.import_module(f"mtv_train.recipes.{recipe}"), recipe)()
        tree: Mapping[str, Any] = made.model_dump(mode="json")
    elif Path(recipe).suffix in (".yaml", ".yml", ".json"):
        tree = read_yaml(Path(recipe))
    else:
        near = difflib.get_close_matches(recipe, RECIPES, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(RECIPES)}, or give a .yaml file"
        raise ConfigError(f"{recipe}: no such recipe; {hint}")
    layers = [_assigned(text, tree) for text in assignments]
    return validate(TrainSettings, merge(tree, *([read_yaml(config)] if config else []), *layers))


def _assigned(text: str, tree: Mapping[str, Any]) -> dict[str, Any]:
    """One assignment; a stage that it names must exist, or a slip of the pen would add a sixth."""
    layer = parse_assignment(text)
    known = list(tree.get("stages", {}))
    for name in layer.get("stages") or {}:
        if known and name not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
            raise ConfigError(f"stages.{name}: no such stage; {hint} (a new stage is added with --config FILE)")
    return layer
