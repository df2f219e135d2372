"""Videos longer than a window: segments, each of which begins with the last frames of the one before, kept clean."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from PIL import Image
from pydantic import Field
from torch import Tensor

from demix.config import ConfigError, Settings
from mtv_train.sample.decoder import GROUP
from mtv_train.sample.denoise import Clean
from mtv_train.sample.guidance import Guidance
from mtv_train.sample.kept_windows import KeptWindows
from mtv_train.sample.pictures import encode
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
    """Longer videos are refused, since drift grows."""


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
    generator: torch.Generator
    together: bool = True
    kept: KeptWindows | None = None
    """Where finished windows are kept, and taken from instead of being sampled again."""

    def __call__(
        self, text: str, sound: Sound, keyframes: Mapping[int, Image.Image], steps: int, progress: Progress
    ) -> Tensor:
        """The whole video, uint8 (frames, height, width, 3); arguments as for `pictures`."""
        return torch.cat(list(self.pictures(text, sound, keyframes, steps, progress)))

    @torch.no_grad()
    def pictures(
        self, text: str, sound: Sound, keyframes: Mapping[int, Image.Image], steps: int, progress: Progress
    ) -> Iterator[Tensor]:
        """The video as it is made, uint8 (some frames, height, width, 3). `keyframes`: frame of the whole video to
        picture."""
        windows = self._windows(text, sound, keyframes, steps, progress)
        decoded = self._streamed(windows) if self.settings.handover == "latents" else self._one_by_one(windows)
        yield from first_frames(decoded, self.plan.frames)

    def _windows(
        self, text: str, sound: Sound, keyframes: Mapping[int, Image.Image], steps: int, progress: Progress
    ) -> Iterator[Tensor]:
        """The latents of each window."""
        pipeline, plan = self.pipeline, self.plan
        read = pipeline.read(text)
        heard = pipeline.hear(sound, plan.firsts[-1] + plan.shape.frames)
        latents: Tensor | None = None

        def on_step(_index: int, _time: Tensor, now: Tensor) -> Tensor:
            progress(now)
            return now

        for window, first in enumerate(plan.firsts):
            if self.kept is not None and window < self.kept.count:
                latents = self.kept.read(window, self.generator).to(pipeline.work_device)
            else:
                pipeline.scheduler.set_timesteps(steps, device=pipeline.work_device)
                noise = pipeline.noise(plan.shape, 1, self.generator)
                clean = pipeline.clean(keyframes, plan.shape, plan.latents(window))
                begun = clean if latents is None else _begun_with(clean, self._handed_on(latents))
                told = pipeline.told(read, pipeline.heard(heard, plan.shape, first))
                latents = pipeline.denoised(
                    told, noise, self.guidance, begun, self.generator, on_step, together=self.together
                )
                if self.kept is not None:
                    self.kept.write(window, latents, self.generator)
            yield latents

    def _streamed(self, windows: Iterable[Tensor]) -> Iterator[Tensor]:
        """All windows decoded as one film."""
        decoder, last = self.pipeline.decoder(), self.plan.windows - 1
        for window, latents in enumerate(windows):
            new = latents[:, self.plan.overlap if window else 0 :]
            for pictures in decoder.feed(new, last=window == last):
                yield pictures[0]

    def _one_by_one(self, windows: Iterable[Tensor]) -> Iterator[Tensor]:
        """Each window decoded alone."""
        for window, latents in enumerate(windows):
            yield self.pipeline.shown(latents)[0, self._begun if window else 0 :]

    @property
    def _begun(self) -> int:
        """How many pictures of a later window the one before has shown already."""
        return 1 + GROUP * (self.plan.overlap - 1)

    def _handed_on(self, latents: Tensor) -> Tensor:
        """The latent frames that the window after `latents` begins with."""
        if self.settings.handover == "latents":
            return latents[:, -self.plan.overlap :]
        vae = self.pipeline.vae
        end = self.pipeline.shown(latents)[0, -self._begun :]
        return encode(vae, end, vae.config.scaling_factor, self.pipeline.work_device)


def first_frames(pieces: Iterable[Tensor], count: int) -> Iterator[Tensor]:
    """The first `count` frames of a video that comes in pieces (frames, height, width, 3)."""
    for piece in pieces:
        if count > 0:
            yield piece[:count]
        count -= len(piece)


def _begun_with(clean: Clean, before: Tensor) -> Clean:
    """`clean`, beginning with the latent frames `before`; a keyframe there has been shown by the window before."""
    frames, latents = clean.frames.clone(), clean.latents.clone()
    frames[:, : before.shape[1]] = True
    latents[:, : before.shape[1]] = before
    return Clean(frames, latents)
