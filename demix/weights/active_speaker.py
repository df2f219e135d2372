"""Weights of the active speaker networks (role `active_speaker`)."""

from __future__ import annotations

from demix.weights.registry import Weights

ENTRIES: tuple[Weights, ...] = ()
