"""cluster/slurm/train.sbatch: asks the run to end when its time is up and requeues the job; passes SIGTERM on."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STANDINS = {
    "srun": 'while [[ $1 == --* ]]; do shift; done\nexec "$@"\n',
    # `scontrol show hostnames LIST`, `scontrol requeue JOB`
    "scontrol": 'echo "$@" >>"$CALLS"\necho here\n',
    # Trains until it is asked to end, as the ranks do: by the file, or by SIGTERM.
    "torchrun": (
        'trap "exit 143" TERM\n'
        'echo "torchrun $TORCH_ELASTIC_SHUTDOWN_TIMEOUT" >>"$CALLS"\n'
        "for _ in $(seq 600); do [[ -e $RUN/STOP ]] && exit 0; [[ -e $RUN/END ]] && exit 0; sleep 0.05; done\nexit 9\n"
    ),
}


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """The environment of a job, with stand-ins for what the script calls."""
    folder = tmp_path / "project" / ".venv" / "bin"
    folder.mkdir(parents=True)
    (tmp_path / "run").mkdir()
    for name, body in STANDINS.items():
        (folder / name).write_text(f"#!/usr/bin/env bash\n{body}")
        (folder / name).chmod(0o755)
    return os.environ | {
        "SLURM_SUBMIT_DIR": str(tmp_path / "project"),
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "here",
        "SLURM_NNODES": "1",
        "CALLS": str(tmp_path / "calls"),
        "RUN": str(tmp_path / "run"),
    }


def ended(job: dict[str, str], arguments: Sequence[str], how: signal.Signals | None) -> tuple[int, list[str]]:
    """The status of a job that a signal is sent to once it trains, and what it called."""
    calls = Path(job["CALLS"])
    with subprocess.Popen(["bash", str(ROOT / "cluster/slurm/train.sbatch"), *arguments], env=job) as batch:
        while batch.poll() is None and (not calls.exists() or "torchrun" not in calls.read_text()):
            time.sleep(0.05)
        if how is None:
            (Path(job["RUN"]) / "END").touch()
        else:
            batch.send_signal(how)
        status = batch.wait(30)
    return status, calls.read_text().splitlines()


@pytest.mark.parametrize("joined", [True, False])
def test_the_time_being_up_the_run_saves_and_the_job_is_requeued(job: dict[str, str], joined: bool) -> None:
    arguments = [f"--run={job['RUN']}"] if joined else ["--run", job["RUN"]]
    status, calls = ended(job, ["tiny", "--data", "x", *arguments], signal.SIGUSR1)
    assert status == 0
    assert calls[-2:] == ["torchrun 600", "requeue 7"]


@pytest.mark.parametrize(("how", "status"), [(signal.SIGTERM, 143), (None, 0)])
def test_what_is_preempted_or_done_is_not_requeued_by_the_script(
    job: dict[str, str], how: signal.Signals | None, status: int
) -> None:
    ended_with, calls = ended(job, ["tiny", f"--run={job['RUN']}"], how)
    assert ended_with == status
    assert calls[-1] == "torchrun 600"


def test_a_run_must_be_named(job: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", str(ROOT / "cluster/slurm/train.sbatch"), "tiny"], env=job, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "give --run RUN" in done.stderr
