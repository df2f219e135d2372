"""A placement in words: pass by pass, how many workers each pool has, and how long it takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from demix.engine.placement import Crew, Node, Placement
from demix.engine.progress import duration


def lines(placement: Placement, nodes: Sequence[Node], media_seconds: float) -> list[str]:
    """For the log and for whoever watches. `media_seconds`: of film, 0 if nobody knows."""
    passes = placement.passes
    gpus, cpus = sum(node.gpus for node in nodes), sum(node.cpus for node in nodes)
    where = f"{counted(gpus, 'GPU')} and {counted(cpus, 'processor')} on {counted(len(nodes), 'node')}"
    slowest = placement.slowest.pool.name
    how = "all pools side by side" if len(passes) == 1 else f"{len(passes)} passes, one after the other"
    took = f", about {duration(placement.seconds * media_seconds)}" if media_seconds else ""
    said = [f"placement on {where}: {how}{took}; slowest: {slowest}"]
    for number, each in enumerate(passes, start=1):
        crews = ", ".join(_crew(crew, media_seconds) for crew in each.crews)
        said.append(f"  pass {number}: {crews}" if len(passes) > 1 else f"  {crews}")
    return said


def rows(placement: Placement, media_seconds: float) -> Iterator[tuple[str, ...]]:
    """For a table: pass, stages, workers, GPUs, processors, time, and what is to be said of it."""
    for number, each in enumerate(placement.passes, start=1):
        for crew in each.crews:
            pool = crew.pool
            remarks = ["slowest"] if crew is placement.slowest else []
            remarks += ["a guess: no figure is recorded"] if pool.guessed else []
            yield (
                str(number),
                pool.name,
                str(crew.workers),
                f"{crew.workers * pool.gpus:g}" if pool.gpus else "-",
                f"{crew.workers * pool.cpus:g}",
                duration(crew.seconds * media_seconds),
                ", ".join(remarks),
            )


def counted(number: float, what: str) -> str:
    """A number of things."""
    return f"{number:g} {what}{'' if number == 1 else 's'}"


def _crew(crew: Crew, media_seconds: float) -> str:
    share = f" with {crew.pool.gpus:g} GPU" if crew.pool.gpus else ""
    took = f" ({'about ' if not crew.pool.guessed else 'a guess: '}{duration(crew.seconds * media_seconds)})"
    return f"{crew.pool.name}: {counted(crew.workers, 'worker')}{share}{took if media_seconds else ''}"
