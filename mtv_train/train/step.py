"""From a micro-batch to the loss of each of its samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from mtv_train.config import TrainSettings
from mtv_train.data.batch import Batch
from mtv_train.data.encoders import Encoders, sample_latents
from mtv_train.diffusion.objective import loss_per_sample
from mtv_train.diffusion.schedule import Schedule
from mtv_train.model.audio import AudioWindows
from mtv_train.model.conditions import Conditions
from mtv_train.train.draws import Draws, draw, fixed_draws


def make_schedule(settings: TrainSettings) -> Schedule:
    """The noise schedule of a run. Noise cannot be predicted where nothing but noise is given, so with
    `prediction: noise` the last step keeps a little signal."""
    diffusion = settings.diffusion
    return Schedule(snr_shift=diffusion.snr_shift, zero_terminal_snr=diffusion.prediction == "v")


@dataclass(frozen=True)
class LossStep:
    """Encodes what is raw, draws what is drawn, runs the model. Knows of no other rank."""

    model: nn.Module
    encoders: Encoders
    settings: TrainSettings
    device: torch.device

    @cached_property
    def schedule(self) -> Schedule:
        return make_schedule(self.settings)

    def __call__(self, batch: Batch) -> Tensor:
        """The loss of each sample, float32 (batch,), with its graph."""
        shape = self.settings.latent_shape
        diffusion, size = self.settings.diffusion, self.settings.optim.batch
        return self._loss(batch, draw(batch.seed, batch.ks, shape, diffusion, size, self.schedule.steps))

    def at_fixed_draws(self, batch: Batch, samples: int) -> Tensor:
        """The loss of each sample at a timestep and noise that only its number decides: sample k of `samples` has the
        k-th of as many evenly spread timesteps; no frame is clean and nothing is dropped. float32 (batch,)."""
        return self._loss(
            batch, fixed_draws(batch.seed, batch.ks, self.settings.latent_shape, samples, self.schedule.steps)
        )

    def _loss(self, batch: Batch, draws: Draws) -> Tensor:
        encoded = self.encoders(batch.to(self.device))
        latents = sample_latents(encoded, self.settings.model.latent_scale).to(self.device)
        conditions = self.conditions(encoded)
        timestep = draws.timestep.to(self.device)
        noise = draws.noise.to(self.device)
        clean = draws.clean_frames.to(self.device)

        noisy = self.schedule.add_noise(latents, noise, timestep)
        noisy = torch.where(clean[:, :, None, None, None], latents, noisy)
        text = conditions.text.masked_fill(draws.dropped_text().to(self.device)[:, None, None], 0)
        audio = conditions.audio.dropped(draws.dropped_tracks(conditions.audio.tracks).to(self.device))
        prediction = self.model(noisy, text, timestep, audio, clean)
        return loss_per_sample(
            prediction.float(),
            latents,
            noise,
            timestep,
            self.schedule,
            self.settings.diffusion.prediction,
            clean,
            official=self.settings.model.mtv.official,
        )

    def conditions(self, encoded: Batch) -> Conditions:
        """Text and sound of an encoded batch, nothing dropped, float32 (FSDP casts them once)."""
        if encoded.text is None or encoded.audio is None:
            raise ValueError("the batch is not encoded")
        windows = {name: track.to(self.device).float() for name, track in encoded.audio.windows().items()}
        return Conditions(encoded.text.to(self.device).float(), AudioWindows(**windows))
