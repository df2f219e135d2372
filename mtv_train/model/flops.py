"""Floating-point operations of the model, counted by formula: two for every multiply-add of a matrix product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mtv_train.model.config import MTVSettings


@dataclass(frozen=True)
class FlopCount:
    """FLOPs of one sample. `parts`: forward FLOPs by part of the model."""

    forward: int
    backward: int
    parts: Mapping[str, int]


def count_flops(
    backbone: Mapping[str, Any],
    settings: MTVSettings,
    *,
    frames: int = 13,
    height: int = 60,
    width: int = 90,
    trainable: Literal["attention", "none", "all"] = "attention",
) -> FlopCount:
    """FLOPs of one sample's forward and backward pass.

    `backbone`: the CogVideoX config; `frames`, `height`, `width`: of the latents. The backward pass counts every
    gradient with respect to activations and, of the weights, only those that `trainable` trains; recomputation of
    activation checkpointing is not in it (add `forward`).
    """
    raise NotImplementedError
