"""Proves a dataset by reading all of it again: nothing that was written is believed.

What no check within a dataset can find is a tampering that keeps everything consistent, down to every hash; keep the
sha256 of manifests/commit.json elsewhere if that matters.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from demix.dataset import layout
from demix.dataset.manifest_check import check_manifests
from demix.dataset.problem import LEFT, REBUILD, Problem, with_commands
from demix.dataset.shard_check import ShardCheck, check_shard
from demix.store import Place, Store

Progress = Callable[[int, int], None]


def verify(dataset: Place, workers: int = 1, progress: Progress | None = None, decode: bool = True) -> list[Problem]:
    """Everything that is wrong with a dataset, sorted by file; an empty list proves it.

    Re-hashes every shard, compares tar, index, commit file and manifests with one another, decodes every clip and
    counts its frames and samples (unless `decode` is off), and adds up the totals. `workers` shards are read at once,
    those of a remote dataset by way of temporary files; `progress` is called with the number of shards done and of all.
    """
    store = Store.at(dataset)
    stems, problems = shards_of(store)
    checks: list[ShardCheck] = []
    # Threads: hashing lets go of the interpreter, and decoding runs in the sandbox's children.
    with ThreadPoolExecutor(workers) as pool:
        for check in pool.map(lambda stem: _check_shard(store, stem, decode), stems):
            checks.append(check)
            if progress is not None:
                progress(len(checks), len(stems))
    problems += [problem for check in checks for problem in check.problems]
    problems += _twice(checks)
    with store.brought(store.files(layout.MANIFESTS)) as folder:
        problems += check_manifests(folder, checks)
    return sorted(with_commands(problems, store))


def _check_shard(dataset: Store, stem: str, decode: bool) -> ShardCheck:
    with dataset.brought(f"{stem}{suffix}" for suffix in layout.SHARD_SUFFIXES) as folder:
        return check_shard(folder, stem, decode)


def shards_of(dataset: Store) -> tuple[list[str], list[Problem]]:
    """The stems of all shards of which any file exists, and the files that belong to none."""
    stems, problems = set(), []
    for path in dataset.files(layout.SHARDS):
        if stem := layout.stem_of(path):
            stems.add(stem)
        elif layout.is_aside(Path(path).name):
            problems.append(Problem(path, "was left by a process that was killed", LEFT))
        else:
            problems.append(Problem(path, "is not a file of a dataset", "move it out of the dataset"))
    return sorted(stems), problems


def _twice(checks: Sequence[ShardCheck]) -> Iterator[Problem]:
    """Clips that lie in more than one shard."""
    places: defaultdict[str, list[str]] = defaultdict(list)
    for check in checks:
        for clip in check.clips:
            places[clip].append(f"{check.stem}.tar")
    for clip, shards in sorted(places.items()):
        if len(shards) > 1:
            yield Problem(shards[-1], f"clip {clip} is in {shards[0]} as well", REBUILD)
