"""Stages that want GPUs, on logical ones: none are there at first, some come, some are lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import pytest
import ray
from ray.cluster_utils import Cluster

from demix.config import ConfigError
from demix.engine.phase import Phase
from demix.engine.ray_runner import RayRunner
from demix.engine.runner import EngineSettings, GpuSettings, RunOptions
from demix.errors import MachineTrouble
from demix.recipe import clip_stages, load_settings
from demix.records import Record
from demix.stage import Context, Item, Kept, Outcome, Resources, Stage
from demix.store import Store
from tests.engine.toys import Double, Judge, Square, Toy, ToySettings, clips, rows

HEAD_CPUS, NODE_CPUS = 1, 2
Said = pytest.CaptureFixture[str]


class Noting(Toy):
    """Leaves a note of every process in which it was opened, and for which device."""

    def open(self, context: Context) -> None:
        super().open(context)
        folder = Path(self.toy.journal) / "opened" / self.name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{time.time_ns()}-{context.device}-{len(ray.get_gpu_ids())}").touch()


class Large(Noting, Double):
    resources = Resources(gpus=1.0, pool="large")


class Half(Noting, Square):
    resources = Resources(gpus=0.5, pool="half")


class Whole(Noting, Toy):
    """Of a third pool, and without a record of its own."""

    name = "whole"
    adds: ClassVar[type[Record] | None] = None
    resources = Resources(gpus=1.0, pool="whole")

    def one(self, item: Item) -> Outcome:
        self.note(item)
        time.sleep(self.toy.seconds)
        return Kept()


class Monster(Noting, Double):
    resources = Resources(gpus=4.0, pool="monster")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without GPUs; nodes with one come and go."""
    made = Cluster(
        initialize_head=True, head_node_args={"num_cpus": HEAD_CPUS, "num_gpus": 0, "include_dashboard": False}
    )
    ray.init(address=made.address, log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@contextmanager
def added(cluster: Cluster, gpus: int, cpus: int = NODE_CPUS) -> Iterator[object]:
    """One more node, for as long as this is open."""
    node = cluster.add_node(num_cpus=cpus, num_gpus=gpus)
    yield node
    if node in cluster.worker_nodes:
        cluster.remove_node(node)


@pytest.fixture
def gpu_node(cluster: Cluster) -> Iterator[object]:
    with added(cluster, 1) as node:
        yield node


def run(root: Path, *stages: Stage, count: int = 12, **engine: object) -> dict[str, str]:
    made = Phase("toys", stages, Store(str(root / "w")), lambda: rows(clips(count)))
    seen: list[str] = []
    settings = EngineSettings.model_validate({"batch_rows": 3, "max_attempts": 2, **engine})
    options = RunOptions(engine=settings, total=count, log_folder=root / "logs")
    made.run(lambda: RayRunner(settings), options, lambda row: seen.append(row.id))
    assert sorted(seen) == [clip.id for clip in clips(count)]
    return {end.item.id: end.entry.body if end.entry and end.state == "failed" else end.state for end in made.ends()}


def opened(root: Path, stage: str) -> list[str]:
    """`DEVICE-GPUS` of every worker that opened a stage."""
    return [path.name.partition("-")[2] for path in sorted((root / "opened" / stage).iterdir())]


def expected(count: int) -> dict[str, str]:
    return {clip.id: "kept" if (2 * clip.ordinal) ** 2 % 3 else "dropped" for clip in clips(count)}


def test_without_gpus_nobody_falls_back_in_silence(cluster: Cluster, tmp_path: Path, capsys: Said) -> None:
    noting = ToySettings(journal=str(tmp_path))
    assert run(tmp_path, Large(noting), Half(noting), Judge()) == expected(12)
    assert "no GPU is in the cluster: the models of double, square run on processors" in capsys.readouterr().err
    assert set(opened(tmp_path, "double")) == {"cpu-0"}


def test_gpus_that_are_insisted_on_and_not_there_end_the_run_in_a_sentence(cluster: Cluster, tmp_path: Path) -> None:
    noting = ToySettings(journal=str(tmp_path))
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"double: GPUs are wanted \(engine.device=cuda\), and the cluster has none"):
        run(tmp_path, Large(noting), device="cuda")
    with pytest.raises(MachineTrouble, match="double: 2 GPUs were waited for 1 s, and the cluster has 0"):
        run(tmp_path, Large(noting), gpus=GpuSettings(least=2, wait_seconds=1))
    assert time.monotonic() - began < 20


