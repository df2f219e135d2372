"""Weights of the person and face detectors (roles `persons` and `faces`)."""

from __future__ import annotations

from demix.weights.registry import Weights

ENTRIES: tuple[Weights, ...] = ()
