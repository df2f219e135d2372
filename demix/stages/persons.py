"""Who can be seen: persons on sampled frames, and every face tracked (the paper's section 3, voice-over filtering)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from demix.config import ChosenBy, Settings
from demix.media.frames import iter_frames
from demix.models import choose, revisions
from demix.models.persons.settings import RtDetrSettings, S3fdSettings, YoloSettings, YunetSettings
from demix.records import Box, ClipMedia, Persons
from demix.stage import Context, Item, Kept, Outcome, Resources, Stage
from demix.stages.tracks import boxes_at, build_tracks

CHUNK = 16
"""Frames in memory at once."""


class PersonsSettings(Settings):
    persons: str = "mtcnn"
    """Model that finds persons. `mtcnn` sees a person only by the face; `yolo` is the paper's and bound to AGPL-3.0,
    `rtdetr` the strongest with an open licence."""
    faces: str = "mtcnn"
    """Model that finds faces. `s3fd` is the one that the active-speaker nets' own demos use."""
    rtdetr: Annotated[RtDetrSettings, ChosenBy("persons")] = RtDetrSettings()
    yolo: Annotated[YoloSettings, ChosenBy("persons")] = YoloSettings()
    yunet: Annotated[YunetSettings, ChosenBy("faces")] = YunetSettings()
    s3fd: Annotated[S3fdSettings, ChosenBy("faces")] = S3fdSettings()
    persons_per_second: float = Field(4.0, gt=0)
    """Frames a second on which persons are looked for, besides the first and the last; rounded so that they are also
    frames on which faces are looked for."""
    faces_per_second: float = Field(8.0, gt=0)
    """Frames a second on which faces are looked for: every third at 24 and 25 frames/s. Boxes are interpolated between.
    Fewer lose quick heads (the overlap between detections falls), more only cost."""
    short_side: int = Field(480, ge=64)
    """Pictures are scaled down to this short side in pixels before detection; boxes are scaled back."""
    smallest_face: int = Field(32, ge=12)
    """Side in pixels, after that scaling, of the smallest face to look for. 24 finds more distant faces at 1.6 times
    the cost, and nothing can be said of their mouths."""
    sure_score: float = Field(0.97, ge=0, le=1)
    """A box of a person counts from this score on. A face track needs one box of this score; its other boxes may be
    as unsure as the model lets through (a turned head). 0.97 suits `mtcnn`, 0.9 `yunet` and `s3fd`."""
    sure_person: float | None = Field(None, ge=0, le=1)
    """The same for boxes of persons alone, where another model finds them: 0.5 suits `rtdetr` and `yolo`. Null: as
    `sure_score`."""
    min_overlap: float = Field(0.3, gt=0, le=1)
    """Least intersection over union, 0..1, of a face with the same face at the detection before."""
    max_gap_seconds: float = Field(0.4, ge=0)
    """A face lost for longer starts a new track: 10 frames at 25 frames/s."""
    min_detections: int = Field(8, ge=1)
    """A face seen on fewer detection frames is no track. Clips with fewer than twice as many detection frames need
    half of theirs."""
    count_share: float = Field(0.1, gt=0, le=1)
    """`count` persons are seen at once on at least this share of the sampled frames (and on two frames), so that one
    false face on one frame is nobody."""


