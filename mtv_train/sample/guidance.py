"""Classifier-free guidance: text and sound together, as the release has it, or each with its own strength."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mtv_train.model.conditions import Conditions


@dataclass(frozen=True)
class Guidance:
    """How far a prediction is pushed away from that of the model which is told nothing; 1 does not push.

    `scale` alone: u + scale (c - u), with c told everything and u nothing (neither text nor any track; release).
    With `audio_scale`: u + audio_scale (a - u) + scale (c - a), with a told the sound alone, so that `scale` is the
    text's strength (composed as by Brooks et al. 2023); equal strengths are the joint guidance again. a is what the
    model learnt where text alone was dropped.
    """

    scale: float = 3.5
    audio_scale: float | None = None

    def branches(self, conditions: Conditions) -> list[tuple[float, Conditions]]:
        """What the model has to be asked, each with its weight in the result; the weights add up to 1."""
        audio_scale = self.scale if self.audio_scale is None else self.audio_scale
        weighed = (
            (self.scale, conditions),
            (audio_scale - self.scale, conditions.without_text()),
            (1 - audio_scale, conditions.without_anything()),
        )
        return [(weight, told) for weight, told in weighed if weight != 0]


def guided(
    model: nn.Module,
    latents: Tensor,
    timestep: Tensor,
    conditions: Conditions,
    guidance: Guidance,
    clean_frames: Tensor | None = None,
    *,
    together: bool = True,
) -> Tensor:
    """The guided prediction, float32, like `latents` (batch, frames, channels, height, width).

    `timestep` int64 (batch,); `clean_frames` boolean (batch, frames). `together`: all branches as one batch, which is
    faster and takes more memory than one after the other.
    """
    branches = guidance.branches(conditions)
    latents = latents.to(conditions.text.dtype)
    if together and len(branches) > 1:
        count = len(branches)
        told = Conditions.cat([branch for _, branch in branches])
        clean = None if clean_frames is None else clean_frames.repeat(count, 1)
        asked = model(latents.repeat(count, 1, 1, 1, 1), told.text, timestep.repeat(count), told.audio, clean)
        predictions = list(asked.float().chunk(count))
    else:
        predictions = [
            model(latents, branch.text, timestep, branch.audio, clean_frames).float() for _, branch in branches
        ]
    weights = [weight for weight, _ in branches]
    return torch.stack([weight * part for weight, part in zip(weights, predictions, strict=True)]).sum(0)
