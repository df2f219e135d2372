"""What came out of each source, and of each kind of source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from demix.dataset.sample import file_name
from demix.report import paper
from demix.report.count import Amount, Frozen, Tally, summed
from demix.report.manifests import Listed


class SourceYield(Frozen):
    name: str
    """The file's name; where it lies is in the manifest of sources only."""
    title: str
    source_id: str
    kind: str
    status: str
    stage: str
    reason: str
    seconds: float
    clips: int
    kept: Amount
    main_loss: str
    """The reason or error that took most of its clips; empty if nothing was lost."""
    sound: str
    """Which of its tracks is its sound, and why."""


class KindYield(Frozen):
    kind: str
    sources: int
    seconds: float
    kept: Amount
    paper_hours: float | None
    """Raw hours of this kind that the paper started from."""


def source_yields(sources: Sequence[Listed], tally: Tally) -> tuple[SourceYield, ...]:
    """The most productive sources first."""
    rows = [_source_yield(source, tally) for source in sources]
    return tuple(sorted(rows, key=lambda row: (-row.kept.seconds, -row.seconds, row.name, row.source_id)))


def _source_yield(source: Listed, tally: Tally) -> SourceYield:
    built = source.status == "kept"
    return SourceYield(
        name=file_name(source.uri),
        title=str(source.metadata.get("title") or ""),
        source_id=source.source_id,
        kind=source.kind,
        status=source.status,
        stage=source.stage,
        reason=source.reason,
        seconds=source.seconds,
        clips=source.clips,
        kept=tally.sources.get(source.source_id, Amount()) if built else Amount(),
        main_loss=_main_loss(tally.losses.get(source.source_id, {})) if built else "",
        sound=source.sound,
    )


def _main_loss(losses: Mapping[str, int]) -> str:
    return min(losses, key=lambda reason: (-losses[reason], reason)) if losses else ""


def kind_yields(sources: Sequence[Listed], tally: Tally) -> tuple[KindYield, ...]:
    return tuple(
        KindYield(
            kind=kind,
            sources=sum(source.kind == kind for source in sources),
            seconds=sum(source.seconds for source in sources if source.kind == kind),
            kept=summed(amount for key, amount in tally.kinds.items() if key == kind),
            paper_hours=paper.SOURCE_HOURS.get(kind),
        )
        for kind in sorted({source.kind for source in sources})
    )
