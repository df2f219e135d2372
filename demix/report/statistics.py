"""The numbers of the report: a pure function from a dataset's manifests to one frozen model, which is report.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from demix.records import SCHEMA_VERSION, SUBSETS, Subset
from demix.report import paper
from demix.report.count import TRAITS, Amount, Frozen, Tally, Values, summed
from demix.report.funnel import StageFlow, clip_stages, contradictions, flows
from demix.report.histogram import Histogram, histogram
from demix.report.manifests import Listed, Manifests
from demix.report.scores import Effect, Keeps, Rule, rank, rules_of, title
from demix.report.yields import KindYield, SourceYield, kind_yields, source_yields


class SubsetAmount(Frozen):
    subset: Subset
    all: Amount
    train: Amount
    test: Amount
    paper_clips: int


class Combination(Frozen):
    """Clips whose subsets are exactly these."""

    subsets: tuple[Subset, ...]
    amount: Amount


class Judgement(Frozen):
    """One threshold on one score: how many measured clips pass it, and how many of those kept in the end."""

    setting: str
    threshold: float
    keeps: Keeps
    effect: Effect
    passes: int
    kept_passes: int


class Score(Frozen):
    key: str
    title: str
    unit: str
    stage: str
    measured: int
    kept: int
    minimum: float
    median: float
    mean: float
    maximum: float
    histogram: Histogram
    rules: tuple[Judgement, ...]
    """The first one's threshold is an edge of the histogram."""


class Judge(Frozen):
    role: str
    model: str
    revision: str
    licence: str
    judged: int
    """How many records name this model: sources for shots, clips for all others."""


class StageTime(Frozen):
    phase: str
    stage: str
    items: int
    seconds: float
    """The stage's own work, summed over workers."""
    wall_seconds: float
    """Of the whole phase."""


class TableRow(Frozen):
    """A row of the paper's table 1; shares are of kept clips, 0..1."""

    name: str
    year: int | None
    shares: dict[str, float]
    """By `demix.report.count.TRAITS`."""
    clips: int
    hours: float


class Statistics(Frozen):
    """Everything that the page tells, but for the gallery."""

    schema_version: int
    name: str
    profile: str
    table: tuple[TableRow, TableRow]
    """This dataset, and the paper's DEMIX."""
    sources: int
    source_seconds: float
    indexed: Amount
    """Every clip that shot detection found."""
    kept: Amount
    train: Amount
    test: Amount
    subsets: tuple[SubsetAmount, ...]
    combinations: tuple[Combination, ...]
    """Most clips first. They do not overlap, so they sum up to the dataset."""
    overlap: tuple[tuple[int, ...], ...]
    """Clips in both of two subsets, rows and columns in the order of `SUBSETS`; the diagonal is the subset itself."""
    stages: tuple[StageFlow, ...]
    contradictions: tuple[str, ...]
    """Where the manifests disagree with one another; empty when everything adds up."""
    kinds: tuple[KindYield, ...]
    yields: tuple[SourceYield, ...]
    bars: dict[str, int]
    """Kind of black bars -> films with such; `none` are those without, films that were not measured are left out."""
    scores: tuple[Score, ...]
    judges: tuple[Judge, ...]
    timings: tuple[StageTime, ...]
    versions: dict[str, str]


def measure(
    manifests: Sequence[Manifests], timings: Sequence[Mapping[str, Any]] = (), name: str | None = None
) -> Statistics:
    """The numbers of one dataset, or of several taken together; thresholds and licences are those of the first."""
    sources = [source for manifest in manifests for source in manifest.sources()]
    build = manifests[0].build
    config = build.get("config") or {}
    tally = Tally(config)
    for manifest in manifests:
        for clip in manifest.clips():
            tally.add(clip)
    return Statistics(
        schema_version=SCHEMA_VERSION,
        name=name or " + ".join(manifest.dataset.name for manifest in manifests),
        profile=str(build.get("profile") or ""),
        table=_table(tally),
        sources=len(sources),
        source_seconds=sum(source.seconds for source in sources),
        indexed=tally.all,
        kept=tally.kept,
        train=tally.splits["train"],
        test=tally.splits["test"],
        subsets=tuple(_subset(subset, tally) for subset in SUBSETS),
        combinations=_combinations(tally),
        overlap=tuple(tuple(_together(tally, {a, b}).clips for b in SUBSETS) for a in SUBSETS),
        stages=flows(sources, tally, config),
        contradictions=contradictions(manifests, sources, tally),
        kinds=kind_yields(sources, tally),
        yields=source_yields(sources, tally),
        bars=dict(sorted(Counter(source.bars for source in sources if source.bars).items())),
        scores=_scores(tally, config),
        judges=_judges(sources, tally, build.get("models") or {}),
        timings=tuple(StageTime(**{name: row[name] for name in StageTime.model_fields}) for row in timings),
        versions={str(key): str(value) for key, value in (build.get("versions") or {}).items()},
    )


