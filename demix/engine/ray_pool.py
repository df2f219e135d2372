"""A pool of workers on Ray, and the rows that wait for it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import ray

from demix.engine.placement import Pool
from demix.engine.row import Row

_CLOSE_SECONDS = 10.0
"""How long workers may take to close their stages."""
_AHEAD = 2
"""Batches that a worker is given while there are many: the next one is there when it has answered one."""


@dataclass
class Batch:
    """Rows that a worker was handed, and stay together until one has answered them."""

    rows: list[Row]
    deaths: int = 0
    """Workers that died at work on it."""


@dataclass
class Hand:
    """One worker: an actor on a node."""

    actor: Any
    node: str
    begun: ray.ObjectRef
    since: float
    ready: bool = False
    leaving: bool = False
    """Whether it is handed nothing more."""
    work: deque[tuple[ray.ObjectRef, Batch]] = field(default_factory=deque)


class RayPool:
    """One pool of a pass. `start(node)` makes a worker there; `size` rows are handed to it at a time, fewer only where
    no more will come if `whole`."""

    def __init__(self, pool: Pool, start: Callable[[str], tuple[Any, ray.ObjectRef]], size: int, whole: bool):
        self.pool = pool
        self.size = size
        self._start = start
        self._whole = whole
        self.queue: deque[Row] = deque()
        self.again: deque[Batch] = deque()
        """What workers that are gone have not answered."""
        self.hands: list[Hand] = []
        self.open = True
        """Whether more rows may come."""
        self.failed_starts = 0
        """Workers, one after the other, that were gone before they were ready."""

    @property
    def waiting(self) -> int:
        return len(self.queue) + sum(len(batch.rows) for batch in self.again)

    @property
    def running(self) -> int:
        return sum(len(batch.rows) for hand in self.hands for _, batch in hand.work)

    @property
    def finished(self) -> bool:
        return not self.open and not self.waiting and not self.running

    @property
    def capacity(self) -> int:
        """Rows that may wait: enough to keep all workers busy, whatever the number of all rows is."""
        return 2 * _AHEAD * self.size * max(2, len(self.hands))

    @property
    def idle(self) -> bool:
        """Whether it has work, and nobody there to do it."""
        return bool(self.waiting) and not any(hand.ready for hand in self.hands)

    def nodes(self) -> Counter[str]:
        """Node -> workers there."""
        return Counter(hand.node for hand in self.hands if not hand.leaving)

    def add(self, node: str, now: float) -> None:
        """One more worker."""
        actor, begun = self._start(node)
        self.hands.append(Hand(actor, node, begun, now))

    def hand_out(self, room: float, light: bool) -> None:
        """Gives waiting rows to workers; so many rows may come of it at most."""
        for depth in range(_AHEAD):
            for hand in self.hands:
                if hand.ready and not hand.leaving and len(hand.work) == depth:
                    # To have work ahead is for when there is plenty: at the end it would keep it from who is idle.
                    if depth and len(self.queue) < 2 * self.size * len(self.hands):
                        return
                    batch = self._next() if self.running < room or not self.running else None
                    if batch is None:
                        return
                    hand.work.append((hand.actor.work.remote(batch.rows, light), batch))

    def _next(self) -> Batch | None:
        if self.again:
            return self.again.popleft()
        size = self.size
        if not self._whole and not self.open:  # the last rows are for all
            size = max(1, min(size, -(-len(self.queue) // max(1, len(self.hands)))))
        if not self.queue or (self._whole and self.open and len(self.queue) < size):
            return None
        return Batch([self.queue.popleft() for _ in range(min(size, len(self.queue)))])

    def heads(self) -> Iterator[tuple[ray.ObjectRef, Hand]]:
        """What every worker is at."""
        for hand in self.hands:
            if not hand.ready:
                yield hand.begun, hand
            elif hand.work:
                yield hand.work[0][0], hand

    def lose(self, hand: Hand, *, charge: bool) -> Batch | None:
        """A worker is gone: what it has not answered is for others, together as it was. Returns what it was at;
        `charge`: whether that may be why it died."""
        ray.kill(hand.actor)
        self.hands.remove(hand)
        lost = [batch for _, batch in hand.work]
        if lost and charge:
            lost[0].deaths += 1
        self.again.extendleft(reversed(lost))
        return lost[0] if lost else None

    def dismiss(self, hands: list[Hand]) -> None:
        """Ends workers; those that are at work, as soon as they have answered."""
        for hand in hands:
            hand.leaving = True
        self.let_go()

    def let_go(self) -> None:
        """Ends the workers that are to leave and have nothing left to do."""
        done = [hand for hand in self.hands if hand.leaving and not hand.work]
        closing = [hand.actor.close.remote() for hand in done if hand.ready]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=_CLOSE_SECONDS)
        for hand in done:
            ray.kill(hand.actor)
            self.hands.remove(hand)

    def kill(self) -> None:
        """Ends all workers at once."""
        for hand in self.hands:
            ray.kill(hand.actor)
        self.hands.clear()
