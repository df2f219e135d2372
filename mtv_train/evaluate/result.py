"""What an evaluation found: the content of `evaluation.json`, of the table and of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from demix.records import Record
from mtv_train.evaluate.bootstrap import Interval, mean_interval, set_interval
from mtv_train.evaluate.frechet import Gaussian, frechet_distance
from mtv_train.evaluate.metric import Column, Unscorable
from mtv_train.evaluate.run import Measured
from mtv_train.evaluate.suite import metric_class


class ColumnResult(Record):
    key: str
    title: str
    better: str
    """`higher`, `lower` or `zero`."""
    decimals: int
    value: float | None
    """Mean over the videos that have a value; of the whole set for FVD. None where there is none at all."""
    low: float | None
    high: float | None
    """95 % bootstrap interval; None below two videos."""
    videos: int
    """That the value is of."""


class VideoResult(Record):
    video: str
    frames: int
    fps: float
    cut: bool
    """Whether only the beginning was scored."""
    values: dict[str, float]
    """By column."""
    failures: dict[str, str]
    """By metric, or `video` for all: why there is no value."""


class SetResult(Record):
    method: str
    folder: str
    columns: tuple[ColumnResult, ...]
    videos: tuple[VideoResult, ...]

    @property
    def failures(self) -> list[tuple[str, str, str]]:
        """(video, metric, reason)"""
        return [
            (video.video, metric, reason) for video in self.videos for metric, reason in sorted(video.failures.items())
        ]

    def column(self, key: str) -> ColumnResult | None:
        return next((column for column in self.columns if column.key == key), None)


class Evaluation(Record):
    """All of it."""

    sets: tuple[SetResult, ...]
    reference: str | None
    """What the real videos are; None without."""
    reference_failures: tuple[tuple[str, str, str], ...] = ()
    real_videos: int = 0
    """Whose features FVD compares with."""
    networks: str
    note: str
    """What one has to know of the networks; empty for the released ones."""
    weights: tuple[str, ...]
    warnings: tuple[str, ...]
    published: bool
    """Whether the paper's numbers are shown."""
    settings: dict[str, Any]
    versions: dict[str, str]


def summarise(
    method: str, folder: str, measured: Sequence[Measured], metrics: Sequence[str], real: np.ndarray | None, seed: int
) -> SetResult:
    """Scores every video, then averages; `real` (videos, features) are the reference's logits, None without FVD."""
    videos = [_video(one, metrics) for one in measured]
    columns = []
    for name in metrics:
        for column in metric_class(name).columns:
            if not column.of_set:
                values = [video.values[column.key] for video in videos if column.key in video.values]
                columns.append(_mean(column, values, seed))
            elif real is not None:
                columns.append(_distance(column, logits(measured), real, seed))
    return SetResult(method=method, folder=folder, columns=tuple(columns), videos=tuple(videos))


def logits(measured: Sequence[Measured]) -> np.ndarray:
    """I3D's logits of all videos that have any, (videos, features); (0, 0) for none."""
    rows = [one.arrays["fvd"]["logits"] for one in measured if "fvd" in one.arrays]
    return np.stack(rows) if rows else np.zeros((0, 0))


def _video(measured: Measured, metrics: Sequence[str]) -> VideoResult:
    values: dict[str, float] = {}
    failures = dict(measured.failures)
    for name in metrics:
        if name not in measured.arrays:
            continue
        try:
            # Scores are arithmetic on what was measured: no network is needed for them.
            values |= metric_class(name).score(measured.arrays[name])
        except Unscorable as reason:
            failures[name] = str(reason)
    return VideoResult(
        video=measured.video.name,
        frames=measured.frames,
        fps=measured.fps,
        cut=measured.cut,
        values=values,
        failures=failures,
    )


def _mean(column: Column, values: Sequence[float], seed: int) -> ColumnResult:
    interval = mean_interval(values, seed)
    return _result(column, float(np.mean(values)) if values else None, interval, len(values))


def _distance(column: Column, generated: np.ndarray, real: np.ndarray, seed: int) -> ColumnResult:
    if len(generated) < 2 or len(real) < 2:
        return _result(column, None, None, len(generated))
    fixed = Gaussian.of_samples(real)

    def distance(rows: np.ndarray) -> float:
        return frechet_distance(Gaussian.of_samples(rows), fixed)

    return _result(column, distance(generated), set_interval(distance, generated, seed), len(generated))


def _result(column: Column, value: float | None, interval: Interval | None, videos: int) -> ColumnResult:
    return ColumnResult(
        key=column.key,
        title=column.title,
        better=column.better,
        decimals=column.decimals,
        value=value,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        videos=videos,
    )
