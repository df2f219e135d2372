"""The clips of a DEMIX dataset, from its manifest and the shards' own indexes. No shard is opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

from demix.dataset.layout import CLIPS, MANIFEST_COMMIT
from demix.dataset.reader import Dataset
from demix.dataset.schema import SchemaError, read_rows
from mtv_train.data.errors import DatasetError
from mtv_train.data.table import FIELDS, ClipRow, Member

VOICES = {"speech0.flac": "speech.flac", "speech1.flac": "speech2.flac"}
"""A dataset's speaker tracks -> the members that a model with two voices reads."""

_COLUMNS = ("clip_id", "split", "signature", "shard", "clip_media")


def is_demix(dataset: Dataset) -> bool:
    """Whether a finished DEMIX dataset lies there."""
    return dataset.exists(MANIFEST_COMMIT)


def version(dataset: Dataset) -> str:
    """Changes when the dataset's content does: its manifests' commit file holds their hashes."""
    with dataset.open(MANIFEST_COMMIT) as file:
        return file.read().decode()


def demix_rows(dataset: Dataset, two_voices: bool = False) -> tuple[list[ClipRow], list[str]]:
    """All clips, and the shards' addresses; with `two_voices`, speech is that of the first speaker, and there is a
    second (see `voices`). Raises DatasetError where manifest and shards disagree."""
    shards = dataset.shards()
    numbers = {shard: number for number, shard in enumerate(shards)}
    try:
        _check_places(dataset, set(shards), {clip["shard"] for clip in _clips(dataset)})
        members = {row["clip_id"]: (shard, row) for shard in shards for row in _shard_rows(dataset, shard)}
        rows = [_row(clip, members, numbers, two_voices) for clip in _clips(dataset)]
    except (SchemaError, FileNotFoundError) as error:
        raise DatasetError(f"{dataset.root}: {error}; run demix verify") from error
    if len(rows) != len(members):
        raise DatasetError(
            f"{dataset.root}: {len(members)} clips in shards, {len(rows)} in the manifest; run demix verify"
        )
    return rows, dataset.urls()


def _check_places(dataset: Dataset, shards: set[str], wanted: set[str]) -> None:
    """Raises `DatasetError` where the manifest places clips in shards that are not there."""
    missing = sorted(wanted - shards)
    if missing:
        raise DatasetError(
            f"{dataset.root}: {len(missing)} of the manifest's {len(wanted)} shards are missing: "
            f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}; copy the dataset whole, with its .parquet "
            "and .commit.json files"
        )


def _clips(dataset: Dataset) -> Iterator[dict[str, Any]]:
    with dataset.open(CLIPS) as file:
        yield from read_rows(file, "clips", _COLUMNS)


def _shard_rows(dataset: Dataset, shard: str) -> Iterator[dict[str, Any]]:
    with dataset.open(f"{shard.removesuffix('.tar')}.parquet") as file:
        yield from read_rows(file, "shard", ("clip_id", "members"))


def voices(members: Mapping[str, Member]) -> dict[str, Member]:
    """A clip's members as a model with two voices reads them: its speaker tracks as `speech.flac` and `speech2.flac`.

    Of a clip without, all speech is the first, and an empty member, which stands for silence, the second.
    """
    if all(name in members for name in VOICES):
        return {VOICES.get(name, name): member for name, member in members.items() if name not in VOICES.values()}
    return {**members, "speech2.flac": Member(members["speech.flac"].offset, 0, hashlib.sha256(b"").digest())}


def _row(
    clip: dict[str, Any],
    members: dict[str, tuple[str, dict[str, Any]]],
    numbers: dict[str, int],
    two_voices: bool,
) -> ClipRow:
    key = clip["clip_id"]
    shard, found = members.get(key, ("", {}))
    if shard != clip["shard"]:
        raise DatasetError(f"clip {key} is not in {clip['shard']}, where the manifest places it; run demix verify")
    media = json.loads(clip["clip_media"])
    there = {
        member["name"]: Member(member["offset"], member["size"], bytes.fromhex(member["sha256"]))
        for member in found["members"]
    }
    read = voices(there) if two_voices else there
    return ClipRow(
        key=key,
        shard=numbers[shard],
        split=clip["split"],
        subsets=tuple(clip["signature"].split("+")),
        length=media["frames"] / Fraction(media["fps"]),
        members={name: member for name, member in read.items() if name in FIELDS},
    )
