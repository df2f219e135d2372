"""Shots by PySceneDetect's AdaptiveDetector (hard cuts) and a finder of fades and dissolves, on the same pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from scenedetect import FrameTimecode
from scenedetect.detectors import AdaptiveDetector, ContentDetector

from demix.models.shots import Boundaries
from demix.models.shots.gradual import GradualFinder, tiny_picture
from demix.models.shots.settings import AdaptiveSettings, GradualSettings, StructureSettings
from demix.models.shots.structure import StructureJudge


class AdaptiveShots:
    """A `ShotDetector`. A cut that falls into a fade or dissolve is a part of it, not a cut of its own."""

    name: ClassVar[str] = "adaptive"
    revision: ClassVar[str] = "2"
    licence: ClassVar[str] = "BSD-3-Clause (PySceneDetect)"

    def __init__(self, adaptive: AdaptiveSettings, structure: StructureSettings, gradual: GradualSettings):
        self._adaptive = adaptive
        self._structure = structure
        self._gradual = gradual

    def detect(self, frames: Iterator[tuple[int, np.ndarray]], rate: float) -> Boundaries:
        """See `ShotDetector`. Holds a few seconds of tiny pictures, and a few numbers a frame."""
        detector = self._detector(rate)
        judge = StructureJudge(self._structure)
        finder = GradualFinder(self._gradual, rate)
        pts: list[int] = []
        proposed: list[int] = []
        for index, (time, picture) in enumerate(frames):
            # Frames are counted, not timed: the detector's seconds would be floats, and wrong on variable rates.
            proposed += [cut.frame_num for cut in detector.process_frame(FrameTimecode(index, fps=rate), picture)]
            pts.append(time)
            if self._structure.enabled or self._gradual.enabled:
                tiny = tiny_picture(picture)
                judge.add(tiny)
                finder.add(tiny)
        spans = finder.spans()
        cuts = [cut for cut in judge.cuts(proposed) if not any(first <= cut <= last + 1 for first, last in spans)]
        return Boundaries(frames=len(pts), pts=tuple(pts), cuts=tuple(cuts), graduals=tuple(spans))

    def _detector(self, rate: float) -> AdaptiveDetector:
        settings = self._adaptive
        return AdaptiveDetector(
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
