"""Finds fades and dissolves by what they are: a dissolve is a weighted mean of two pictures, a fade scales one.

Dissolve: frame m is tested against the frames s and e equally far before and behind. In a dissolve between two shots
f(m) = a f(s) + b f(e) with a, b near one half, everywhere in the picture, although f(s) and f(e) have little in common.
A moving camera also ends in another picture, but its way there is not their mean; a title or a lamp is a mean, but
leaves most of the picture, or its structure, as it was. The idea of testing the production model rather than frame
differences is that of Hampapur, Jain and Weymouth, "Production model based digital video segmentation" (1995); the
regression on tiny pictures is ours. All products of frames come from one matrix product per chunk of frames.

Fade: the contrast of the picture sinks to nothing (to any one colour) or to a small share of both sides'.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from demix.lazy_module import lazy_module
from demix.models.shots.settings import GradualSettings
from demix.models.shots.tiny import Tiny, centred, joined, products

cv2: Any = lazy_module("cv2")

Span = tuple[int, int]
"""[first, last] frame."""

_RATE = 30.0
"""Frames a second that are looked at; every second frame of a 60 Hz film and so on."""
_CHUNK = 256
_LADDER = (0.11, 0.16, 0.25, 0.36, 0.52, 0.75, 1.0)
"""Shares of `longest_seconds` over which frames are compared. A dissolve shows best over its own length."""
_CONTRAST = 4.0
"""Least contrast of both ends of a dissolve: below it noise decides."""
_CONTRAST_WEIGHT = 0.4
"""How much surplus contrast in the middle counts against a dissolve."""
_ALIKE = 0.5
"""Two shots correlate less than this; a shot before and behind a title, or a slow change of light, more."""
_SHORTEST = 5
"""Frames from the first to the last of a dissolve, margins included, at least; less is a cut with a blended frame."""
_WALK_SECONDS = 4.0
"""Longest half of a fade."""


class Looked(NamedTuple):
    """What the finder has seen of some consecutive frames, of which it looks at every `step`-th."""

    contrast: np.ndarray
    """float64 (frames looked at,): standard deviation of each, 0..128."""
    hits: np.ndarray
    """float64 (hits, 4): windows that look like a dissolve, as (first frame of the window, evidence, first and last
    frame of the dissolve); frames looked at are counted, from 0."""


def steps(rate: float) -> int:
    """Every how many frames the finder looks at one."""
    return max(1, round(rate / _RATE))


def lengths(settings: GradualSettings, rate: float) -> list[int]:
    """Lengths of the windows, ascending, in frames looked at."""
    looked = rate / steps(rate)
    return sorted({2 * max(4, round(share * settings.longest_seconds * looked / 2)) for share in _LADDER})


class GradualFinder:
    """Takes tiny pictures (`demix.models.shots.tiny`), a block at a time; holds a few seconds of them and one number a
    frame. `first` is the number of the first frame in the film."""

    def __init__(self, settings: GradualSettings, rate: float, first: int = 0):
        self._settings = settings
        self._rate = rate
        self._step = steps(rate)
        self._lengths = lengths(settings, rate)
        self._tiny: list[Tiny] = []
        self._begin = 0
        self._seen = first
        self._contrast: list[np.ndarray] = [np.zeros(0)]
        self._hits: list[_Hit] = []
        self._blas = ThreadpoolController()

    def add(self, tiny: Tiny) -> None:
        """`tiny` are the `tiny_pictures` of the next frames in display order."""
        if self._settings.enabled:
            self._tiny.append(tiny[-self._seen % self._step :: self._step])
            if sum(map(len, self._tiny)) >= _CHUNK + self._lengths[-1]:
                self._search(keep=self._lengths[-1])
        self._seen += len(tiny)

    def looked(self) -> Looked:
        """All that was seen; call it once, after the last frame."""
        if self._tiny:
            self._search(keep=0)
        return Looked(np.concatenate(self._contrast), np.asarray(self._hits, np.float64).reshape(-1, len(_Hit._fields)))

    def spans(self) -> list[Span]:
        """Every fade and dissolve of a film that was seen from its first frame; instead of `looked`."""
        return spans(self.looked(), self._seen, self._rate, self._settings)

    def _search(self, keep: int) -> None:
        """Tests all windows within the buffer, then forgets all but the last frames, which a later window can reach."""
        pictures = joined(self._tiny)
        with self._blas.limit(limits=1, user_api="blas"):  # waiting threads would cost more than the product does
            inner = products(pictures)
        for length in self._lengths:
            self._hits += _dissolves(pictures.values, inner, length, self._begin, self._settings)
        done = len(pictures) - keep
        self._contrast.append(np.sqrt(np.maximum(inner.diagonal()[:done], 0)))
        self._begin += done
        self._tiny = [pictures[done:]]


def spans(looked: Looked, frames: int, rate: float, settings: GradualSettings) -> list[Span]:
    """Every fade and dissolve of a film of so many frames, in order, disjoint."""
    if not len(looked.contrast):
        return []
    step = steps(rate)
    hits = [_Hit(int(start), evidence, int(first), int(last)) for start, evidence, first, last in looked.hits.tolist()]
    found = _clusters(hits) + _fades(looked.contrast, rate / step, settings)
    return _merged([(first * step, min(end * step + step - 1, frames - 1)) for first, end in found])


def _fades(contrast: np.ndarray, rate: float, settings: GradualSettings) -> list[Span]:
    """Blank runs and deep dips of contrast, each widened by the fades that lead there and back."""
    around = round(rate)
    limit = np.full(len(contrast), settings.blank_contrast)
    for k in np.flatnonzero(_local_minima(contrast)):
        sides = contrast[max(0, k - around) : k + 1].max(), contrast[k : k + around + 1].max()
        limit[k] = max(limit[k], settings.dip_share * min(sides))
    found = []
    longest, ahead = round(_WALK_SECONDS * rate), max(2, round(rate / 4))
    for first, last in _runs(contrast < limit):
        before = _walk(contrast[max(0, first - longest) : first + 1][::-1], ahead)
        after = _walk(contrast[last : last + longest + 1], ahead)
        if last - first + before + after >= 2:
            found.append((first - before, last + after))
    return found


class _Hit(NamedTuple):
    start: int
    evidence: float
    first: int
    last: int


class _Fit(NamedTuple):
    old: np.ndarray
    """Weight of the earlier picture."""
    new: np.ndarray
    explained: np.ndarray
    """Share of the frame's energy that the weighted mean explains, 0..1."""


