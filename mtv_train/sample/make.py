"""From a request to a film and its sidecar."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
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
from mtv_train.sample.drift import Drift
from mtv_train.sample.film import film
from mtv_train.sample.kept_windows import KeptWindows, kept_beside
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

    def make(
        self, request: Request, out: Path, progress: Progress | None = None, *, keep: bool = True
    ) -> dict[str, Any]:
        """Writes `out` (MP4) and, beside it, the sidecar `.json`, whose content it returns. Raises `ConfigError`, and
        what `progress` raises, after which no film is written. Threads take turns.

        `keep`: finished windows of a long video lie in a folder beside it until it is whole; a call that is ended
        before, however, is gone on with by the same one.
        """
        with self._alone:
            return self._make(request, out, progress, keep)

    def _make(self, request: Request, out: Path, progress: Progress | None, keep: bool) -> dict[str, Any]:
        device = self.pipeline.work_device
        material = gather(request, "cuda" if device.type == "cuda" else "cpu")
        shape, frames = self._sizes(request, material)
        plan = self._plan(request, shape, frames)
        seconds = frames / self.pipeline.fps
        seen = Seen(Drift(plan.seams))
        with ExitStack() as stack:
            kept = None
            if keep and plan.windows > 1 and len(request.scenes) <= 1:
                kept = stack.enter_context(kept_beside(out, self._identity(request, material)))
            size = (shape.height, shape.width)
            # Beside the windows, where the next call sweeps up what a killed one had begun to write.
            target = out if kept is None else kept.folder / out.name
            with film(target, size, material.mixed(seconds), self.pipeline.fps) as writer:
                made = self._pictures(request, material, plan, kept, progress)
                for pictures in stack.enter_context(closing(made)):
                    writer.add(pictures)
                    seen.add(pictures)
            os.replace(target, out)
            remarks = [*material.remarks, *self._cut(request), *material.length_remarks(seconds)]
            note = sidecar(request, material, self.model, out, seen, self.pipeline.fps, remarks)
            with atomic(out.with_suffix(".json")) as aside:
                aside.write_text(json.dumps(note, indent=2, ensure_ascii=False), encoding="utf-8")
        return note

    def _cut(self, request: Request) -> list[str]:
        """What is to be said of texts that are longer than the text encoder takes."""
        tokens = self.pipeline.transformer.backbone["max_text_seq_length"]
        texts = list(request.scenes.values()) or [request.text]
        return [
            f"the prompt is longer than the text encoder takes ({tokens} tokens); its end is not read: {words!r}"
            for words in map(self.pipeline.unread, texts)
            if words
        ]

    def _identity(self, request: Request, material: Material) -> dict[str, Any]:
        """All that the latents of a video depend on."""
        vae = self.pipeline.vae
        return {
            "request": request.model_dump(mode="json"),
            "model": {name: said for name, said in self.model.items() if name != "folder"},
            "files": dict(material.hashes),
            "how": [self.together, self.compiled, vae.use_tiling, vae.use_slicing],
            "versions": versions(),
        }

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

    def _plan(self, request: Request, shape: Shape, frames: int) -> Plan:
        if len(request.scenes) > 1:
            if self.compiled and request.transition.share:
                raise ConfigError("compiled blocks cannot share keys and values: leave --compile out")
            return request.transition.plan(shape, frames)
        return Plan(shape, frames, request.joining.overlap if request.long else 0)

    def _pictures(
        self, request: Request, material: Material, plan: Plan, kept: KeptWindows | None, progress: Progress | None
    ) -> Generator[Tensor, None, None]:
        """uint8 (some frames, height, width, 3), as they are made."""
        pipeline, how = self.pipeline, request.how
        generator = torch.Generator("cpu").manual_seed(request.seed)
        scheduler, pipeline.scheduler = pipeline.scheduler, self._scheduler(request)
        try:
            if len(request.scenes) > 1:
                told = _Told(progress, request.steps)
                scenes = SceneSampler(pipeline, plan, request.transition, how, generator, self.together)
                yield from scenes.pictures(
                    Scenes(request.scenes), material.tracks, material.keyframes, request.steps, told
                )
            else:
                told = _Told(progress, request.steps, plan.windows, kept.count if kept else 0)
                one = LongSampler(pipeline, plan, request.joining, how, generator, self.together, kept)
                [text] = request.scenes.values() or [request.text]
                yield from one.pictures(text, material.tracks, material.keyframes, request.steps, told)
        finally:
            pipeline.scheduler = scheduler
            pipeline.maybe_free_model_hooks()

    def _scheduler(self, request: Request) -> Any:
        """Of the model's own kind or another, with its configuration; a new one, since schedulers remember steps."""
        own = self.pipeline.scheduler
        kind: Any = type(own) if request.scheduler == "model" else SCHEDULERS[request.scheduler]
        return kind.from_config(own.config)


class _Told:
    """Steps, counted over all windows; those of `kept` windows are done."""

    def __init__(self, progress: Progress | None, steps: int, windows: int = 1, kept: int = 0):
        self.progress, self.total, self.done = progress, steps * windows, steps * kept

    def __call__(self, latents: Tensor) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total, latents)


class Seen:
    """What the sidecar says of pictures, gathered as they pass."""

    def __init__(self, drift: Drift):
        self.drift, self.frames, self.size = drift, 0, (0, 0)
        self._hash = hashlib.sha256()

    def add(self, pictures: Tensor) -> None:
        """The next pictures, uint8 (any number, height, width, 3)."""
        self.drift.add(pictures)
        self._hash.update(pictures.numpy().tobytes())
        self.frames += len(pictures)
        self.size = (pictures.shape[1], pictures.shape[2])

    @property
    def sha256(self) -> str:
        """Of all bytes."""
        return self._hash.hexdigest()


def versions() -> dict[str, str]:
    """Of what computes."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
    }


def sidecar(
    request: Request,
    material: Material,
    model: dict[str, str],
    out: Path,
    seen: Seen,
    fps: Fraction,
    remarks: list[str],
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
            "frames": seen.frames,
            "fps": str(fps),
            "height": seen.size[0],
            "width": seen.size[1],
            "sha256": sha256,
            "pictures_sha256": seen.sha256,
        },
        "segments": [asdict(join) for join in seen.drift.segments()] if request.long else [],
        "remarks": remarks,
        "versions": versions(),
    }
