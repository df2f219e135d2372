"""The loss: v-loss is the weighted x_0 loss, clean frames do not count and are noised as at step 0, each sample is by
itself."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mtv_train.diffusion.objective import loss_per_sample
from mtv_train.diffusion.schedule import Schedule, frame_timesteps

SCHEDULE = Schedule()


def _tensors(seed: int, batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x0, noise, prediction = (torch.randn(batch, 5, 4, 3, 2, generator=generator) for _ in range(3))
    return x0, noise, prediction


@given(st.integers(0, 10**6), st.lists(st.integers(0, 999), min_size=3, max_size=3), st.sampled_from([1.0, 3.0]))
def test_v_loss_equals_its_x0_form(seed: int, steps: list[int], shift: float) -> None:
    """Mean of (x_0 from v - x_0)^2 / (1 - alphas_cumprod), computed in double precision."""
    schedule, t = Schedule(snr_shift=shift), torch.tensor(steps)
    x0, noise, v = _tensors(seed)
    noisy = schedule.add_noise(x0.double(), noise.double(), t)
    error = (schedule.x0_from_v(noisy, v.double(), t) - x0).square().mean((1, 2, 3, 4))
    weighted = error / (1 - schedule.alphas_cumprod[t])
    torch.testing.assert_close(loss_per_sample(v, x0, noise, t, schedule).double(), weighted, atol=1e-5, rtol=1e-4)


def test_velocity_and_noise_give_back_the_picture() -> None:
    x0, noise, _ = _tensors(0)
    t = torch.tensor([0, 400, 999])
    noisy, v = SCHEDULE.add_noise(x0, noise, t), SCHEDULE.velocity(x0, noise, t)
    torch.testing.assert_close(SCHEDULE.x0_from_v(noisy, v, t), x0, atol=1e-5, rtol=1e-5)
    assert torch.equal(noisy[2], noise[2]), "the last step is noise and nothing else"
    assert loss_per_sample(v, x0, noise, t, SCHEDULE).abs().max() == 0


def test_clean_frames_are_noised_as_at_step_zero_and_do_not_count() -> None:
    x0, noise, v = _tensors(1)
    t, clean = torch.tensor([10, 500, 999]), torch.tensor([[1, 0, 0, 0, 0], [0, 1, 0, 1, 0], [0] * 5]).bool()
    times = frame_timesteps(t, clean)
    assert times.tolist() == [[0, 10, 10, 10, 10], [500, 0, 500, 0, 500], [999] * 5]
    noisy = SCHEDULE.add_noise(x0, noise, times)
    assert torch.equal(noisy[clean], SCHEDULE.add_noise(x0, noise, torch.zeros_like(t))[clean])
    loss = loss_per_sample(v, x0, noise, t, SCHEDULE, clean_frames=clean)
    other = torch.where(clean[:, :, None, None, None], 99, v)
    assert torch.equal(loss, loss_per_sample(other, x0, noise, t, SCHEDULE, clean_frames=clean))
    plain = (v - SCHEDULE.velocity(x0, noise, t)).square().mean((2, 3, 4))
    torch.testing.assert_close(loss[0], plain[0, 1:].mean())
    torch.testing.assert_close(loss[1], plain[1, [0, 2, 4]].mean())


def test_official_counts_clean_frames_next_to_nothing() -> None:
    x0, noise, v = _tensors(2)
    t, clean = torch.tensor([500, 700, 999]), torch.tensor([[1, 0, 0, 0, 0]] * 3).bool()
    right = loss_per_sample(v, x0, noise, t, SCHEDULE, clean_frames=clean)
    official = loss_per_sample(v, x0, noise, t, SCHEDULE, clean_frames=clean, official=True)
    torch.testing.assert_close(official, right * 4 / 5, atol=0.003, rtol=0.003)


def test_each_sample_by_itself() -> None:
    x0, noise, v = _tensors(3)
    t = torch.tensor([10, 500, 999])
    whole = loss_per_sample(v, x0, noise, t, SCHEDULE)
    for row in range(3):
        one = slice(row, row + 1)
        torch.testing.assert_close(loss_per_sample(v[one], x0[one], noise[one], t[one], SCHEDULE)[0], whole[row])


def test_noise_prediction() -> None:
    x0, noise, prediction = _tensors(4)
    t = torch.tensor([10, 500, 999])
    loss = loss_per_sample(prediction, x0, noise, t, Schedule(zero_terminal_snr=False), kind="noise")
    torch.testing.assert_close(loss, (prediction - noise).square().mean((1, 2, 3, 4)))
    with pytest.raises(ValueError, match="under zero terminal SNR"):
        loss_per_sample(prediction, x0, noise, t, SCHEDULE, kind="noise")


@pytest.mark.parametrize("steps", [0, 1, 1001])
def test_sampling_tables_have_bounds(steps: int) -> None:
    with pytest.raises(ValueError, match="2 to 1000 steps"):
        SCHEDULE.official_sampling(steps)
