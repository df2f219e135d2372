"""cluster/on_prem.yaml as people use it: `ray up`, `ray submit`, `ray down`, through a real ssh server on this machine.

Two things differ from the committed file besides its placeholders: the environment is this test's own instead of one
that make installs for minutes, and Ray listens on ports that are free.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.remote import Remote, free_port, remote
from tests.tiny import make_tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
RAY = Path(sys.prefix) / "bin" / "ray"


@pytest.fixture(scope="module")
def host() -> Iterator[Remote]:
    with remote() as machine:
        yield machine


@pytest.fixture(scope="module")
def config(host: Remote) -> Path:
    """The committed file with its placeholders filled."""
    tree: dict[str, Any] = yaml.safe_load((ROOT / "cluster/on_prem.yaml").read_text())
    tree["provider"]["head_ip"] = "127.0.0.1"
    tree["auth"] = {"ssh_user": "root", "ssh_private_key": str(host.key)}
    make, path = tree["setup_commands"]
    assert make == "make -C ~/demix .venv/.ready"
    # The package that was copied, not the one that is installed here.
    here = "grep -qs PYTHONPATH ~/.bashrc || echo 'export PYTHONPATH=$HOME/demix' >> ~/.bashrc"
    tree["setup_commands"] = [f"ln -sfn {sys.prefix} ~/demix/.venv", here, path]
    stop, start = tree["head_start_ray_commands"]
    ports = f"--port={free_port()} --ray-client-server-port={free_port()} --dashboard-port={free_port()}"
    assert "--port=6379" in start
    tree["head_start_ray_commands"] = [stop, start.replace("--port=6379", f"{ports} --num-cpus=2")]
    written = host.root / "on_prem.yaml"
    written.write_text(yaml.safe_dump(tree))
    return written


def ray(host: Remote, *arguments: str) -> str:
    """Runs one of Ray's commands in the project's folder; returns what it printed."""
    child = subprocess.run(
        [RAY, *arguments], cwd=ROOT, env=host.environment(), capture_output=True, text=True, timeout=400, check=False
    )
    said = f"{child.stdout}\n{child.stderr}"
    assert child.returncode == 0, said
    return said


def test_a_film_is_built_through_ray_submit(host: Remote, config: Path) -> None:
    films, dataset = make_tiny(host.root / "films"), host.root / "dataset"
    ray(host, "get-auth-token", "--generate")
    ray(host, "up", "--yes", "--no-config-cache", str(config))
    try:
        assert "raylet" in processes(host)
        assert (host.home / ".ray/auth_token").read_bytes() == (host.root / ".ray/auth_token").read_bytes()
        said = ray(
            host, "submit", "--no-config-cache", str(config), "pipelines/build_demix.py", "--", str(films),
            "--output", str(dataset), "--set", "report.samples_per_group=0",
        )  # fmt: skip
    finally:
        ray(host, "down", "--yes", str(config))
    assert "raylet" not in processes(host)
    assert f"report: {dataset}/report/index.html" in said
    assert list(dataset.glob("shards/train/*/*.commit.json"))
    # A build that had not joined this cluster would have started one of its own, in a session of its own.
    assert len(list((host.root / "ray").glob("session_2*"))) == 1
    copied = {path.name for path in (host.home / "demix").iterdir()}
    assert copied == {path.rstrip("/").rpartition("/")[2] for path in mounts()} | {".venv"}


def mounts() -> list[str]:
    """Where the committed file puts the parts of the project."""
    tree = yaml.safe_load((ROOT / "cluster/on_prem.yaml").read_text())
    return [path for path in tree["file_mounts"] if path.startswith("~/demix/")]


def processes(host: Remote) -> str:
    """Command lines of what runs on the other machine."""
    command = [host.root / "bin/ssh", "-i", host.key, "-o", "StrictHostKeyChecking=no"]
    return subprocess.run(
        [*command, "root@127.0.0.1", "ps -eo args"], capture_output=True, text=True, check=True, env=host.environment()
    ).stdout
