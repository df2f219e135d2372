"""Parity vectors for models: weights and inputs made from names by the vectors' own rule, reference outputs beside."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Vector:
    """One vector: its `facts` (JSON), the reference's `outputs`, and the rule that makes weights and inputs."""

    def __init__(self, folder: Path, name: str):
        self.facts: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        self.outputs: Mapping[str, np.ndarray] = np.load(folder / f"{name}.npz")
        spec = importlib.util.spec_from_file_location("vector_rule", folder / "rule.py")
        assert spec is not None
        assert spec.loader is not None
        self.rule = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.rule)

    def state(self, keys: str = "keys") -> dict[str, torch.Tensor]:
        """The generated checkpoint: a tensor for every key of the release."""
        shapes = self.facts[keys].items()
        return {key: _tensor(self.rule.value(key, shape, self.facts.get("seed", 0))) for key, shape in shapes}

    def array(self, name: str, shape: tuple[int, ...], low: int | None = None, high: int | None = None) -> np.ndarray:
        return self.rule.array(name, shape, self.facts.get("seed", 0), low, high)


def random_state(module: torch.nn.Module, folder: Path, seed: int = 0) -> dict[str, torch.Tensor]:
    """Generated weights under the keys of a module, where no vector lists them."""
    rule = Vector(folder, "mfcc_frontend").rule
    state = module.state_dict()
    return {key: _tensor(rule.value(key, tuple(value.shape), seed)) for key, value in state.items()}


def _tensor(value: np.ndarray) -> torch.Tensor:
    # From two dimensions on the rule's numbers are float64 under numpy 2.
    return torch.from_numpy(np.asarray(value, np.int64 if value.dtype == np.int64 else np.float32))
