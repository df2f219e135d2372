"""The training loss of each sample."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from mtv_train.diffusion.schedule import Schedule, frame_timesteps

Prediction = Literal["v", "noise"]
"""What the network predicts: velocity (CogVideoX, the release), or noise (equation 1 of the paper)."""


def loss_per_sample(
    prediction: Tensor,
    latents: Tensor,
    noise: Tensor,
    timestep: Tensor,
    schedule: Schedule,
    kind: Prediction = "v",
    clean_frames: Tensor | None = None,
    *,
    official: bool = False,
) -> Tensor:
    """Mean squared error of each sample over its noisy frames, float32 (batch,).

    `prediction`, `latents` (x_0) and `noise` (batch, frames, channels, height, width); `timestep` int64 (batch,);
    `clean_frames` boolean (batch, frames): frames kept clean have nothing to be denoised and do not count. On v this
    is the x_0 error weighted by 1 / (1 - alphas_cumprod[t]). `official`: clean frames count as in the release, whose
    x_0 error has the sample's weight while their own noise is that of timestep 0, which makes them almost nothing.
    """
    if kind == "noise" and schedule.zero_terminal_snr:
        raise ValueError(
            "noise cannot be predicted under zero terminal SNR: at the last step nothing of x_0 is left to find it in; "
            "use Schedule(zero_terminal_snr=False), or predict v"
        )
    if clean_frames is None:
        clean_frames = torch.zeros(latents.shape[:2], dtype=torch.bool, device=latents.device)
    times = frame_timesteps(timestep, clean_frames)
    target = schedule.velocity(latents.float(), noise.float(), times) if kind == "v" else noise.float()
    error = (prediction.float() - target).square().mean((2, 3, 4))  # (batch, frames)
    if official:
        spread = 1 - schedule.alphas_cumprod.to(timestep.device)
        weight = (spread[times] / spread[timestep][:, None]).float()
        return (weight * error).mean(1)
    noisy = (~clean_frames).float()
    return (noisy * error).sum(1) / noisy.sum(1).clamp(min=1)
