"""Videos longer than a window: segments, each of which begins with the last frames of the one before, kept clean."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from demix.config import ConfigError, Settings
from mtv_train.sample.denoise import Clean, Generators
from mtv_train.sample.guidance import Guidance
from mtv_train.sample.pictures import GROUP, encode
from mtv_train.sample.pipeline import MTVPipeline, Sound
from mtv_train.sample.shape import Shape

Progress = Callable[[Tensor], None]
"""Called after each denoising step, with the latents of what is being denoised."""


class LongSettings(Settings):
    """How segments are joined."""

    overlap: int = Field(default=2, ge=1)
    """Latent frames of the segment before that the next one begins with: 2 are five frames (release)."""
    handover: Literal["latents", "pictures"] = "latents"
    """`latents`: the last latent frames are handed on as they are, and all are decoded as one film, so nothing is lost
    between segments. `pictures`: the last frames are decoded and encoded again, as in the release."""
    max_seconds: float = Field(default=300.0, gt=0)
    """Longer videos are refused: drift grows, and all frames are held in memory."""


@dataclass(frozen=True)
class Plan:
    """Windows of `shape` that overlap by `overlap` latent frames until they hold `frames` video frames."""

    shape: Shape
    frames: int
    overlap: int

    def __post_init__(self) -> None:
        if self.overlap >= self.shape.latent_frames:
            raise ConfigError(
                f"an overlap of {self.overlap} latent frames leaves nothing new of {self.shape.latent_frames}; lower it"
            )

    @property
    def stride(self) -> int:
        """Latent frames from one window to the next."""
        return self.shape.latent_frames - self.overlap

    @property
    def windows(self) -> int:
        """As many as it takes: the last one goes beyond the end rather than leave a frame out."""
        return 1 + math.ceil(max(self.frames - self.shape.frames, 0) / (GROUP * self.stride))

    @property
    def latent_frames(self) -> int:
        """Latent frames of all windows together."""
        return self.shape.latent_frames + (self.windows - 1) * self.stride

    def latents(self, window: int) -> slice:
        """Which latent frames of the whole a window holds."""
        return slice(window * self.stride, window * self.stride + self.shape.latent_frames)

    @property
    def firsts(self) -> list[int]:
        """The video frame that each window begins with. A later window's first latent frame stands for one frame
        where the whole's, in that place, holds four: the last of them is it, and from there on both group alike."""
        return [GROUP * self.stride * window for window in range(self.windows)]

    @property
    def seams(self) -> list[int]:
        """First frames that each later window adds, of those that are within the video."""
        new = [first + 1 + GROUP * (self.overlap - 1) for first in self.firsts[1:]]
        return [frame for frame in new if frame < self.frames]


@dataclass(frozen=True)
class LongSampler:
    """Samples the windows of a plan one after the other with one text."""

    pipeline: MTVPipeline
    plan: Plan
    settings: LongSettings
    guidance: Guidance
    generator: Generators
    together: bool = True

    @torch.no_grad()
    def __call__(
        self, text: str, sound: Sound, keyframes: Mapping[int, Image.Image], steps: int, progress: Progress
    ) -> Tensor:
        """The video, uint8 (frames, height, width, 3). `keyframes`: frame of the whole video to picture."""
        pipeline, plan = self.pipeline, self.plan
        read = pipeline.read(text)
        given = pipeline.clean(keyframes, plan.shape, plan.latent_frames)
        heard = pipeline.listen(sound, plan.shape, plan.firsts)
        pieces: list[Tensor] = []
        before: Tensor | None = None
        for window, audio in enumerate(heard):
            pipeline.scheduler.set_timesteps(steps, device=pipeline.work_device)
            noise = pipeline.noise(plan.shape, 1, self.generator)
            clean = _begun_with(_window(given, plan.latents(window)), before)

            def on_step(_index: int, _time: Tensor, now: Tensor) -> Tensor:
                progress(now)
                return now

            told = pipeline.told(read, audio)
            latents = pipeline.denoised(
                told, noise, self.guidance, clean, self.generator, on_step, together=self.together
            )
            piece = latents if self.settings.handover == "latents" else pipeline.shown(latents)
            pieces.append(piece[:, self._begun :] if window else piece)
            if window + 1 < plan.windows:
                before = self._handed_on(latents, piece)
        whole = torch.cat(pieces, 1)
        video: Tensor = pipeline.shown(whole) if self.settings.handover == "latents" else whole
        return video[0, : plan.frames]

    @property
    def _begun(self) -> int:
        """How much of a later piece the one before has shown already: latent frames, or pictures."""
        return self.plan.overlap if self.settings.handover == "latents" else 1 + GROUP * (self.plan.overlap - 1)

    def _handed_on(self, latents: Tensor, piece: Tensor) -> Tensor:
        """The latent frames that the next window begins with."""
        if self.settings.handover == "latents":
            return latents[:, -self.plan.overlap :]
        vae = self.pipeline.vae
        return encode(vae, piece[0, -self._begun :], vae.config.scaling_factor, self.pipeline.work_device)


def _window(clean: Clean, part: slice) -> Clean:
    return Clean(clean.frames[:, part], clean.latents[:, part])


def _begun_with(clean: Clean, before: Tensor | None) -> Clean:
    """`clean`, beginning with the latent frames `before`; a keyframe there has been shown by the window before."""
    if before is None:
        return clean
    frames, latents = clean.frames.clone(), clean.latents.clone()
    frames[:, : before.shape[1]] = True
    latents[:, : before.shape[1]] = before
    return Clean(frames, latents)
