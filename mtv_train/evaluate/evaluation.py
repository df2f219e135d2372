"""One evaluation: sets of generated videos against real ones, by the chosen metrics."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from demix.config import ConfigError
from mtv_train.evaluate.cache import Cache
from mtv_train.evaluate.folder import Reference, find_videos, stems
from mtv_train.evaluate.result import Evaluation, SetResult, logits, summarise
from mtv_train.evaluate.run import Evaluator, Measured
from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.suite import Suite
from mtv_train.evaluate.video import Video

PACKAGES = ("torch", "torchvision", "torchaudio", "transformers", "librosa", "opencv-python-headless", "av", "numpy")


@dataclass(frozen=True)
class Request:
    """What is to be evaluated."""

    sets: Mapping[str, Path]
    """Folders of generated videos by the method's name."""
    metrics: tuple[str, ...]
    reference: str | None = None
    """A dataset (path or URI) or a folder of real videos."""
    reference_limit: int | None = None
    published: bool = False

    @property
    def measurable(self) -> tuple[str, ...]:
        """The metrics without FVD, where there are no real videos to compare with."""
        return tuple(name for name in self.metrics if name != "fvd" or self.reference is not None)


def evaluate(
    request: Request,
    settings: EvaluateSettings,
    suite: Suite,
    device: torch.device,
    cache: Path,
    weights: Sequence[str] = (),
) -> Evaluation:
    """Scores every set. Raises `ConfigError` for folders without videos; whatever a single video lacks is told of in
    the result. What was measured stays in `cache`, so that the same call again goes on where it stopped."""
    sets = {name: find_videos(folder) for name, folder in request.sets.items()}
    against = Reference(request.reference) if request.reference else None
    names = stems(video for videos in sets.values() for video in videos)
    texts = against.captions(names) if against else {}
    evaluator = Evaluator(request.measurable, settings, suite, device, Cache(cache))
    real = _real(against, names, request, evaluator, cache) if against and "fvd" in request.measurable else None
    features = real.features if real else None
    results = []
    for name, videos in sets.items():
        measured = evaluator.measure([_captioned(video, texts) for video in videos], name)
        results.append(summarise(name, str(request.sets[name]), measured, request.measurable, features, settings.seed))
    return Evaluation(
        sets=tuple(results),
        reference=real.about if real else None,
        reference_failures=real.failures if real else (),
        real_videos=len(real.features) if real else 0,
        networks=suite.name,
        note=suite.note,
        weights=tuple(weights),
        warnings=tuple(_warnings(request, results, features)),
        published=request.published,
        settings=settings.model_dump(mode="json"),
        versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
    )


@dataclass(frozen=True)
class _Real:
    """The real videos, measured."""

    features: np.ndarray
    """Logits (videos, features)."""
    about: str
    failures: tuple[tuple[str, str, str], ...]
    """(video, metric, reason)"""


def _real(against: Reference, names: set[str], request: Request, evaluator: Evaluator, cache: Path) -> _Real:
    videos, about = against.videos(names, cache / "reference", request.reference_limit)
    measured = evaluator.measure(videos, "reference", names=("fvd",))
    features = logits(measured)
    if len(features) < 2:
        why = _first_failure(measured)
        raise ConfigError(f"{request.reference}: fewer than two real videos can be measured: {why}")
    lost = ((one.video.name, metric, why) for one in measured for metric, why in sorted(one.failures.items()))
    return _Real(features, about, tuple(lost))


def _captioned(video: Video, texts: Mapping[str, str]) -> Video:
    """With the caption of the clip that it is named after, unless it has a text of its own."""
    return video if video.text is not None else replace(video, text=texts.get(PurePosixPath(video.name).stem))


def _first_failure(measured: Sequence[Measured]) -> str:
    return next((f"{one.video.name} {why}" for one in measured for why in one.failures.values()), "there are no more")


def _warnings(request: Request, results: Sequence[SetResult], real: np.ndarray | None) -> list[str]:
    found = []
    if "fvd" in request.metrics and real is None:
        found.append("FVD is left out: it needs real videos to compare with (--reference DATASET or FOLDER).")
    for result in results:
        if real is not None and (column := result.column("fvd")) and min(column.videos, len(real)) < real.shape[1]:
            found.append(
                f"FVD of {result.method} is of {column.videos} generated and {len(real)} real videos, fewer than the "
                f"{real.shape[1]} features: it is too large by an amount that depends on these numbers, so compare it "
                "only with values of as many videos."
            )
        cut = sum(video.cut for video in result.videos)
        if cut:
            found.append(f"Of {cut} videos of {result.method} only the beginning was scored (max_seconds).")
    counts = {result.method: tuple(column.videos for column in result.columns) for result in results}
    if len(set(counts.values())) > 1:
        found.append("The methods were not scored on the same number of videos in every column.")
    return found