def _fit(inner: np.ndarray, start: np.ndarray, end: np.ndarray, frame: np.ndarray) -> _Fit:
    """Least squares f(frame) = old f(start) + new f(end), from inner products alone."""
    aa, bb, ab = inner[start, start], inner[end, end], inner[start, end]
    fa, fb, ff = inner[frame, start], inner[frame, end], inner[frame, frame]
    determinant = np.maximum(aa * bb - ab * ab, 1e-3)
    old, new = (fa * bb - fb * ab) / determinant, (fb * aa - fa * ab) / determinant
    return _Fit(old, new, (old * fa + new * fb) / np.maximum(ff, 1e-3))


def _dissolves(
    pictures: np.ndarray, inner: np.ndarray, length: int, begin: int, settings: GradualSettings
) -> list[_Hit]:
    """Windows of `length` frames that look like a dissolve; frames are counted from `begin`."""
    half = length // 2
    middle = np.arange(half, len(pictures) - half)
    start, end = middle - half, middle + half
    energy = inner.diagonal()
    alike = inner[start, end] / np.sqrt(np.maximum(energy[start] * energy[end], 1e-3))
    fits = [_fit(inner, start, end, middle + offset) for offset in (-half // 2, 0, half // 2)]
    centre = fits[1]
    evidence = np.min([fit.explained for fit in fits], axis=0) - np.maximum(alike, 0)
    evidence -= np.abs(centre.old + centre.new - 1) + 0.5 * np.abs(centre.old - centre.new)
    # The mean of two pictures has less contrast than either; a picture that the camera passes on its way has not.
    mean = (energy[start] + energy[end] + 2 * inner[start, end]) / 4
    evidence -= _CONTRAST_WEIGHT * np.maximum(energy[middle] / np.maximum(mean, 1e-3) - 1, 0)
    telling = (np.minimum(energy[start], energy[end]) > _CONTRAST**2) & (alike < _ALIKE)
    hits = []
    for i in np.flatnonzero(telling & (evidence >= settings.dissolve_evidence)):
        change = np.abs(centred(pictures[start[i]] - pictures[end[i]]))
        if change.mean() ** 2 < settings.spread * (change**2).mean():
            continue
        first, last = _extent(inner, int(start[i]), int(end[i]))
        # A hard cut beside the middle also leaves a mean now and then, but an abrupt or lopsided way to it.
        if last - first < _SHORTEST or abs(first + last - 2 * middle[i]) > half:
            continue
        hits.append(_Hit(begin + int(start[i]), float(evidence[i]), begin + first, begin + last))
    return hits


def _extent(inner: np.ndarray, start: int, end: int) -> Span:
    """First and last mixed frame, and one more each: the line through the weights .2 and .8, prolonged."""
    frames = np.arange(start, end + 1)
    new = _fit(inner, np.full_like(frames, start), np.full_like(frames, end), frames).new
    early = int(np.flatnonzero(new < 0.2)[-1]) if (new < 0.2).any() else 0
    late = early + int(np.argmax(new[early:] > 0.8))
    tail = (late - early) / 3  # from .2 to .8 is three fifths of the way
    return max(start, start + round(early - tail) - 1), min(end, start + round(late + tail) + 1)


def _clusters(hits: list[_Hit]) -> list[Span]:
    """One span for each group of overlapping hits: the union of its best ones."""
    spans: list[Span] = []
    group: list[_Hit] = []
    reach = -1
    for hit in [*sorted(hits, key=lambda hit: hit.first), None]:
        if group and (hit is None or hit.first > reach):
            best = max(member.evidence for member in group)
            good = [member for member in group if member.evidence >= best - 0.15]
            spans.append((min(member.first for member in good), max(member.last for member in good)))
            group = []
        if hit is not None:
            group.append(hit)
            reach = max(reach, hit.last) if len(group) > 1 else hit.last
    return spans


def _local_minima(values: np.ndarray) -> np.ndarray:
    padded = np.concatenate([[np.inf], values, [np.inf]])
    return (values <= padded[:-2]) & (values <= padded[2:])


def _runs(mask: np.ndarray) -> list[Span]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


def _walk(contrast: np.ndarray, ahead: int) -> int:
    """Frames from the blank one (index 0) until contrast stops rising by 6 % within `ahead` frames: a fade's length."""
    k = 0
    while k + 1 < len(contrast) and contrast[k + 1 : k + 1 + ahead].max() > 1.06 * contrast[k] + 0.1:
        k += 1
    return k if k > 2 else 0  # one or two frames are a cut to or from black


def _merged(spans: list[Span]) -> list[Span]:
    """Sorted, with spans that overlap or touch put together."""
    merged: list[Span] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged
