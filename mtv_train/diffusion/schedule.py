"""CogVideoX's noise schedule: scaled-linear betas, an optional SNR shift, zero terminal SNR."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """x_t = s x_0 + sqrt(1 - s^2) noise with s = sqrt(alphas_cumprod[t]), t in 0 .. steps - 1.

    The last step is pure noise when `zero_terminal_snr`. `snr_shift` is 1 for CogVideoX-5b and 3 for -2b.
    """

    steps: int = 1000
    beta_start: float = 0.00085
    beta_end: float = 0.012
    snr_shift: float = 1.0
    zero_terminal_snr: bool = True

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        """float64 (steps,), falling to 0."""
        betas = torch.linspace(self.beta_start**0.5, self.beta_end**0.5, self.steps, dtype=torch.float64) ** 2
        alphas = torch.cumprod(1 - betas, 0)
        alphas = alphas / (self.snr_shift + (1 - self.snr_shift) * alphas)
        return rescaled(alphas) if self.zero_terminal_snr else alphas

    def coefficients(self, timestep: Tensor, ndim: int) -> tuple[Tensor, Tensor]:
        """sqrt(alphas_cumprod) and sqrt(1 - alphas_cumprod) at `timestep` (batch,) or (batch, frames), in float32,
        with ones appended up to `ndim` dimensions."""
        alphas = self.alphas_cumprod.to(timestep.device)[timestep]
        alphas = alphas.reshape(*timestep.shape, *(1,) * (ndim - timestep.ndim))
        return alphas.sqrt().float(), (1 - alphas).sqrt().float()

    def add_noise(self, latents: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """Noisy latents. `timestep` int64 (batch,), or (batch, frames) for latents (batch, frames, ...)."""
        signal, spread = self.coefficients(timestep, latents.ndim)
        return (signal * latents + spread * noise).to(latents.dtype)

    def velocity(self, latents: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """v = s noise - sqrt(1 - s^2) x_0."""
        signal, spread = self.coefficients(timestep, latents.ndim)
        return (signal * noise - spread * latents).to(latents.dtype)

    def x0_from_v(self, noisy: Tensor, velocity: Tensor, timestep: Tensor) -> Tensor:
        """x_0 = s x_t - sqrt(1 - s^2) v."""
        signal, spread = self.coefficients(timestep, noisy.ndim)
        return (signal * noisy - spread * velocity).to(noisy.dtype)

    def official_sampling(self, steps: int) -> SamplingTable:
        """The release's table of `steps` sampling steps: evenly spaced timesteps ending at the last, whose noise levels
        are brought to zero terminal SNR among themselves, not in the table that was trained on."""
        if not 1 < steps <= self.steps:
            raise ValueError(f"a table needs 2 to {self.steps} steps, not {steps}")
        timesteps = torch.linspace(self.steps - 1, 0, steps + 1, dtype=torch.float64)[:-1].long()
        before = dataclasses.replace(self, zero_terminal_snr=False).alphas_cumprod[timesteps]
        roots = rescaled(before.flip(0)).sqrt().flip(0) if self.zero_terminal_snr else before.sqrt()
        trained = self.alphas_cumprod.sqrt()
        nearest = (trained - roots[:, None]).abs().argmin(1)
        return SamplingTable(timesteps, roots, trained[nearest])


@dataclass(frozen=True)
class SamplingTable:
    """Steps of a sampler, from noise to picture, each (steps,)."""

    timesteps: Tensor
    """int64; what the network is told."""
    roots: Tensor
    """sqrt(alphas_cumprod), float64: what the update computes with."""
    snapped: Tensor
    """The nearest level of the full table: what the release's denoiser computes with."""


def frame_timesteps(timestep: Tensor, clean_frames: Tensor) -> Tensor:
    """`timestep` (batch,) spread over frames, 0 where `clean_frames` boolean (batch, frames): int64 (batch, frames)."""
    return torch.where(clean_frames, 0, timestep[:, None])


def rescaled(alphas_cumprod: Tensor) -> Tensor:
    """Shifted and scaled in the square root so that the last entry is 0 and the first stays (Lin et al. 2024)."""
    roots = alphas_cumprod.sqrt()
    first, last = roots[0], roots[-1]
    return ((roots - last) * (first / (first - last))) ** 2
