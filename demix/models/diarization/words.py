"""Words with times and speakers, as a transcription service answers them, gathered into turns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from demix.records import Turn


@dataclass(frozen=True)
class Word:
    start: float
    end: float
    speaker: str | None
    """None where the service does not say: the word is then its predecessor's."""


def turns_of(words: Iterable[Word], pause_seconds: float) -> tuple[Turn, ...]:
    """Turns sorted by start, speakers numbered by first appearance; a pause above `pause_seconds` ends a turn."""
    joined: list[tuple[float, float, str]] = []
    for word in sorted(words, key=lambda word: (word.start, word.end)):
        if word.end <= word.start:
            continue
        speaker = word.speaker or (joined[-1][2] if joined else "")
        if joined and joined[-1][2] == speaker and word.start - joined[-1][1] <= pause_seconds:
            joined[-1] = (joined[-1][0], max(joined[-1][1], word.end), speaker)
        else:
            joined.append((word.start, word.end, speaker))
    order = list(dict.fromkeys(speaker for _, _, speaker in joined))
    return tuple(
        Turn(start_seconds=round(start, 3), end_seconds=round(end, 3), speaker=order.index(speaker))
        for start, end, speaker in joined
    )
