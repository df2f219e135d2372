"""Guards: what a sample draws depends on (seed, k) alone; stratified timesteps cover all of them in every batch."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtv_train.config import DiffusionSettings
from mtv_train.train.draws import draw, draw_timestep

SHAPE = (3, 2, 4, 4)


def test_neighbours_and_order_change_nothing() -> None:
    together = draw(7, [3, 9, 4], SHAPE, DiffusionSettings(), batch=4)
    for place, k in enumerate([3, 9, 4]):
        alone = draw(7, [k], SHAPE, DiffusionSettings(), batch=4)
        assert torch.equal(alone.noise[0], together.noise[place])
        assert alone.timestep[0] == together.timestep[place]
        assert torch.equal(alone.clean_frames[0], together.clean_frames[place])
        assert alone.drops[0] == together.drops[place]


def test_samples_and_seeds_differ() -> None:
    first = draw(7, [0, 1], SHAPE, DiffusionSettings(), batch=4)
    assert not torch.equal(first.noise[0], first.noise[1])
    assert not torch.equal(first.noise[0], draw(8, [0], SHAPE, DiffusionSettings(), batch=4).noise[0])


@given(seed=st.integers(0, 2**40), number=st.integers(0, 10**9), batch=st.integers(1, 64))
@settings(max_examples=200, deadline=None)
def test_a_batch_draws_once_from_every_slice(seed: int, number: int, batch: int) -> None:
    stratified = DiffusionSettings(timesteps="stratified")
    times = [draw_timestep(seed, k, stratified, batch) for k in range(number * batch, (number + 1) * batch)]
    # A slice's ends need not be whole numbers: a timestep belongs to the slice in which its interval begins or ends.
    for slice_, time in enumerate(sorted(times)):
        assert slice_ * 1000 / batch - 1 < time < (slice_ + 1) * 1000 / batch
    assert all(0 <= time < 1000 for time in times)


def test_a_position_in_the_batch_gets_every_slice() -> None:
    stratified = DiffusionSettings(timesteps="stratified")
    slices = {draw_timestep(0, 4 * number, stratified, 4) // 250 for number in range(64)}
    assert slices == {0, 1, 2, 3}


def test_uniform_timesteps_know_no_batch() -> None:
    uniform = DiffusionSettings(timesteps="uniform")
    assert [draw_timestep(1, k, uniform, 2) for k in range(9)] == [draw_timestep(1, k, uniform, 8) for k in range(9)]
