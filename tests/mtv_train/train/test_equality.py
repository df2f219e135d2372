"""Guards: ranks, HSDP, micro-batches and activation checkpointing change nothing but the order of sums (float32, 1e-6).

Every run here is two stages of two steps of the toy MTV, with clipping, warm-up and moving averages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mtv_train.config import OptimSettings, ParallelSettings, StageSettings, TrainSettings
from mtv_train.data.encoders import Encoders
from mtv_train.data.randomness import stage_seed
from mtv_train.train.components import make_transformer
from mtv_train.train.optim import learning_rate
from mtv_train.train.step import LossStep
from tests.mtv_train.train.ranks import in_ranks, losses, train_toy
from tests.mtv_train.train.toy import SUBSETS, Toy, toy_batch, toy_settings

TOLERANCE = 1e-6


def settings_of(**parallel: Any) -> TrainSettings:
    whole: dict[str, Any] = {"precision": "float32", "activation": "none", **parallel}
    stages = {name: StageSettings(steps=2, weights={name: 1.0}) for name in SUBSETS}
    # Adam divides a gradient by its own size: with a smaller `eps` it would make steps of the rounding of those near 0.
    optim = OptimSettings(batch=4, lr=1e-3, eps=1e-5, warmup_steps=2, ema=0.5)
    return toy_settings(parallel=ParallelSettings(**whole), stages=stages, optim=optim)


def trained(run: Path, ranks: int, **parallel: Any) -> dict[str, np.ndarray]:
    settings = settings_of(**parallel)
    results: list[dict[str, np.ndarray]] = in_ranks(ranks, train_toy, lambda: Toy(settings, run))
    for result in results[1:]:  # every rank holds the same model
        assert all(np.array_equal(result[name], value) for name, value in results[0].items())
    return results[0]


def differ(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> float:
    assert one.keys() == other.keys()
    return max(float(np.abs(one[name] - other[name]).max()) for name in one)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, np.ndarray], Path]:
    run = tmp_path_factory.mktemp("alone")
    return trained(run, 1), run


def by_hand() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[float]]:
    """The same training as a plain loop of torch: no sharding, no loader, no accumulation. (before, after, losses)."""
    settings = settings_of()
    model = make_transformer(settings.model, settings.seed).train()
    before = {name: value.detach().clone().numpy() for name, value in model.named_parameters()}
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    chosen = settings.optim
    optimizer = torch.optim.AdamW(
        parameters, betas=chosen.betas, eps=chosen.eps, weight_decay=chosen.weight_decay, lr=chosen.lr
    )
    step = LossStep(model, Encoders(None, None, None), settings, torch.device("cpu"))
    seen = []
    for number in range(4):
        stage = SUBSETS[number // 2]
        first = number % 2 * 4
        batch = toy_batch(stage, stage_seed(settings.seed, stage), tuple(range(first, first + 4)), settings)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(chosen, number, number, 4)
        values = step(batch)
        values.mean().backward()
        torch.nn.utils.clip_grad_norm_(parameters, chosen.clip)
        optimizer.step()
        optimizer.zero_grad()
        seen += values.tolist()
    return before, {name: value.detach().numpy() for name, value in model.named_parameters()}, seen


def test_one_process_is_a_plain_loop_and_frozen_parts_never_change(
    alone: tuple[dict[str, np.ndarray], Path],
) -> None:
    parameters, run = alone
    [(before, after, seen)] = in_ranks(1, by_hand)
    assert differ({name: parameters[name] for name in after}, after) < TOLERANCE
    assert [loss for _, loss in losses(run).values()] == pytest.approx(seen, abs=TOLERANCE)
    settings = settings_of()
    model = make_transformer(settings.model, settings.seed)
    for name, parameter in model.named_parameters():
        same = np.array_equal(before[name], parameters[name])
        assert same != parameter.requires_grad, name
        assert (f"ema.{name}" in parameters) == parameter.requires_grad


def test_two_ranks_are_one(alone: tuple[dict[str, np.ndarray], Path], tmp_path: Path) -> None:
    assert differ(trained(tmp_path, 2, activation="full"), alone[0]) < TOLERANCE
    ours, theirs = losses(tmp_path), losses(alone[1])
    assert {k: key for k, (key, _) in ours.items()} == {k: key for k, (key, _) in theirs.items()}
    assert max(abs(loss - theirs[k][1]) for k, (_, loss) in ours.items()) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ranks", "parallel"),
    [
        (1, {"micro_batch": 4}),
        (1, {"micro_batch": 2, "defer_reduce": True}),
        (1, {"activation": "selective"}),
        (1, {"activation": "projections"}),
        (2, {"defer_reduce": True}),
        (2, {"micro_batch": 2, "reshard_after_forward": False}),
        (4, {}),
        (4, {"replicate": 2}),
        (4, {"replicate": 4}),
        (4, {"reduction": "tree"}),
    ],
    ids=str,
)
def test_however_it_is_spread(
    ranks: int, parallel: dict[str, Any], alone: tuple[dict[str, np.ndarray], Path], tmp_path: Path
) -> None:
    assert differ(trained(tmp_path, ranks, **parallel), alone[0]) < TOLERANCE


@pytest.mark.slow
def test_compiled_blocks_compute_the_same(alone: tuple[dict[str, np.ndarray], Path], tmp_path: Path) -> None:
    assert differ(trained(tmp_path, 1, compile=True), alone[0]) < 1e-5
