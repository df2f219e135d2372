"""Who is who: face tracks gathered into persons, and which of them speak. Pure functions over records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from demix.records import ActiveSpeaker, Box, Diarization, FaceTrack, Persons

NEAR = 1.5
"""A face that comes back within so many of its widths is the same person's."""


@dataclass(frozen=True)
class Member:
    """One person of the clip."""

    tracks: tuple[FaceTrack, ...]
    """In order of time, never two at once."""
    spoken_share: float
    """Share of the speech time during which this face speaks, 0..1."""
    decidable: bool
    """Whether the active-speaker judge could tell for any of the tracks."""

    def box(self, frame: int) -> Box | None:
        for track in self.tracks:
            if track.frames[0] <= frame <= track.frames[-1]:
                return track.boxes[frame - track.frames[0]]
        return None

    @property
    def seen(self) -> int:
        """Frames on which the face is seen."""
        return sum(len(track.frames) for track in self.tracks)

    @property
    def x(self) -> float:
        """Where the face is, as a rule: the median of its centre, in pixels."""
        return float(np.median([(box.x0 + box.x1) / 2 for track in self.tracks for box in track.boxes]))


def cast_of(persons: Persons, activity: ActiveSpeaker, diarization: Diarization, fps: Fraction) -> list[Member]:
    """Everybody whose face is tracked, from left to right."""
    groups = same_person(persons.tracks)
    scores = {entry.track: np.asarray(entry.scores) for entry in activity.tracks if entry.decidable}
    spoken = spoken_shares(persons.tracks, scores, diarization, fps)
    members = [
        Member(
            tracks=tuple(persons.tracks[track] for track in group),
            spoken_share=sum(spoken[track] for track in group),
            decidable=any(track in scores for track in group),
        )
        for group in groups
    ]
    return sorted(members, key=lambda member: (member.x, member.tracks[0].frames[0]))


def same_person(tracks: Sequence[FaceTrack]) -> list[list[int]]:
    """Indices of tracks, grouped by person: a track continues the person who was last seen nearest to where it begins,
    if near enough, and out of sight since."""
    groups: list[list[int]] = []
    for index in sorted(range(len(tracks)), key=lambda index: tracks[index].frames[0]):
        first = tracks[index].boxes[0]
        gone = [group for group in groups if tracks[group[-1]].frames[-1] < tracks[index].frames[0]]
        apart = {id(group): _widths_apart(tracks[group[-1]].boxes[-1], first) for group in gone}
        nearest = min(gone, key=lambda group: apart[id(group)], default=None)
        if nearest is not None and apart[id(nearest)] <= NEAR:
            nearest.append(index)
        else:
            groups.append([index])
    return groups


def spoken_shares(
    tracks: Sequence[FaceTrack], scores: dict[int, np.ndarray], diarization: Diarization, fps: Fraction
) -> list[float]:
    """Per track, the share of the frames with speech on which it speaks: its score is above 0 and above all others'."""
    ends = [track.frames[-1] + 1 for track in tracks] + [round(turn.end_seconds * fps) for turn in diarization.turns]
    length = max(ends, default=0)
    speech = np.zeros(length, bool)
    for turn in diarization.turns:
        speech[round(turn.start_seconds * fps) : round(turn.end_seconds * fps)] = True
    table = np.full((len(tracks), length), -np.inf)
    for index, track_scores in scores.items():
        table[index, tracks[index].frames[0] : tracks[index].frames[-1] + 1] = track_scores
    if not len(tracks) or not speech.any():
        return [0.0] * len(tracks)
    loudest = table.argmax(axis=0)
    return [
        float((speech & (loudest == index) & (table[index] > 0)).sum() / speech.sum()) for index in range(len(tracks))
    ]


def _widths_apart(a: Box, b: Box) -> float:
    width = ((a.x1 - a.x0) + (b.x1 - b.x0)) / 2
    across = (a.x0 + a.x1 - b.x0 - b.x1) / 2
    down = (a.y0 + a.y1 - b.y0 - b.y1) / 2
    return float(np.hypot(across, down) / max(width, 1e-6))
