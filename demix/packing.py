"""Pack: the kept clips as shards and manifests. What lies in the dataset already, as planned, is not written again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from demix import recipe
from demix.build import CLIPS, Build
from demix.dataset.plan import Shard, plan_shards
from demix.dataset.restore import restore_media
from demix.dataset.sample import Sample
from demix.dataset.shard import is_committed, prune, write_shard
from demix.engine.phase import End
from demix.engine.progress import meter
from demix.engine.row import from_columns
from demix.stages.media_ready import MediaReady, ReadySettings
from demix.store import Store

_PAGE = 512


@dataclass(frozen=True)
class PackTask:
    """One shard to be written by whatever worker takes it; everything else it reads from the work store."""

    shard: Shard
    dataset: Path
    work: str
    settings: recipe.BuildSettings


def pack(build: Build, keep_work: bool = False) -> list[Shard]:
    """Brings all planned shards into the dataset, then the manifests, then removes what is not needed any more."""
    shards = plan_shards((sample.entry for sample in samples(build.clip_phase().ends())), build.settings.pack)
    missing = [shard for shard in shards if not is_committed(shard, build.dataset)]
    if missing:
        _bring_media_back(build, missing)
        with meter("pack", len(missing), "shards") as progress:
            tasks = [PackTask(shard, build.dataset, build.store.root, build.settings) for shard in missing]
            for _ in build.runner.map(write_planned, tasks):
                progress.advance()
    prune(build.dataset, shards)
    return shards


def write_planned(task: PackTask) -> str:
    """Writes one shard; runs anywhere. Returns its path."""
    build = Build(task.settings, task.dataset, task.work)
    chosen = clips_with(build, [entry.clip_id for entry in task.shard.entries])
    write_shard(task.shard, samples(chosen), Store(task.work), task.dataset)
    return task.shard.tar


def samples(ends: Iterator[End] | Sequence[End]) -> Iterator[Sample]:
    """The kept clips among `ends`, as they go into shards."""
    for end in ends:
        if end.state == "kept":
            yield Sample(end.item.clip, end.item.records)


def clips_with(build: Build, ids: Sequence[str]) -> Iterator[End]:
    """How these clips of the clip table ended, sorted by id."""
    table = build.store.local(CLIPS)
    wanted = iter(sorted(ids))
    phase = build.clip_phase()
    while page := list(islice(wanted, _PAGE)):
        rows = from_columns(pq.read_table(table, filters=pc.field("id").isin(page)).to_pydict())
        yield from phase.page_ends(sorted(rows, key=lambda row: row.id))


def _bring_media_back(build: Build, shards: Sequence[Shard]) -> None:
    """Media of the planned clips that an earlier purge removed: copied from old shards, or else made again."""
    ids = [entry.clip_id for shard in shards for entry in shard.entries]
    keys = {media.key: sample.clip.id for sample in samples(clips_with(build, ids)) for media in sample.media.values()}
    lost = restore_media(build.store, build.dataset, keys)
    if lost:
        build.remake(sorted({keys[key] for key in lost}), MediaReady(ReadySettings(keys=tuple(lost))))
