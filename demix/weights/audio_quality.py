"""Weights of the judges of sound (role `audio_quality`)."""

from __future__ import annotations

from demix.weights.registry import WeightFile, Weights

ENTRIES: tuple[Weights, ...] = (
    Weights(
        name="audiobox",
        role="audio_quality",
        about="Audiobox Aesthetics, the paper's judge of sound",
        home="https://github.com/facebookresearch/audiobox-aesthetics",
        licence="CC-BY-4.0",
        files=(
            WeightFile("model", "checkpoint.pt", "https://dl.fbaipublicfiles.com/audiobox-aesthetics/checkpoint.pt"),
        ),
    ),
)
