"""`mtv_train show`."""

from __future__ import annotations

import argparse
import json
import sys

import yaml

from demix.config import ConfigError, reference
from mtv_train.config import TrainSettings
from mtv_train.recipes import RECIPES, load


def show(args: argparse.Namespace) -> int:
    """A recipe's settings as YAML that `--config` and `train` take, or all settings explained."""
    if args.reference:
        print(reference(TrainSettings))
        return 0
    if args.recipe is None:
        raise ConfigError(f"which recipe? There are {', '.join(RECIPES)}; --reference explains every setting")
    settings = load(args.recipe, args.config, args.set)
    yaml.safe_dump(json.loads(settings.model_dump_json()), sys.stdout, sort_keys=False, allow_unicode=True)
    return 0
