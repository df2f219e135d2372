"""What must be the same for a run to go on: the settings that shape what is learnt, and the dataset."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import diffusers
import torch

from demix.config import ConfigError
from mtv_train.config import TrainSettings, differences


def describe(settings: TrainSettings, fingerprint: str, world: int) -> dict[str, Any]:
    """What a checkpoint notes about the run that wrote it."""
    return {
        "settings": settings.model_dump(mode="json"),
        "dataset": fingerprint,
        "world": world,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
        },
    }


def check(saved: Mapping[str, Any], settings: TrainSettings, fingerprint: str, accept: bool) -> list[str]:
    """The differences between a checkpoint's run and this one, in words.

    Raises `ConfigError` that names them all, unless they are accepted.
    """
    changed = [
        f"{name} was {before!r}, is {after!r}"
        for name, (before, after) in differences(saved["settings"], settings.model_dump(mode="json")).items()
    ]
    if saved["dataset"] != fingerprint:
        changed.append(f"the dataset was {saved['dataset']}, is {fingerprint} (its clips, subsets or windows differ)")
    if changed and not accept:
        listed = "\n".join(f"  {line}" for line in changed)
        raise ConfigError(
            f"this run was begun differently:\n{listed}\n"
            "put it back, or give another --run, or --accept-changes to go on with what is new"
        )
    return changed
