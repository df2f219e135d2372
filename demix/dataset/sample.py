"""One kept clip as it lies in a shard: its media in the work store, its caption, and everything known of it as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import TypeVar
from urllib.parse import urlsplit

from demix.dataset import tar
from demix.dataset.layout import MEDIA, SPEAKERS, TEXTS, Split, check_signature
from demix.dataset.plan import Entry
from demix.lazy import as_written, text_of
from demix.records import (
    SCHEMA_VERSION,
    ActiveSpeaker,
    AudioQuality,
    Caption,
    Clip,
    ClipMedia,
    DemixCheck,
    Demixing,
    Diarization,
    Media,
    Persons,
    Probe,
    Record,
    Shots,
    SpeakerTracks,
    Subsets,
    VoiceOver,
)

R = TypeVar("R", bound=Record)

_KEY = '"key":'
"""Only media have a field of this name, and in a text of JSON its quotes would be escaped."""

CLIP_RECORDS: tuple[type[Record], ...] = (
    ClipMedia,
    AudioQuality,
    Demixing,
    DemixCheck,
    Persons,
    Diarization,
    ActiveSpeaker,
    VoiceOver,
    SpeakerTracks,
    Caption,
    Subsets,
)
"""What the stages add to a clip, in the order of the manifest's columns and of the sample's JSON."""

SOURCE_RECORDS: tuple[type[Record], ...] = (Probe, Shots)
"""What clips carry of their source; it is written once, in the manifest of sources."""


@dataclass(frozen=True)
class Sample:
    """A clip and its records. Needs ClipMedia, Demixing, Caption and Subsets; raises ValueError without them."""

    clip: Clip
    records: Mapping[str, Record]

    def __post_init__(self) -> None:
        known = {kind.name for kind in CLIP_RECORDS + SOURCE_RECORDS}
        if strange := sorted(set(self.records) - known):
            raise ValueError(f"{self.clip.id}: the dataset has no place for {strange}; add them to CLIP_RECORDS")
        if absent := [kind.name for kind in (ClipMedia, Demixing, Caption, Subsets) if kind.name not in self.records]:
            raise ValueError(f"{self.clip.id}: a sample needs the records {absent}; run the stages that add them")
        check_signature(self.signature)

    def record(self, kind: type[R]) -> R:
        record = self.records[kind.name]
        if not isinstance(record, kind):
            raise TypeError(f"{self.clip.id}: the record {kind.name!r} is a {type(record).__name__}")
        return record

    @property
    def signature(self) -> str:
        """The clip's subsets, e.g. `single_character+visual_mood`: the folder of its shard."""
        return self.record(Subsets).signature

    @property
    def media(self) -> dict[str, Media]:
        """Field → file in the work store, for the fields that are media."""
        clip, stems = self.record(ClipMedia), self.record(Demixing)
        media = dict(zip(MEDIA, (clip.video, stems.speech, stems.effects, stems.music), strict=True))
        if SpeakerTracks.name in self.records:
            media |= dict(zip(SPEAKERS, self.record(SpeakerTracks).tracks, strict=False))
        return media

    @property
    def members(self) -> tuple[str, ...]:
        """All fields, in the order in which they lie in the tar."""
        return (*self.media, *TEXTS)

    @cached_property
    def caption(self) -> bytes:
        return self.record(Caption).text.encode()

    def json(self, split: Split) -> bytes:
        """The `.json` member: the clip, its split and all records; compact UTF-8 of one line.

        It holds neither times of day nor paths of a machine. Of the source it names the id and the bare file name:
        the full uri is where one builder's disk had the film, it would change the shards' bytes when films are moved
        and tell strangers about that disk; the manifests hold it. Media are reduced to their sizes for the same reason.
        """
        fields = {"schema_version": SCHEMA_VERSION, "clip_id": self.clip.id, "split": split} | self._fields
        # The records are joined as text: parsing what pydantic wrote would cost more than everything else here.
        return f"{_dump(fields)[:-1]},{_dump('records')}:{self._records}}}".encode()

    @cached_property
    def entry(self) -> Entry:
        """What planning needs to know of this sample."""
        texts = len(self.caption), len(self.json("train"))
        sizes = [media.bytes for media in self.media.values()]
        keys = {field: [media.key, media.bytes] for field, media in self.media.items()}
        content = hashlib.blake2b(_dump([self._fields, self._records, keys]).encode() + self.caption, digest_size=16)
        occupied = sum(map(tar.occupied, [*sizes, *texts]))
        return Entry(self.clip.id, self.clip.source_id, self.signature, occupied, content.hexdigest())

    @cached_property
    def _fields(self) -> dict[str, object]:
        clip = self.clip
        return {
            "source_id": clip.source_id,
            "source_name": file_name(clip.uri),
            "kind": clip.kind,
            "ordinal": clip.ordinal,
            "start_pts": clip.start_pts,
            "end_pts": clip.end_pts,
            "time_base": clip.time_base,
            "start_seconds": float(clip.start),
            "end_seconds": float(clip.end),
            "seconds": float(clip.seconds),
            "subsets": list(self.record(Subsets).subsets),
            "signature": self.signature,
        }

    @cached_property
    def _records(self) -> str:
        present = (kind.name for kind in CLIP_RECORDS if kind.name in self.records)
        return "{" + ",".join(f"{_dump(name)}:{self._shown(name)}" for name in present) + "}"

    def _shown(self, name: str) -> str:
        """A record as JSON, its media without their work-store keys."""
        text = text_of(self.records, name)
        return without_keys(self.records[name]) if _KEY in text else text


def file_name(uri: str) -> str:
    """The last part of a path or uri, without query and fragment (which may hold access tokens)."""
    return PurePosixPath(urlsplit(uri).path if "://" in uri else uri).name


def without_keys(record: Record) -> str:
    """A record as JSON, its media without their work-store keys."""
    keys = {field: {"key"} for field, value in record if isinstance(value, Media)}
    return as_written(record, exclude=keys)


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
