"""Weights of the diarizers (role `diarization`)."""

from __future__ import annotations

from demix.weights.registry import Weights

ENTRIES: tuple[Weights, ...] = ()
