"""The training loss of each sample."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from mtv_train.diffusion.schedule import Schedule

Prediction = Literal["v", "noise"]


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
    `clean_frames` boolean (batch, frames): frames kept clean have nothing to be denoised and do not count. `kind`:
    what is predicted, velocity (CogVideoX, the release) or noise (the paper's equation 1). `official`: clean frames
    count as in the release, whose weight 1 / (1 - alphas_cumprod[t]) on their x_0 error makes them almost nothing.
    """
    raise NotImplementedError
