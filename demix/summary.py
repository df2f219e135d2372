"""What a build tells at its end: the funnels of sources and clips, and whether the result is good."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from demix.build import Build
from demix.engine.funnel import Funnel, SumRuleError
from demix.engine.ledger import Entry
from demix.machine import speaks_of_machine
from demix.recipe import LimitSettings
from demix.records import DemixCheck
from demix.sources.fetch import SourceChanged, SourceMissing
from demix.stages.demixing import TRACKS


@dataclass(frozen=True)
class Summary:
    """Counts over a whole build. `clips` is the length of the clip table, whatever became of them."""

    sources: Funnel
    clips: int
    annotated: Funnel | None
    """What became of the clips; None before they were annotated."""
    kept_seconds: float = 0.0
    audible: Counter[int] = field(default_factory=Counter)
    """Kept clips by how many of their three tracks are audible; empty if `demix_filter` did not run."""
    causes: Counter[str] = field(default_factory=Counter)
    """Of sources and clips in quarantine, how many failed for a cause outside them; see `_REMEDIES`."""

    @property
    def funnels(self) -> Sequence[tuple[str, Funnel]]:
        """(name, funnel) in the order of the phases."""
        annotated = [("clips", self.annotated)] if self.annotated else []
        return [("sources", self.sources), *annotated]

    @property
    def kept(self) -> int:
        return self.annotated.kept if self.annotated else 0

    @property
    def several_tracks(self) -> str:
        """How many kept clips have something to demix, as a sentence; empty if that was not measured."""
        if not self.audible:
            return ""
        several = sum(count for tracks, count in self.audible.items() if tracks > 1)
        return f"{several} of {self.audible.total()} kept clips have two or more audible tracks"

    @property
    def hours(self) -> float:
        """Length of the kept clips."""
        return self.kept_seconds / 3600


def summarise(build: Build, *, annotated: bool = True) -> Summary:
    """Walks the ledger and counts how every source and (with `annotated`) every clip ended."""
    sources, causes = Funnel(["probe", "shots"]), Counter[str]()
    for end in build.source_ends():
        if end.duplicate_of:
            sources.add("probe", "dropped", "duplicate")
        elif end.state == "kept":
            sources.add("", "kept", "")
        elif end.entry is not None:
            sources.add(end.entry.stage, end.state, end.entry.reason)
            causes.update(_causes(end.entry))
    if sources.total != len(build.named):
        raise SumRuleError(f"{len(build.named)} files were named, {sources.total} of them ended")
    if not annotated:
        return Summary(sources, build.count_clips(), None, causes=causes)
    phase = build.clip_phase()
    listed = build.count_clips()
    clips, seconds, audible = Funnel([step.stage.name for step in phase.steps]), 0.0, Counter[int]()
    for item in phase.ends():
        if item.state == "kept":
            clips.add("", "kept", "")
            seconds += float(item.item.clip.seconds)
            if DemixCheck in item.item:
                audible[len(TRACKS) - len(item.item[DemixCheck].silent)] += 1
        elif item.entry is not None:
            clips.add(item.entry.stage, item.state, item.entry.reason)
            causes.update(_causes(item.entry))
    if clips.total != listed:
        raise SumRuleError(f"{listed} clips are in the clip table, {clips.total} of them ended")
    return Summary(sources, clips.total, clips, seconds, audible, causes)


_REMEDIES = {
    "machine": "failed because the machine was in trouble then (no space, a lost mount, a killed process), as their "
    "errors say: give the same command with --retry-failed",
    SourceMissing.__name__: "failed because the film was not there: bring it back and give the same command with "
    "--retry-failed, or name the sources without it",
    SourceChanged.__name__: "failed because the film was replaced after it was probed: name the sources again "
    "(`demix build FILMS`), and the new one is probed",
}
"""Cause of failures that no item is to blame for → what is said of it."""


def _causes(entry: Entry) -> Iterator[str]:
    """Why an item is in quarantine, where that is one of `_REMEDIES`."""
    if entry.status != "failed":
        return
    error = json.loads(entry.body)["error"]
    if error in _REMEDIES:
        yield error
    elif speaks_of_machine(entry.body):  # earlier versions charged items with it
        yield "machine"


def verdict(summary: Summary, limits: LimitSettings) -> str:
    """What is wrong with a build that came to its end, as a sentence that helps; empty if nothing is."""
    if not summary.sources.kept:
        return f"no source could be used ({_reasons(summary.sources)}); `demix show ID` tells everything of one"
    if not summary.clips:
        return "the sources hold no clip: no shot was found in them"
    annotated = summary.annotated
    if annotated is not None and not annotated.kept and annotated.failed == annotated.total:
        return (
            f"no clip was kept: all {annotated.failed} failed; manifests/quarantine/ has the errors and the commands "
            "that replay them, --retry-failed tries them again"
        )
    if annotated is not None and not annotated.kept:
        return (
            f"no clip was kept ({_reasons(annotated)}); look at the report's thresholds, and move one with "
            "--set STAGE.SETTING=VALUE"
        )
    for name, funnel, share in (
        ("sources", summary.sources, limits.max_failed_sources),
        ("clips", annotated, limits.max_failed_clips),
    ):
        if funnel is not None and funnel.failed > share * funnel.total:
            return (
                f"{funnel.failed} of {funnel.total} {name} failed, more than limits.max_failed_{name}={share:g} "
                "allows; manifests/quarantine/ has the errors and the commands that replay them, --retry-failed tries "
                "them again"
            )
    return ""


def remark(summary: Summary) -> str:
    """What is worth knowing of a build, good or not, a line each; empty if nothing is."""
    notes = [f"{count} in quarantine {_REMEDIES[cause]}" for cause, count in sorted(summary.causes.items())]
    if summary.audible and not any(tracks > 1 for tracks in summary.audible):
        notes.append(
            f"{summary.several_tracks}: nothing in this dataset teaches to tell tracks apart; look at "
            "demix_filter.max_distance and the distances in the report"
        )
    return "\n".join(notes)


def _reasons(funnel: Funnel) -> str:
    reasons = funnel.dropped + Counter({"failed": funnel.failed} if funnel.failed else {})
    return ", ".join(f"{number} {reason}" for reason, number in reasons.most_common()) or "none came"
