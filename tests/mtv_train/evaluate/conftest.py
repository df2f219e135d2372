"""Reference outputs of the metrics, and weights made by the vectors' own rule."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch


@dataclass(frozen=True)
class Vector:
    """One reference: its description, its outputs, and the rule that makes its weights and inputs."""

    facts: dict[str, Any]
    outputs: dict[str, np.ndarray]
    rule: ModuleType
    keep: frozenset[str] = field(default_factory=frozenset)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.outputs[name]

    def input(self, name: str, shape: tuple[int, ...], *bounds: int) -> np.ndarray:
        """An input by its name; `bounds` (low, high) for integers."""
        return np.asarray(self.rule.array(name, shape, 0, *bounds))

    def tensor(self, name: str, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.from_numpy(self.input(name, shape))

    def state(self, but: tuple[str, ...] = ()) -> dict[str, torch.Tensor]:
        """A released checkpoint's keys and shapes, with generated values; keys that contain one of `but` left out."""
        return {
            key: torch.from_numpy(np.asarray(self.rule.value(key, shape))).to(
                torch.int64 if key.endswith("num_batches_tracked") else torch.float32
            )
            for key, shape in self.facts["keys"].items()
            if not any(part in key for part in but)
        }


@pytest.fixture(scope="session")
def vector(shared_vectors: Path) -> Callable[[str], Vector]:
    """`vector(name)`: the reference of that name."""
    spec = importlib.util.spec_from_file_location("vector_rule", shared_vectors / "rule.py")
    assert spec is not None
    assert spec.loader is not None
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)

    def read(name: str) -> Vector:
        facts = json.loads((shared_vectors / f"{name}.json").read_text(encoding="utf-8"))
        outputs = shared_vectors / f"{name}.npz"
        return Vector(facts, dict(np.load(outputs)) if outputs.is_file() else {}, rule)

    return read
