"""Weights of the captioners (role `captioning`)."""

from __future__ import annotations

from demix.weights.registry import Weights

ENTRIES: tuple[Weights, ...] = ()
