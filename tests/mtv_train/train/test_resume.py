"""Guards: resumed equals uninterrupted, bit for bit; a save that dies is none; a changed run is refused by name."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch.distributed.checkpoint as dcp

from demix.config import ConfigError
from mtv_train.config import CheckpointSettings, OptimSettings, ParallelSettings, StageSettings, TrainSettings
from mtv_train.train import checkpoint
from mtv_train.train.checkpoint import committed, folder_of, prune, read_state
from tests.mtv_train.train.ranks import in_ranks, losses, train_toy
from tests.mtv_train.train.toy import SUBSETS, Toy, toy_settings


def settings_of(**parts: Any) -> TrainSettings:
    """Two stages of two steps; saves after step 2 and 4; the second stage starts a fresh optimizer."""
    stages = {name: StageSettings(steps=2, weights={name: 1.0}, reset_optimizer=name == SUBSETS[1]) for name in SUBSETS}
    return toy_settings(**{"stages": stages, "checkpoint": CheckpointSettings(every=1, keep_last=9), **parts})


def train(run: Path, ranks: int = 1, settings: TrainSettings | None = None, **call: Any) -> dict[str, np.ndarray]:
    chosen = settings or settings_of()
    result: dict[str, np.ndarray] = in_ranks(ranks, train_toy, lambda: Toy(chosen, run, **call))[0]
    return result


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, np.ndarray], Path]:
    run = tmp_path_factory.mktemp("uninterrupted")
    return train(run), run


def test_resumed_is_uninterrupted(uninterrupted: tuple[dict[str, np.ndarray], Path], tmp_path: Path) -> None:
    train(tmp_path, stop_after=1)  # within the first stage
    assert committed(tmp_path) == [1]
    train(tmp_path, stop_after=2)  # within the second
    assert committed(tmp_path) == [1, 2, 3]
    assert equal(train(tmp_path), uninterrupted[0])
    assert losses(tmp_path) == losses(uninterrupted[1])
    assert read_state(tmp_path, 4)["position"]["samples_seen"] == 8


def test_what_changes_the_learning_is_refused_by_name(
    uninterrupted: tuple[dict[str, np.ndarray], Path], tmp_path: Path
) -> None:
    train(tmp_path, stop_after=1)
    faster = settings_of(optim=OptimSettings(batch=4, lr=2e-3, warmup_steps=2, ema=0.5))

    def refusals() -> list[str]:
        said = []
        for toy in (Toy(faster, tmp_path), Toy(settings_of(), tmp_path, "another dataset")):
            try:
                toy.trainer()
            except ConfigError as error:
                said.append(str(error))
        Toy(faster, tmp_path, accept_changes=True).trainer()
        return said

    [(rate, dataset)] = in_ranks(1, refusals)
    assert "optim.lr was 0.001, is 0.002" in rate
    assert "--accept-changes" in rate
    assert "the dataset was toy, is another dataset" in dataset
    free = settings_of(parallel=ParallelSettings(precision="float32", activation="full"))
    assert equal(train(tmp_path, settings=free), uninterrupted[0])


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_while_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    def write(self: Any, *_: Any) -> None:
        (Path(self.path) / "__0_0.distcp").write_bytes(b"half")
        die()

    monkeypatch.setattr(dcp.FileSystemWriter, "write_data", write)


def die_before_the_rename(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "commit", die)


def die_before_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "sync_directory", die)


@pytest.mark.parametrize(
    "how",
    [
        die_while_writing,
        *(pytest.param(die, marks=pytest.mark.slow) for die in (die_before_the_rename, die_before_the_mark)),
    ],
)
def test_a_kill_during_a_save_falls_back_to_the_last_committed_one(
    how: Callable[[pytest.MonkeyPatch], None], uninterrupted: tuple[dict[str, np.ndarray], Path], tmp_path: Path
) -> None:
    train(tmp_path, stop_after=1)

    def killed() -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            how(monkeypatch)
            train_toy(lambda: Toy(settings_of(), tmp_path))

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert committed(tmp_path) == [1]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2, "what died lies beside the committed save"
    assert equal(train(tmp_path), uninterrupted[0])
    assert losses(tmp_path) == losses(uninterrupted[1])
    assert committed(tmp_path) == [1, 2, 3, 4]


@pytest.mark.slow
def test_two_ranks_go_on_as_four_bit_for_bit(tmp_path: Path) -> None:
    tree = settings_of(
        parallel=ParallelSettings(precision="float32", activation="none", reduction="tree", defer_reduce=True)
    )
    whole = train(tmp_path / "whole", 2, tree)
    train(tmp_path / "broken", 2, tree, stop_after=1)
    assert equal(train(tmp_path / "broken", 4, tree), whole)
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")


@pytest.mark.slow
def test_any_ranks_go_on_with_the_same_samples(tmp_path: Path) -> None:
    """With an `eps` as in test_equality: with a smaller one Adam would make steps of rounding."""
    steady = settings_of(optim=OptimSettings(batch=4, lr=1e-3, eps=1e-5, warmup_steps=2, ema=0.5))
    whole = train(tmp_path / "whole", settings=steady)
    train(tmp_path / "broken", 4, steady, stop_after=1)
    result = train(tmp_path / "broken", 2, steady)
    assert max(np.abs(result[name] - value).max() for name, value in whole.items()) < 1e-6
    assert losses(tmp_path / "broken").keys() == losses(tmp_path / "whole").keys()


def test_saves_are_kept_by_policy(tmp_path: Path) -> None:
    for step in (10, 20, 30, 40, 50):
        folder_of(tmp_path, step).mkdir(parents=True)
        (folder_of(tmp_path, step) / checkpoint.COMMITTED).touch()
    folder_of(tmp_path, 60).mkdir()  # not committed
    prune(tmp_path, CheckpointSettings(keep_last=2, keep_every=20))
    assert committed(tmp_path) == [20, 40, 50]
    assert not folder_of(tmp_path, 10).exists()


def test_an_absent_save_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no committed checkpoint at step 7 \(there are: none\)"):
        read_state(tmp_path, 7)
