"""The judge of sound with generated weights, saved as the release is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.models.vectors import Vector


def audiobox_file(folder: Path, vector: Vector, head: str, patch: pytest.MonkeyPatch) -> Path:
    """`checkpoint.pt` of the vector's small WavLM; `patch` makes the package build one of that size."""
    aes = pytest.importorskip("audiobox_aesthetics.model.aes", reason="an optional package")
    facts = vector.facts["constructor"]
    for name, value in facts["DEFAULT_AUDIO_CFG patch"].items():
        patch.setattr(aes.DEFAULT_AUDIO_CFG, name, value)
    state = vector.state("keys" if head == "linear" else "keys (mlp5ln)")
    folder.mkdir(parents=True, exist_ok=True)
    tree = {
        "state_dict": {f"model.{key}": value for key, value in state.items()},
        "model_cfg": facts[f"model_cfg {head}"],
        "target_transform": facts["target_transform"],
    }
    torch.save(tree, folder / "checkpoint.pt")
    return folder / "checkpoint.pt"