def _table(tally: Tally) -> tuple[TableRow, TableRow]:
    clips = tally.kept.clips
    shares = {trait: tally.traits[trait] / clips if clips else 0.0 for trait in TRAITS}
    theirs = dict.fromkeys(TRAITS, 1.0)
    return (
        TableRow(name="This dataset", year=None, shares=shares, clips=clips, hours=tally.kept.hours),
        TableRow(name="DEMIX (paper)", year=paper.YEAR, shares=theirs, clips=paper.CLIPS, hours=paper.HOURS),
    )


def _together(tally: Tally, subsets: set[Subset], split: str | None = None) -> Amount:
    """Clips that are in all of `subsets`, of one split or of both."""
    return summed(
        amount
        for signature, splits in tally.signatures.items()
        for name, amount in splits.items()
        if subsets.issubset(signature) and split in (None, name)
    )


def _subset(subset: Subset, tally: Tally) -> SubsetAmount:
    return SubsetAmount(
        subset=subset,
        all=_together(tally, {subset}),
        train=_together(tally, {subset}, "train"),
        test=_together(tally, {subset}, "test"),
        paper_clips=paper.SUBSET_CLIPS[subset],
    )


def _combinations(tally: Tally) -> tuple[Combination, ...]:
    rows = [Combination(subsets=key, amount=summed(splits.values())) for key, splits in tally.signatures.items()]
    return tuple(sorted(rows, key=lambda row: (-row.amount.clips, row.subsets)))


def _scores(tally: Tally, config: Mapping[str, Any]) -> tuple[Score, ...]:
    rules, order = rules_of(config), clip_stages(config)
    keys = sorted(tally.scores, key=lambda key: rank(key, order))
    return tuple(_score(key, tally.scores[key], rules.get(key, ())) for key in keys)


def _score(key: str, values: Values, rules: Sequence[Rule]) -> Score:
    numbers = np.concatenate([np.asarray(values.kept, float), np.asarray(values.others, float)])
    name, unit = title(key)
    return Score(
        key=key,
        title=name,
        unit=unit,
        stage=key.partition(".")[0],
        measured=len(numbers),
        kept=len(values.kept),
        minimum=float(numbers.min()),
        median=float(np.median(numbers)),
        mean=float(numbers.mean()),
        maximum=float(numbers.max()),
        histogram=histogram(
            values.kept,
            values.others,
            rules[0].threshold if rules else None,
            right_closed=bool(rules) and rules[0].keeps == "at_most",
        ),
        rules=tuple(
            Judgement(
                setting=rule.setting,
                threshold=rule.threshold,
                keeps=rule.keeps,
                effect=rule.effect,
                passes=sum(map(rule.passes, numbers)),
                kept_passes=sum(map(rule.passes, values.kept)),
            )
            for rule in rules
        ),
    )


def _judges(sources: Sequence[Listed], tally: Tally, models: Mapping[str, Any]) -> tuple[Judge, ...]:
    """The models that the records name, with the licences that build.json states for their roles."""
    detectors = Counter(
        ("shots", source.detector["model"], source.detector["revision"]) for source in sources if source.detector
    )
    rows = [
        Judge(
            role=role,
            model=model,
            revision=revision,
            licence=str((models.get(role) or {}).get("licence") or ""),
            judged=judged,
        )
        for (role, model, revision), judged in (detectors + tally.judges).items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.role != "shots", row.role, row.model, row.revision)))
