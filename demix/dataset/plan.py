"""Which clip goes into which shard: a pure function of the kept clips and the settings, in any order they come."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby, pairwise
from sys import intern
from typing import NamedTuple

from pydantic import Field

from demix.config import Settings
from demix.dataset import tar
from demix.dataset.layout import Split, shard_stem
from demix.records import SCHEMA_VERSION


class PackSettings(Settings):
    """How kept clips become shards and which of them are held out."""

    target_bytes: int = Field(default=10**9, ge=1)
    """Size of a shard in bytes that is not exceeded, unless a single clip is larger. 1 GB: few enough files for any
    file system, small enough to rewrite, and long sequential reads."""
    test_clips: int = Field(default=1000, ge=0)
    """Clips to hold out for the test split; 0 for none. The paper holds out 1,000."""
    test_share: float = Field(default=0.05, ge=0, le=1)
    """Share of all clips that the test split aims at where that is fewer than `test_clips`, so that a small dataset
    is not all test. As whole films are taken, the outcome may be larger."""
    test_seed: int = 0
    """Another number draws other films for the test split."""


class Entry(NamedTuple):
    """The little that planning needs of one sample; a million of them fit in memory."""

    clip_id: str
    source_id: str
    signature: str
    bytes: int
    """What the sample takes in a tar, headers and padding included (at most, whichever its split)."""
    digest: str
    """Hash over everything in the sample but its split, and over the work-store keys of its media."""


@dataclass(frozen=True)
class Shard:
    """One tar to be written: its place and its samples, sorted by clip id."""

    split: Split
    signature: str
    number: int
    entries: tuple[Entry, ...]

    @property
    def stem(self) -> str:
        """Path without suffix, relative to the dataset."""
        return shard_stem(self.split, self.signature, self.number)

    @property
    def tar(self) -> str:
        return f"{self.stem}.tar"

    @cached_property
    def digest(self) -> str:
        """Changes with anything that would change the shard's bytes; the commit file holds it."""
        digest = hashlib.blake2b(f"{SCHEMA_VERSION}:{self.stem}".encode(), digest_size=16)
        for entry in self.entries:
            digest.update(f":{entry.clip_id}:{entry.digest}".encode())
        return digest.hexdigest()


def plan_shards(
    entries: Iterable[Entry], settings: PackSettings, films: Mapping[str, str] | None = None
) -> list[Shard]:
    """Shards sorted by split and signature, holding every entry exactly once.

    `films` names the film (see `demix.film`) of sources that are parts of one; all others are films of their own.

    Within a split and signature, clips are taken by clip id and a shard is closed before it would exceed
    `target_bytes`. Raises ValueError if two entries have one clip id.
    """
    rows = sorted(e._replace(source_id=intern(e.source_id), signature=intern(e.signature)) for e in entries)
    for first, second in pairwise(rows):
        if first.clip_id == second.clip_id:
            raise ValueError(f"clip {first.clip_id} is planned twice; clip ids are unique over a dataset")
    films = films or {}
    test = held_out(Counter(films.get(row.source_id) or row.source_id for row in rows), settings)
    splits: dict[Split, list[Entry]] = {"test": [], "train": []}
    for row in rows:
        splits["test" if (films.get(row.source_id) or row.source_id) in test else "train"].append(row)
    shards = []
    for split, members in splits.items():
        # The sort is stable: clip ids stay in order within a signature.
        for signature, group in groupby(sorted(members, key=_signature), key=_signature):
            filled = enumerate(_fill(group, settings.target_bytes))
            shards += [Shard(split, signature, number, rows) for number, rows in filled]
    return shards


def held_out(clips: Counter[str], settings: PackSettings) -> frozenset[str]:
    """The films (name or source id → number of clips) whose clips are held out: in the order of a hash, whole films are
    taken until the test split has `test_clips` clips or `test_share` of them all. A film with more than half of all
    clips is passed over, and one film is always left to train on, so a dataset of a single film has no test split."""
    wanted = min(settings.test_clips, math.ceil(settings.test_share * clips.total()))
    taken: Counter[str] = Counter()
    for film in sorted(clips, key=lambda film: _draw(settings.test_seed, film)):
        if taken.total() >= wanted or len(taken) == len(clips) - 1:
            break
        if 2 * clips[film] <= clips.total():
            taken[film] = clips[film]
    return frozenset(taken)


def _draw(seed: int, film: str) -> bytes:
    return hashlib.blake2b(f"test-split:{seed}:{film}".encode(), digest_size=16).digest()


def _signature(entry: Entry) -> str:
    return entry.signature


def _fill(entries: Iterable[Entry], target: int) -> Iterator[tuple[Entry, ...]]:
    rows: list[Entry] = []
    size = 0
    for entry in entries:
        if rows and tar.total(size + entry.bytes) > target:
            yield tuple(rows)
            rows, size = [], 0
        rows.append(entry)
        size += entry.bytes
    if rows:
        yield tuple(rows)
