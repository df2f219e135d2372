"""One pass on Ray: pools of actors side by side, among which this process hands the rows on.

There is no barrier anywhere: a batch goes on to the next pool as soon as it is answered. What waits between two pools
has a bound, so this process's memory does not grow with the number of rows. Workers that die are replaced; so are those
of nodes that leave, and nodes that join get some. Models stay loaded from the first row of the pass to the last.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence

import ray

from demix.engine.claims import Claims
from demix.engine.placement import Node, Pass, side_by_side
from demix.engine.proof import UnfitNode
from demix.engine.ray_errors import LOST, brief, own_errors
from demix.engine.ray_pool import Hand, RayPool
from demix.engine.row import Row
from demix.engine.spool import Spool
from demix.errors import MachineTrouble
from demix.machine import GO_ON

_LOOK_SECONDS = 5.0
"""How often the nodes of the cluster are looked at."""
_SAY_SECONDS = 25.0
"""How often it is said what is waited for: with all that lies between, at least every half minute."""
_BAN_SECONDS = 120.0
"""How long a node gets no worker that has shown to be unfit: a mount may come back."""
_KILL_SECONDS = 1.0
"""After which a worker that was killed writes no more."""
_MOST_FAILED_STARTS = 5
"""Workers of a pool that may be gone, one after the other, before they were ready."""


class RayPass:
    """Takes rows through `pools`.

    `nodes()` says which nodes there are now; `tell` is told what a user should know, and `ask` who works where whenever
    there are other nodes than before, so that it may ask for more. `spool`, if given, gets the rows that came through,
    as they came in, for the pass that follows.
    """

    def __init__(
        self,
        pools: Sequence[RayPool],
        nodes: Callable[[], list[Node]],
        claims: Claims,
        tell: Callable[[str], None],
        *,
        ask: Callable[[Pass], None],
        spool: Spool | None,
        max_attempts: int,
        wait_seconds: float,
    ):
        self.pools = pools
        self._nodes, self._claims, self._tell, self._ask, self._spool = nodes, claims, tell, ask, spool
        self._max_attempts, self._wait_seconds = max_attempts, wait_seconds
        self._came: dict[str, Row] = {}
        """Rows under way, as they came in."""
        self._cluster: list[Node] = []
        self._banned: dict[str, float] = {}
        """Node -> until when it gets no worker."""
        self._look_at = 0.0
        self._blind_told = False
        self._idle_since: dict[str, float] = {}
        self._said: dict[str, float] = {}
        """Pool -> when it was said last that it waits."""
        self.left: list[Row] | None = None
        """Rows that have not come through, where the pools do not fit on the cluster any more; None: all have."""

    def run(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Yields the rows that have ended, without their records."""
        try:
            while not all(pool.finished for pool in self.pools):
                self._admit(rows)
                self._end_finished()
                if time.monotonic() >= self._look_at and not self._look():
                    self._leave()
                    return
                self._hand_out()
                yield from self._answers()
            for pool in self.pools:
                pool.dismiss(list(pool.hands))
        finally:
            for pool in self.pools:
                pool.kill()

    def _leave(self) -> None:
        """Gives up what is under way: another pass takes it up."""
        running = [row.id for pool in self.pools for hand in pool.hands for _, batch in hand.work for row in batch.rows]
        for pool in self.pools:
            pool.kill()
        time.sleep(_KILL_SECONDS)
        self._claims.forgive(running)
        self.left = list(self._came.values())

    def _admit(self, rows: Iterator[Row]) -> None:
        first = self.pools[0]
        while first.open and first.waiting < first.capacity:
            row = next(rows, None)
            if row is None:
                first.open = False
            else:
                self._came[row.id] = row
                first.queue.append(row)

    def _end_finished(self) -> None:
        """Workers of pools that have nothing more to do make room for the others."""
        for before, pool in zip(self.pools, self.pools[1:], strict=False):
            pool.open = not before.finished
        for pool in self.pools:
            if pool.finished and pool.hands:
                pool.dismiss(list(pool.hands))
                self._look_at = 0.0

    def _look(self) -> bool:
        """Sees which nodes there are, and gives every pool the workers that there is room for. False where the pools
        do not fit side by side any more."""
        now = time.monotonic()
        self._look_at = now + _LOOK_SECONDS
        before = {node.name for node in self._cluster}
        self._cluster = [node for node in self._nodes() if self._banned.get(node.name, 0.0) < now]
        names = {node.name for node in self._cluster}
        for pool in self.pools:
            pool.let_go()
        busy = [pool for pool in self.pools if not pool.finished]
        if not busy:
            return True
        have = [{name: count for name, count in pool.nodes().items() if name in names} for pool in busy]
        wanted = [pool.pool for pool in busy]
        planned = side_by_side(self._cluster, wanted, have)
        if planned is None:
            planned = side_by_side(self._cluster, wanted)
        if planned is None:
            return False
        if names != before:
            self._ask(planned)
        self._staff(busy, planned, names)
        return True

    def _staff(self, busy: Sequence[RayPool], planned: Pass, names: set[str]) -> None:
        """Starts and ends workers until those are there that are planned."""
        new: list[tuple[RayPool, str]] = []
        for pool, crew in zip(busy, planned.crews, strict=True):
            there = pool.nodes()
            for node, count in crew.nodes.items():
                new += [(pool, node)] * (count - there[node])
            for node, count in there.items():
                if node in names and count > crew.nodes.get(node, 0):
                    mine = [hand for hand in pool.hands if hand.node == node and not hand.leaving]
                    pool.dismiss(mine[crew.nodes.get(node, 0) :])
        # Large shares of GPUs first: the small ones then take what they leave.
        for pool, node in sorted(new, key=lambda each: -each[0].pool.gpus):
            if not pool.hands or pool.open or pool.waiting > len(pool.hands):
                pool.add(node, time.monotonic())

    def _hand_out(self) -> None:
        """The last pool first: what waits longest. No pool runs further ahead of the next than that can take."""
        last = self.pools[-1]
        last.hand_out(math.inf, light=True)
        for pool, after in zip(self.pools[-2::-1], self.pools[:0:-1], strict=True):
            pool.hand_out(after.capacity - after.waiting, light=False)

    def _answers(self) -> Iterator[Row]:
        """Waits until a worker has answered, and takes what all have."""
        heads = {ref: (pool, hand) for pool in self.pools for ref, hand in pool.heads()}
        if not heads:
            time.sleep(0.2)
        else:
            refs = list(heads)
            done, _ = ray.wait(refs, num_returns=1, timeout=1.0)
            if done:
                done, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
            for ref in done:
                yield from self._answer(ref, *heads[ref])
        self._check_idle()

    def _answer(self, ref: ray.ObjectRef, pool: RayPool, hand: Hand) -> Iterator[Row]:
        try:
            with own_errors(LOST):
                answer = ray.get(ref)
        except LOST as error:
            self._lost(pool, hand, error)
            return
        except UnfitNode as error:
            self._ban(pool, hand, error)
            return
        if ref == hand.begun:
            hand.ready = True
            pool.failed_starts = 0
            if answer:
                self._tell_blind(pool)
            return
        hand.work.popleft()
        after = self.pools[self.pools.index(pool) + 1 :]
        for row in answer:
            if row.state == "going" and after:
                after[0].queue.append(row)
                continue
            came = self._came.pop(row.id)
            if row.state == "going" and self._spool is not None:
                self._spool.add(came)
            else:
                yield row.light()

    def _ban(self, pool: RayPool, hand: Hand, error: UnfitNode) -> None:
        """A worker has found that its node is not fit any more: the node is left out for a while."""
        pool.lose(hand, charge=False)
        if hand.node not in self._banned:
            self._tell(f"{error}. The node is left out, others do the work")
        self._banned[hand.node] = time.monotonic() + _BAN_SECONDS
        self._look_at = 0.0

    def _lost(self, pool: RayPool, hand: Hand, error: Exception) -> None:
        """A worker is gone; raises `MachineTrouble` where that is no accident any more."""
        gone = hand.node not in {node.name for node in self._nodes()}
        batch = pool.lose(hand, charge=not gone)
        self._look_at = 0.0
        if gone and batch is not None:
            self._claims.forgive([row.id for row in batch.rows])
        if not hand.ready and not gone:
            pool.failed_starts += 1
            self._look_at = time.monotonic() + min(_LOOK_SECONDS, 2.0**pool.failed_starts / 4)
        # By turns each item may kill its workers so often; nothing else ends them.
        if batch is not None and batch.deaths > (len(batch.rows) + 1) * self._max_attempts:
            raise MachineTrouble(_dying(pool, f"{batch.deaths} workers died at the same items", error))
        if pool.failed_starts > _MOST_FAILED_STARTS:
            raise MachineTrouble(_dying(pool, f"{pool.failed_starts} workers died as they started", error))

    def _check_idle(self) -> None:
        """Says every half minute what is waited for, and raises `MachineTrouble` where that takes too long."""
        now = time.monotonic()
        for pool in self.pools:
            if not pool.idle:
                self._idle_since.pop(pool.pool.name, None)
                self._said.pop(pool.pool.name, None)
                continue
            since = self._idle_since.setdefault(pool.pool.name, now)
            if now - since > self._wait_seconds:
                raise MachineTrouble(
                    f"{pool.pool.name}: no worker has come up for {now - since:.0f} s (engine.gpus.wait_seconds); see "
                    f"with `ray status` what keeps the nodes from giving {wanted(pool)}, {GO_ON}"
                )
            if now - self._said.get(pool.pool.name, since) >= _SAY_SECONDS:
                self._said[pool.pool.name] = now
                self._tell(f"waiting for a worker of {pool.pool.name} ({wanted(pool)}): {now - since:.0f} s so far")

    def _tell_blind(self, pool: RayPool) -> None:
        if not self._blind_told:
            self._blind_told = True
            self._tell(
                f"{pool.pool.name}: Ray gave its worker {pool.pool.gpus:g} GPU, in which PyTorch finds none: its "
                "models run on the processor. Look at the driver, or set engine.device=cuda to have that refused"
            )


def wanted(pool: RayPool) -> str:
    """What a worker of a pool occupies."""
    gpus = f"{pool.pool.gpus:g} GPU and " if pool.pool.gpus else ""
    return f"{gpus}{pool.pool.cpus:g} processor"


def _dying(pool: RayPool, what: str, error: Exception) -> str:
    return (
        f"{pool.pool.name}: {what}, with nothing to show why ({brief(error)}); look at memory and at the system's log, "
        f"{GO_ON}"
    )
