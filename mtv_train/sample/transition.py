"""Texts that change in time, without training: overlapping windows denoised together (DiTCtrl, Cai et al. 2025).

At every step each window of the whole video is predicted with its own text and sound, and where windows overlap their
predictions are blended, the middle of a window counting most. A window that lies across a change of scene reads a mix
of both texts. In some layers and steps a window's attention takes keys and values from the window before, so that it
keeps showing the same things. The defaults are DiTCtrl's for a model of 30 layers, as shares of any depth.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor, nn

from demix.config import ConfigError, Settings
from mtv_train.model.conditions import Conditions
from mtv_train.model.transformer import MTVTransformer3DModel
from mtv_train.sample.denoise import Generators, denoise
from mtv_train.sample.guidance import Guidance, guided
from mtv_train.sample.long_video import Plan, Progress, first_frames
from mtv_train.sample.pipeline import MTVPipeline, Sound
from mtv_train.sample.shape import Shape


class TransitionSettings(Settings):
    """How scenes flow into each other."""

    overlap: float = Field(default=9 / 13, gt=0, lt=1)
    """Share of a window's latent frames that it has in common with the one before (9 of 13; DiTCtrl's paper has 6)."""
    share: bool = True
    """Whether keys and values are shared at all."""
    layers: tuple[float, float] = (25 / 30, 1.0)
    """From which to which share of the depth they are: DiTCtrl's layers 25 to 30, of our 42 the last seven."""
    steps: tuple[float, float] = (0.04, 0.5)
    """From which to which share of the steps: 2 to 25 of 50."""

    @model_validator(mode="after")
    def _ranges(self) -> TransitionSettings:
        for name in ("layers", "steps"):
            start, end = getattr(self, name)
            if not 0 <= start <= end <= 1:
                raise ValueError(f"{name} must be two shares, 0 <= first <= second <= 1, not {start:g}, {end:g}")
        return self

    def plan(self, shape: Shape, frames: int) -> Plan:
        """The windows of a video of `frames`."""
        overlap = min(max(round(self.overlap * shape.latent_frames), 1), shape.latent_frames - 1)
        return Plan(shape, frames, overlap)


@dataclass(frozen=True)
class Scenes:
    """What is shown when: texts by the second from which they hold, the first at 0."""

    texts: Mapping[float, str]

    def __post_init__(self) -> None:
        if not self.texts or min(self.texts) != 0:
            raise ConfigError("the first scene must begin at 0 seconds: --scene 0=TEXT")

    def shares(self, start: Fraction, end: Fraction) -> list[float]:
        """What part of the seconds `start` to `end` each scene has, in the order of time."""
        begins = sorted(self.texts)
        ends = [*begins[1:], float("inf")]
        overlaps = [
            max(min(float(end), last) - max(float(start), first), 0) for first, last in zip(begins, ends, strict=True)
        ]
        return [overlap / sum(overlaps) for overlap in overlaps]

    @property
    def in_order(self) -> list[str]:
        """The texts, in the order of time."""
        return [self.texts[begin] for begin in sorted(self.texts)]


class KeyValueSharing:
    """While it is on, the self-attention of some layers takes its keys and values from the window before.

    Keys and values are rows of one matrix product each, normalised and turned token by token afterwards, so handing
    over the products' results hands over keys and values. Hooks do it, which compiled blocks do not see.
    """

    def __init__(self, model: MTVTransformer3DModel, layers: tuple[float, float], calls: int):
        """`calls`: of the model for one window."""
        blocks = model.transformer_blocks
        first, end = (round(share * len(blocks)) for share in layers)
        chosen: list[Any] = list(blocks)[first:end]
        self._products: list[nn.Module] = [
            product for block in chosen for product in (block.attn1.to_k, block.attn1.to_v)
        ]
        self._calls = calls
        self._kept: dict[nn.Module, deque[Tensor]] = {}

    @contextmanager
    def on(self) -> Iterator[None]:
        """For the calls of one step, window after window; the first window uses its own."""
        self._kept = {product: deque() for product in self._products}
        handles = [product.register_forward_hook(self._exchange) for product in self._products]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._kept.clear()

    def _exchange(self, product: nn.Module, _given: Any, own: Tensor) -> Tensor:
        kept = self._kept[product]
        kept.append(own)
        return kept.popleft() if len(kept) > self._calls else own


