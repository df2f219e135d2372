"""Sampling for validation: deterministic DDIM, from the run's own schedule."""

from __future__ import annotations

from collections.abc import Callable

import torch
from diffusers import CogVideoXDDIMScheduler
from torch import Tensor, nn

from mtv_train.diffusion.schedule import Schedule
from mtv_train.model.conditions import Conditions
from mtv_train.sample.denoise import denoise
from mtv_train.sample.guidance import Guidance, guided


def make_scheduler(schedule: Schedule, prediction: str) -> CogVideoXDDIMScheduler:
    """diffusers' scheduler with this schedule's numbers."""
    return CogVideoXDDIMScheduler(
        num_train_timesteps=schedule.steps,
        beta_start=schedule.beta_start,
        beta_end=schedule.beta_end,
        beta_schedule="scaled_linear",
        snr_shift_scale=schedule.snr_shift,
        rescale_betas_zero_snr=schedule.zero_terminal_snr,
        prediction_type="v_prediction" if prediction == "v" else "epsilon",
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=True,
    )


@torch.no_grad()
def sample(
    model: nn.Module,
    conditions: Conditions,
    noise: Tensor,
    schedule: Schedule,
    prediction: str = "v",
    steps: int = 50,
    guidance: float = 3.5,
    often: Callable[[], None] = lambda: None,
) -> Tensor:
    """Latents denoised from `noise` (batch, frames, channels, height, width), float32, still scaled.

    Every call of `model` is made on every rank, since a sharded model's forward pass is a common effort: all ranks
    must ask for the same number of steps and the same guidance. `often` is called after each step.
    """
    scheduler = make_scheduler(schedule, prediction)
    scheduler.set_timesteps(steps, device=noise.device)
    # Frames are marked as in training, where the model may have been compiled for it; none of them is clean.
    marked = torch.zeros(noise.shape[:2], dtype=torch.bool, device=noise.device)

    def predict(latents: Tensor, timestep: Tensor) -> Tensor:
        return guided(model, latents, timestep, conditions, Guidance(guidance), marked, together=False)

    def on_step(_index: int, _time: Tensor, now: Tensor) -> Tensor:
        often()
        return now

    return denoise(predict, scheduler, noise, on_step=on_step)
