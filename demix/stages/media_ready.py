"""A step that only asks for a clip's media: the engine makes what is missing before it runs any stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from demix.config import Settings
from demix.records import ClipMedia, Demixing, Record, SpeakerTracks
from demix.stage import Item, Kept, Outcome, Stage


class ReadySettings(Settings):
    """Which files were found missing."""

    keys: tuple[str, ...] = ()
    """Work-store keys; part of the step's fingerprint, so that another loss is another question."""


class MediaReady(Stage):
    """Keeps every clip whose shard members lie in the work store; see `demix.engine.worker`."""

    name = "media_ready"
    needs: ClassVar[tuple[type[Record], ...]] = (ClipMedia, Demixing)

    def inputs(self, item: Item) -> tuple[str, ...]:
        stems = item[Demixing]
        voices = item[SpeakerTracks].tracks if SpeakerTracks in item else ()
        media = (item[ClipMedia].video, stems.speech, stems.effects, stems.music, *voices)
        return tuple(each.key for each in media)

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [Kept() for _ in items]
