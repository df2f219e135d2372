"""One evaluation: sets of generated videos against real ones, by the chosen metrics."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from demix.config import ConfigError
from mtv_train.evaluate.cache import Cache
from mtv_train.evaluate.folder import Reference, find_videos, stems
from mtv_train.evaluate.fvd import has_rate
from mtv_train.evaluate.result import Evaluation, SetResult, logits, summarise
from mtv_train.evaluate.run import Evaluator, Measured
from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.suite import Suite
from mtv_train.evaluate.sync import FPS
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
        warnings=tuple(_warnings(request, results, real, settings.fvd.fps)),
        published=request.published,
        settings=settings.model_dump(mode="json"),
        versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
    )


@dataclass(frozen=True)
class _Real:
    """The real videos, measured."""

    features: np.ndarray
    """Logits (videos, features)."""
    rates: tuple[float, ...]
    """Frames a second of each."""
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
    return _Real(features, tuple(one.fps for one in measured), about, tuple(lost))


def _captioned(video: Video, texts: Mapping[str, str]) -> Video:
    """With the caption of the clip that it is named after, unless it has a text of its own, whole or broken."""
    has_own = video.text is not None or video.broken_text
    return video if has_own else replace(video, text=texts.get(PurePosixPath(video.name).stem))


def _first_failure(measured: Sequence[Measured]) -> str:
    return next((f"{one.video.name} {why}" for one in measured for why in one.failures.values()), "there are no more")


def _warnings(request: Request, results: Sequence[SetResult], real: _Real | None, fps: float) -> list[str]:
    found = []
    if "fvd" in request.metrics and real is None:
        found.append("FVD is left out: it needs real videos to compare with (--reference DATASET or FOLDER).")
    if real is not None:
        found += _other_rates("real videos", real.rates, fps)
    for result in results:
        if real is not None:
            found += [*_few(result, real.features), *_other_rates(result.method, [v.fps for v in result.videos], fps)]
        found += _offset(result)
        cut = sum(video.cut for video in result.videos)
        if cut:
            found.append(f"Of {cut} videos of {result.method} only the beginning was scored (max_seconds).")
    counts = {result.method: tuple(column.videos for column in result.columns) for result in results}
    if len(set(counts.values())) > 1:
        found.append("The methods were not scored on the same number of videos in every column.")
    return found


def _few(result: SetResult, real: np.ndarray) -> list[str]:
    """That FVD has no value, or one that is too large, for there are few videos; `real` (videos, features)."""
    column = result.column("fvd")
    if column is None or min(column.videos, len(real)) >= real.shape[1]:
        return []
    if column.value is None:
        return [
            f"FVD of {result.method} has no value: it compares distributions, for which it takes two generated videos "
            f"at least, and {column.videos or 'none'} could be measured."
        ]
    return [
        f"FVD of {result.method} is of {column.videos} generated and {len(real)} real videos, fewer than the "
        f"{real.shape[1]} features: it is too large by an amount that depends on these numbers, so compare it only "
        "with values of as many videos."
    ]


def _other_rates(whose: str, rates: Iterable[float], fps: float) -> list[str]:
    """That videos were resampled for FVD. A rate of 0 is that of a video that could not be read."""
    others = Counter(f"{rate:.5g}" for rate in rates if rate and not has_rate(rate, fps))
    if not others:
        return []
    listed = ", ".join(f"{count} of {rate} fps" for rate, count in sorted(others.items()))
    return [f"FVD looks at {fps:g} frames a second (fvd.fps); these {whose} were resampled to it: {listed}."]


def _offset(result: SetResult) -> list[str]:
    """That the sound is off by more than a frame in most videos, which Sync-C and Sync-D do not show."""
    offsets = [video.values["sync_offset"] for video in result.videos if "sync_offset" in video.values]
    middle = float(np.median(offsets)) if offsets else 0.0
    if abs(middle) <= 1000 / FPS:
        return []
    return [
        f"The sound of {result.method} comes {abs(middle):.0f} ms too {'late' if middle > 0 else 'early'} (median of "
        f"{len(offsets)} videos). Sync-C and Sync-D are those of sound that is moved back into place."
    ]
