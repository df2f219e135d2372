"""Parity vectors: weights and inputs made from names by the folder's own rule, outputs of the reference beside them."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mtv_train.convert.keymap import PREFIX
from mtv_train.model.audio import AudioWindows
from mtv_train.model.config import MTVSettings

AUDIO_INPUTS = {"speech": "vocal", "speech2": "vocal_1", "effects": "accm", "music": "music"}
"""Our track -> the release's name of it."""


class Vector:
    """One vector: `facts` (its JSON), generated `weights()` and `input(name)`, and `outputs` to be met."""

    def __init__(self, folder: Path, name: str):
        self.facts: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
        self.outputs: Mapping[str, np.ndarray] = np.load(folder / f"{name}.npz")
        self.rule = _rule(folder)

    def weights(self, only: str = "") -> dict[str, Tensor]:
        """Every tensor of the reference's checkpoint, by its name there, whose name starts with `only`."""
        zeroed = set(self.facts.get("keys_zeroed", ()))
        computed = set(self.facts.get("keys_not_filled", ()))
        state = {}
        for key, shape in self.facts["keys"].items():
            if key.startswith(only):
                blank = key in zeroed or key in computed
                value = np.zeros(shape, np.float32) if blank else self.rule.value(key, shape, self.facts["seed"])
                state[key] = torch.from_numpy(value)
        return state

    def input(self, name: str) -> Tensor:
        """A generated input."""
        given = dict(self.facts["inputs"][name])
        scale = given.pop("scale", 1)
        return torch.from_numpy(self.rule.array(name, seed=self.facts["seed"], **given)) * scale

    def output(self, name: str) -> Tensor:
        """What the reference gave."""
        return torch.from_numpy(self.outputs[name])

    def audio(self, prefix: str = "dit.audio_") -> AudioWindows:
        """The sound tracks of a vector of the whole model."""
        names = {track: prefix + theirs for track, theirs in AUDIO_INPUTS.items()}
        return AudioWindows(**{k: self.input(name) for k, name in names.items() if name in self.facts["inputs"]})

    def meets(self, given: Tensor, name: str, tolerance: str | None = None) -> None:
        """Assert that `given` is the output `name` within the vector's own tolerance."""
        limits = self.facts["tolerance"] if tolerance is None else self.facts["tolerance"][tolerance]
        torch.testing.assert_close(
            given, self.output(name), atol=limits["atol"], rtol=limits["rtol"], msg=lambda m: f"{name}: {m}"
        )


def model_sizes(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What `from_sat` must be told of a tiny model, since no tensor's shape says it."""
    config = facts["config"]
    frames = 4 * (config["latent_frames"] - 1) + 1
    return {
        "sample": (frames, config["latent_height"], config["latent_width"]),
        "feature_layers": config.get("audio_layers", 3),
        "audio_window": config.get("audio_window", 5) // 2,
    }


def part_settings(**changes: Any) -> MTVSettings:
    """Settings for a part of the model that is tested by itself."""
    return MTVSettings(**{"temporal_conv": "dense", **changes})


def renamed(state: Mapping[str, Tensor], rules: Iterable[Any]) -> dict[str, Tensor]:
    """Weights of a part under our names, by the rules of the key map."""
    ours = {}
    for rule in rules:
        pieces = state[PREFIX + rule.theirs].chunk(rule.pieces)
        ours |= {name: torch.cat([pieces[index] for index in picks]) for name, picks in rule.ours.items()}
    return ours


def _rule(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("vector_rule", folder / "rule.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
