"""Pack: the kept clips as shards and manifests. What lies in the dataset already, as planned, is not written again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from demix.build import Build
from demix.clip_table import clips_with
from demix.dataset.plan import Shard, plan_shards
from demix.dataset.restore import restore_media
from demix.dataset.sample import Sample
from demix.dataset.shard import is_committed, prune, write_shard
from demix.engine.ledger import Ledger
from demix.engine.phase import End, ends_of
from demix.engine.progress import meter
from demix.engine.worker import Step
from demix.records import Record
from demix.stages.media_ready import MediaReady, ReadySettings
from demix.store import Store

_PAGE = 512


@dataclass(frozen=True)
class PackTask:
    """One shard to be written by whatever worker takes it; everything else it reads from the work store.

    It carries the steps with their fingerprints, as working those out again would load every model's module.
    """

    shard: Shard
    dataset: Store
    work: str
    steps: tuple[Step, ...]
    kinds: Mapping[str, type[Record]]


def pack(build: Build) -> list[Shard]:
    """Brings all planned shards into the dataset and removes those of earlier plans. Returns the plan.

    Raises `ConfigError` if a clip has not ended: shards of half a dataset would look like a whole one.
    """
    build.check_clips(annotated=True)
    phase = build.clip_phase()
    shards = plan_shards((sample.entry for sample in samples(phase.ends())), build.settings.pack, build.films())
    missing = [shard for shard in shards if not is_committed(shard, build.dataset)]
    if missing:
        build.begin_work()
        _bring_media_back(build, missing)
        with meter("pack", len(missing), "shards") as progress:
            root, steps = build.store.root, phase.steps
            tasks = [PackTask(shard, build.dataset, root, steps, phase.kinds) for shard in missing]
            for _ in build.helpers.map(write_planned, tasks):
                progress.advance()
                build.check_held()
    prune(build.dataset, shards)
    return shards


def write_planned(task: PackTask) -> str:
    """Writes one shard; runs anywhere. Returns its path."""
    store = Store(task.work)
    chosen = ends_with([entry.clip_id for entry in task.shard.entries], store, task.steps, task.kinds)
    write_shard(task.shard, samples(chosen), store, task.dataset)
    return task.shard.tar


def samples(ends: Iterable[End]) -> Iterator[Sample]:
    """The kept clips among `ends`, as they go into shards."""
    for end in ends:
        if end.state == "kept":
            yield Sample(end.item.clip, end.item.records)


def ends_with(
    ids: Sequence[str], store: Store, steps: Sequence[Step], kinds: Mapping[str, type[Record]]
) -> Iterator[End]:
    """How these clips of the clip table ended, sorted by id."""
    ledger, wanted = Ledger(store), iter(sorted(ids))
    while page := list(islice(wanted, _PAGE)):
        yield from ends_of(clips_with(store, page), steps, kinds, ledger)


def _bring_media_back(build: Build, shards: Sequence[Shard]) -> None:
    """Media of the planned clips that an earlier purge removed: copied from old shards, or else made again."""
    ids = [entry.clip_id for shard in shards for entry in shard.entries]
    phase = build.clip_phase()
    planned = samples(ends_with(ids, build.store, phase.steps, phase.kinds))
    keys = {media.key: sample.clip.id for sample in planned for media in sample.media.values()}
    lost = restore_media(build.store, build.dataset, keys)
    if lost:
        build.remake(sorted({keys[key] for key in lost}), MediaReady(ReadySettings(keys=tuple(lost))))
