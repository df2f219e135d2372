"""One evaluation: sets of generated videos against real ones, by the chosen metrics."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from demix.config import ConfigError
from mtv_train.evaluate.cache import Cache
from mtv_train.evaluate.folder import Reference, captions, find_videos, reference
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
    texts = captions(request.reference) if request.reference else {}
    sets = {name: find_videos(folder, texts) for name, folder in request.sets.items()}
    evaluator = Evaluator(request.measurable, settings, suite, device, Cache(cache))
    real, against, lost = _real(request, sets, evaluator, cache)
    results = []
    for name, videos in sets.items():
        measured = evaluator.measure(videos, name)
        results.append(summarise(name, str(request.sets[name]), measured, request.measurable, real, settings.seed))
    return Evaluation(
        sets=tuple(results),
        reference=against.about if against else None,
        reference_failures=lost,
        real_videos=0 if real is None else len(real),
        networks=suite.name,
        note=suite.note,
        weights=tuple(weights),
        warnings=tuple(_warnings(request, results, real)),
        published=request.published,
        settings=settings.model_dump(mode="json"),
        versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
    )


def _real(
    request: Request, sets: Mapping[str, Sequence[Video]], evaluator: Evaluator, cache: Path
) -> tuple[np.ndarray | None, Reference | None, tuple[tuple[str, str, str], ...]]:
    """Logits of the real videos, what they are, and those that have none; nothing where FVD is not wanted."""
    if request.reference is None or "fvd" not in request.measurable:
        return None, None, ()
    stems = {PurePosixPath(video.name).stem for videos in sets.values() for video in videos}
    against = reference(request.reference, stems, cache / "reference", request.reference_limit)
    measured = evaluator.measure(against.videos, "reference", names=("fvd",))
    features = logits(measured)
    if len(features) < 2:
        raise ConfigError(
            f"{request.reference}: fewer than two real videos can be measured: {_first_failure(measured)}"
        )
    lost = tuple((one.video.name, metric, why) for one in measured for metric, why in sorted(one.failures.items()))
    return features, against, lost


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
