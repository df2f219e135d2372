"""A whole build on nodes that are lost, one in each phase, and on one that joins: bytes as of the undisturbed build."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.build.running import SEQUENTIAL, child, tree
from tests.cluster.loopback import Loopback, loopback
from tests.films.film import make_film
from tests.tiny import SHOTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

OPTIONS = ("--set", "report.samples_per_group=0", "--keep-work")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    for seed in range(3):
        make_film(folder / f"film {seed}.mp4", SHOTS, seed=seed)
    return folder


@pytest.fixture(scope="module")
def undisturbed(films: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    dataset = tmp_path_factory.mktemp("undisturbed") / "dataset"
    ran = child("build", films, "--output", dataset, *OPTIONS, *SEQUENTIAL)
    assert ran.status == 0, ran.err
    return tree(dataset)


class Building:
    """A build on a cluster, with what it has said so far."""

    def __init__(self, cluster: Loopback, films: Path, dataset: Path):
        self.dataset = dataset
        command = [sys.executable, "-m", "demix.cli", "build", str(films), "--output", str(dataset), *OPTIONS]
        self.process = cluster.popen([*command, "--runner", "ray", "--address", cluster.address])
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.said += self.process.stderr  # line by line, as they come

    def until(self, what: Callable[[], bool]) -> None:
        """Waits for something to happen while the build is at work."""
        while not what():
            assert self.process.poll() is None, "".join(self.said)
            time.sleep(0.05)

    def has_said(self, start: str) -> bool:
        return any(line.startswith(start) for line in list(self.said))

    def cuts(self) -> int:
        return sum(1 for _ in (self.dataset / ".work/media").rglob("clip.mp4"))

    def end(self, seconds: float = 400) -> tuple[int, str]:
        """Its status, and all that it has said."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("".join(self.said)) from None
        self._reader.join(10)
        return status, "".join(self.said)


def test_a_node_lost_in_each_phase_and_one_that_joins_leave_no_trace(
    films: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    with loopback() as cluster:
        cluster.head(1)
        nodes = [cluster.add() for _ in range(3)]
        cluster.wait_for(4)
        build = Building(cluster, films, tmp_path / "dataset")
        build.until(lambda: build.has_said("sources: 3/3"))
        nodes[0].kill()  # at the index
        build.until(lambda: build.cuts() >= 1)
        nodes[1].kill()
        cluster.add()
        build.until(lambda: build.has_said("annotate: "))
        build.until(lambda: any(line.startswith("annotate: ") and ", in " in line for line in list(build.said)))
        nodes[2].kill()  # at the shards
        status, said = build.end()
        assert status == 0, said
        assert "Traceback" not in said
        assert tree(build.dataset) == undisturbed


def test_a_head_that_is_lost_ends_the_build_with_a_sentence_and_the_next_goes_on(
    films: Path, undisturbed: dict[str, str], tmp_path: Path
) -> None:
    with loopback() as cluster:
        head = cluster.head(1)
        cluster.add()
        cluster.wait_for(2)
        build = Building(cluster, films, tmp_path / "dataset")
        build.until(lambda: build.cuts() >= 1)
        for node in (head, *cluster.nodes):
            node.kill()
        status, said = build.end(180)
        assert status == 3, (status, said)
        assert "Traceback" not in said
        assert "the head of the Ray cluster" in said
        assert "give the same command again" in said
        cluster.head(2)
        cluster.wait_for(1)
        build = Building(cluster, films, tmp_path / "dataset")
        status, said = build.end()
        assert status == 0, said
        assert tree(build.dataset) == undisturbed