def test_an_impossible_wish_is_refused(gpu_node: object, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ConfigError, match="double: a worker wants 1 processor and 4 GPUs, the largest node has"):
        run(tmp_path, Monster(ToySettings(journal=str(tmp_path))))
    assert time.monotonic() - began < 10


def test_one_gpu_serves_pools_that_do_not_fit_side_by_side(gpu_node: object, tmp_path: Path, capsys: Said) -> None:
    """In passes, each with its workers, whose models are loaded once: GPUs / share of them at most."""
    noting = ToySettings(journal=str(tmp_path))
    assert run(tmp_path, Large(noting), Half(noting), Judge(), Whole(noting)) == expected(12)
    said = capsys.readouterr().err
    assert "placement on 1 GPU" in said
    assert "pass 3" in said
    assert "PyTorch finds none" in said, "a worker with a GPU that is none is no secret"
    assert opened(tmp_path, "double") == ["auto-1"]
    assert set(opened(tmp_path, "square")) == {"auto-1"}
    assert len(opened(tmp_path, "square")) <= 2
    assert opened(tmp_path, "whole") == ["auto-1"]


@pytest.mark.slow
def test_gpus_that_come_late_are_waited_for(cluster: Cluster, tmp_path: Path, capsys: Said) -> None:
    noting = ToySettings(journal=str(tmp_path))
    gpus = GpuSettings(least=1, wait_seconds=60)
    with ThreadPoolExecutor(1) as aside:  # nodes are added by the main thread only
        states = aside.submit(run, tmp_path, Large(noting), gpus=gpus)
        time.sleep(5)
        with added(cluster, 1):
            assert set(states.result().values()) == {"kept"}
    assert "waiting for 1 GPU (engine.gpus.least)" in capsys.readouterr().err
    assert set(opened(tmp_path, "double")) == {"auto-1"}


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_gpu_node_that_is_lost_and_one_that_joins(gpu_node: object, cluster: Cluster, tmp_path: Path) -> None:
    """In the middle of a pass: what the lost one was at is done by the new one, on a GPU, and nobody is blamed."""
    noting = ToySettings(journal=str(tmp_path), seconds=0.5)
    with ThreadPoolExecutor(1) as aside:
        states = aside.submit(run, tmp_path, Large(noting), count=24)
        while not (tmp_path / "double").exists():
            time.sleep(0.1)
        time.sleep(2)
        cluster.remove_node(gpu_node)
        time.sleep(8)
        with added(cluster, 1):
            assert set(states.result().values()) == {"kept"}
    assert opened(tmp_path, "double") == ["auto-1", "auto-1"]


PROFILES = [(profile, gpus) for profile in ("open", "paper") for gpus in (1, 2, 8)]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("profile", "gpus"), PROFILES)
def test_the_resources_of_every_profile_run_on_any_number_of_gpus(
    cluster: Cluster, tmp_path: Path, profile: str, gpus: int
) -> None:
    """Toys that want what the stages of the profile want, in the same order."""
    wants = [stage.resources for stage in clip_stages(load_settings(profile)) if not stage.judges]
    noting = ToySettings(journal=str(tmp_path))
    stages = [_wanting(number, resources, noting) for number, resources in enumerate(wants)]
    with added(cluster, gpus, cpus=8):
        assert set(run(tmp_path, *stages, count=8).values()) == {"kept"}
    for stage in stages:
        assert set(opened(tmp_path, stage.name)) == {"auto-1" if stage.resources.gpus else "cpu-0"}


def _wanting(number: int, resources: Resources, settings: ToySettings) -> Stage:
    made = Whole(settings)
    made.name = f"stage{number}"  # type: ignore[misc]
    made.resources = resources
    return made
