"""Shots by PySceneDetect's AdaptiveDetector (hard cuts) and a finder of fades and dissolves, on the same pictures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from demix.lazy_module import lazy_module
from demix.models.shots import Boundaries
from demix.models.shots.gradual import GradualFinder, tiny_pictures
from demix.models.shots.settings import AdaptiveSettings, GradualSettings, StructureSettings
from demix.models.shots.structure import StructureJudge

if TYPE_CHECKING:
    from demix.models.shots.content import BlockDetector

cv2: Any = lazy_module("cv2")

_BLOCK = 8
"""Pictures looked at together: most of the cost of one alone is that of calling, and many leave the caches."""


class AdaptiveShots:
    """A `ShotDetector`. A cut that falls into a fade or dissolve is a part of it, not a cut of its own."""

    name: ClassVar[str] = "adaptive"
    revision: ClassVar[str] = "3"
    licence: ClassVar[str] = "BSD-3-Clause (PySceneDetect)"

    def __init__(self, adaptive: AdaptiveSettings, structure: StructureSettings, gradual: GradualSettings):
        self._adaptive = adaptive
        self._structure = structure
        self._gradual = gradual
        cv2.setNumThreads(1)  # pictures are too small to share out

    def detect(self, frames: Iterator[tuple[int, np.ndarray]], rate: float) -> Boundaries:
        """See `ShotDetector`. Holds a few seconds of tiny pictures, and a few numbers a frame."""
        detector = self._detector(rate)
        judge = StructureJudge(self._structure)
        finder = GradualFinder(self._gradual, rate)
        pts: list[int] = []
        proposed: list[int] = []
        while block := list(islice(frames, _BLOCK)):
            pts += [time for time, _ in block]
            pictures = np.stack([picture for _, picture in block])
            proposed += detector.cuts(pictures)
            if self._structure.enabled or self._gradual.enabled:
                tiny = tiny_pictures(pictures)
                judge.add(tiny)
                finder.add(tiny)
        spans = finder.spans()
        cuts = [cut for cut in judge.cuts(proposed) if not any(first <= cut <= last + 1 for first, last in spans)]
        return Boundaries(frames=len(pts), pts=tuple(pts), cuts=tuple(cuts), graduals=tuple(spans))

    def _detector(self, rate: float) -> BlockDetector:
        from scenedetect.detectors import ContentDetector

        from demix.models.shots.content import BlockDetector

        settings = self._adaptive
        return BlockDetector(
            rate,
            adaptive_threshold=settings.adaptive_threshold,
            min_scene_len=round(settings.min_scene_seconds * rate),
            window_width=settings.window_frames,
            min_content_val=settings.min_content,
            weights=ContentDetector.Components(
                delta_hue=settings.weight_hue,
                delta_sat=settings.weight_saturation,
                delta_lum=settings.weight_brightness,
                delta_edges=settings.weight_edges,
            ),
            luma_only=False,
            kernel_size=settings.edge_kernel,
        )
