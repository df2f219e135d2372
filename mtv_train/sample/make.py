"""From a request to a film and its sidecar."""

from __future__ import annotations

import hashlib
import json
import platform
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import CogVideoXDDIMScheduler, CogVideoXDPMScheduler
from torch import Tensor

from demix.config import ConfigError
from demix.store import atomic
from mtv_train.sample.drift import Segment, segments
from mtv_train.sample.film import write_film
from mtv_train.sample.long_video import LongSampler, Plan
from mtv_train.sample.material import Material, gather
from mtv_train.sample.pipeline import MTVPipeline
from mtv_train.sample.release_scheduler import ReleaseDPMScheduler
from mtv_train.sample.request import Request
from mtv_train.sample.shape import Shape, check_keyframes
from mtv_train.sample.transition import Scenes, SceneSampler

Progress = Callable[[int, int, Tensor], None]
"""Steps done, steps in all, latents now."""
SCHEDULERS = {"dpm": CogVideoXDPMScheduler, "ddim": CogVideoXDDIMScheduler, "release": ReleaseDPMScheduler}


@dataclass(frozen=True)
class Maker:
    """A loaded model that makes videos."""

    pipeline: MTVPipeline
    model: dict[str, str]
    """What the sidecar says of it: folder, fingerprint, precision, device."""
    together: bool = True
    """Whether guidance asks its branches as one batch."""
    compiled: bool = False
    _alone: threading.Lock = field(default_factory=threading.Lock)

    def make(self, request: Request, out: Path, progress: Progress | None = None) -> dict[str, Any]:
        """Writes `out` (MP4) and, beside it, the sidecar `.json`, whose content it returns. Raises `ConfigError`, and
        what `progress` raises, after which nothing is written. Threads take turns."""
        with self._alone:
            return self._make(request, out, progress)

    def _make(self, request: Request, out: Path, progress: Progress | None) -> dict[str, Any]:
        device = self.pipeline.work_device
        material = gather(request, "cuda" if device.type == "cuda" else "cpu")
        shape, frames = self._sizes(request, material)
        video, joins = self._sampled(request, material, shape, frames, progress)
        seconds = frames / self.pipeline.fps
        write_film(out, video, material.mixed(seconds), self.pipeline.fps)
        remarks = [*material.remarks, *material.length_remarks(seconds)]
        note = sidecar(request, material, self.model, out, video, self.pipeline.fps, remarks, joins)
        with atomic(out.with_suffix(".json")) as aside:
            aside.write_text(json.dumps(note, indent=2, ensure_ascii=False), encoding="utf-8")
        return note

    def _sizes(self, request: Request, material: Material) -> tuple[Shape, int]:
        """The window, and the frames of the whole video."""
        shape = self.pipeline.shape(request.frames, request.height, request.width)
        frames = shape.frames
        if request.long:
            seconds = Fraction(request.seconds).limit_denominator(1000) or material.seconds
            if not seconds:
                raise ConfigError("a long video is as long as its sound: give a track, or --seconds")
            if seconds > request.joining.max_seconds:
                raise ConfigError(
                    f"{float(seconds):.0f} s are asked for, joining.max_seconds is {request.joining.max_seconds:g}; "
                    "raise it, or cut the sound"
                )
            frames = max(-(-seconds * self.pipeline.fps // 1), 1)
        check_keyframes(material.keyframes, shape, int(frames))
        end = frames / self.pipeline.fps
        if unseen := [second for second in sorted(request.scenes) if second >= end]:
            raise ConfigError(
                f"the scene at {unseen[0]:g} s never shows: the video ends at {float(end):.2f} s; begin it earlier or "
                "leave it out"
            )
        return shape, int(frames)

    def _sampled(
        self, request: Request, material: Material, shape: Shape, frames: int, progress: Progress | None
    ) -> tuple[Tensor, list[Segment]]:
        """uint8 (frames, height, width, 3), and how its segments look."""
        pipeline = self.pipeline
        scheduler, pipeline.scheduler = pipeline.scheduler, self._scheduler(request)
        generator = torch.Generator("cpu").manual_seed(request.seed)
        try:
            plan = (
                request.transition.plan(shape, frames)
                if len(request.scenes) > 1
                else Plan(shape, frames, request.joining.overlap if request.long else 0)
            )
            told = _Told(progress, request.steps * (1 if len(request.scenes) > 1 else plan.windows))
            video = self._video(request, material, plan, generator, told)
        finally:
            pipeline.scheduler = scheduler
            pipeline.maybe_free_model_hooks()
        return video, segments(video, plan.seams) if request.long else []

    def _video(
        self, request: Request, material: Material, plan: Plan, generator: torch.Generator, told: _Told
    ) -> Tensor:
        pipeline, how = self.pipeline, request.how
        if len(request.scenes) > 1:
            if self.compiled and request.transition.share:
                raise ConfigError("compiled blocks cannot share keys and values: leave --compile out")
            scenes = SceneSampler(pipeline, plan, request.transition, how, generator, self.together)
            return scenes(Scenes(request.scenes), material.tracks, material.keyframes, request.steps, told)
        one = LongSampler(pipeline, plan, request.joining, how, generator, self.together)
        [text] = request.scenes.values() or [request.text]
        return one(text, material.tracks, material.keyframes, request.steps, told)

    def _scheduler(self, request: Request) -> Any:
        """Of the model's own kind or another, with its configuration; a new one, since schedulers remember steps."""
        own = self.pipeline.scheduler
        kind: Any = type(own) if request.scheduler == "model" else SCHEDULERS[request.scheduler]
        return kind.from_config(own.config)


class _Told:
    """Steps, counted over all segments."""

    def __init__(self, progress: Progress | None, total: int):
        self.progress, self.total, self.done = progress, total, 0

    def __call__(self, latents: Tensor) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total, latents)


def sidecar(
    request: Request,
    material: Material,
    model: dict[str, str],
    out: Path,
    video: Tensor,
    fps: Fraction,
    remarks: list[str],
    joins: list[Segment],
) -> dict[str, Any]:
    """Everything that is needed to make the video again, and to see that it is the same."""
    with out.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "prompt": " ".join(request.scenes[begin] for begin in sorted(request.scenes)) or request.text,
        "request": request.model_dump(mode="json"),
        "model": model,
        "files": dict(material.hashes),
        "video": {
            "frames": len(video),
            "fps": str(fps),
            "height": video.shape[1],
            "width": video.shape[2],
            "sha256": sha256,
            "pictures_sha256": hashlib.sha256(video.numpy().tobytes()).hexdigest(),
        },
        "segments": [asdict(join) for join in joins],
        "remarks": remarks,
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
        },
    }
