"""Placements: what is planned fits, nobody is left without a worker, and GPUs are busy."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.costs import stage_costs
from demix.engine.placement import Impossible, Node, Pass, Placement, Pool, place, side_by_side
from demix.recipe import clip_stages, load_settings

POOLS = st.builds(
    Pool,
    stages=st.just(("a",)),
    cpus=st.sampled_from([0.25, 0.5, 1.0]),
    gpus=st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0]),
    memory=st.sampled_from([0.0, 4.0]),
    seconds=st.floats(0.001, 10.0),
    least=st.integers(1, 3),
    most=st.sampled_from([None, 1, 4]),
)
NODES = st.builds(
    Node,
    name=st.uuids().map(str),
    cpus=st.integers(0, 9).map(float),
    gpus=st.integers(0, 4).map(float),
    memory=st.sampled_from([8.0, 64.0]),
)
CLUSTERS = st.lists(NODES, max_size=4)


def cluster(gpus: int, cpus: int) -> list[Node]:
    """Nodes of at most eight GPUs."""
    count = max(1, gpus // 8)
    return [Node(str(number), cpus / count, gpus / count) for number in range(count)]


def pools_of(profile: str, gpus: bool) -> list[Pool]:
    """As the engine asks for them, a pool for every stage that measures."""
    settings = load_settings(profile)
    costs = stage_costs(settings)
    stages = [stage for stage in clip_stages(settings) if not stage.judges]
    share = {stage.name: stage.resources.gpus if gpus else 0.0 for stage in stages}
    return [
        Pool(
            (stage.name,), stage.resources.cpus, share[stage.name], seconds=costs[stage.name].seconds(share[stage.name])
        )
        for stage in stages
    ]


def check_fits(nodes: list[Node], each: Pass) -> None:
    """By another count than the one that made it: GPUs node by node, the large shares first."""
    for node in nodes:
        here = [(crew.pool, crew.nodes.get(node.name, 0)) for crew in each.crews]
        assert sum(pool.cpus * count for pool, count in here) <= node.cpus + 1e-6
        assert sum(pool.memory * count for pool, count in here) <= node.memory
        left = [1.0] * int(node.gpus)
        for share in sorted((pool.gpus for pool, count in here for _ in range(count)), reverse=True):
            for _ in range(int(share) if share > 1 else 1 if share else 0):
                fitting = min((room, n) for n, room in enumerate(left) if room >= min(1.0, share) - 1e-6)
                left[fitting[1]] -= min(1.0, share)


@given(CLUSTERS, st.lists(POOLS, min_size=1, max_size=6))
def test_every_pool_runs_once_and_every_pass_fits(nodes: list[Node], pools: list[Pool]) -> None:
    try:
        placement = place(nodes, pools)
    except Impossible:
        assert any(side_by_side(nodes, [pool]) is None for pool in pools)
        return
    assert [crew.pool for each in placement.passes for crew in each.crews] == pools
    for each in placement.passes:
        check_fits(nodes, each)
        for crew in each.crews:
            assert 1 <= crew.workers <= (crew.pool.most or crew.workers)


@given(CLUSTERS, st.lists(POOLS, min_size=2, max_size=5))
def test_workers_that_are_there_stay(nodes: list[Node], pools: list[Pool]) -> None:
    """When a pool is done or a node joins, the others grow, and nobody is moved."""
    before = side_by_side(nodes, pools)
    if before is None:
        return
    have = [crew.nodes for crew in before.crews]
    after = side_by_side([*nodes, Node("new", 8.0, 1.0)], pools[1:], have[1:])
    assert after is not None
    for crew, had in zip(after.crews, have[1:], strict=True):
        assert not Counter(had) - Counter(crew.nodes)


@pytest.mark.parametrize("profile", ["open", "paper"])
@pytest.mark.parametrize("gpus", [1, 2, 8, 64])
def test_a_phase_takes_hardly_longer_than_its_slowest_stage_alone(profile: str, gpus: int) -> None:
    nodes, pools = cluster(gpus, 12 * gpus), pools_of(profile, gpus=True)
    placement = place(nodes, pools, media_seconds=1200 * 3600)
    alone = max(place(nodes, [pool]).seconds for pool in pools)
    assert alone / placement.seconds >= 0.8


def test_small_work_is_done_in_few_passes() -> None:
    """Passes cost their start: what fits side by side is run so unless it takes much longer."""
    nodes, pools = cluster(8, 96), pools_of("open", gpus=True)
    assert len(place(nodes, pools, media_seconds=60).passes) == 1
    assert len(place(nodes, pools, media_seconds=1e6).passes) > 1


def test_what_one_gpu_cannot_hold_together_is_done_in_turn() -> None:
    placement = place([Node("n", 4.0, 1.0)], pools_of("open", gpus=True), media_seconds=60)
    assert len(placement.passes) > 1
    assert [crew.pool.name for crew in placement.passes[-1].crews] == ["caption"]
    assert placement.slowest.pool.name == "caption"


@pytest.mark.parametrize(
    ("pool", "says"),
    [
        (
            Pool(("caption",), gpus=2.0),
            "caption: a worker wants 1 processor and 2 GPUs, the largest node has 8 processors,",
        ),
        (Pool(("a", "b"), cpus=12), "a, b: a worker wants 12 processors, the largest node has 8 processors, 1 GPU"),
        (
            Pool(("caption",), memory=99),
            "1 processor and 99 GB of memory, the largest node has 4 processors, 0 GPUs, 64",
        ),
    ],
)
def test_an_impossible_wish_is_refused_at_once_in_one_sentence(pool: Pool, says: str) -> None:
    nodes = [Node("a", 8.0, 1.0, 32.0), *(Node(str(n), 4.0, 0.0, 64.0) for n in range(500))]
    if pool.memory:
        nodes = nodes[1:]
    began = time.perf_counter()
    with pytest.raises(Impossible) as caught:
        place(nodes, [Pool(("clip_media",)), pool])
    assert time.perf_counter() - began < 10
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_thousands_of_processors_are_placed_in_seconds() -> None:
    began = time.perf_counter()
    placement: Placement = place(cluster(512, 8192), pools_of("open", gpus=True))
    assert time.perf_counter() - began < 10
    assert placement.passes
