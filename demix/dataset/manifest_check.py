"""Proves the manifests: their own hashes, every row against the shards, and that the counts add up."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from demix.dataset import layout, tar
from demix.dataset.manifest import clip_columns, kept_clip, read_manifest_commit
from demix.dataset.plan import Entry, Shard
from demix.dataset.problem import REBUILD, REMANIFEST, Problem
from demix.dataset.sample import Sample
from demix.dataset.schema import SchemaError, read_rows
from demix.dataset.shard_check import Found, ShardCheck
from demix.film import film_of
from demix.records import clip_id
from demix.store import Store


def check_manifests(dataset: Path, shards: Sequence[ShardCheck]) -> Iterator[Problem]:
    """Everything wrong with the manifests, given what was found in the shards."""
    yield from _files(dataset)
    clips = _Clips(shards)
    try:
        for row in read_rows(dataset / layout.CLIPS, "clips"):
            yield from (Problem(layout.CLIPS, what, REBUILD) for what in clips.check(row))
        yield from (Problem(layout.CLIPS, what, REBUILD) for what in clips.unlisted())
        yield from clips.plans()
        yield from (Problem(layout.SOURCES, what, REMANIFEST) for what in _sums(dataset, clips))
        yield from (Problem(layout.CLIPS, what, REBUILD) for what in _films(dataset, clips))
    except FileNotFoundError as error:
        yield Problem(_within(dataset, error.filename), "is missing", REMANIFEST)
    except SchemaError as error:
        yield Problem(layout.MANIFESTS, str(error), REMANIFEST)


def _within(dataset: Path, filename: str | None) -> str:
    """A file that was not found, relative to the dataset."""
    path = Path(filename or dataset / layout.CLIPS)
    return path.relative_to(dataset).as_posix() if path.is_relative_to(dataset) else str(path)


def _files(dataset: Path) -> Iterator[Problem]:
    """The tables against manifests/commit.json."""
    try:
        commit = read_manifest_commit(dataset)
    except SchemaError as error:
        yield Problem(layout.MANIFEST_COMMIT, str(error), REMANIFEST)
        return
    if commit is None:
        yield Problem(layout.MANIFEST_COMMIT, "is missing: the build did not come to its end", REMANIFEST)
        return
    for path, said in commit.files.items():
        if not (dataset / path).is_file():
            yield Problem(path, "is missing", REMANIFEST)
        elif tar.sha256_of(dataset / path) != said.sha256:
            yield Problem(path, f"was changed: its sha256 is not {said.sha256}", REMANIFEST)
    for path in Store(dataset).files(layout.MANIFESTS):
        if path not in commit.files and path != layout.MANIFEST_COMMIT:
            yield Problem(path, "is not a manifest of this build", "remove it")


class _Clips:
    """The clips of the manifest, compared one by one with those of the shards, and counted by source."""

    def __init__(self, shards: Sequence[ShardCheck]):
        self.kept: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.splits: dict[str, str] = {}
        """By source."""
        self._found: dict[str, tuple[str, Found]] = {
            name: (check.stem, found) for check in shards for name, found in check.clips.items()
        }
        self._listed: set[str] = set()
        self._unreadable = {f"{check.stem}.tar" for check in shards if not check.readable}
        self._plans = {check.stem: check.plan for check in shards}
        self._entries: defaultdict[str, list[Entry]] = defaultdict(list)

    def check(self, row: Mapping[str, Any]) -> Iterator[str]:
        """What is wrong with a row."""
        name, source = row["clip_id"], row["source_id"]
        if name in self._listed:
            yield f"clip {name} is listed twice"
        self._listed.add(name)
        self.kept[source] += 1
        self.seconds[source] += row["seconds"]
        if self.splits.setdefault(source, row["split"]) != row["split"]:
            yield f"source {source} is in both splits, with clip {name} in {row['split']}"
        try:
            kept = kept_clip(row)
            sample = Sample(kept.clip, kept.records)
            columns = clip_columns(kept)
        except (ValueError, TypeError) as error:
            yield f"clip {name}: its records cannot be read: {error}"
            return
        if wrong := sorted(key for key, value in columns.items() if row[key] != value):
            yield f"clip {name}: the columns {', '.join(wrong)} contradict its records and span"
        if clip_id(source, kept.clip.start_pts, kept.clip.end_pts, bars=kept.clip.bars) != name:
            yield f"clip {name}: its id is not that of its source and span"
        yield from self._place(row, sample)

    def _place(self, row: Mapping[str, Any], sample: Sample) -> Iterator[str]:
        """The row against the shard that it names: the texts there must be those that its records give."""
        name = row["clip_id"]
        if name not in self._found:
            if row["shard"] in self._unreadable:
                return  # said once, of the shard
            yield f"clip {name} is in no shard; it should be in {row['shard']}"
            return
        stem, found = self._found[name]
        if f"{stem}.tar" != row["shard"]:
            yield f"clip {name} is in {stem}.tar, not in {row['shard']}"
        if found.text != hashlib.sha256(sample.caption).hexdigest():
            yield f"clip {name}: its caption is not the .txt in {stem}.tar"
        if found.json != hashlib.sha256(sample.json(row["split"])).hexdigest():
            yield f"clip {name}: its columns and records are not those of the .json in {stem}.tar"
        self._entries[stem].append(sample.entry)

    def unlisted(self) -> Iterator[str]:
        """Clips that only the shards know."""
        for name in sorted(set(self._found) - self._listed):
            yield f"clip {name} is in {self._found[name][0]}.tar, but not listed"

    def plans(self) -> Iterator[Problem]:
        """The plan that each commit file names against the one that its clips give."""
        for stem, entries in sorted(self._entries.items()):
            _, split, signature, file = stem.split("/")
            number = int(file.rpartition("-")[2])
            planned = Shard("test" if split == "test" else "train", signature, number, tuple(sorted(entries)))
            if self._plans[stem] not in (None, planned.digest):
                what = "its plan is not that of the clips and records which the manifest lists for it"
                yield Problem(f"{stem}.commit.json", what, REBUILD)


def _sums(dataset: Path, clips: _Clips) -> Iterator[str]:
    """Every source: clips = kept + dropped + failed. Every candidate: kept, or in one of the lists."""
    ended, lists = _ended(dataset)
    candidates: set[str] = set()
    totals: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0, 0.0])
    for row in read_rows(dataset / layout.SOURCES, "sources"):
        name, status = row["candidate_id"], row["status"]
        candidates.add(name)
        listed = [list_name for list_name, names in lists.items() if name in names]
        if listed != ([status] if status != "kept" else []):
            yield f"candidate {name} is {status}, but the lists say {listed or 'nothing'}"
        for number, column in enumerate(("clips", "kept_clips", "kept_seconds")):
            totals[row["source_id"]][number] += row[column]
    for name in sorted(set().union(*lists.values()) - candidates):
        yield f"candidate {name} was dropped or failed, but is not listed"
    for source in sorted({*totals, *clips.kept, *ended} - {None}):
        found, kept, seconds = totals[source]
        if kept != clips.kept[source] or found != kept + ended[source]:
            yield (
                f"source {source}: {found:.0f} clips and {kept:.0f} kept are said, "
                f"{clips.kept[source]} kept and {ended[source]} dropped or failed are listed"
            )
        if not math.isclose(seconds, clips.seconds[source], abs_tol=1e-6):
            yield f"source {source}: {seconds} s kept are said, its clips have {clips.seconds[source]} s"


def _films(dataset: Path, clips: _Clips) -> Iterator[str]:
    """Films of which some files are in one split and some in the other."""
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for row in read_rows(dataset / layout.SOURCES, "sources", ["source_id", "metadata"]):
        film = film_of(json.loads(row["metadata"]))
        if film and row["source_id"] in clips.splits:
            splits[film].add(clips.splits[row["source_id"]])
    yield from (f"the film {film!r} is in both splits" for film, found in sorted(splits.items()) if len(found) > 1)


def _ended(dataset: Path) -> tuple[Counter[str], dict[str, set[str]]]:
    """Clips that were dropped or failed, by source; and the candidates that were, by status."""
    ended: Counter[str] = Counter()
    lists: dict[str, set[str]] = {"dropped": set(), "failed": set()}
    paths = [path for path in Store(dataset).files(layout.REJECTS) if path.endswith(".parquet")]
    for path, table, status in [*((path, "rejects", "dropped") for path in paths),
                                (layout.QUARANTINE, "quarantine", "failed")]:  # fmt: skip
        for row in read_rows(dataset / path, table, ["subject", "id", "source_id"]):
            if row["subject"] == "clip":
                ended[row["source_id"]] += 1
            else:
                lists[status].add(row["id"])
    return ended, lists