@dataclass(frozen=True)
class SceneSampler:
    """Samples all windows of a plan together, each with the text of its time."""

    pipeline: MTVPipeline
    plan: Plan
    settings: TransitionSettings
    guidance: Guidance
    generator: Generators
    together: bool = True

    def __call__(
        self, scenes: Scenes, sound: Sound, keyframes: Mapping[int, Image.Image], steps: int, progress: Progress
    ) -> Tensor:
        """The whole video, uint8 (frames, height, width, 3)."""
        return torch.cat(list(self.pictures(scenes, sound, keyframes, steps, progress)))

    @torch.no_grad()
    def pictures(
        self, scenes: Scenes, sound: Sound, keyframes: Mapping[int, Image.Image], steps: int, progress: Progress
    ) -> Iterator[Tensor]:
        """The video as it is decoded, uint8 (some frames, height, width, 3)."""
        latents = self._latents(scenes, sound, keyframes, steps, progress)
        decoded = (pictures[0] for pictures in self.pipeline.decoder().feed(latents, last=True))
        yield from first_frames(decoded, self.plan.frames)

    def _latents(
        self, scenes: Scenes, sound: Sound, keyframes: Mapping[int, Image.Image], steps: int, progress: Progress
    ) -> Tensor:
        pipeline, plan = self.pipeline, self.plan
        told = self._told(scenes, sound)
        clean = pipeline.clean(keyframes, plan.shape, slice(0, plan.latent_frames))
        calls = 1 if self.together else len(self.guidance.branches(told(0)))
        sharing = KeyValueSharing(pipeline.transformer, self.settings.layers, calls)
        pipeline.scheduler.set_timesteps(steps, device=pipeline.work_device)
        number = {int(time): index for index, time in enumerate(pipeline.scheduler.timesteps)}
        shared = [share * len(number) for share in self.settings.steps]
        weights = blend_weights(plan).to(pipeline.work_device)

        def windowed(latents: Tensor, timestep: Tensor) -> Tensor:
            total = torch.zeros_like(latents)
            for window in range(plan.windows):
                part = plan.latents(window)
                predicted = guided(
                    pipeline.transformer,
                    latents[:, part],
                    timestep,
                    told(window),
                    self.guidance,
                    clean.frames[:, part],
                    together=self.together,
                )
                total[:, part] += predicted * weights[window][:, None, None, None]
            return total

        def predict(latents: Tensor, timestep: Tensor) -> Tensor:
            if self.settings.share and shared[0] <= number[int(timestep[0])] < shared[1]:
                with sharing.on():
                    return windowed(latents, timestep)
            return windowed(latents, timestep)

        def on_step(_index: int, _time: Tensor, now: Tensor) -> Tensor:
            progress(now)
            return now

        noise = pipeline.noise(plan.shape, 1, self.generator, plan.latent_frames)
        return denoise(predict, pipeline.scheduler, noise, clean=clean, generator=self.generator, on_step=on_step)

    def _told(self, scenes: Scenes, sound: Sound) -> Callable[[int], Conditions]:
        """What each window is told; made when it is asked for, since all together may be much."""
        pipeline, plan = self.pipeline, self.plan
        texts = torch.stack([pipeline.read(text) for text in scenes.in_order])
        heard = pipeline.hear(sound, plan.firsts[-1] + plan.shape.frames)

        def told(window: int) -> Conditions:
            first = plan.firsts[window]
            text = mixed_text(texts, scenes.shares(*self._times(first)))
            return pipeline.told(text, pipeline.heard(heard, plan.shape, first))

        return told

    def _times(self, first: int) -> tuple[Fraction, Fraction]:
        """From when to when, in seconds, the window that begins with frame `first` shows."""
        return first / self.pipeline.fps, (first + self.plan.shape.frames) / self.pipeline.fps


def mixed_text(texts: Tensor, shares: Sequence[float]) -> Tensor:
    """The embedding (1, tokens, dim) between those of some scenes, `texts` (scenes, 1, tokens, dim)."""
    weights = torch.tensor(shares, dtype=texts.dtype, device=texts.device)
    return (texts * weights[:, None, None, None]).sum(0)


def blend_weights(plan: Plan) -> Tensor:
    """How much each window counts in each of its latent frames, (windows, latent frames): rising to its middle and
    falling again, scaled so that the windows' weights add up to 1 in every latent frame of the whole."""
    count = plan.shape.latent_frames
    rising = (torch.arange(count) + 0.5) * 2 / count
    triangle = torch.minimum(rising, 2 - rising)
    total = torch.zeros(plan.latent_frames)
    for window in range(plan.windows):
        total[plan.latents(window)] += triangle
    return torch.stack([triangle / total[plan.latents(window)] for window in range(plan.windows)])
