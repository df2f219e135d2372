"""Black bars of a film, shot by shot, from where the picture begins in a few frames a second (`demix.media.edges`).

A bar is told from darkness by its edge: it is straight over most of its length, in the same place in frames and shots
that show different things, and alike on both sides. What the film's lit shots agree on holds for its dark shots, as
long as nothing of theirs lies outside. In doubt there is no bar.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

import numpy as np

from demix.records import Bars, VideoStream

SEGMENTS = 8
"""Parts of the picture's first lines whose brightness is noted."""
SIDE = 3 + SEGMENTS
"""Numbers a side: lines up to the edge (`NOWHERE`: none was found), how much more of the length of a line shows
something inside the edge than outside of it (percent), the bar's grey level, and the grey levels of the segments."""
LOOK = 2 + 4 * SIDE
"""Numbers a frame: width and height as stored, and its sides: top, bottom, left, right."""
NOWHERE = 32767
NO_LOOKS = np.zeros((0, 1 + LOOK), np.int64)

_SHARP = 50
"""Percent of its length over which the edge of a bar must be seen."""
_NEAR = 2
"""Lines by which the edges of one bar may differ from frame to frame."""
_OUTLIERS = 0.05
"""Share of a shot's frames that may show something in a bar."""
_EQUAL, _EQUAL_SHARE = 4, 0.1
"""Lines, and share of the larger one, by which the bars of two sides may differ."""
_CHANGE = 0.1
"""Change of a segment's share of its line's brightness from which what is beside a bar is taken to move."""
_VARIETY = 0.5
"""The same along the line from which a picture is beside the bar, and not a card."""
_MOST = 0.5
"""Share of a film's shots with the same bars from which it is enough that they are alike on both sides."""
_SOME = 0.15
"""The same for bars that only some of the shots have."""
_NEARLY_ALL, _LEAST = 0.7, 0.3
"""The same for unequal bars, of which the smaller one must have this share of the larger one."""
_LIGHT = 12
"""Grey levels above the bar's from which a line's pattern of brightness is one."""
_RATIOS = (9 / 16, 1, 4 / 3, 1.375, 5 / 3, 16 / 9, 1.85, 2, 2.2, 2.35, 2.39, 2.4, 2.76)
"""Widths over heights that films have."""
_RATIO = 0.008
"""By how much a picture may miss one of them."""

Pair = tuple[int, int]
"""Lines of the bars of two opposite sides."""


@dataclass(frozen=True)
class _Side:
    """What the frames of a shot show of one side."""

    outer: int = NOWHERE
    """Lines that are free of the picture in nearly all frames."""
    vote: int | None = None
    """Where the bar's edge is clearly seen; 0: there is none; None: too dark to tell."""
    patterns: np.ndarray = field(default_factory=lambda: np.zeros((0, SEGMENTS)))
    """How brightness is spread along the edge, in the frames where it is seen."""


@dataclass(frozen=True)
class _Candidate:
    pair: Pair
    shots: int = 0
    moves: bool = False
    """Whether what is beside the bars changes, other than by a fade: titles and drawn frames do not."""
    varies: bool = False
    """Whether it is not the same all along the edge, either."""

    def fits(self, shot: tuple[_Side, _Side]) -> bool:
        """Whether nothing of a shot lies in these bars."""
        return all(side.outer >= bar - _NEAR - 1 for side, bar in zip(shot, self.pair, strict=True))

    def seen_in(self, shot: tuple[_Side, _Side]) -> bool:
        """Whether a shot shows the edges of these bars: one clearly, unless the other one is elsewhere, or both."""
        sides = list(zip(shot, self.pair, strict=True))
        clear = [abs(side.vote - bar) <= _NEAR for side, bar in sides if side.vote is not None]
        both = all(abs(side.outer - bar) <= _NEAR for side, bar in sides)
        return all(clear) and (bool(clear) or both) and self.fits(shot)


def bars_of(looks: np.ndarray, spans: Sequence[tuple[int, int]], video: VideoStream) -> list[Bars]:
    """The bars of each of the shots `spans`, [start, end) in pts. `looks` is int64 (frames, 1 + LOOK), the pts first,
    in any order, and may hold a frame twice: the earlier row counts."""
    _, places = np.unique(looks[:, 0], return_index=True)
    looks = looks[places]
    sizes = np.unique(looks[:, 1:3], axis=0)
    if len(sizes) != 1:  # of film that changes its size within, lines of one frame mean nothing in another
        return [_shown((0, 0, 0, 0), (1, 1), video) for _ in spans]
    width, height = sizes[0].tolist()
    sides = looks[:, 3:].reshape(-1, 4, SIDE)
    begins, ends = (np.searchsorted(looks[:, 0], [span[which] for span in spans]) for which in (0, 1))
    shots = [[_side(sides[begin:end, side]) for side in range(4)] for begin, end in zip(begins, ends, strict=True)]
    shape = _pixel_shape(video, width, height)
    rows = _pairs([(shot[0], shot[1]) for shot in shots], lambda rest: Fraction(width, rest) * shape, height)
    columns = _pairs([(shot[2], shot[3]) for shot in shots], lambda rest: Fraction(rest, height) * shape, width)
    return [_shown((*row, *column), (width, height), video) for row, column in zip(rows, columns, strict=True)]


def bars_of_film(shots: Sequence[Bars]) -> Bars | None:
    """What the bars of all shots have in common; None without shots."""
    if not shots:
        return None
    if len(set(shots)) == 1:
        return shots[0]
    least = {side: min(getattr(bars, side) for bars in shots) for side in ("left", "top", "right", "bottom")}
    return Bars(kind="changing", **least)


