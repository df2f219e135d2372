"""The loop from noise to latents, for any diffusers scheduler. The pipeline, long videos and validation share it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import CogVideoXDPMScheduler
from torch import Tensor

Predict = Callable[[Tensor, Tensor], Tensor]
"""Noisy latents (batch, frames, channels, height, width) and timesteps int64 (batch,) to a prediction of that shape."""
OnStep = Callable[[int, Tensor, Tensor], Tensor]
"""Called after each step with its number, its timestep and the latents; what it returns is gone on with."""
Generators = torch.Generator | list[torch.Generator] | None
"""One for the batch, or one a sample: then a sample does not depend on which others are in its batch."""


@dataclass(frozen=True)
class Clean:
    """Latent frames that are given: pictures of one's own, or the end of the segment before."""

    frames: Tensor
    """Boolean (batch, latent frames)."""
    latents: Tensor
    """(batch, latent frames, channels, height, width), scaled; what is not clean in it is not looked at."""

    def paste(self, latents: Tensor) -> Tensor:
        """`latents` with the clean frames put in."""
        return torch.where(self.frames[:, :, None, None, None], self.latents.to(latents.dtype), latents)

    def expanded(self, batch: int) -> Clean:
        """The same for each of `batch` videos."""
        return Clean(self.frames.expand(batch, -1), self.latents.expand(batch, -1, -1, -1, -1))

    def to(self, device: torch.device) -> Clean:
        """On another device."""
        return Clean(self.frames.to(device), self.latents.to(device))


def denoise(
    predict: Predict,
    scheduler: Any,
    latents: Tensor,
    *,
    clean: Clean | None = None,
    generator: Generators = None,
    on_step: OnStep | None = None,
) -> Tensor:
    """Latents without noise, float32, still scaled.

    `latents` is noise, times the scheduler's `init_noise_sigma`. `scheduler` knows its timesteps (`set_timesteps`).
    Clean frames are put in before each step and at the end, so that they leave as they came. `generator` is for
    schedulers that add noise.
    """
    step = _Step(scheduler, generator)
    for index, time in enumerate(scheduler.timesteps):
        latents = clean.paste(latents) if clean else latents
        prediction = predict(scheduler.scale_model_input(latents, time), time.expand(latents.shape[0]).long())
        latents = step(prediction, index, latents)
        latents = on_step(index, time, latents) if on_step else latents
    return clean.paste(latents) if clean else latents


class _Step:
    """One call for the schedulers' different ones."""

    def __init__(self, scheduler: Any, generator: Generators):
        self.scheduler = scheduler
        self.second_order = isinstance(scheduler, CogVideoXDPMScheduler)
        known = inspect.signature(scheduler.step).parameters
        self.options = {"generator": generator} if "generator" in known else {}
        self.before: Tensor | None = None
        """x_0 of the step before, which CogVideoX's DPM solver is handed back."""

    def __call__(self, prediction: Tensor, index: int, latents: Tensor) -> Tensor:
        times, options = self.scheduler.timesteps, {**self.options, "return_dict": False}
        if not self.second_order:
            stepped: Tensor = self.scheduler.step(prediction, times[index], latents, **options)[0]
            return stepped
        back = int(times[index - 1]) if index else None
        latents, self.before = self.scheduler.step(prediction, self.before, int(times[index]), back, latents, **options)
        return latents
