"""Weights of the judges of sound (role `audio_quality`)."""

from __future__ import annotations

from demix.weights.registry import Weights

ENTRIES: tuple[Weights, ...] = ()
