"""Where the picture of a frame begins on each of its four sides: the child's part of finding black bars.

From each border inwards lines are looked at until one shows something on a quarter of its length. Ordinary film ends
that with the first few lines. `demix.media.bars` decides what the edges of many frames mean.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from demix.media.bars import LOOK, NOWHERE, SEGMENTS, SIDE
from demix.media.container import frame_pts
from demix.media.errors import MediaError

_DIRT = 3
"""Lines at the border that may show anything: blanking, and the encoder's frills."""
_BLOCK = 16
"""Lines looked at together."""
_DEEPEST = 0.45
"""Share of the frame within which an edge is looked for; a phone's picture in a wide film has bars of 0.34."""
_BLACKEST = 20
"""Grey levels above black from which a border is no bar."""
_STEP = 10
"""Grey levels by which a pixel must differ from the bar's."""
_COVERED = 0.25
"""Share of a line that must differ for it to be of the picture. Subtitles cover less."""
_TEXT = 0.6
"""Share of a line that text covers at most."""
_TEXT_HEIGHT = 0.12
"""Share of the frame that two lines of it are high."""
_GAP, _EMPTY = 3, 0.04
"""Lines of which less than this differs, behind something in a bar."""
_SMEAR, _BRIGHT = 3, 0.4
"""Lines within which the picture begins, and the share of the brightness behind them that its first line has."""
_SAMPLES = 480
"""Pixels of a line that are looked at, about."""

_Lines = Callable[[int, int], np.ndarray]
"""uint8 (lines, pixels) of the lines [first, stop), counted from a border inwards."""


Noted = list[tuple[int, np.ndarray]]
"""pts on the film's time line, and what was seen of the frame; see `look`."""


class Looking:
    """Notes the edges of a few frames a second, of whatever frames pass by in whatever order and division. `shift` is
    added to their times."""

    def __init__(self, container: Any, stream: Any, per_second: float, noted: Noted, shift: int = 0):
        self._container, self._noted, self._shift = container, noted, shift
        tick = Fraction(stream.time_base)
        self._every = 1 / (Fraction(str(per_second)) * tick)
        self._frame = 1 / (Fraction(stream.average_rate or stream.guessed_rate or 25) * tick)

    def see(self, frame: VideoFrame) -> None:
        """Which frames are looked at depends on nothing but their times."""
        try:
            pts = frame_pts(self._container, frame)
        except MediaError:
            return
        if pts // self._every != (pts - self._frame) // self._every:
            self._noted.append((pts + self._shift, look(frame)))


def taken(noted: Noted, begin: int | None) -> np.ndarray:
    """What was noted since the last call, of frames from `begin` on: int64 (frames, 1 + LOOK), the pts first."""
    rows = [(pts, *seen) for pts, seen in noted if begin is None or pts >= begin]
    noted.clear()
    return np.array(rows, np.int64).reshape(-1, 1 + LOOK)


def look(frame: VideoFrame) -> np.ndarray:
    """int16 (LOOK,): the edges of a frame as stored."""
    luma, shift, black = _luma(frame)
    height, width = luma.shape
    rows, columns = (0, height), (0, width)
    top, bottom = _across(luma, shift, black, columns, text=True)
    for _ in range(2):
        rows = _between(top, bottom, height)
        left, right = _across(luma.T, shift, black, rows)
        if columns == (columns := _between(left, right, width)):
            break
        # Bars at the sides are no part of the length of a line.
        top, bottom = _across(luma, shift, black, columns, text=True)
    return np.array([width, height, *top, *bottom, *left, *right]).astype(np.int16)


def _luma(frame: VideoFrame) -> tuple[np.ndarray, int, int]:
    """Luma as stored (height, width), the bits by which it is deeper than 8, and the grey level of black."""
    name, bits = frame.format.name, frame.format.components[0].bits
    full = name.startswith("yuvj") or frame.color_range == ColorRange.JPEG
    black = 0 if full else 16
    if name.startswith(("yuv4", "yuvj4", "nv", "gray")) and not name.endswith("be") and bits <= 16:
        plane, size = frame.planes[0], 1 if bits == 8 else 2
        shape = frame.height, frame.width
        return np.ndarray(shape, f"u{size}", memoryview(plane), strides=(plane.line_size, size)), bits - 8, black
    return frame.to_ndarray(format="gray"), 0, 16


