"""What is drawn for each sample: timestep, noise, clean frames, dropped conditions. A pure function of (seed, k)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mtv_train.config import DiffusionSettings
from mtv_train.data.randomness import generator, uniform
from mtv_train.diffusion.conditioning import Drops, draw_clean_frames, draw_drops


@dataclass(frozen=True)
class Draws:
    """One batch's. `timestep` int64 (batch,), `noise` float32 (batch, frames, channels, height, width), `clean_frames`
    boolean (batch, frames), `drops` one a sample."""

    timestep: Tensor
    noise: Tensor
    clean_frames: Tensor
    drops: tuple[Drops, ...]

    def dropped_text(self) -> Tensor:
        """Boolean (batch,)."""
        return torch.tensor([drops.text for drops in self.drops])

    def dropped_tracks(self, tracks: Sequence[str]) -> Tensor:
        """Boolean (batch, tracks)."""
        return torch.tensor([[getattr(drops, track) for track in tracks] for drops in self.drops])


def draw(
    seed: int,
    ks: Sequence[int],
    shape: tuple[int, int, int, int],
    settings: DiffusionSettings,
    batch: int,
    timesteps: int = 1000,
) -> Draws:
    """The draws of the samples numbered `ks` of a stage.

    `seed` is the stage's, `shape` a sample's latents (frames, channels, height, width), `batch` the global batch's
    size, which stratified timesteps depend on. Which rank asks, and with which other samples, makes no difference.
    """
    noise = [torch.randn(shape, generator=generator(seed, k, "noise")) for k in ks]
    clean = [draw_clean_frames(generator(seed, k, "clean_frames"), shape[0], settings.clean_frames) for k in ks]
    drops = tuple(draw_drops(generator(seed, k, "drops"), settings.drops) for k in ks)
    chosen = [draw_timestep(seed, k, settings, batch, timesteps) for k in ks]
    return Draws(torch.tensor(chosen), torch.stack(noise), torch.stack(clean), drops)


def fixed_draws(
    seed: int, ks: Sequence[int], shape: tuple[int, int, int, int], samples: int, timesteps: int = 1000
) -> Draws:
    """For a loss that can be compared: sample k of `samples` has the k-th of as many evenly spread timesteps, and
    nothing is clean or dropped. Samples from `samples` on begin again with the first timestep."""
    noise = [torch.randn(shape, generator=generator(seed, k, "noise")) for k in ks]
    chosen = [int((k % samples + 0.5) / samples * timesteps) for k in ks]
    clean = torch.zeros(len(ks), shape[0], dtype=torch.bool)
    return Draws(torch.tensor(chosen), torch.stack(noise), clean, (Drops(False, False, False, False),) * len(ks))


def draw_timestep(seed: int, k: int, settings: DiffusionSettings, batch: int, timesteps: int = 1000) -> int:
    """The timestep of sample `k`.

    Stratified, the samples of a global batch fall into equal slices of all timesteps, one each. Which position gets
    which slice turns with the number of the batch, since the choice of the subset is a function of k too.
    """
    share = uniform(seed, k, "timestep")
    if settings.timesteps == "stratified":
        turned = k + int(uniform(seed, k // batch, "timestep_turn") * batch)
        share = (turned % batch + share) / batch
    return min(int(share * timesteps), timesteps - 1)


def posterior_noise(seed: int, k: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal numbers with which sample `k` is drawn from the VAE's posterior."""
    return torch.randn(shape, generator=generator(seed, k, "vae"))
