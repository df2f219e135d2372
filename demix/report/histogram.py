"""Counts of a score's values in bins whose edges meet the thresholds, so that every count beside a bin is exact."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

BINS = 48
"""Aimed at: fine enough to move a threshold along, coarse enough to see a shape of a few hundred clips."""


class Histogram(BaseModel):
    """`kept[i]` and `others[i]` clips have a value in bin i, between edges i and i+1.

    The first and the last bin also hold what lies beyond them. Bins hold their lower edge, or, for scores that must not
    exceed a threshold (`right_closed`), their upper one: so the bins beside any inner edge sum up to exactly what that
    edge would pass as a threshold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    edges: tuple[float, ...]
    kept: tuple[int, ...]
    others: tuple[int, ...]
    right_closed: bool = False
    discrete: bool = False
    """Whole numbers, one a bin."""

    @property
    def ends(self) -> tuple[float, float]:
        """What the axis runs from and to. Whole numbers are named themselves, and not the edge beside them."""
        if not self.discrete:
            return self.edges[0], self.edges[-1]
        return (self.edges[1], self.edges[-1]) if self.right_closed else (self.edges[0], self.edges[-2])


def histogram(
    kept: Sequence[float], others: Sequence[float], threshold: float | None = None, right_closed: bool = False
) -> Histogram:
    """The histogram of finite values, at least one; `threshold` becomes an inner edge."""
    values = np.concatenate([np.asarray(kept, float), np.asarray(others, float)])
    low, high = _range(values, threshold)
    whole = np.all(values == np.round(values)) and (threshold is None or threshold == round(threshold))
    discrete = bool(whole) and high - low <= BINS
    step = 1.0 if discrete else _nice((high - low) / BINS)
    anchor = threshold if threshold is not None else math.floor(low / step) * step
    # A value on an outermost edge is counted in the bin within, unless that would hold two whole numbers.
    more = 1e-9 if discrete else -1e-9
    before = max(int(threshold is not None), math.ceil((anchor - low) / step + (more if right_closed else 0)))
    after = max(1, math.ceil((high - anchor) / step + (0 if right_closed else more)))
    edges = _within([_rounded(anchor, k, step) for k in range(-before, after + 1)], low, high)
    return Histogram(
        edges=tuple(edges),
        kept=_counts(np.asarray(kept, float), edges, right_closed),
        others=_counts(np.asarray(others, float), edges, right_closed),
        right_closed=right_closed,
        discrete=discrete,
    )


def _rounded(anchor: float, k: int, step: float) -> float:
    """Edge k, without the remains of binary arithmetic (0.30000000000000004, -5.55e-17); the threshold is itself."""
    return anchor if k == 0 else round(anchor + k * step, 6 - math.floor(math.log10(step))) + 0.0


def _within(edges: list[float], low: float, high: float) -> list[float]:
    """The outermost edges where the values end: no axis runs below the floor of -120 dB or above a share of 1."""
    first = low if len(edges) > 2 and edges[0] < low < edges[1] else edges[0]
    last = high if len(edges) > 2 and edges[-2] < high < edges[-1] else edges[-1]
    return [first, *edges[1:-1], last]


def _range(values: np.ndarray, threshold: float | None) -> tuple[float, float]:
    """From the lowest to the highest value, far outliers cut off; the threshold is always within."""
    low, high = float(values.min()), float(values.max())
    first, last = (float(value) for value in np.quantile(values, (0.01, 0.99)))
    if last > first:
        low, high = max(low, first - 3 * (last - first)), min(high, last + 3 * (last - first))
    if threshold is not None:
        low, high = min(low, threshold), max(high, threshold)
    room = max(abs(low), abs(high), 1.0) * 1e-6
    return (low, high) if high - low > room else (low - max(0.5, room), high + max(0.5, room))


def _nice(step: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is not below `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * (1 - 1e-9))


def _counts(values: np.ndarray, edges: Sequence[float], right_closed: bool) -> tuple[int, ...]:
    index = np.searchsorted(edges, values, side="left" if right_closed else "right") - 1
    counts = np.bincount(np.clip(index, 0, len(edges) - 2), minlength=len(edges) - 1)
    return tuple(int(count) for count in counts)