class PersonsStage(Stage):
    """Adds `Persons`. `count` is the largest number seen at once on `count_share` of the sampled frames, where a
    frame shows the larger of its person boxes and its tracked faces; `visible_share` is the share with at least one.
    """

    name = "persons"
    needs = (ClipMedia,)
    adds = Persons
    settings: PersonsSettings

    def __init__(self, settings: PersonsSettings):
        super().__init__(settings)
        self.choices = (choose("persons", settings.persons, settings), choose("faces", settings.faces, settings))

    @property
    def resources(self) -> Resources:  # type: ignore[override]
        persons, faces = self.choices
        return persons.resources.beside(faces.resources)

    def revision(self) -> str:
        return revisions(*self.choices)

    def weights(self) -> tuple[str, ...]:
        return tuple(name for choice in self.choices for name in choice.weights)

    def open(self, context: Context) -> None:
        super().open(context)
        options = {"threads": context.threads, "smallest": self.settings.smallest_face}
        persons, faces = self.choices
        self.faces = faces.make(context.device, **options)
        same = getattr(persons.kind, "same_as_faces", None) == faces.name
        self.persons = None if same else persons.make(context.device, **options)
        self.person_credit, self.face_credit = persons.credit(), faces.credit()
        chosen = self.settings.sure_person
        self.sure_person = self.settings.sure_score if chosen is None else chosen

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [Kept(self._persons(item[ClipMedia])) for item in items]

    def _persons(self, media: ClipMedia) -> Persons:
        face_frames, person_frames = sampled_frames(media, self.settings)
        faces, persons = self._detect(media, face_frames, set(person_frames))
        tracks = build_tracks(
            face_frames,
            faces,
            min_overlap=self.settings.min_overlap,
            max_gap=round(self.settings.max_gap_seconds * Fraction(media.fps)),
            min_detections=min(self.settings.min_detections, math.ceil(len(face_frames) / 2)),
            sure_score=self.settings.sure_score,
        )
        counts = [max(len(persons[frame]), len(boxes_at(tracks, frame))) for frame in person_frames]
        return Persons(
            persons=self.person_credit,
            faces=self.face_credit,
            frames=tuple(person_frames),
            boxes=tuple(tuple(persons[frame]) for frame in person_frames),
            tracks=tracks,
            count=robust_count(counts, self.settings.count_share),
            visible_share=sum(count > 0 for count in counts) / len(counts),
        )

    def _detect(
        self, media: ClipMedia, face_frames: list[int], person_frames: set[int]
    ) -> tuple[list[list[Box]], dict[int, list[Box]]]:
        """Boxes, in the clip's pixels, of all faces per face frame and of sure persons by person frame."""
        scale = max(min(media.width, media.height) / self.settings.short_side, 1.0)
        path = self.context.store.local(media.video.key)
        faces: list[list[Box]] = []
        persons: dict[int, list[Box]] = {}
        for indices, pictures in _chunks(path, face_frames, round(media.width / scale)):
            found = self.faces.detect(pictures)
            factor = media.width / pictures.shape[2]
            faces += [[_scaled(box, factor) for box in boxes] for boxes in found]
            chosen = [place for place, index in enumerate(indices) if index in person_frames]
            if not chosen:
                continue
            seen = [found[place] for place in chosen] if self.persons is None else self.persons.detect(pictures[chosen])
            for place, boxes in zip(chosen, seen, strict=True):
                sure = [box for box in boxes if box.score >= self.sure_person]
                persons[indices[place]] = [_scaled(box, factor) for box in sure]
        return faces, persons


def sampled_frames(media: ClipMedia, settings: PersonsSettings) -> tuple[list[int], list[int]]:
    """Clip frames on which faces and on which persons are looked for; the second are among the first, ends included."""
    fps = Fraction(media.fps)
    stride = max(round(fps / Fraction(settings.faces_per_second)), 1)
    faces = sorted({*range(0, media.frames, stride), media.frames - 1})
    every = max(round(fps / Fraction(settings.persons_per_second) / stride), 1)
    return faces, sorted({*faces[::every], faces[-1]})


def robust_count(counts: Sequence[int], share: float) -> int:
    """The largest n such that at least `share` of the frames, and at least two where there are two, show n or more."""
    needed = max(math.ceil(share * len(counts)), min(2, len(counts)))
    return sorted(counts, reverse=True)[needed - 1]


def _chunks(path: Path, indices: list[int], width: int) -> Iterator[tuple[list[int], np.ndarray]]:
    pictures = iter_frames(path, indices, width=width)
    for start in range(0, len(indices), CHUNK):
        chunk = indices[start : start + CHUNK]
        yield chunk, np.stack([next(pictures) for _ in chunk])


def _scaled(box: Box, factor: float) -> Box:
    return Box(x0=box.x0 * factor, y0=box.y0 * factor, x1=box.x1 * factor, y1=box.y1 * factor, score=box.score)
