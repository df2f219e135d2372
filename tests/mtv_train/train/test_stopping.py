"""Asked to end, however and whenever, a run saves the step that it is in, on all ranks alike; the disk being full or
another run in the folder end it at once, with a sentence."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed.checkpoint as dcp

from demix.config import ConfigError
from demix.engine.lock import held
from demix.errors import MachineTrouble
from mtv_train.config import CheckpointSettings, StageSettings, TrainSettings, ValidationSettings
from mtv_train.distributed.world import join
from mtv_train.train.checkpoint import committed, read_state, sweep
from mtv_train.train.session import alone
from mtv_train.train.stopping import STOP
from tests.mtv_train.datasets import TinyClip, write_tars
from tests.mtv_train.train.ranks import in_ranks
from tests.mtv_train.train.toy import SUBSETS, Toy, toy_settings

ROOT = Path(__file__).parents[3]


def settings_of(every: int = 1000, **parts: Any) -> TrainSettings:
    """A thousand steps, never saved by themselves."""
    stages = {SUBSETS[0]: StageSettings(steps=1000, weights={SUBSETS[0]: 1.0})}
    return toy_settings(stages=stages, checkpoint=CheckpointSettings(every=every), **parts)


def trained(run: Path, settings: TrainSettings, at: int, do: Callable[[Toy], None]) -> tuple[int, str, list[int]]:
    """Trains; the last rank does something after step `at`. Where it ended, what asked for it, and the saves."""
    toy = Toy(settings, run)
    trainer = toy.trainer()
    plain = trainer.train_on

    def train_on(batch: Any) -> None:
        plain(batch)
        if trainer.position.step == at and toy.world.rank == toy.world.size - 1:
            do(toy)

    trainer.train_on = train_on  # type: ignore[method-assign]
    position = trainer.fit()
    return position.step, trainer.stop.asked, committed(run)


def terminate(_toy: Toy) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def use(_toy: Toy) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)


def put_file(toy: Toy) -> None:
    (toy.run / STOP).touch()


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_all_ranks_save_and_end_after_the_step_that_they_are_in(ranks: int, tmp_path: Path) -> None:
    assert in_ranks(ranks, trained, tmp_path, settings_of(), 3, terminate) == [(3, "SIGTERM", [3])] * ranks
    assert read_state(tmp_path, 3)["position"]["step"] == 3


def test_each_way_to_ask_is_heard_and_the_next_call_goes_on(tmp_path: Path) -> None:
    def one_after_the_other() -> list[tuple[int, str, list[int]]]:
        ways = (use, put_file, terminate)
        return [trained(tmp_path, settings_of(), at, do) for at, do in enumerate(ways, start=2)]

    [found] = in_ranks(1, one_after_the_other)
    assert found == [(2, "SIGUSR1", [2]), (3, "STOP", [2, 3]), (4, "SIGTERM", [2, 3, 4])]
    assert not (tmp_path / STOP).exists()


def test_validation_is_left_for_it(tmp_path: Path) -> None:
    def validating() -> tuple[int, str, int]:
        toy = Toy(settings_of(validation=ValidationSettings(every=2)), tmp_path)
        trainer = toy.trainer()
        calls = 0

        def validate(_name: str, often: Callable[[], None]) -> None:
            nonlocal calls
            for _ in range(50):
                calls += 1
                if calls == 3 and toy.world.rank == 1:
                    terminate(toy)
                often()

        trainer.validate = validate
        return trainer.fit().step, trainer.stop.asked, calls

    assert in_ranks(2, validating) == [(2, "SIGTERM", 3)] * 2
    assert committed(tmp_path) == [2]


def full_disk(run: Path, settings: TrainSettings) -> tuple[int, str]:
    """Trains while the last rank's disk takes nothing; at which step that is said, and what."""
    toy = Toy(settings, run)
    trainer = toy.trainer()

    def write_data(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as monkeypatch:
        if toy.world.rank == toy.world.size - 1:
            monkeypatch.setattr(dcp.FileSystemWriter, "write_data", write_data)
        plain = trainer.train_on
        trainer.train_on = lambda batch: (plain(batch), time.sleep(0.2))[0]  # type: ignore[method-assign]
        with pytest.raises(MachineTrouble) as raised:
            trainer.fit()
    return trainer.position.step, str(raised.value)


def test_a_full_disk_is_found_at_once_and_leaves_nothing(tmp_path: Path) -> None:
    found = in_ranks(2, full_disk, tmp_path, settings_of(every=2))
    for step, said in found:
        assert 2 < step < 30, "a save that has failed is looked at after every step"
        assert "the checkpoint of step 2, 0.00 GiB, cannot be written ([Errno 28] No space left on device)" in said
        assert "Make room and give the same command again" in said
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_a_save_without_room_is_not_begun(tmp_path: Path) -> None:
    def saving() -> str:
        trainer = Toy(settings_of(every=2), tmp_path).trainer()
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
            with pytest.raises(MachineTrouble, match="there is not enough room") as raised:
                trainer.fit()
        return str(raised.value)

    [said] = in_ranks(1, saving)
    assert "there is no checkpoint yet" in said
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_halves_are_swept(tmp_path: Path) -> None:
    half = tmp_path / "checkpoints" / ".step_00000002.partial"
    half.mkdir(parents=True)
    (half / "__0_0.distcp").write_bytes(b"half")
    sweep(tmp_path)
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_two_runs_in_one_folder_are_refused(tmp_path: Path) -> None:
    def second() -> str:
        with pytest.raises(ConfigError) as raised, alone(tmp_path, join("cpu", 1.0)):
            pass
        return str(raised.value)

    with held(tmp_path, "training"):
        said = in_ranks(2, second)
    assert said[0] == said[1]
    assert f"another training works here (process {os.getpid()}" in said[0]
    with held(tmp_path, "training"):
        pass


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    """As loader workers that live a moment longer than a killed trainer."""
    with held(tmp_path):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
        child.start()
    try:
        with held(tmp_path):
            assert child.is_alive()
    finally:
        child.kill()
        child.join()


@pytest.mark.slow
def test_a_terminated_command_saves_and_goes_on(tmp_path: Path) -> None:
    """As a scheduler does it: SIGTERM to the trainer and to its loaders."""
    dataset = write_tars(tmp_path / "tars", [TinyClip(number) for number in range(5)])
    command = [sys.executable, "-m", "mtv_train", "train", "tiny", "--data", str(dataset), "--skip-empty-stages"]
    command += ["--run", str(tmp_path / "run"), "--device", "cpu", "--set", "validation.every=0"]
    command += ["--set", "stages.single_character.steps=4000", "--set", "data.loader.workers=2", "--set", "log.every=1"]
    run = tmp_path / "run"
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (run / "metrics.jsonl").exists():
            time.sleep(0.1)
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True)
        for pid in [*children.stdout.split(), process.pid]:
            os.kill(int(pid), signal.SIGTERM)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 143, said
    assert "saved and ended, as SIGTERM asked; the same command goes on" in said
    [step] = committed(run)
    assert step >= 1
    again = subprocess.run([*command, "--stop-after", "1"], cwd=ROOT, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stderr
    assert f"resumed at step {step}" in again.stdout
