"""Face tracks: detections on some frames of a single shot, joined into one path per face with a box on every frame.

Pure functions over boxes. A clip holds one shot, so a track can never cross a cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from demix.records import Box, FaceTrack


@dataclass
class _Path:
    frames: list[int] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)

    def append(self, frame: int, box: Box) -> None:
        self.frames.append(frame)
        self.boxes.append(box)


def overlap(a: Box, b: Box) -> float:
    """Intersection over union, 0..1; 0 for empty boxes."""
    width = min(a.x1, b.x1) - max(a.x0, b.x0)
    height = min(a.y1, b.y1) - max(a.y0, b.y0)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a.x1 - a.x0) * (a.y1 - a.y0) + (b.x1 - b.x0) * (b.y1 - b.y0) - shared)


def build_tracks(
    frames: Sequence[int],
    detections: Sequence[Sequence[Box]],
    min_overlap: float = 0.3,
    max_gap: int = 10,
    min_detections: int = 8,
    sure_score: float = 0.0,
) -> tuple[FaceTrack, ...]:
    """Joins `detections[i]`, the boxes on clip frame `frames[i]` (ascending), into tracks.

    A box continues the track that it overlaps most, by at least `min_overlap` with the track's latest box, if that
    was at most `max_gap` frames ago; otherwise it starts a new one. Tracks of fewer than `min_detections` boxes, or
    with no box of at least `sure_score`, are dropped. What is left is interpolated linearly to every frame between
    its first and last detection and sorted by first frame, then from left to right.
    """
    paths: list[_Path] = []
    for frame, boxes in zip(frames, detections, strict=True):
        open_paths = [path for path in paths if frame - path.frames[-1] <= max_gap]
        matched = _match([path.boxes[-1] for path in open_paths], boxes, min_overlap)
        for index, box in enumerate(boxes):
            if index in matched:
                open_paths[matched[index]].append(frame, box)
            else:
                paths.append(_Path([frame], [box]))
    kept = [
        path
        for path in paths
        if len(path.frames) >= min_detections and max(box.score for box in path.boxes) >= sure_score
    ]
    tracks = [_interpolated(path) for path in kept]
    return tuple(sorted(tracks, key=lambda track: (track.frames[0], track.boxes[0].x0, track.boxes[0].y0)))


def boxes_at(tracks: Sequence[FaceTrack], frame: int) -> list[Box]:
    """The box of every track that covers a frame, from left to right."""
    boxes = [track.boxes[frame - track.frames[0]] for track in tracks if track.frames[0] <= frame <= track.frames[-1]]
    return sorted(boxes, key=lambda box: (box.x0, box.y0))


def _match(latest: Sequence[Box], boxes: Sequence[Box], min_overlap: float) -> dict[int, int]:
    """Index of a new box -> index of the track that it continues; best overlaps first, each used once."""
    pairs = [(overlap(old, new), track, index) for track, old in enumerate(latest) for index, new in enumerate(boxes)]
    matched: dict[int, int] = {}
    for score, track, index in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if score >= min_overlap and index not in matched and track not in matched.values():
            matched[index] = track
    return matched


def _interpolated(path: _Path) -> FaceTrack:
    every = np.arange(path.frames[0], path.frames[-1] + 1)
    known = np.array([(box.x0, box.y0, box.x1, box.y1, box.score) for box in path.boxes])
    columns = [np.interp(every, path.frames, column) for column in known.T]
    boxes = tuple(
        Box(x0=x0, y0=y0, x1=x1, y1=y1, score=score) for x0, y0, x1, y1, score in np.stack(columns, 1).tolist()
    )
    return FaceTrack(frames=tuple(every.tolist()), boxes=boxes, detections=len(path.frames))
