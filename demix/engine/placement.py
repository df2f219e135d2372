"""Who works where: how many workers each pool of stages gets, on which nodes, and in how many passes.

Rows are light, so a phase need not take every item through all of its stages at once. It may be several passes: all
items through the first stages, then all through the next ones. Within a pass all pools run side by side. A pool is
never given less than one whole worker, and all workers of a pass fit on the cluster together, so nobody waits for
somebody who never comes.

Nothing here knows Ray. A worker with a share of a GPU is taken to get that share of its speed, and its memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from demix.config import ConfigError

START_SECONDS = 60.0
"""What a pass costs besides its work: its workers start and load their models, and the last ones end alone."""
_SPARE = 0.8
"""A pool grows until it takes this share of the time of the slowest one: recorded figures are not those of every
cluster. More would only lie idle."""
_LEAST = 1e-6
"""Smaller rests of a GPU or processor are rounding."""


CPU_GIGAFLOPS = 30.0
"""Billions of counted operations that a processor core really does in a second."""
_GUESSED_SECONDS = 0.25
"""That a stage takes for a second of media of which nothing is recorded."""


@dataclass(frozen=True)
class StageCost:
    """What one worker of a stage takes for a second of media."""

    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0
    """With a GPU of its own."""
    gigaflops: float = 0.0
    """What is computed where there is no GPU."""
    guessed: bool = False
    """Whether a figure is missing."""

    def seconds(self, gpus: float) -> float:
        """With so many GPUs, or such a share of one."""
        if gpus:
            return self.cpu_seconds + self.gpu_seconds / min(1.0, gpus)
        return self.cpu_seconds + self.gigaflops / CPU_GIGAFLOPS


UNKNOWN = StageCost(cpu_seconds=_GUESSED_SECONDS, guessed=True)
"""Of a stage that has no figure."""


class Impossible(ConfigError):
    """A worker that no node has room for."""


@dataclass(frozen=True)
class Node:
    """One machine of the cluster."""

    name: str
    cpus: float
    gpus: float = 0.0
    memory: float = math.inf
    """GB of main memory."""


@dataclass(frozen=True)
class Pool:
    """Neighbouring stages that share a worker process: what one worker occupies, and how long it takes."""

    stages: tuple[str, ...]
    cpus: float = 1.0
    gpus: float = 0.0
    memory: float = 0.0
    """GB of main memory; 0: little."""
    seconds: float = 1.0
    """That one worker takes for a second of media."""
    guessed: bool = False
    """Whether nobody has recorded what a stage costs."""
    least: int = 1
    """Workers that it has, where they fit; one in any case."""
    most: int | None = None

    @property
    def name(self) -> str:
        return "+".join(self.stages)


@dataclass(frozen=True)
class Crew:
    """The workers of one pool."""

    pool: Pool
    nodes: dict[str, int] = field(default_factory=dict)
    """Node -> workers there."""

    @property
    def workers(self) -> int:
        return sum(self.nodes.values())

    @property
    def seconds(self) -> float:
        """For a second of media."""
        return self.pool.seconds / max(1, self.workers)


@dataclass(frozen=True)
class Pass:
    """Pools that run side by side."""

    crews: tuple[Crew, ...]

    @property
    def slowest(self) -> Crew:
        return max(self.crews, key=lambda crew: crew.seconds)

    @property
    def seconds(self) -> float:
        """For a second of media: that of the slowest pool."""
        return self.slowest.seconds


@dataclass(frozen=True)
class Placement:
    """The passes of a phase, in order."""

    passes: tuple[Pass, ...]

    @property
    def seconds(self) -> float:
        """For a second of media, without the start of the passes."""
        return sum(each.seconds for each in self.passes)

    @property
    def slowest(self) -> Crew:
        return max((each.slowest for each in self.passes), key=lambda crew: crew.seconds)


def place(nodes: Sequence[Node], pools: Sequence[Pool], media_seconds: float = 1e6) -> Placement:
    """The passes that take `pools`, in this order, through so much media in the shortest time.

    Raises `Impossible` where a pool fits on no node even alone.
    """
    for pool in pools:
        if side_by_side(nodes, [pool]) is None:
            raise Impossible(_too_large(pool, nodes))
    # best[n]: seconds and passes for the first n pools.
    best: list[tuple[float, tuple[Pass, ...]]] = [(0.0, ())]
    for end in range(1, len(pools) + 1):
        ways = []
        for begin in range(end):
            crews = side_by_side(nodes, pools[begin:end])
            if crews is not None:
                seconds, before = best[begin]
                ways.append((seconds + START_SECONDS + crews.seconds * media_seconds, (*before, crews)))
        best.append(min(ways, key=lambda way: way[0]))
    return Placement(best[-1][1])


def side_by_side(nodes: Sequence[Node], pools: Sequence[Pool], have: Sequence[Mapping[str, int]] = ()) -> Pass | None:
    """All pools at the same time, the slowest as quick as there is room for; None where they do not fit. `have`: the
    workers that are there already (node -> how many, for each pool) and stay."""
    room = _Room(nodes, pools)
    # What needs most of a GPU is put first, so that the small ones take what it leaves.
    order = sorted(range(len(pools)), key=lambda index: (-pools[index].gpus, -pools[index].cpus, index))
    for index in order if have else ():
        if not all(room.keep(index, name) for name, count in have[index].items() for _ in range(count)):
            return None
    if not all(room.workers[index] or room.take(index) for index in order):
        return None
    for index in order:
        while room.workers[index] < _limit(pools[index], pools[index].least) and room.take(index):
            pass
    growing = set(order)
    while growing:
        times = [pool.seconds / room.workers[index] for index, pool in enumerate(pools)]
        slow = max(growing, key=lambda index: (times[index], -index))
        limit = _limit(pools[slow], math.inf)
        enough = len(pools) > 1 and times[slow] < _SPARE * max(times)
        if enough or room.workers[slow] >= limit or not room.take(slow):
            growing.remove(slow)
    return Pass(tuple(Crew(pool, room.taken[index]) for index, pool in enumerate(pools)))


def _limit(pool: Pool, wanted: float) -> float:
    return wanted if pool.most is None else min(wanted, max(1, pool.most))


class _Room:
    """What is left of the nodes while workers are put on them."""

    def __init__(self, nodes: Sequence[Node], pools: Sequence[Pool]):
        self._nodes, self._pools = nodes, pools
        self._cpus = [node.cpus for node in nodes]
        self._memory = [node.memory for node in nodes]
        self._gpus = [[1.0] * int(node.gpus + _LEAST) for node in nodes]
        self._first = [0] * len(pools)
        """The first node that may still have room for another worker of a pool: what was full once stays so."""
        self.taken: list[dict[str, int]] = [{} for _ in pools]
        self.workers = [0] * len(pools)

    def keep(self, index: int, name: str) -> bool:
        """Counts a worker that is on a node already."""
        node = next((number for number, node in enumerate(self._nodes) if node.name == name), None)
        return node is not None and self._put(index, node)

    def take(self, index: int) -> bool:
        """Puts one more worker of a pool somewhere, if there is room."""
        while self._first[index] < len(self._nodes):
            if self._put(index, self._first[index]):
                return True
            self._first[index] += 1
        return False

    def _put(self, index: int, node: int) -> bool:
        pool = self._pools[index]
        if self._cpus[node] < pool.cpus - _LEAST or self._memory[node] < pool.memory:
            return False
        gpus = self._gpus[node]
        if pool.gpus > 0:
            each, count = (1.0, math.ceil(pool.gpus)) if pool.gpus > 1 else (pool.gpus, 1)
            fitting = sorted((left, number) for number, left in enumerate(gpus) if left >= each - _LEAST)[:count]
            if len(fitting) < count:
                return False
            for _, number in fitting:
                gpus[number] -= each
        self._cpus[node] -= pool.cpus
        self._memory[node] -= pool.memory
        name = self._nodes[node].name
        self.taken[index][name] = self.taken[index].get(name, 0) + 1
        self.workers[index] += 1
        return True


def _too_large(pool: Pool, nodes: Sequence[Node]) -> str:
    """What a worker wants, and what the largest node has."""
    names = ", ".join(pool.stages)
    what = f"{_amount(pool.cpus, 'processor')}"
    if pool.gpus:
        what += f" and {_amount(pool.gpus, 'GPU')}"
    if pool.memory:
        what += f" and {pool.memory:g} GB of memory"
    if not nodes:
        return f"{names}: a worker wants {what}, and the cluster has no node"
    most = max(nodes, key=lambda node: (node.gpus, node.cpus) if pool.gpus else (node.cpus, node.memory))
    has = f"{_amount(most.cpus, 'processor')}, {_amount(most.gpus, 'GPU')}"
    if pool.memory and most.memory != math.inf:
        has += f", {most.memory:.0f} GB of memory"
    remedy = "; add a larger node, or set engine.device=cpu" if pool.gpus else "; add a larger node"
    return f"{names}: a worker wants {what}, the largest node has {has}{remedy}"


def _amount(number: float, what: str) -> str:
    if 0 < number < 1:
        return f"{number:g} of a {what}"
    return f"{number:g} {what}{'' if number == 1 else 's'}"
