"""Shots by PySceneDetect's AdaptiveDetector (hard cuts) and a finder of fades and dissolves, on the same pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from demix.lazy_module import lazy_module
from demix.models.shots import Boundaries
from demix.models.shots.flashes import REACH, Returns, flashes, steady_change, without_flashes
from demix.models.shots.gradual import GradualFinder, Looked, lengths, spans, steps
from demix.models.shots.measured import SETTLING, Measured, Seams, SpanMeasured, joined
from demix.models.shots.settings import AdaptiveSettings, GradualSettings, StructureSettings
from demix.models.shots.structure import StructureJudge, judged
from demix.models.shots.tiny import tiny_pictures

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
        return self.decide(self.measure(frames, rate), rate)

    def measure(self, frames: Iterable[tuple[int, np.ndarray]], rate: float, first: int = 0) -> Measured:
        """The measures of consecutive frames, of which the first is number `first` of the film. They depend on nothing
        but these frames, to the last bit: those of a film may be put together from those of its spans."""
        detector = self._detector(rate)
        judge, returns = StructureJudge(self._structure), Returns()
        finder = GradualFinder(self._gradual, rate, first)
        remaining = iter(frames)
        pts: list[int] = []
        scores: list[float] = []
        while block := list(islice(remaining, _BLOCK)):
            pts += [time for time, _ in block]
            pictures = np.stack([picture for _, picture in block])
            scores += detector.scores(pictures)
            if self._structure.enabled or self._gradual.enabled:
                tiny = tiny_pictures(pictures)
                judge.add(tiny)
                if self._structure.enabled:
                    returns.add(tiny)
                finder.add(tiny)
        return Measured(
            np.array(pts, np.int64), np.array(scores, np.float64), *judge.seen(), returns.seen(), *finder.looked()
        )

    def decide(self, measured: Measured, rate: float) -> Boundaries:
        """What the measures of a whole film say."""
        frames = len(measured.pts)
        lit = flashes(measured.returns, measured.alike)
        looked, alike, change = Looked(measured.contrast, measured.hits), measured.alike, measured.change
        proposed = self._detector(rate).cuts_of(measured.scores.tolist())
        if lit.any():
            looked = without_flashes(looked, lit, steps(rate))
            alike, change = steady_change(alike, change, measured.returns, lit)
            proposed = [cut for cut in proposed if not (lit[cut] or lit[cut - 1])]
        found = spans(looked, frames, rate, self._gradual)
        cuts = judged(proposed, alike, change, self._structure)
        cuts = [cut for cut in cuts if not any(first <= cut <= last + 1 for first, last in found)]
        return Boundaries(frames=frames, pts=tuple(measured.pts.tolist()), cuts=tuple(cuts), graduals=tuple(found))

    def beyond(self, rate: float) -> int:
        """Frames behind the beginning of the next span that a span must hold for `joined`: the longest window."""
        return SETTLING + REACH + (lengths(self._gradual, rate)[-1] + 1) * steps(rate)

    def joined(self, parts: Sequence[SpanMeasured], rate: float) -> Measured:
        """See `demix.models.shots.measured`."""
        return joined(parts, steps(rate), Seams(self.beyond(rate)))

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
