"""Guards, on real ranks of Ray Train: the same samples and losses as without Ray, also when a rank is killed."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mtv_train.config import TrainSettings
from mtv_train.recipes import load
from mtv_train.train.checkpoint import committed
from mtv_train.train.session import Options, train
from tests.mtv_train.datasets import TinyClip, write_tars
from tests.mtv_train.train.ranks import in_ranks, losses

ROOT = Path(__file__).parents[3]
STEPS = 24
SET = (
    "validation.every=0",
    "log.samples=true",
    "log.every=1",
    "checkpoint.every=4",
    "checkpoint.wait=true",
    "optim.batch=2",
    f"stages.single_character.steps={STEPS}",
)


def settings_of(dataset: Path) -> TrainSettings:
    return load("tiny", assignments=[f"data.dataset={dataset}", *SET])


def trained(settings: TrainSettings, run: Path) -> None:
    train(settings, run, Options(device="cpu", skip_empty_stages=True))


def ended(process: subprocess.Popen[str]) -> bool:
    return process.poll() is not None


@pytest.mark.slow
def test_a_killed_rank_costs_time_and_no_sample(tmp_path: Path) -> None:
    dataset = write_tars(tmp_path / "tars", [TinyClip(number) for number in range(5)])
    in_ranks(2, trained, settings_of(dataset), tmp_path / "plain")
    command = [sys.executable, str(ROOT / "pipelines/train_mtv.py"), "tiny", "--data", str(dataset)]
    command += ["--run", str(tmp_path / "run"), "--ranks", "2", "--device", "cpu", "--address", "local"]
    command += ["--skip-empty-stages", *(word for text in SET for word in ("--set", text))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while not ended(process) and not committed(tmp_path / "run"):
            time.sleep(0.05)
        ranks = [
            child
            for child in psutil.Process(process.pid).children(recursive=True)
            if "RayTrainWorker" in " ".join(child.cmdline())
        ]
        assert not ended(process), process.communicate()[0]
        assert len(ranks) == 2
        ranks[1].kill()
        said, _ = process.communicate(timeout=400)
    assert process.returncode == 0, said
    assert f"{STEPS} steps, {2 * STEPS} samples, stage single_character" in said
    assert "resumed at step" in "".join(path.read_text() for path in (tmp_path / "run/logs").iterdir())
    ours, theirs = losses(tmp_path / "run"), losses(tmp_path / "plain")
    assert {k: key for k, (key, _) in ours.items()} == {k: key for k, (key, _) in theirs.items()}
    assert len(ours) == 2 * STEPS
    assert all(loss == pytest.approx(theirs[k][1], abs=1e-6) for k, (_, loss) in ours.items())
