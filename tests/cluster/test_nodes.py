"""Nodes that are lost, that join, and that cannot do the work, while a driver runs on them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.loopback import Loopback, loopback, require_namespaces
from tests.engine.toys import clips

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def cluster() -> Iterator[Loopback]:
    with loopback() as made:
        made.head()
        yield made


def driver(cluster: Loopback, store: Path, items: int, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.cluster.driver", cluster.address, str(store), str(items), str(seconds)]
    return cluster.popen(command)


def until(child: subprocess.Popen[str], word: str) -> None:
    """Reads what a driver says up to a word."""
    assert child.stdout is not None
    for line in child.stdout:
        if line.strip() == word:
            return
    raise AssertionError(f"no {word!r}: {child.communicate()[1]}")


def whole(child: subprocess.Popen[str], items: int) -> str:
    """The standard error of a driver that has brought every item to its end."""
    out, err = child.communicate(timeout=240)
    assert child.returncode == 0, err
    said = json.loads(out.splitlines()[-1])
    assert said == {"ends": {clip.id: "kept" for clip in clips(items)}, "mapped": True}
    assert "Traceback" not in err
    return err


def test_a_node_that_dies_while_nodes_are_asked_is_left_out(cluster: Loopback, tmp_path: Path) -> None:
    lost = cluster.add()
    cluster.wait_for(2)
    child = driver(cluster, tmp_path / "w", 6, 0.1)
    until(child, "begun")
    lost.kill()
    whole(child, 6)


def test_a_node_that_joins_without_the_share_gets_no_work(cluster: Loopback, tmp_path: Path) -> None:
    """What it answers would be lost in a folder that nobody else sees."""
    require_namespaces()
    store = tmp_path / "w"
    child = driver(cluster, store, 16, 2.0)
    until(child, "working")
    cluster.add(4, over={store: None})
    err = whole(child, 16)
    assert re.search(rf"^{store}: node \S+ cannot see it. All nodes must reach it at the same path", err, re.MULTILINE)
    assert err.count("cannot see it") == 1


def test_a_node_with_another_version_of_the_program_gets_no_work(cluster: Loopback, tmp_path: Path) -> None:
    require_namespaces()
    root = Path(__file__).parents[2] / "demix"
    other = tmp_path / "demix"
    subprocess.run(["cp", "-r", root, other], check=True)
    with open(other / "machine.py", "a") as module:
        module.write("# changed\n")
    cluster.add(1, over={root: other})
    cluster.add(1)
    cluster.wait_for(3)
    child = driver(cluster, tmp_path / "w", 6, 0.1)
    assert re.search(r"^node \S+: another demix is installed there than here", whole(child, 6), re.MULTILINE)


def test_workers_of_a_lost_node_are_replaced_on_one_that_joins(cluster: Loopback, tmp_path: Path) -> None:
    lost = cluster.add(2)
    cluster.wait_for(2)
    child = driver(cluster, tmp_path / "w", 24, 1.0)
    until(child, "working")
    lost.kill()
    cluster.add(2)
    whole(child, 24)
