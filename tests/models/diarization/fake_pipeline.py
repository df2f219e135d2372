"""Stands for pyannote's pipeline where the package, an optional extra, is not installed."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

Turn = tuple[float, float, str]
"""Start and end in seconds, and who speaks."""


class FakePipeline:
    """Answers everything with the same turns, and remembers what it was asked."""

    def __init__(self, turns: Sequence[Turn], exclusive: Sequence[Turn] | None = None):
        self.turns, self.exclusive = turns, turns if exclusive is None else exclusive
        self.segmentation_batch_size, self.embedding_batch_size = 32, 8
        self.room = 32
        """Chunks of sound that the memory holds at once."""
        self.asked: dict[str, Any] = {}

    def to(self, device: Any) -> None:
        self.device = device

    def __call__(self, sound: dict[str, Any], **limits: int) -> Any:
        self.asked = {**sound, **limits}
        if max(self.segmentation_batch_size, self.embedding_batch_size) > self.room:
            raise MemoryError("batch_size is probably too large")
        return SimpleNamespace(
            speaker_diarization=_annotation(self.turns), exclusive_speaker_diarization=_annotation(self.exclusive)
        )


def _annotation(turns: Sequence[Turn]) -> Any:
    tracks = [(SimpleNamespace(start=start, end=end), "A", label) for start, end, label in turns]
    return SimpleNamespace(itertracks=lambda yield_label: iter(tracks))
