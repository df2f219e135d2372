"""A finished dataset judged again with other settings, by the judges themselves, from the records of its manifests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from demix.lazy import LazyRecords
from demix.recipe import BuildSettings, clip_stages
from demix.records import Clip, Record, Subset, Subsets
from demix.report.manifests import Judged
from demix.stage import Dropped, Item, Kept, Stage

TICKS = 1_000_000
"""Per second: the manifests hold a rejected clip's length as a float only."""


@dataclass(frozen=True)
class Ending:
    """What would become of a clip."""

    state: Literal["kept", "dropped", "unmeasured"]
    """unmeasured: it would go on to a stage that has never seen it."""
    stage: str = ""
    """Where it would be dropped, or have to be measured."""
    subsets: tuple[Subset, ...] = ()


@dataclass
class Count:
    """Endings, added up."""

    kept: int = 0
    subsets: Counter[Subset] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    """Stage -> clips."""
    unmeasured: Counter[str] = field(default_factory=Counter)

    def add(self, ending: Ending) -> None:
        if ending.state == "kept":
            self.kept += 1
            self.subsets.update(ending.subsets)
        else:
            (self.dropped if ending.state == "dropped" else self.unmeasured)[ending.stage] += 1


def judge_again(clips: Iterable[Judged], settings: BuildSettings) -> Count:
    """What a build with these settings would keep, as far as that can be known without measuring. Failed clips are left
    out: they stay failed."""
    stages, count = clip_stages(settings), Count()
    kinds = {stage.adds.name: stage.adds for stage in stages if stage.adds is not None}
    for clip in clips:
        if clip.outcome != "failed":
            count.add(_ending(_item(clip, kinds), stages))
    return count


def _ending(item: Item, stages: Sequence[Stage]) -> Ending:
    for stage in stages:
        if not stage.judges:
            if stage.adds is not None and stage.adds not in item:
                return Ending("unmeasured", stage.name)
            continue
        [outcome] = stage.run([item])
        match outcome:
            case Kept(record):
                item = item.with_record(record)
            case Dropped():
                return Ending("dropped", stage.name)
            case _:
                raise TypeError(f"{item.id}: the judge {stage.name} answered {outcome!r}")
    return Ending("kept", subsets=item[Subsets].subsets if Subsets in item else ())


def _item(clip: Judged, kinds: Mapping[str, type[Record]]) -> Item:
    """The clip with what was recorded of it. Its own place in its source is of no concern to a judge."""
    subject = Clip(
        id=clip.id,
        source_id=clip.source_id,
        uri=clip.uri,
        kind=clip.kind,
        ordinal=0,
        start_pts=0,
        end_pts=round((clip.seconds or 0.0) * TICKS),
        time_base=f"1/{TICKS}",
    )
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in clip.records.items()
        if name in kinds
    }
    return Item(subject, LazyRecords(texts, kinds))
