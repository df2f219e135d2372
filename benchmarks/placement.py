"""How busy a placement keeps a cluster: a whole phase against its slowest stage alone, simulated with recorded costs.

    python -m benchmarks.placement [--hours 1200] [--write]

Clips of 3 to 19 s go through the pools of `demix.engine.placement` as `demix.engine.ray_pass` hands them on: in
batches, with queues that have a bound, pass after pass. Every worker starts and loads its models once a pass, and an
item takes up to a third more or less than the recorded figure. The slowest stage alone has the whole cluster to itself.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from demix.costs import stage_costs
from demix.engine.placement import Node, Pass, Pool, place
from demix.engine.runner import RunOptions
from demix.engine.wishes import wish
from demix.engine.worker import Step, groups
from demix.recipe import clip_stages, load_settings

RESULT = Path(__file__).parent / "results/placement.md"
GPUS = (1, 2, 8, 64)
CPUS_A_GPU = 12
LOAD_SECONDS = 60.0
"""A worker's start, with the models of the slowest to load."""
BATCH, AHEAD = 4, 4


def simulate(planned: Pass, clips: Sequence[float], chance: random.Random) -> float:
    """Seconds until all clips (their lengths in seconds) have gone through a pass."""
    pools = planned.crews
    idle = [crew.workers for crew in pools]
    queues: list[deque[float]] = [deque() for _ in pools]
    coming = deque(clips)
    events: list[tuple[float, int, int, list[float]]] = []
    now, number = LOAD_SECONDS, 0
    while True:
        for position in reversed(range(len(pools))):
            queue = coming if position == 0 else queues[position]
            after = queues[position + 1] if position + 1 < len(pools) else None
            room = 2 * AHEAD * BATCH * pools[position + 1].workers if after is not None else sys.maxsize
            while idle[position] and queue and (after is None or len(after) < room):
                batch = [queue.popleft() for _ in range(min(BATCH, len(queue)))]
                took = sum(batch) * pools[position].pool.seconds * chance.uniform(2 / 3, 4 / 3)
                idle[position] -= 1
                number += 1
                heapq.heappush(events, (now + took, number, position, batch))
        if not events:
            return now
        now, _, position, batch = heapq.heappop(events)
        idle[position] += 1
        if position + 1 < len(pools):
            queues[position + 1].extend(batch)


def pools_of(profile: str) -> list[Pool]:
    """What the clip stages of a profile ask for on GPUs."""
    settings = load_settings(profile)
    options = RunOptions(engine=settings.engine, costs=stage_costs(settings))
    return [wish(group, options, True) for group in groups([Step(stage, "", "") for stage in clip_stages(settings)])]


def measured(profile: str, gpus: int, hours: float) -> tuple[int, str, float, float]:
    """(passes, slowest stage, hours of the whole phase, hours of the slowest alone)."""
    chance = random.Random(gpus)
    clips = [chance.uniform(3.0, 19.0) for _ in range(round(hours * 3600 / 11))]
    count = max(1, gpus // 8)
    nodes = [Node(str(place), CPUS_A_GPU * gpus / count, gpus / count) for place in range(count)]
    pools = pools_of(profile)
    placement = place(nodes, pools, sum(clips))
    whole = sum(simulate(each, clips, chance) for each in placement.passes)
    alone = {pool.name: simulate(place(nodes, [pool], sum(clips)).passes[0], clips, chance) for pool in pools}
    slowest = max(alone, key=lambda name: alone[name])
    return len(placement.passes), slowest, whole / 3600, alone[slowest] / 3600


def report(hours: float) -> str:
    lines = [
        "# A phase against its slowest stage alone",
        "",
        f"`python -m benchmarks.placement --hours {hours:g}`; see its head. {hours:g} hours of clips, {CPUS_A_GPU} "
        "processors a GPU, recorded figures of an H200; a simulation, no measurement.",
        "",
        "| profile | GPUs | passes | slowest stage | it alone, h | whole phase, h | share (aim: 0.8) |",
        "|---|---:|---:|---|---:|---:|---:|",
    ]
    for profile in ("open", "paper"):
        for gpus in GPUS:
            passes, slowest, whole, alone = measured(profile, gpus, hours)
            lines.append(
                f"| {profile} | {gpus} | {passes} | {slowest} | {alone:.1f} | {whole:.1f} | {alone / whole:.2f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, default=1200.0, help="of clips")
    parser.add_argument("--write", action="store_true", help=f"write {RESULT.name}")
    arguments = parser.parse_args()
    text = report(arguments.hours)
    print(text)
    if arguments.write:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
