"""Which sample comes k-th: a pure function of (seed, stage, k), in constant time. There is no state and no buffer.

Sample k belongs to a subset by a low-discrepancy rule (`mixture`), so that after any number of samples every subset
was drawn within one sample of its share. The n-th draw from a subset is the n-th entry of a keyed permutation of its
windows, a new one each epoch (`permutation`), so that every window comes once an epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Protocol

from mtv_train.data.errors import DatasetError
from mtv_train.data.mixture import Mixture, shares
from mtv_train.data.permutation import permuted
from mtv_train.data.randomness import hash64, stage_seed


@dataclass(frozen=True)
class StageMix:
    """What a training stage draws from. Shares are weights over their sum, read as exact decimals (0.15 is 3/20)."""

    name: str
    weights: Mapping[str, float]
    """subset -> weight"""
    replay: float = 0.0
    """Share of samples from the subsets of earlier stages, 0 to 1."""
    replayed: Mapping[str, float | Fraction] = field(default_factory=dict)
    """subset -> weight among the replayed samples; `chain` fills it in."""

    def parts(self) -> dict[str, Fraction]:
        """subset -> share of the stage's samples; they add up to 1. Without earlier stages nothing is replayed."""
        replay = Fraction(str(self.replay)) if self.replayed else Fraction(0)
        if not 0 <= replay <= 1:
            raise DatasetError(f"stage {self.name}: replay is {self.replay}, not a share between 0 and 1")
        parts = {subset: share * (1 - replay) for subset, share in shares(self.weights).items()}
        for subset, share in shares(self.replayed).items() if replay else ():
            parts[subset] = parts.get(subset, Fraction(0)) + share * replay
        return {subset: part for subset, part in parts.items() if part}


def chain(stages: Iterable[StageMix]) -> tuple[StageMix, ...]:
    """The stages of a run, each with `replayed` drawn evenly from all stages before it (none for the first)."""
    chained: list[StageMix] = []
    for stage in stages:
        earlier: dict[str, Fraction] = {}
        for before in chained:
            for subset, share in shares(before.weights).items():
                earlier[subset] = earlier.get(subset, Fraction(0)) + share
        chained.append(replace(stage, replayed=earlier))
    return tuple(chained)


class Windows(Protocol):
    """What an order needs to know of a dataset; `DatasetIndex` is one."""

    def count(self, subset: str) -> int:
        """Windows of a subset; raises `DatasetError` if there is no such subset."""


@dataclass(frozen=True)
class SampleRef:
    """Sample k: window number `number` of `subset` (see `DatasetIndex.window`)."""

    k: int
    subset: str
    number: int
    epoch: int
    """How often the whole subset was drawn before, within the stage."""
    attempt: int = 0
    """0, or which replacement of a bad sample this is."""


class Order:
    """The order of one stage. Cheap to make, constant time to ask, small to pickle."""

    def __init__(self, index: Windows, stage: StageMix, seed: int):
        """`seed` is the run's. Raises `DatasetError` if a subset with a share holds no window."""
        self.stage = stage
        self.seed = stage_seed(seed, stage.name)
        self._mixture = Mixture(stage.parts())
        self._sizes = {subset: index.count(subset) for subset in self._mixture.names}
        empty = [subset for subset, size in self._sizes.items() if not size]
        if empty:
            raise DatasetError(
                f"stage {stage.name} draws from {', '.join(empty)}, of which the dataset holds no window; "
                "set that weight to 0 or build more data"
            )

    def item(self, k: int) -> SampleRef:
        """The k-th sample of the stage, k from 0."""
        subset, drawn = self._mixture(k)
        epoch, position = divmod(drawn, self._sizes[subset])
        number = permuted(position, self._sizes[subset], hash64(self.seed, "epoch", subset, epoch))
        return SampleRef(k, subset, number, epoch)

    def replacement(self, ref: SampleRef) -> SampleRef:
        """What stands in for a bad sample: another window of its subset, by (seed, k, attempt).

        Only a subset of a single window answers that window again.
        """
        size, attempt = self._sizes[ref.subset], ref.attempt + 1
        step = 1 + hash64(self.seed, ref.k, "replacement", attempt) % max(size - 1, 1)
        return replace(ref, number=(ref.number + step) % size, attempt=attempt)
