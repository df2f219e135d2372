"""Where sources and clips ended: in = kept + dropped + failed at every stage, and whether the manifests agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from demix.report.count import Ends, Frozen, Tally, end
from demix.report.manifests import Listed, Manifests

SOURCE_STAGES = (("sources", "probe"), ("index", "shots"))
CLIP_STAGES = (
    "length",
    "clip_media",
    "audio_quality",
    "quality_filter",
    "demixing",
    "demix_filter",
    "persons",
    "diarization",
    "active_speaker",
    "voice_over",
    "caption",
    "subsets",
)
"""The recipe's default order, where build.json's settings name none."""


class StageFlow(Frozen):
    """entered = kept + sum of dropped + failed"""

    phase: str
    stage: str
    unit: str
    """What passes through: sources or clips."""
    entered: int
    kept: int
    dropped: dict[str, int]
    """Reason -> how many, most first."""
    failed: int
    seconds_lost: float
    """Length of what was dropped and failed here, as far as it is known."""


def clip_stages(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The clip stages in the order in which the build ran them."""
    return tuple(config.get("order") or CLIP_STAGES)


def flows(sources: Sequence[Listed], tally: Tally, config: Mapping[str, Any]) -> tuple[StageFlow, ...]:
    """One flow per stage: those who entered it are all that ended there or later."""
    source_ends: defaultdict[str, Ends] = defaultdict(Ends)
    for source in sources:
        if source.status != "kept":
            end(source_ends[source.stage], source.status, source.reason, source.seconds)
    source_steps = [*SOURCE_STAGES, *_strange("index", source_ends, [stage for _, stage in SOURCE_STAGES])]
    ordered = clip_stages(config)
    clip_steps = [("annotate", stage) for stage in ordered] + _strange("annotate", tally.ends, ordered)
    return (
        *_flows(source_steps, source_ends, "sources", len(sources)),
        *_flows(clip_steps, tally.ends, "clips", tally.all.clips),
    )


def _strange(phase: str, ends: Mapping[str, Ends], known: Sequence[str]) -> list[tuple[str, str]]:
    """Stages that ended somebody but are not in the order; they count, so they are shown."""
    return [(phase, stage) for stage in sorted(ends) if stage not in known]


def _flows(steps: Sequence[tuple[str, str]], ends: Mapping[str, Ends], unit: str, entered: int) -> Iterator[StageFlow]:
    for phase, stage in steps:
        ended = ends.get(stage, Ends())
        kept = entered - ended.total
        yield StageFlow(
            phase=phase,
            stage=stage,
            unit=unit,
            entered=entered,
            kept=kept,
            dropped=dict(sorted(ended.dropped.items(), key=lambda entry: (-entry[1], entry[0]))),
            failed=ended.failed,
            seconds_lost=ended.seconds,
        )
        entered = kept


def contradictions(manifests: Sequence[Manifests], sources: Sequence[Listed], tally: Tally) -> tuple[str, ...]:
    """Where sources.parquet and the rows of the clips tell different stories; empty when everything adds up."""
    found = []
    indexed, judged = sum(source.clips for source in sources), tally.all.clips
    if indexed != judged:
        found.append(f"sources.parquet counts {indexed} clips, but {judged} are kept, dropped or quarantined")
    if tally.repeated:
        found.append(f"{len(tally.repeated)} clips are listed more than once, for instance {min(tally.repeated)}")
    claimed: defaultdict[str, int] = defaultdict(int)
    for source in sources:
        claimed[source.source_id] += source.kept_clips
    for source_id in sorted(claimed.keys() | tally.sources.keys()):
        kept = tally.sources[source_id].clips if source_id in tally.sources else 0
        if claimed.get(source_id, 0) != kept:
            found.append(f"source {source_id}: {claimed.get(source_id, 0)} kept clips claimed, {kept} found")
    for status in ("dropped", "failed"):
        told = sum(source.status == status for source in sources)
        listed = sum(manifest.ended_candidates()[status] for manifest in manifests)
        if told != listed:
            found.append(f"sources.parquet tells of {told} {status} sources, the lists of reasons of {listed}")
    return tuple(found)
