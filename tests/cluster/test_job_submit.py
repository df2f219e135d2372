"""`ray job submit --working-dir . -- python pipelines/build_demix.py ...`, as people type it, against a real head."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

from tests.cluster.remote import free_port
from tests.tiny import make_tiny

ROOT = Path(__file__).parents[2]
BIN = Path(sys.prefix) / "bin"


def test_what_is_uploaded_is_small_and_whole(tmp_path: Path) -> None:
    """No environment, no history, no demo, no tests: Ray refuses 500 MB, and a slow line wants far less. Weights that
    travel in the package are 7.7 MB of it."""
    upload = tmp_path / "upload.zip"
    create_package(str(ROOT), upload, include_gitignore=True)
    names = zipfile.ZipFile(upload).namelist()
    assert {"pipelines/build_demix.py", "demix/cli.py", "demix/profiles/lite.yaml", "pyproject.toml"} <= set(names)
    assert not {name.partition("/")[0] for name in names} & {".git", ".venv", "demo", "tests", "benchmarks"}
    assert upload.stat().st_size < 12 << 20


@pytest.fixture
def root() -> Iterator[Path]:
    """A folder with a short path: those of Ray's sockets must stay below 108 characters."""
    folder = Path(tempfile.mkdtemp(prefix="job"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def access(root: Path) -> dict[str, str]:
    """What a client of the test's head needs: its token, and its folder instead of the machine's /tmp/ray."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4, "RAY_TMPDIR": str(root)}


@pytest.fixture
def dashboard(root: Path) -> Iterator[str]:
    """Address of the dashboard of a head that belongs to this test."""
    ports = {name: free_port() for name in ("port", "ray-client-server-port", "dashboard-port")}
    command = [BIN / "ray", "start", "--head", "--block", "--num-cpus=2", f"--temp-dir={root}/ray"]
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"  # the job's `python` is the one that the head finds
    environment = os.environ | access(root) | {"PATH": path}
    with open(root / "head.log", "w") as log:
        head = subprocess.Popen(
            [*command, *(f"--{name}={port}" for name, port in ports.items())],
            stdout=log,
            stderr=log,
            cwd="/",
            env=environment,
        )
    address = f"http://127.0.0.1:{ports['dashboard-port']}"
    try:
        _wait_for(f"{address}/api/jobs/", head, root / "head.log")
        yield address
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(60)


def _wait_for(url: str, head: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and head.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except urllib.error.HTTPError as error:  # it answers: who asks without the cluster's token is refused
            if error.code in (401, 403):
                return
        except OSError:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"the head did not start: {log.read_text()}")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_film_is_built_by_a_job(root: Path, dashboard: str) -> None:
    films, dataset = make_tiny(root / "films"), root / "dataset"
    child = subprocess.run(
        [
            BIN / "ray", "job", "submit", "--address", dashboard, "--working-dir", ".", "--",
            "python", "pipelines/build_demix.py", str(films), "--output", str(dataset),
            "--set", "report.samples_per_group=0",
        ],
        cwd=ROOT, env=os.environ | access(root), capture_output=True, text=True, timeout=400, check=False,
    )  # fmt: skip
    assert child.returncode == 0, f"{child.stdout}\n{child.stderr}"
    assert "succeeded" in child.stdout + child.stderr
    assert list(dataset.glob("shards/train/*/*.commit.json"))
    # A build that had not joined this cluster would have started one of its own, in a session of its own.
    assert len(list((root / "ray").glob("session_2*"))) == 1
