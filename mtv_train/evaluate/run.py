"""Every metric on every video: decoded ahead in threads, measured here, cached, and never lost."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch

from demix.engine.progress import meter
from demix.media.errors import MediaError
from mtv_train.evaluate.cache import Cache, fingerprint, key_of
from mtv_train.evaluate.metric import Arrays, Metric, Unscorable
from mtv_train.evaluate.settings import EvaluateSettings
from mtv_train.evaluate.suite import Suite, metric_class
from mtv_train.evaluate.video import Clip, Video, read_clip

FACTS = "clip"
"""Where the cache keeps what is known of a video without any metric."""


@dataclass
class Measured:
    """One video and what came of it."""

    video: Video
    arrays: dict[str, Arrays] = field(default_factory=dict)
    """By metric."""
    failures: dict[str, str] = field(default_factory=dict)
    """By metric: why there is no value. The key `video` stands for all."""
    frames: int = 0
    fps: float = 0.0
    cut: bool = False
    """Whether only its beginning was scored."""


@dataclass
class _Loaded:
    measured: Measured
    sha256: str = ""
    clip: Clip | None = None
    """None where nothing is left to measure."""
    due: tuple[str, ...] = ()


class Evaluator:
    """Metrics with their networks, built when the first video needs them."""

    def __init__(
        self, metrics: Sequence[str], settings: EvaluateSettings, suite: Suite, device: torch.device, cache: Cache
    ):
        self.names, self.settings, self.suite, self.device, self.cache = metrics, settings, suite, device, cache
        self._built: dict[str, Metric] = {}
        self._fingerprints = {name: self._fingerprint(name) for name in metrics}

    def metric(self, name: str) -> Metric:
        if name not in self._built:
            self._built[name] = metric_class(name).build(self.settings, self.suite, self.device)
        return self._built[name]

    def measure(self, videos: Sequence[Video], label: str, names: Sequence[str] | None = None) -> list[Measured]:
        """The outcome for every video, in the order of their names; `names` restricts the metrics.

        A video that cannot be read or scored is told of in its failures. Any other error ends the run; what was
        measured before is in the cache.
        """
        names = self.names if names is None else names
        done = []
        with meter(label, len(videos), "videos") as progress:
            for loaded in self._load(sorted(videos, key=lambda video: video.name), names):
                self._finish(loaded)
                done.append(loaded.measured)
                progress.advance(loaded.measured.frames / (loaded.measured.fps or 1.0))
        return done

    def _finish(self, loaded: _Loaded) -> None:
        clip = loaded.clip
        for name in loaded.due:
            assert clip is not None
            metric = self.metric(name)
            key = key_of(loaded.sha256, clip.text, clip.no_text, metric.columns)
            try:
                with torch.inference_mode():
                    arrays = metric.measure(clip)
            except Unscorable as reason:
                self.cache.put(name, self._fingerprints[name], key, reason)
                loaded.measured.failures[name] = str(reason)
            else:
                self.cache.put(name, self._fingerprints[name], key, arrays)
                loaded.measured.arrays[name] = arrays

    def _load(self, videos: Sequence[Video], names: Sequence[str]) -> Iterator[_Loaded]:
        """In order, `workers` ahead."""
        with ThreadPoolExecutor(self.settings.workers) as pool:
            waiting: deque[Future[_Loaded]] = deque()
            rest = iter(videos)
            for video in islice(rest, self.settings.workers):
                waiting.append(pool.submit(self._open, video, names))
            while waiting:
                loaded = waiting.popleft().result()
                for video in islice(rest, 1):
                    waiting.append(pool.submit(self._open, video, names))
                yield loaded

    def _open(self, video: Video, names: Sequence[str]) -> _Loaded:
        """What the cache has of a video, and the video itself where something is missing."""
        with open(video.path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        loaded = _Loaded(Measured(video), sha256)
        facts = self._cached(FACTS, self._facts_fingerprint, sha256, loaded.measured)
        due = [name for name in names if not self._recall(name, loaded)]
        if facts is None or due:
            try:
                loaded.clip = read_clip(video, self.settings.max_seconds)
            except MediaError as error:
                loaded.measured.failures["video"] = str(error)
                return loaded
            clip = loaded.clip
            facts = {
                "frames": np.array(len(clip.pictures)),
                "fps": np.array(float(clip.fps)),
                "cut": np.array(clip.cut),
            }
            self.cache.put(FACTS, self._facts_fingerprint, sha256, facts)
        loaded.measured.frames, loaded.measured.fps = int(facts["frames"]), float(facts["fps"])
        loaded.measured.cut, loaded.due = bool(facts["cut"]), tuple(due)
        return loaded

    def _recall(self, name: str, loaded: _Loaded) -> bool:
        """Takes a metric's outcome from the cache, if it is there."""
        video = loaded.measured.video
        key = key_of(loaded.sha256, video.text, video.no_text, metric_class(name).columns)
        arrays = self._cached(name, self._fingerprints[name], key, loaded.measured)
        if arrays is not None:
            loaded.measured.arrays[name] = arrays
        return arrays is not None or name in loaded.measured.failures

    def _cached(self, name: str, mark: str, key: str, measured: Measured) -> Arrays | None:
        try:
            return self.cache.get(name, mark, key)
        except Unscorable as reason:
            measured.failures[name] = str(reason)
            return None

    @property
    def _facts_fingerprint(self) -> str:
        return fingerprint(max_seconds=self.settings.max_seconds)

    def _fingerprint(self, name: str) -> str:
        kind = metric_class(name)
        return fingerprint(
            revision=kind.revision,
            networks=f"{self.suite.name}:{self.suite.revision(name)}",
            max_seconds=self.settings.max_seconds,
            **kind.depends_on(self.settings),
        )
