"""The funnel: how many items went into each stage, and what became of them. Nothing may be missing from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field


class SumRuleError(AssertionError):
    """The counts of a stage do not add up: an item was lost or counted twice."""


@dataclass
class StageCount:
    """`entered = kept + dropped + failed` for one stage."""

    stage: str
    entered: int = 0
    kept: int = 0
    failed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """reason -> items"""


class Funnel:
    """Counts per stage, filled by how each item ended."""

    def __init__(self, stages: Sequence[str]):
        self.stages = [StageCount(name) for name in stages]
        self.kept = 0
        self.total = 0
        self._position = {name: position for position, name in enumerate(stages)}

    def add(self, stage: str, state: str, reason: str) -> None:
        """One item that ended at `stage` ("" for an item that passed them all)."""
        self.total += 1
        last = self._position[stage] if stage else len(self.stages)
        for count in self.stages[:last]:
            count.entered += 1
            count.kept += 1
        if not stage:
            self.kept += 1
            return
        end = self.stages[last]
        end.entered += 1
        if state == "dropped":
            end.dropped[reason] += 1
        else:
            end.failed += 1

    @property
    def dropped(self) -> Counter[str]:
        """Reason -> items, over all stages."""
        return sum((count.dropped for count in self.stages), Counter())

    @property
    def failed(self) -> int:
        return sum(count.failed for count in self.stages)

    def check(self) -> None:
        """Raises `SumRuleError` unless every item is accounted for, at every stage and over all."""
        entering = self.total
        for count in self.stages:
            ended = count.kept + count.failed + count.dropped.total()
            if count.entered != ended or count.entered != entering:
                raise SumRuleError(f"{count.stage}: {entering} items came, {count.entered} entered, {ended} ended")
            entering = count.kept
        if entering != self.kept:
            raise SumRuleError(f"{entering} items passed the last stage, {self.kept} are kept")
