"""The release's sampler as a diffusers scheduler, for repeating its numbers."""

from __future__ import annotations

from functools import cached_property

import torch
from diffusers import CogVideoXDPMScheduler
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from mtv_train.diffusion.schedule import SamplingTable, Schedule
from mtv_train.sample.denoise import Generators


class ReleaseDPMScheduler(CogVideoXDPMScheduler):
    """DPM-Solver++ (SDE, second order) with the release's two oddities.

    The few steps' noise levels are brought to zero terminal SNR among themselves (up to 6e-4 from those that were
    trained), and x_0 is computed from the nearest trained level while the update uses the step's own. The last step
    gives x_0 itself. Everything else is `CogVideoXDPMScheduler`, whose configuration it takes.
    """

    @cached_property
    def schedule(self) -> Schedule:
        """The noise schedule of the configuration."""
        config = self.config
        return Schedule(
            config.num_train_timesteps,
            config.beta_start,
            config.beta_end,
            config.snr_shift_scale,
            config.rescale_betas_zero_snr,
        )

    def set_timesteps(self, num_inference_steps: int, device: str | torch.device | None = None) -> None:
        """Choose the steps. Raises `ValueError` for fewer than two."""
        self.num_inference_steps = num_inference_steps
        self.table: SamplingTable = self.schedule.official_sampling(num_inference_steps)
        self.timesteps = self.table.timesteps.to(device)

    def step(
        self,
        model_output: Tensor,
        old_pred_original_sample: Tensor | None,
        timestep: int,
        timestep_back: int | None,
        sample: Tensor,
        generator: Generators = None,
        return_dict: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """The latents after a step, and its x_0. Arguments as in `CogVideoXDPMScheduler`; `model_output` is v."""
        index = int((self.table.timesteps == timestep).nonzero())
        level = self.table.snapped[index]
        x0 = (level * sample - (1 - level**2).sqrt() * model_output).to(sample.dtype)
        if index == len(self.table.timesteps) - 1:
            return x0, x0
        root, following = self.table.roots[index], self.table.roots[index + 1]
        distance = _log_snr(following) - _log_snr(root)
        ahead = x0
        if old_pred_original_sample is not None:
            ratio = (_log_snr(root) - _log_snr(self.table.roots[index - 1])) / distance
            ahead = x0 + (x0 - old_pred_original_sample) / (2 * ratio)
        kept = ((1 - following**2) / (1 - root**2)).sqrt() * (-distance).exp()
        noise = randn_tensor(sample.shape, generator=generator, device=sample.device, dtype=sample.dtype)
        fresh = ((1 - following**2) * (1 - (-2 * distance).exp())).sqrt()
        moved = kept * sample - (-2 * distance).expm1() * following * ahead + fresh * noise
        return moved.to(sample.dtype), x0


def _log_snr(root: Tensor) -> Tensor:
    """Half the logarithm of the signal-to-noise ratio, minus infinity for pure noise."""
    return (root / (1 - root**2).sqrt()).log()
