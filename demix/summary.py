"""What a build tells at its end: the funnels of sources and clips, and whether the result is good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from demix.build import Build
from demix.engine.funnel import Funnel, SumRuleError
from demix.engine.ledger import Entry
from demix.machine import speaks_of_machine
from demix.recipe import LimitSettings


@dataclass(frozen=True)
class Summary:
    """Counts over a whole build. `clips` is the length of the clip table, whatever became of them."""

    sources: Funnel
    clips: int
    annotated: Funnel | None
    """What became of the clips; None before they were annotated."""
    kept_seconds: float = 0.0
    by_machine: int = 0
    """Sources and clips in quarantine whose errors tell of the machine; earlier versions knew no difference."""

    @property
    def funnels(self) -> Sequence[tuple[str, Funnel]]:
        """(name, funnel) in the order of the phases."""
        annotated = [("clips", self.annotated)] if self.annotated else []
        return [("sources", self.sources), *annotated]

    @property
    def kept(self) -> int:
        return self.annotated.kept if self.annotated else 0

    @property
    def hours(self) -> float:
        """Length of the kept clips."""
        return self.kept_seconds / 3600


def summarise(build: Build, *, annotated: bool = True) -> Summary:
    """Walks the ledger and counts how every source and (with `annotated`) every clip ended."""
    sources, by_machine = Funnel(["probe", "shots"]), 0
    for end in build.source_ends():
        if end.duplicate_of:
            sources.add("probe", "dropped", "duplicate")
        elif end.state == "kept":
            sources.add("", "kept", "")
        elif end.entry is not None:
            sources.add(end.entry.stage, end.state, end.entry.reason)
            by_machine += _is_by_machine(end.entry)
    if sources.total != len(build.named):
        raise SumRuleError(f"{len(build.named)} files were named, {sources.total} of them ended")
    if not annotated:
        return Summary(sources, build.count_clips(), None, by_machine=by_machine)
    phase = build.clip_phase()
    listed = build.count_clips()
    clips, seconds = Funnel([step.stage.name for step in phase.steps]), 0.0
    for item in phase.ends():
        if item.state == "kept":
            clips.add("", "kept", "")
            seconds += float(item.item.clip.seconds)
        elif item.entry is not None:
            clips.add(item.entry.stage, item.state, item.entry.reason)
            by_machine += _is_by_machine(item.entry)
    if clips.total != listed:
        raise SumRuleError(f"{listed} clips are in the clip table, {clips.total} of them ended")
    return Summary(sources, clips.total, clips, seconds, by_machine)


def _is_by_machine(entry: Entry) -> bool:
    return entry.status == "failed" and speaks_of_machine(entry.body)


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
    """What is worth knowing of a build, good or not; empty if nothing is."""
    if not summary.by_machine:
        return ""
    return (
        f"{summary.by_machine} in quarantine failed because the machine was in trouble then (no space, a lost mount, a "
        "killed process), as their errors say: give the same command with --retry-failed"
    )


def _reasons(funnel: Funnel) -> str:
    reasons = funnel.dropped + Counter({"failed": funnel.failed} if funnel.failed else {})
    return ", ".join(f"{number} {reason}" for reason, number in reasons.most_common()) or "none came"
