"""cluster/slurm: the script starts Ray on its node and builds, on one machine with stand-ins for Slurm's commands."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from tests.tiny import make_tiny

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
STANDINS = {
    # srun OPTIONS... COMMAND: the command, here.
    "srun": 'while [[ $1 == --* ]]; do shift; done\nexec "$@"\n',
    # scontrol show hostnames LIST
    "scontrol": "echo here\n",
}


def test_a_film_is_built_in_an_allocation_of_one_node(tmp_path: Path) -> None:
    films, dataset = make_tiny(tmp_path / "films"), tmp_path / "dataset"
    project, bin_ = tmp_path / "project", tmp_path / "bin"
    for folder in (project, bin_):
        folder.mkdir()
    for name, target in {".venv": Path(sys.prefix), "demix": ROOT / "demix", "pipelines": ROOT / "pipelines"}.items():
        (project / name).symlink_to(target)
    for name, body in STANDINS.items():
        (bin_ / name).write_text(f"#!/usr/bin/env bash\n{body}")
        (bin_ / name).chmod(0o755)
    with tempfile.TemporaryDirectory(prefix="slurm") as ray:
        environment = os.environ | {
            "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
            "RAY_TMPDIR": ray,
            "SLURM_SUBMIT_DIR": str(project),
            "SLURM_JOB_ID": str(os.getpid()),
            "SLURM_JOB_NODELIST": "here",
            "SLURM_CPUS_PER_TASK": "2",
        }
        script = ROOT / "cluster/slurm/build_demix.sbatch"
        batch = subprocess.Popen(
            ["bash", script, films, "--output", dataset, "--set", "report.samples_per_group=0"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            said = _output(batch)
        finally:
            with suppress(ProcessLookupError):  # Slurm ends what a job leaves behind
                os.killpg(batch.pid, signal.SIGTERM)
    assert batch.wait(30) == 0, said
    assert f"report: {dataset}/report/index.html" in said
    assert list(dataset.glob("shards/train/*/*.commit.json"))


def _output(batch: subprocess.Popen[str]) -> str:
    """What the script printed up to its own end; Ray, which it leaves behind, keeps the pipe open."""
    assert batch.stdout is not None
    lines: list[str] = []
    os.set_blocking(batch.stdout.fileno(), False)
    while True:
        with suppress(subprocess.TimeoutExpired):
            batch.wait(timeout=1)
        while line := batch.stdout.readline():
            lines.append(line)
        if batch.returncode is not None:
            return "".join(lines)
