"""The held-out loss is the same on any ranks, hangs on nothing but the model, and changes nothing in training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from mtv_train.config import StageSettings, TrainSettings, ValidationSettings
from mtv_train.data.randomness import stage_seed
from mtv_train.recipes import load
from mtv_train.train.held_out import HeldOut
from mtv_train.train.session import Options, train
from mtv_train.train.sinks import read_metrics
from tests.mtv_train.datasets import TinyClip, write_tars
from tests.mtv_train.train.ranks import in_ranks, losses
from tests.mtv_train.train.toy import SUBSETS, Toy, toy_batch, toy_settings

SAMPLES = 5
"""Windows a subset; no number of ranks but one divides it."""


def settings_of(every: int) -> TrainSettings:
    stages = {name: StageSettings(steps=2, weights={name: 1.0}) for name in SUBSETS}
    return toy_settings(stages=stages, validation=ValidationSettings(every=every, loss_samples=SAMPLES))


def trained(run: Path, settings: TrainSettings) -> list[Mapping[str, float]]:
    """Trains with held-out losses; what they were, each time."""
    toy = Toy(settings, run)
    trainer = toy.trainer()
    world, rounds = toy.world, -(-SAMPLES // toy.world.size)
    own = range(world.rank * rounds, (world.rank + 1) * rounds)
    held = HeldOut(
        tuple(
            toy_batch(f"held_out/{name}", stage_seed(settings.seed, f"held_out/{name}"), (k,), settings)
            for name in SUBSETS
            for k in own
        ),
        SAMPLES,
        world,
    )
    seen: list[Mapping[str, float]] = []

    def held_out(often):  # type: ignore[no-untyped-def]
        seen.append(held.loss(trainer.step, trainer.model, often))
        return seen[-1]

    trainer.held_out = held_out
    trainer.fit()
    return seen


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_it_is_the_same_on_any_ranks_and_training_is_as_without(ranks: int, tmp_path: Path) -> None:
    [alone] = in_ranks(1, trained, tmp_path / "alone", settings_of(2))
    several = in_ranks(ranks, trained, tmp_path / "several", settings_of(2))
    assert len(alone) == 4  # after two steps and after four; of the parameters and of their average
    assert set(alone[0]) == {"all", *SUBSETS}
    assert all(found == several[0] for found in several)
    for mine, theirs in zip(alone, several[0], strict=True):
        assert mine == pytest.approx(theirs, abs=1e-6)
    assert alone[0]["all"] == pytest.approx(sum(alone[0][name] for name in SUBSETS) / 2)
    assert alone[0] != alone[1], "the average is another model"
    assert alone[0] != alone[2], "training goes on"
    in_ranks(1, trained, tmp_path / "without", settings_of(0))
    assert losses(tmp_path / "without") == losses(tmp_path / "alone")
    last = read_metrics(tmp_path / "alone")[-1]
    assert last["held_out/all"] == alone[2]["all"]
    assert last["held_out_average/all"] == alone[3]["all"]
    assert last["loss"] > 0


def run_tiny(dataset: Path, run: Path, every: int) -> None:
    assignments = [f"data.dataset={dataset}", f"validation={{every: {every}, loss_samples: 3, samples: 1, steps: 1}}"]
    short = ["optim={batch: 2, ema: 0.9, warmup_steps: 0}", "log={every: 1, samples: true, tensorboard: false}"]
    settings = load("tiny", assignments=[*assignments, *short])
    stages = {"single_character": StageSettings(steps=2, weights={"single_character": 1.0})}
    train(settings.model_copy(update={"stages": stages}), run, Options(device="cpu"))


@pytest.mark.slow
def test_it_is_of_the_test_split_by_subset(tmp_path: Path) -> None:
    clips = [TinyClip(number) for number in range(4)]
    clips += [TinyClip(number, split="test", subsets=("single_character", "sound_event")) for number in (4, 5)]
    dataset = write_tars(tmp_path / "tars", clips)
    in_ranks(1, run_tiny, dataset, tmp_path / "with", 2)
    in_ranks(1, run_tiny, dataset, tmp_path / "without", 0)
    assert losses(tmp_path / "with") == losses(tmp_path / "without"), "to the bit"
    [_, last] = read_metrics(tmp_path / "with")
    held_out = {name for name in last if name.startswith("held_out")}
    assert held_out == {
        f"{of}/{name}" for of in ("held_out", "held_out_average") for name in ("all", "single_character", "sound_event")
    }
    names = sorted(path.name for path in (tmp_path / "with/validation").iterdir())
    assert names == ["step_00000002_0.mp4", "step_00000002_average_0.mp4"]
