"""What the paper says of its own DEMIX: table 1 and "Data statistics" of section 3, to stand beside a dataset."""

from __future__ import annotations

from demix.records import Subset

YEAR = 2025
CLIPS = 392_000
"""Non-overlapped; rounded by the paper, as are all numbers here."""
HOURS = 1_200.0
TEST_CLIPS = 1_000
SUBSET_CLIPS: dict[Subset, int] = {
    "basic_face": 18_000,
    "single_character": 54_000,
    "multiple_characters": 39_000,
    "sound_event": 166_000,
    "visual_mood": 195_000,
}
SOURCE_HOURS = {"talking_head": 65.0, "cinematic": 4_923.0, "web": 8_903.0}
