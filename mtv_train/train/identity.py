"""What must be the same for a run to go on: the settings that shape what is learnt, and the dataset."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import Any

import diffusers
import torch

from demix.config import ConfigError, validate
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
        f"{name} was {before!r}, is {after!r}" + (f" ({AT_THE_START[name]})" if name in AT_THE_START else "")
        for name, (before, after) in differences(_known(saved["settings"]), settings.model_dump(mode="json")).items()
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


_BEGUN = "it says how a run begins, and this one has begun: nothing changes"
_ENCODERS = "the transformer goes on as it was saved; the frozen encoders are the new ones"
AT_THE_START = {
    "seed": "what is drawn from now on is new; the transformer goes on as it was saved",
    "model.source": _ENCODERS,
    "model.revision": _ENCODERS,
    "model.weights": _ENCODERS,
    "model.init": _BEGUN,
    "model.mtv.zero_init": _BEGUN,
}
"""Settings that say, among other things or alone, with which weights a run begins; what another value does later."""


def _known(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """A save's settings with today's defaults for those that came later."""
    try:
        return validate(TrainSettings, settings).model_dump(mode="json")
    except ConfigError:  # one of them is no more: it is named as a difference
        return settings


def average(saved: Mapping[str, Any]) -> tuple[int, float]:
    """Updates of a save's moving average, and what part of it still is the parameters that it began with.

    Saves of earlier versions do not say; their averages had the full decay from the first step on.
    """
    if "ema" in saved:
        return int(saved["ema"]["updates"]), float(saved["ema"]["start_share"])
    step = int(saved["position"]["step"])
    return step, float(saved["settings"]["optim"]["ema"]) ** step
