"""How far a number could be off because these videos were drawn and not others: bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    low: float
    high: float


def mean_interval(values: Sequence[float], seed: int, resamples: int = 2000, level: float = 0.95) -> Interval | None:
    """Percentile interval of the mean; None below two values, where nothing can be said."""
    drawn = np.sort(np.asarray(values, np.float64))  # the order in which videos came must not matter
    if len(drawn) < 2:
        return None
    chosen = np.random.default_rng(seed).integers(0, len(drawn), (resamples, len(drawn)))
    return _percentiles(drawn[chosen].mean(1), level)


def set_interval(
    statistic: Callable[[np.ndarray], float], rows: np.ndarray, seed: int, resamples: int = 200, level: float = 0.95
) -> Interval | None:
    """Interval of a `statistic` of a whole set, `rows` (n, features), centred at its value on the set itself.

    Drawing with repetition leaves fewer different rows, which raises a Fréchet distance whatever the data: the spread
    of the resampled values is kept, their mean is not.
    """
    if len(rows) < 3:
        return None
    rows = rows[np.lexsort(rows.T)]
    chosen = np.random.default_rng(seed).integers(0, len(rows), (resamples, len(rows)))
    values = np.array([statistic(rows[index]) for index in chosen])
    return _percentiles(values - values.mean() + statistic(rows), level)


def _percentiles(values: np.ndarray, level: float) -> Interval:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
