"""Weights that travel in our own package: small networks whose publishers allow it. `README.md` beside says whose."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def load(name: str) -> dict[str, torch.Tensor]:
    """The tensors of `NAME.safetensors`, on the CPU."""
    from demix.weights import load_state

    with as_file(files(__name__) / f"{name}.safetensors") as path:
        return load_state(path)
