"""Weights of the evaluation's metrics (role `metric`) and of MTV's own encoders (role `backbone`)."""

from __future__ import annotations

from demix.weights.registry import Weights

ENTRIES: tuple[Weights, ...] = ()