def _side(frames: np.ndarray) -> _Side:
    """`frames` is int64 (frames, SIDE)."""
    if not len(frames):
        return _Side()
    edges = np.sort(frames[:, 0])
    outer = int(edges[0 if len(edges) < 4 else max(2, ceil(_OUTLIERS * len(edges))) - 1])
    if not outer:
        return _Side(0, 0)
    clear = frames[(frames[:, 1] >= _SHARP) & (np.abs(frames[:, 0] - outer) <= _NEAR)]
    if len(clear) < min(2, len(frames)):
        return _Side(outer)
    light = np.maximum(clear[:, 3:] - clear[:, 2:3], 0.0)
    light = light[light.mean(axis=1) >= _LIGHT]
    return _Side(outer, int(np.median(clear[:, 0])), light / light.sum(axis=1, keepdims=True))


def _pairs(shots: Sequence[tuple[_Side, _Side]], ratio: Callable[[int], Fraction], length: int) -> list[Pair]:
    """The bars of two opposite sides in every shot; `ratio` is that of the picture with so many lines left."""
    found = [one for one in _candidates(shots) if _believed(one, len(shots), float(ratio(length - sum(one.pair))))]
    known = [_decided(shot, found) for shot in shots]
    settled = {pair for pair in known if pair is not None}
    pairs: list[Pair] = []
    for place, (pair, shot) in enumerate(zip(known, shots, strict=True)):
        if pair is None:
            # A dark shot is as the film is, or as the shots around it are.
            around = settled if len(settled) == 1 else _around(known, place)
            fitting = [one.pair for one in found if one.fits(shot) and {one.pair} == around]
            pair = fitting[0] if fitting else (0, 0)
        pairs.append(pair)
    return pairs


def _candidates(shots: Sequence[tuple[_Side, _Side]]) -> list[_Candidate]:
    """Pairs of bars that are clearly seen in some shot, the most frequent first."""
    seen = [shot for shot in shots if shot[0].vote is not None and shot[1].vote is not None]
    votes = Counter((one.vote or 0, other.vote or 0) for one, other in seen if one.vote or other.vote)
    found: list[_Candidate] = []
    for pair, _ in votes.most_common():
        if any(max(abs(pair[0] - one.pair[0]), abs(pair[1] - one.pair[1])) <= _NEAR for one in found):
            continue
        mine = [shot for shot in shots if _Candidate(pair).seen_in(shot)]
        clear = [shot for shot in mine if None not in (shot[0].vote, shot[1].vote)]
        middle = (int(np.median([shot[0].vote for shot in clear])), int(np.median([shot[1].vote for shot in clear])))
        found.append(_Candidate(middle, len(mine), *_moves(mine)))
    return found


def _moves(shots: Sequence[tuple[_Side, _Side]]) -> tuple[bool, bool]:
    """Whether what is beside the bars moves, and whether it varies."""
    changes, variety = 0, 0.0
    for side in range(2):
        patterns = np.concatenate([shot[side].patterns for shot in shots])
        if len(patterns):
            changes += int((np.ptp(patterns, axis=0) * SEGMENTS >= _CHANGE).sum())
            variety = max(variety, float(np.median(np.ptp(patterns, axis=1))) * SEGMENTS)
    return changes >= 2, variety >= _VARIETY


def _believed(one: _Candidate, shots: int, ratio: float) -> bool:
    """Whether these are bars, rather than what a few shots happen to show."""
    first, last = one.pair
    share = one.shots / shots
    common = any(abs(ratio / known - 1) <= _RATIO for known in _RATIOS)
    if abs(first - last) > max(_EQUAL, _EQUAL_SHARE * max(first, last)):
        return one.moves and one.shots >= 3 and share >= _NEARLY_ALL and min(one.pair) >= _LEAST * max(one.pair)
    if share >= _MOST:
        return one.moves or (one.varies and abs(first - last) <= _NEAR)
    if one.shots >= 2 and share >= _SOME and one.moves:
        return True
    return (one.moves or one.varies) and common and abs(first - last) <= _NEAR


def _decided(shot: tuple[_Side, _Side], found: Sequence[_Candidate]) -> Pair | None:
    """The bars that a shot itself shows; None where it is too dark to tell, or has straight edges further inside."""
    for one in found:
        if one.seen_in(shot):
            return one.pair
    dark = any(side.outer for side in shot) and any(one.fits(shot) for one in found)
    unclear = all(side.vote is None or side.vote for side in shot) and any(side.vote is None for side in shot)
    return None if dark or unclear else (0, 0)


def _around(known: Sequence[Pair | None], place: int) -> set[Pair]:
    """The bars of the nearest shots before and after that show theirs."""
    before = next((pair for pair in reversed(known[:place]) if pair is not None), None)
    after = next((pair for pair in known[place + 1 :] if pair is not None), None)
    return {pair for pair in (before, after) if pair is not None}


def _pixel_shape(video: VideoStream, width: int, height: int) -> Fraction:
    """Width of a stored pixel over its height."""
    shown = (video.height, video.width) if video.rotation in (90, 270) else (video.width, video.height)
    return Fraction(shown[0] * height, shown[1] * width)


def _shown(lines: tuple[int, int, int, int], size: tuple[int, int], video: VideoStream) -> Bars:
    """Bars as displayed, of lines at the top, bottom, left and right of a frame that is stored in this size."""
    width, height = (video.height, video.width) if video.rotation in (90, 270) else (video.width, video.height)
    top, bottom = (round(line * Fraction(height, size[1])) for line in lines[:2])
    left, right = (round(line * Fraction(width, size[0])) for line in lines[2:])
    if video.mirrored:
        left, right = right, left
    clockwise = [top, right, bottom, left]
    turned = [clockwise[(side - video.rotation // 90) % 4] for side in range(4)]
    return Bars.of(left=turned[3], top=turned[0], right=turned[1], bottom=turned[2])
