"""Guards: where a run stands, which stages are left, what is done about a subset without a clip, the learning rate."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from demix.config import ConfigError
from mtv_train.config import OptimSettings, StageSettings, five_stages
from mtv_train.train.optim import clip_gradients, learning_rate
from mtv_train.train.stages import mixes
from mtv_train.train.state import Position, remaining

STAGES = five_stages(steps=3)


class Counts(dict[str, int]):
    """A dataset's windows by subset."""

    def count(self, subset: str) -> int:
        return self[subset]


@given(st.integers(0, 15))
def test_a_run_passes_its_stages_in_order(steps: int) -> None:
    position = Position()
    for _ in range(steps):
        stage = remaining(position, STAGES)[0]
        if stage != position.stage:
            position = position.entered(stage, reset=False)
        position = position.trained(batch=4)
    assert position.step == position.optimizer_step == steps
    assert position.total_samples == 4 * steps
    assert position.samples_seen == 4 * position.stage_step
    assert len(remaining(position, STAGES)) == 5 - steps // 3
    assert Position.from_json(position.to_json()) == position


def test_a_reset_begins_the_warm_up_anew() -> None:
    position = Position(step=9, stage="basic_face", stage_step=9, samples_seen=36, total_samples=36, optimizer_step=9)
    assert position.entered("sound_event", reset=True).optimizer_step == 0
    assert position.entered("sound_event", reset=False).optimizer_step == 9


def test_an_empty_subset_is_refused_by_name() -> None:
    counts = Counts(basic_face=3, single_character=1)
    with pytest.raises(ConfigError, match=r"multiple_characters.*no window.*--skip-empty-stages"):
        mixes(STAGES, counts, counts)


def test_an_empty_subset_is_skipped_when_asked_and_said() -> None:
    counts = Counts(basic_face=3, sound_event=2)
    stages = {
        **STAGES,
        "visual_mood": StageSettings(steps=1, weights={"visual_mood": 1.0, "sound_event": 2.0}, replay=0.5),
    }
    made, notices = mixes(stages, counts, counts, skip_empty=True)
    assert list(made) == ["basic_face", "sound_event", "visual_mood"]
    assert made["visual_mood"].weights == {"sound_event": 2.0}
    assert set(made["visual_mood"].replayed) == {"basic_face", "sound_event"}
    assert len(notices) == 3
    assert "the stage is skipped" in notices[0]
    assert "goes on with sound_event" in notices[2]


def test_a_dataset_with_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="change stages or the dataset"):
        mixes(STAGES, Counts(), Counts(), skip_empty=True)


def test_the_rate_rises_then_falls_as_scheduled() -> None:
    cosine = OptimSettings(lr=1.0, warmup_steps=10, schedule="cosine", final_share=0.1)
    assert learning_rate(cosine, 0, 0, 100) == pytest.approx(0.1)
    assert learning_rate(cosine, 99, 99, 100) == pytest.approx(0.1)
    assert learning_rate(cosine, 50, 0, 101) == pytest.approx(0.1 * 0.55)
    rates = [learning_rate(cosine, step, step, 100) for step in range(10, 100)]
    assert rates == sorted(rates, reverse=True)
    linear = OptimSettings(lr=1.0, warmup_steps=0, schedule="linear", final_share=0.0)
    assert [learning_rate(linear, step, step, 5) for step in range(5)] == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    constant = OptimSettings(lr=2.0, warmup_steps=0)
    assert {learning_rate(constant, step, step, 9) for step in range(9)} == {2.0}


@pytest.mark.parametrize("bound", [0.0, 0.1, 1e9])
def test_clipping_is_torchs(bound: float) -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Linear(5, 7), nn.Linear(5, 7)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        mine.grad = torch.randn_like(mine)
        other.grad = mine.grad.clone()
    norm = clip_gradients(ours.parameters(), bound)
    expected = torch.nn.utils.clip_grad_norm_(theirs.parameters(), bound or float("inf"))
    torch.testing.assert_close(norm, expected)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad)
