"""Clusters that can grow are asked for what there is work for; one that has no processor yet is waited for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from demix.engine import ray_pass, ray_work
from demix.engine.placement import Crew, Impossible, Node, Pass, Pool
from demix.engine.ray_pass import RayPass
from demix.engine.ray_work import RayWork
from demix.engine.runner import EngineSettings, GpuSettings, RunOptions
from demix.engine.worker import Step
from demix.errors import MachineTrouble
from demix.store import Store
from tests.engine.toys import Double


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Ray's autoscaler was asked for."""
    requests: list[dict[str, Any]] = []
    monkeypatch.setattr(ray_work, "request_resources", lambda **wants: requests.append(wants))
    monkeypatch.setattr(ray_work, "LOOK_SECONDS", 0.05)
    return requests


def placed(nodes: list[list[Node]], seconds: float) -> ray_work.Placement:
    """A placement on a cluster that has these nodes the first time it is asked, those the second time, ..."""
    engine = EngineSettings(gpus=GpuSettings(wait_seconds=seconds))
    work = RayWork(
        [Step(Double(), "", "")],
        {},
        Store("memory://growth"),
        RunOptions(engine=engine),
        lambda: nodes.pop(0) if len(nodes) > 1 else nodes[0],
    )
    return work._placed(0)


def test_twice_as_many_workers_are_asked_for_as_long_as_there_is_work(asked: list[dict[str, Any]]) -> None:
    busy, few = Pool(("a",), cpus=0.5, gpus=0.25), Pool(("b",), most=3)
    ray_work._ask_for_more(Pass((Crew(busy, {"n": 2}), Crew(few, {"n": 2}))))
    assert asked == [{"bundles": [{"CPU": 0.5, "GPU": 0.25}] * 4 + [{"CPU": 1.0}] * 3}]


def test_a_head_that_gives_no_work_waits_for_nodes_that_do(asked: list[dict[str, Any]]) -> None:
    head, node = Node("head", 0.0), Node("node", 4.0)
    assert placed([[head], [head], [head, node]], 60.0).passes[0].crews[0].nodes == {"node": 4}
    assert {"num_cpus": 1} in asked
    with pytest.raises(MachineTrouble, match=r"double: a worker wants .* none has come \(engine.gpus.wait_seconds\)"):
        placed([[head]], 0.2)


def test_nobody_waits_for_what_was_never_there(asked: list[dict[str, Any]]) -> None:
    with pytest.raises(Impossible, match=r"double: .* the largest node has 0\.5 of a processor"):
        placed([[Node("small", 0.5)]], 60.0)
    assert not asked


def test_what_is_waited_for_is_said_every_half_minute_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(ray_pass.time, "monotonic", lambda: clock[0])
    said: list[tuple[float, str]] = []
    waiting = SimpleNamespace(idle=True, pool=Pool(("caption",), gpus=1.0))
    made = RayPass(
        [cast(Any, waiting)],
        list,
        cast(Any, None),
        lambda text: said.append((clock[0], text)),
        ask=lambda planned: None,
        spool=None,
        max_attempts=3,
        wait_seconds=100.0,
    )

    def wait(seconds: int) -> None:
        for _ in range(seconds):
            made._check_idle()
            clock[0] += 1.3

    with pytest.raises(MachineTrouble, match="caption: no worker has come up for 10"):
        wait(100)
    assert said[0][1].startswith("waiting for a worker of caption (1 GPU and 1 processor): ")
    assert all(after - before <= 30 for (before, _), (after, _) in zip([(0.0, ""), *said], said, strict=False))