def _between(first: list[int], last: list[int], length: int) -> tuple[int, int]:
    """The lines between two edges; those in the middle where one is missing."""
    if NOWHERE in (first[0], last[0]):
        return length * 7 // 16, length * 9 // 16 + 1
    return first[0], length - last[0]


def _across(
    luma: np.ndarray, shift: int, black: int, along: tuple[int, int], text: bool = False
) -> tuple[list[int], list[int]]:
    """What the first and the last rows of an array show, as far as they lie within the columns `along`."""
    length = len(luma)
    part = luma[:, along[0] : along[1] : max(1, (along[1] - along[0]) // _SAMPLES)]

    def first(begin: int, stop: int) -> np.ndarray:
        return _bytes(part[begin:stop], shift)

    def last(begin: int, stop: int) -> np.ndarray:
        return _bytes(part[max(0, length - stop) : length - begin][::-1], shift)

    return _side(first, length, black, text), _side(last, length, black, text)


def _bytes(rows: np.ndarray, shift: int) -> np.ndarray:
    return (rows >> shift if shift else rows).astype(np.int16)


def _side(lines: _Lines, length: int, black: int, text: bool) -> list[int]:
    """The numbers of one side; see `SIDE`. `text`: whether there may be some in a bar."""
    if length < 2 * _BLOCK:
        return [0] * SIDE
    level = int(np.median(lines(_DIRT, _DIRT + 4)))
    if level > black + _BLACKEST:
        return [0, 0, level, *[0] * SEGMENTS]
    covered, passed = np.zeros(0), _DIRT
    while passed < length * _DEEPEST:
        while len(covered) <= passed:
            covered = np.concatenate([covered, _covered(lines(len(covered), len(covered) + _BLOCK), level)])
        hits = np.flatnonzero(covered[passed:] >= _COVERED)
        if not len(hits):
            passed = len(covered)
            continue
        edge = passed + int(hits[0])
        passed = _behind_text(lines, edge, level, length) if text and edge > _DIRT else edge
        if passed == edge:
            return _edge(lines, covered, edge, level)
    return [NOWHERE, 0, level, *[0] * SEGMENTS]


def _behind_text(lines: _Lines, edge: int, level: int, length: int) -> int:
    """Where a bar goes on behind text in it; `edge` itself where the picture begins there."""
    covered = _covered(lines(edge, edge + round(_TEXT_HEIGHT * length) + _GAP), level)
    empty = np.convolve(covered < _EMPTY, np.ones(_GAP), "valid") == _GAP
    end = int(np.argmax(empty)) if empty.any() else 0
    return edge + end if covered[:end].max(initial=1.0 if not end else 0.0) < _TEXT else edge


def _covered(lines: np.ndarray, level: int) -> np.ndarray:
    """Share of each line that differs from the bar."""
    return (np.abs(lines - level) > _STEP).mean(axis=1)


def _edge(lines: _Lines, covered: np.ndarray, edge: int, level: int) -> list[int]:
    bright = np.abs(lines(edge, edge + 8) - level).mean(axis=1)
    # An encoder smears the edge: the picture begins where it is about as bright as behind.
    clear = bright[:_SMEAR] >= _BRIGHT * bright[_SMEAR:].mean()
    edge += int(np.argmax(clear)) if edge > _DIRT else 0
    inside = lines(edge + 1, edge + 5)
    outside = covered[max(_DIRT, edge - 3) : edge - 1]
    step = _covered(inside, level).mean() - (outside.mean() if len(outside) else 0.0)
    segments = [int(part.mean()) for part in np.array_split(inside, SEGMENTS, axis=1)]
    return [0 if edge == _DIRT else edge, max(0, round(100 * step)), level, *segments]
