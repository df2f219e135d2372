"""FVD (Unterthiner et al. 2018): the Fréchet distance of I3D's logits, with StyleGAN-V's preprocessing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch.nn import functional as F

from mtv_train.evaluate.frechet import Gaussian, frechet_distance
from mtv_train.evaluate.metric import Arrays, Column, Unscorable
from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.suite import Suite
from mtv_train.evaluate.video import Clip

SIDE = 224
LEAST_FRAMES = 10
"""Below, I3D has no time left to pool."""
SAME_RATE = 0.005
"""Rates that differ by less are one rate (24 and 24000/1001): the frames are taken as they are."""


class FVD:
    """Measures the logits of the first `frames` pictures of a video at `fps` a second; all videos of both sets have to
    have that many, for the distance grows with any difference in length, also where all else is alike."""

    name: ClassVar[str] = "fvd"
    revision: ClassVar[str] = "2"
    columns: ClassVar[tuple[Column, ...]] = (Column("fvd", "FVD", "lower", of_set=True),)

    def __init__(
        self, network: Callable[[torch.Tensor], torch.Tensor], frames: int, device: torch.device, fps: float = 24.0
    ):
        """`network` takes (batch, 3, frames, 224, 224) in [-1, 1] and gives (batch, features)."""
        if frames < LEAST_FRAMES:
            raise ValueError(f"FVD needs {LEAST_FRAMES} frames at least, not {frames}")
        self.network, self.frames, self.device, self.fps = network, frames, device, fps

    @classmethod
    def build(cls, settings: EvaluateSettings, suite: Suite, device: torch.device) -> Self:
        return cls(suite.i3d(), settings.fvd.frames, device, settings.fvd.fps)

    @classmethod
    def depends_on(cls, settings: EvaluateSettings) -> dict[str, Any]:
        return settings.fvd.model_dump()

    def measure(self, clip: Clip) -> Arrays:
        pictures = at_rate(clip, self.fps)
        if len(pictures) < self.frames:
            own = float(clip.fps)
            resampled = "" if has_rate(own, self.fps) else f" when its {own:.5g} a second become {self.fps:g}"
            raise Unscorable(
                f"has {len(pictures)} frames{resampled} and FVD is set to {self.frames}: lower fvd.frames for all "
                "videos"
            )
        video = preprocess(clip.pictures[pictures[: self.frames]]).to(self.device)
        return {"logits": self.network(video[None])[0].float().cpu().numpy()}

    @staticmethod
    def score(measured: Arrays) -> dict[str, float]:
        """Nothing: a single video has no distribution."""
        return {}


def has_rate(rate: float, fps: float) -> bool:
    """Whether a video of that rate is taken as it is."""
    return abs(rate / fps - 1) < SAME_RATE


def at_rate(clip: Clip, fps: float) -> np.ndarray:
    """Indices of the pictures at `fps` a second."""
    return np.arange(len(clip.pictures)) if has_rate(float(clip.fps), fps) else clip.at(fps)


def fvd(generated: np.ndarray, real: np.ndarray) -> float:
    """Of logits (videos, features) of two sets."""
    return frechet_distance(Gaussian.of_samples(generated), Gaussian.of_samples(real))


def preprocess(pictures: np.ndarray) -> torch.Tensor:
    """uint8 RGB (frames, height, width, 3) as float (3, frames, 224, 224) in [-1, 1].

    The short side becomes 224, bilinearly and without smoothing (StyleGAN-V's convention: large pictures alias), the
    long side is rounded up, and the middle is kept.
    """
    video = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    height, width = video.shape[2:]
    scale = SIDE / min(height, width)
    size = (SIDE, math.ceil(width * scale)) if height <= width else (math.ceil(height * scale), SIDE)
    video = F.interpolate(video, size, mode="bilinear", align_corners=False)
    top, left = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    return video[:, :, top : top + SIDE, left : left + SIDE].transpose(0, 1) * 2 - 1
