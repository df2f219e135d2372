"""How fast work goes, and when it ends: from the amounts that were finished lately, whatever their number."""

from __future__ import annotations

from collections import deque

_RECENT_SECONDS = 300.0
"""What was finished in this time tells the rate: long enough for batches to even out, short enough to follow a phase
whose items become more expensive."""
_LEAST_SAMPLES = 8
"""Where items take minutes each, the recent time is stretched until it holds this many of them."""
_APART_SECONDS = 1.0
"""Amounts that follow each other closer than this are kept as one sample."""

_LEAST_SECONDS, _SURE_SECONDS, _LATEST_SECONDS = 10.0, 45.0, 300.0
_SURE_SHARE, _SURE_WHOLE = 0.1, 3
"""When the rate is told: after `_SURE_SECONDS` with this many whole items, or after `_LEAST_SECONDS` with one and this
share of the work; after `_LATEST_SECONDS` in any case. The first items to leave a pipeline are those that it drops
early, and the time they took says nothing of the others."""


class Pace:
    """`total` is all work, in any unit that `add` uses too; times are seconds of one clock."""

    def __init__(self, total: float, now: float):
        self.total = total
        self.done = 0.0
        """Work that is finished or turned out to be none."""
        self._began = now
        self._worked = 0.0
        self._whole = 0
        self._samples: deque[tuple[float, float]] = deque()
        """(time, work finished until then), of late."""

    def add(self, amount: float, now: float, *, whole: bool = True) -> None:
        """So much more work is finished; `whole` unless it ended before all that others go through."""
        self.done += amount
        self._worked += amount
        self._whole += whole
        if self._samples and now - self._samples[-1][0] < _APART_SECONDS:
            self._samples[-1] = (self._samples[-1][0], self._worked)
        else:
            self._samples.append((now, self._worked))
        while len(self._samples) > _LEAST_SAMPLES and now - self._samples[1][0] > _RECENT_SECONDS:
            self._samples.popleft()

    def skip(self, amount: float) -> None:
        """So much work needs no doing, which says nothing of the rate."""
        self.done += amount

    def rate(self, now: float) -> float | None:
        """Work a second of late; None as long as nobody can say."""
        if not self._is_sure(now):
            return None
        since, before = (self._began, 0.0) if len(self._samples) < _LEAST_SAMPLES else self._samples[0]
        return (self._worked - before) / (now - since) if now > since and self._worked > before else None

    def seconds_left(self, now: float) -> float | None:
        """Until all is done, at the rate of late; None as long as nobody can say."""
        rate = self.rate(now)
        return None if rate is None else max(0.0, self.total - self.done) / rate

    def _is_sure(self, now: float) -> bool:
        seconds = now - self._began
        to_do = self.total - (self.done - self._worked)
        much = self._whole > 0 and self._worked >= _SURE_SHARE * to_do
        return (
            (seconds >= _LEAST_SECONDS and much)
            or (seconds >= _SURE_SECONDS and self._whole >= _SURE_WHOLE)
            or seconds >= _LATEST_SECONDS
        )
