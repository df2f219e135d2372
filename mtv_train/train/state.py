"""Where a run stands: five numbers and names, valid for any ranks, workers and micro-batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from mtv_train.config import StageSettings


@dataclass(frozen=True)
class Position:
    """After `step` optimizer steps of the run. `samples_seen` is all that the loader needs to go on."""

    step: int = 0
    stage: str = ""
    stage_step: int = 0
    samples_seen: int = 0
    """Samples of this stage that were trained on, by all ranks; the next one's number."""
    total_samples: int = 0
    """Of all stages."""
    optimizer_step: int = 0
    """Steps since the optimizer began afresh."""

    def trained(self, batch: int) -> Position:
        """One step later."""
        return replace(
            self,
            step=self.step + 1,
            stage_step=self.stage_step + 1,
            samples_seen=self.samples_seen + batch,
            total_samples=self.total_samples + batch,
            optimizer_step=self.optimizer_step + 1,
        )

    def entered(self, stage: str, reset: bool) -> Position:
        """At the beginning of another stage."""
        return replace(
            self, stage=stage, stage_step=0, samples_seen=0, optimizer_step=0 if reset else self.optimizer_step
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Position:
        return cls(**tree)


def remaining(position: Position, stages: Mapping[str, StageSettings]) -> list[str]:
    """Names of the stages that are not finished, in order; the first may be half done.

    Raises KeyError if the position is in a stage that the course does not have.
    """
    names = list(stages)
    if not position.stage:
        return names
    if position.stage not in stages:
        raise KeyError(position.stage)
    here = names.index(position.stage)
    return names[here + (position.stage_step >= stages[position.stage].steps) :]
