"""One pass over all clips: every sum that the report needs, in memory that grows by numbers only."""

from __future__ import annotations

import operator
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from demix import records
from demix.records import Subset
from demix.report.manifests import Judged
from demix.report.scores import STEMS, PersonsSummary, scores_of


class Frozen(BaseModel):
    """Base of everything in report.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


class Amount(Frozen):
    clips: int = 0
    seconds: float = 0.0

    @property
    def hours(self) -> float:
        return self.seconds / 3600

    def __add__(self, other: Amount) -> Amount:
        return Amount(clips=self.clips + other.clips, seconds=self.seconds + other.seconds)


class Credit(BaseModel):
    """The model behind a record of any kind, without the rest of it."""

    model: str
    revision: str


@dataclass
class Ends:
    """What ended at one stage."""

    dropped: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> int:
        return self.dropped.total() + self.failed


@dataclass
class Values:
    """One score: of the clips that were kept in the end, and of all others that got as far as being measured."""

    kept: array[float] = field(default_factory=lambda: array("d"))
    others: array[float] = field(default_factory=lambda: array("d"))


TRAITS = ("text", "audio", "people", "objects", "cinematic", *STEMS, "demix")
"""Columns of the paper's table 1 that a clip either has or not."""


def _amounts() -> defaultdict[str, Amount]:
    return defaultdict(Amount)


@dataclass
class Tally:
    """Sums over clips; from `splits` on, over kept clips only."""

    config: Mapping[str, Any]
    """The build's settings."""
    all: Amount = field(default_factory=Amount)
    kept: Amount = field(default_factory=Amount)
    ids: set[str] = field(default_factory=set)
    repeated: set[str] = field(default_factory=set)
    ends: defaultdict[str, Ends] = field(default_factory=lambda: defaultdict(Ends))
    """By stage; empty for kept clips."""
    losses: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Source id -> why its clips were lost."""
    scores: defaultdict[str, Values] = field(default_factory=lambda: defaultdict(Values))
    judges: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(role, model, revision) -> clips."""
    splits: defaultdict[str, Amount] = field(default_factory=_amounts)
    kinds: defaultdict[str, Amount] = field(default_factory=_amounts)
    sources: defaultdict[str, Amount] = field(default_factory=_amounts)
    signatures: defaultdict[tuple[Subset, ...], defaultdict[str, Amount]] = field(
        default_factory=lambda: defaultdict(_amounts)
    )
    """Combination of subsets -> split -> amount."""
    traits: Counter[str] = field(default_factory=Counter)

    def add(self, clip: Judged) -> None:
        one = Amount(clips=1, seconds=clip.seconds or 0.0)
        if clip.id in self.ids:
            self.repeated.add(clip.id)
        self.ids.add(clip.id)
        self.all += one
        for key, value in scores_of(clip, self.config).items():
            values = self.scores[key]
            (values.kept if clip.outcome == "kept" else values.others).append(value)
        self.judges.update(_judges(clip))
        if clip.outcome == "kept":
            self._keep(clip, one)
        else:
            end(self.ends[clip.stage], clip.outcome, clip.reason, clip.seconds)
            self.losses[clip.source_id][clip.reason] += 1

    def _keep(self, clip: Judged, one: Amount) -> None:
        self.kept += one
        for sums, key in ((self.splits, clip.split), (self.kinds, clip.kind), (self.sources, clip.source_id)):
            sums[key] += one
        subsets = clip.record("subsets", records.Subsets)
        self.signatures[subsets.subsets if subsets else ()][clip.split] += one
        self.traits.update(_traits(clip))


def end(ends: Ends, outcome: str, reason: str, seconds: float | None) -> None:
    """Counts one subject that ended at the stage of `ends`."""
    if outcome == "dropped":
        ends.dropped[reason] += 1
    else:
        ends.failed += 1
    ends.seconds += seconds or 0.0


def _traits(clip: Judged) -> Iterable[str]:
    caption = clip.record("caption", records.Caption)
    check = clip.record("demix_check", records.DemixCheck)
    persons = clip.record("persons", PersonsSummary)
    seen = persons is not None and persons.count > 0
    held: Mapping[str, bool] = {
        "text": caption is not None and bool(caption.text.strip()),
        "audio": "clip_media" in clip.records,
        "people": seen,
        "objects": not seen,
        "cinematic": clip.kind != "talking_head",
        **{stem: check is not None and stem not in check.silent for stem in STEMS},
        "demix": "demixing" in clip.records,
    }
    return (trait for trait in TRAITS if held[trait])


def _judges(clip: Judged) -> Iterable[tuple[str, str, str]]:
    credits: dict[str, Credit | records.Model | None] = {
        role: clip.record(role, Credit) for role in ("audio_quality", "diarization", "active_speaker")
    }
    credits["captioning"] = clip.record("caption", Credit)
    if demixing := clip.record("demixing", records.Demixing):
        credits |= {"demix_three": demixing.three, "demix_two": demixing.two}
    if persons := clip.record("persons", PersonsSummary):
        credits |= {"persons": persons.persons, "faces": persons.faces}
    return ((role, credit.model, credit.revision) for role, credit in credits.items() if credit)


def summed(amounts: Iterable[Amount]) -> Amount:
    """The amounts together."""
    total = Amount()
    for amount in amounts:
        total = operator.add(total, amount)
    return total
