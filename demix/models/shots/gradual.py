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

cv2: Any = lazy_module("cv2")

Span = tuple[int, int]
"""[first, last] frame."""

_SIZE = (32, 18)
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


def tiny_pictures(pictures: np.ndarray) -> np.ndarray:
    """uint8 BGR (frames, height, width, 3) as float32 (frames, values): 32 x 18 pixels each in a row, every colour's
    mean taken off."""
    small = np.stack([cv2.resize(picture, _SIZE, interpolation=cv2.INTER_AREA) for picture in pictures])
    tiny = small.reshape(len(pictures), -1, 3).astype(np.float32)  # (frames, pixels, colours)
    tiny -= tiny.mean(axis=1, keepdims=True)
    return tiny.reshape(len(pictures), -1)


class GradualFinder:
    """Takes tiny pictures, a block at a time; holds a few seconds of them and one number a frame."""

    def __init__(self, settings: GradualSettings, rate: float):
        self._settings = settings
        self._step = max(1, round(rate / _RATE))
        self._rate = rate / self._step
        lengths = {2 * max(4, round(share * settings.longest_seconds * self._rate / 2)) for share in _LADDER}
        self._lengths = sorted(lengths)
        self._tiny: list[np.ndarray] = []
        self._begin = 0
        self._seen = 0
        self._contrast: list[float] = []
        self._hits: list[_Hit] = []
        self._blas = ThreadpoolController()

    def add(self, tiny: np.ndarray) -> None:
        """`tiny` are the `tiny_pictures` of the next frames in display order."""
        if self._settings.enabled:
            self._tiny.append(tiny[-self._seen % self._step :: self._step])
            if sum(map(len, self._tiny)) >= _CHUNK + self._lengths[-1]:
                self._search(keep=self._lengths[-1])
        self._seen += len(tiny)

    def spans(self) -> list[Span]:
        """Every fade and dissolve, in order, disjoint; call it once, after the last frame."""
        if not self._tiny:
            return []
        self._search(keep=0)
        found = _clusters(self._hits) + self._fades(np.asarray(self._contrast))
        last = self._seen - 1
        return _merged([(first * self._step, min(end * self._step + self._step - 1, last)) for first, end in found])

    def _search(self, keep: int) -> None:
        """Tests all windows within the buffer, then forgets all but the last frames, which a later window can reach."""
        pictures = np.concatenate(self._tiny)
        with self._blas.limit(limits=1, user_api="blas"):  # waiting threads would cost more than the product does
            products = pictures @ pictures.T / pictures.shape[1]
        for length in self._lengths:
            self._hits += _dissolves(pictures, products, length, self._begin, self._settings)
        done = len(pictures) - keep
        self._contrast += np.sqrt(products.diagonal()[:done]).tolist()
        self._begin += done
        self._tiny = [pictures[done:]]

    def _fades(self, contrast: np.ndarray) -> list[Span]:
        """Blank runs and deep dips of contrast, each widened by the fades that lead there and back."""
        around = round(self._rate)
        limit = np.full(len(contrast), self._settings.blank_contrast)
        for k in np.flatnonzero(_local_minima(contrast)):
            sides = contrast[max(0, k - around) : k + 1].max(), contrast[k : k + around + 1].max()
            limit[k] = max(limit[k], self._settings.dip_share * min(sides))
        found = []
        longest, ahead = round(_WALK_SECONDS * self._rate), max(2, round(self._rate / 4))
        for first, last in _runs(contrast < limit):
            before = _walk(contrast[max(0, first - longest) : first + 1][::-1], ahead)
            after = _walk(contrast[last : last + longest + 1], ahead)
            if last - first + before + after >= 2:
                found.append((first - before, last + after))
        return found


class _Hit(NamedTuple):
    middle: int
    evidence: float
    first: int
    last: int


class _Fit(NamedTuple):
    old: np.ndarray
    """Weight of the earlier picture."""
    new: np.ndarray
    explained: np.ndarray
    """Share of the frame's energy that the weighted mean explains, 0..1."""


def _fit(products: np.ndarray, start: np.ndarray, end: np.ndarray, frame: np.ndarray) -> _Fit:
    """Least squares f(frame) = old f(start) + new f(end), from inner products alone."""
    aa, bb, ab = products[start, start], products[end, end], products[start, end]
    fa, fb, ff = products[frame, start], products[frame, end], products[frame, frame]
    determinant = np.maximum(aa * bb - ab * ab, 1e-3)
    old, new = (fa * bb - fb * ab) / determinant, (fb * aa - fa * ab) / determinant
    return _Fit(old, new, (old * fa + new * fb) / np.maximum(ff, 1e-3))


def _dissolves(
    pictures: np.ndarray, products: np.ndarray, length: int, begin: int, settings: GradualSettings
) -> list[_Hit]:
    """Windows of `length` frames that look like a dissolve; frames are counted from `begin`."""
    half = length // 2
    middle = np.arange(half, len(pictures) - half)
    start, end = middle - half, middle + half
    energy = products.diagonal()
    alike = products[start, end] / np.sqrt(np.maximum(energy[start] * energy[end], 1e-3))
    fits = [_fit(products, start, end, middle + offset) for offset in (-half // 2, 0, half // 2)]
    centre = fits[1]
    evidence = np.min([fit.explained for fit in fits], axis=0) - np.maximum(alike, 0)
    evidence -= np.abs(centre.old + centre.new - 1) + 0.5 * np.abs(centre.old - centre.new)
    # The mean of two pictures has less contrast than either; a picture that the camera passes on its way has not.
    mean = (energy[start] + energy[end] + 2 * products[start, end]) / 4
    evidence -= _CONTRAST_WEIGHT * np.maximum(energy[middle] / np.maximum(mean, 1e-3) - 1, 0)
    telling = (np.minimum(energy[start], energy[end]) > _CONTRAST**2) & (alike < _ALIKE)
    hits = []
    for i in np.flatnonzero(telling & (evidence >= settings.dissolve_evidence)):
        change = np.abs(pictures[start[i]] - pictures[end[i]])
        if change.mean() ** 2 < settings.spread * (change**2).mean():
            continue
        first, last = _extent(products, int(start[i]), int(end[i]))
        # A hard cut beside the middle also leaves a mean now and then, but an abrupt or lopsided way to it.
        if last - first < _SHORTEST or abs(first + last - 2 * middle[i]) > half:
            continue
        hits.append(_Hit(begin + int(middle[i]), float(evidence[i]), begin + first, begin + last))
    return hits


def _extent(products: np.ndarray, start: int, end: int) -> Span:
    """First and last mixed frame, and one more each: the line through the weights .2 and .8, prolonged."""
    frames = np.arange(start, end + 1)
    new = _fit(products, np.full_like(frames, start), np.full_like(frames, end), frames).new
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
