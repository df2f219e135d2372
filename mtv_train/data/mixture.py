"""Which subset the k-th sample comes from, so that after any number of samples every share is met within one sample.

Shares are exact fractions. With D their common denominator, the choices repeat every D samples, so one period is
computed once, by Tijdeman's rule for the chairman assignment problem (Discrete Mathematics 32, 1980): among the subsets
that may be drawn without running ahead of their share, take the one that will be due first. Its error never reaches 1.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import lcm

import numpy as np

from mtv_train.data.errors import DatasetError

LONGEST_PERIOD = 1 << 20


def shares(weights: Mapping[str, float | Fraction]) -> dict[str, Fraction]:
    """Weights over their sum, read as exact decimals; zeros are left out. Raises DatasetError if none is positive."""
    exact = {name: Fraction(str(weight)) for name, weight in weights.items()}
    if any(weight < 0 for weight in exact.values()) or not any(exact.values()):
        raise DatasetError(f"weights must be 0 or more, one of them above: {dict(weights)}")
    total = sum(exact.values())
    return {name: weight / total for name, weight in exact.items() if weight}


class Mixture:
    """The sequence of subsets for some shares that add up to 1."""

    def __init__(self, parts: Mapping[str, Fraction]):
        self.names = tuple(sorted(parts))
        self.period = lcm(*(part.denominator for part in parts.values()))
        if self.period > LONGEST_PERIOD:
            raise DatasetError(
                f"the shares {', '.join(f'{name}: {part}' for name, part in parts.items())} repeat only after "
                f"{self.period} samples; give weights and replay with fewer digits"
            )
        quotas = [int(parts[name] * self.period) for name in self.names]
        self._quotas = quotas
        self._choices = np.fromiter(_period(quotas, self.period), np.int16, self.period)
        # rank[k]: how often the subset of sample k was drawn before it, within the period.
        self._ranks = np.empty(self.period, np.int32)
        for number in range(len(self.names)):
            mine = np.flatnonzero(self._choices == number)
            self._ranks[mine] = np.arange(len(mine), dtype=np.int32)

    def __call__(self, k: int) -> tuple[str, int]:
        """(subset of sample k, how often that subset was drawn before)."""
        turn, position = divmod(k, self.period)
        number = int(self._choices[position])
        return self.names[number], turn * self._quotas[number] + int(self._ranks[position])


def _period(quotas: list[int], period: int) -> Iterable[int]:
    """Subset numbers of one period: draw n (from 0) of a subset with quota q may come from sample
    floor(n * period / q) on and must come before sample ceil((n + 1) * period / q): earliest deadline first."""
    released = {0: list(range(len(quotas)))}
    drawn = [0] * len(quotas)
    ready: list[tuple[int, int]] = []
    for sample in range(period):
        for number in released.pop(sample, ()):
            deadline = -(-(drawn[number] + 1) * period // quotas[number])
            heapq.heappush(ready, (deadline, number))
        _, number = heapq.heappop(ready)
        drawn[number] += 1
        if drawn[number] < quotas[number]:
            following = drawn[number] * period // quotas[number]
            released.setdefault(max(following, sample + 1), []).append(number)
        yield number
