"""Puts clips into words, in the paper's template (sections 3 and 4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Annotated

import numpy as np
from pydantic import Field

from demix.config import ChosenBy, Settings
from demix.media.frames import read_frames
from demix.models import choose, revisions
from demix.models.captioning import Description, Scene
from demix.models.captioning.settings import LlavaVideoSettings, Qwen3VlSettings, ServerSettings
from demix.records import ActiveSpeaker, Box, Caption, ClipMedia, DemixCheck, Diarization, Persons
from demix.stage import Context, Item, Kept, Outcome, Resources, Stage
from demix.stages.caption_template import clean, render
from demix.stages.cast import Member, cast_of


class CaptionSettings(Settings):
    model: str = "facts"
    """Who describes. `facts` says only what can be measured; `llava_video` (the paper's) and `qwen3_vl` are
    vision-language models, and `server` asks one behind a server, which the build can start."""
    server: Annotated[ServerSettings, ChosenBy("model")] = ServerSettings()
    llava_video: Annotated[LlavaVideoSettings, ChosenBy("model")] = LlavaVideoSettings()
    qwen3_vl: Annotated[Qwen3VlSettings, ChosenBy("model")] = Qwen3VlSettings()
    frames_per_second: float = Field(2.0, gt=0)
    """Frames a second that the captioner is shown; `llava_video` chooses its frames itself. Two are enough to follow a
    camera."""
    min_frames: int = Field(8, ge=1)
    """At least so many, of a clip that has them."""
    max_frames: int = Field(32, ge=1)
    """At most so many, evenly spaced."""
    width: int = Field(384, ge=16)
    """Width in pixels of the frames that the captioner is shown; smaller videos are not enlarged."""
    min_speaking_share: float = Field(0.2, ge=0, le=1)
    """Somebody "is speaking" whose face speaks during at least this share of the clip's speech. Faces mostly speak for
    all of their turns; the mouth-flow judge finds four fifths of that, and a third speaker's turn may be short."""


class CaptionStage(Stage):
    """Adds `Caption`. Participants are as many as the speakers heard; described are those whose faces speak most, from
    left to right. Where no face could be judged, all of them are taken to speak; where none speaks, the caption is the
    scene's description alone."""

    name = "caption"
    needs = (ClipMedia, Persons, Diarization, ActiveSpeaker, DemixCheck)
    by_content = (DemixCheck,)
    adds = Caption
    settings: CaptionSettings

    def __init__(self, settings: CaptionSettings):
        super().__init__(settings)
        self.choice = choose("captioning", settings.model, settings)
        if settings.model == "server" and settings.server.start != "none":
            self.timeout_seconds = type(self).timeout_seconds + settings.server.launch.start_seconds

    @property
    def resources(self) -> Resources:  # type: ignore[override]
        return self.choice.resources

    @property
    def batch_size(self) -> int:  # type: ignore[override]
        """As many clips as the captioner answers for side by side."""
        return self.choice.at_once

    def revision(self) -> str:
        return revisions(self.choice)

    def weights(self) -> tuple[str, ...]:
        return self.choice.weights

    def programs(self) -> tuple[tuple[str, str], ...]:
        return self.choice.programs

    def open(self, context: Context) -> None:
        super().open(context)
        self.captioner = self.choice.make(context.device, threads=context.threads)
        self.credit = self.choice.credit()

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        casts = [participants(item, self.settings.min_speaking_share) for item in items]
        makers = [partial(self._scene, item, *cast) for item, cast in zip(items, casts, strict=True)]
        lazily = getattr(self.choice.kind, "lazily", False)
        found = self.captioner.describe(makers if lazily else [make() for make in makers])
        wanted = {item.id: _described(*cast) for item, cast in zip(items, casts, strict=True)}
        descriptions = by_clip(found, wanted)
        return [
            Kept(self._caption(descriptions[item.id], speaking))
            for item, (_, _, speaking) in zip(items, casts, strict=True)
        ]

    def close(self) -> None:
        close = getattr(getattr(self, "captioner", None), "close", None)
        if close is not None:
            close()

    def _scene(self, item: Item, members: list[Member], persons: int, speaking: tuple[int, ...]) -> Scene:
        media = item[ClipMedia]
        fps = Fraction(media.fps)
        indices = self._frame_indices(media.frames, fps)
        different, places = np.unique(indices, return_inverse=True)
        path = self.context.store.local(media.video.key)
        frames = read_frames(path, different.tolist(), width=self.settings.width)[places]
        scale = frames.shape[2] / media.width
        silent = item[DemixCheck].silent
        return Scene(
            clip_id=item.id,
            frames=frames,
            times=tuple(float(index / fps) for index in indices),
            seconds=float(media.frames / fps),
            faces=tuple(tuple(_scaled(member.box(index), scale) for member in members) for index in indices),
            persons=_described(members, persons, speaking),
            speakers=item[Diarization].speakers,
            audible=frozenset({"speech", "effects", "music"} - set(silent)),
        )

    def _frame_indices(self, frames: int, fps: Fraction) -> list[int]:
        """The frames that the captioner is shown: its own choice, or evenly spaced ones."""
        own = getattr(self.choice.kind, "frame_indices", None)
        if own is not None:
            chosen: list[int] = own(frames, fps, self.choice.settings)
            return chosen
        wanted = round(frames / fps * Fraction(self.settings.frames_per_second))
        return spaced(frames, min(max(wanted, self.settings.min_frames), self.settings.max_frames))

    def _caption(self, description: Description, speaking: tuple[int, ...]) -> Caption:
        persons = tuple(clean(person) for person in description.persons)
        return Caption(
            **self.credit.model_dump(),
            persons=persons,
            speaking=speaking,
            scene=clean(description.scene),
            text=render(persons, speaking, description.scene),
        )


def participants(item: Item, min_speaking_share: float) -> tuple[list[Member], int, tuple[int, ...]]:
    """The tracked people with the participants first, how many participants there are (as many as speakers), and
    which of them (0-based) are seen to speak."""
    diarization, fps = item[Diarization], Fraction(item[ClipMedia].fps)
    members = cast_of(item[Persons], item[ActiveSpeaker], diarization, fps)
    speakers = 0 if "speech" in item[DemixCheck].silent else diarization.speakers
    ranked = sorted(range(len(members)), key=lambda index: (-members[index].spoken_share, -members[index].seen, index))
    chosen = sorted(ranked[:speakers])
    ordered = [members[index] for index in chosen + sorted(ranked[speakers:])]
    described = ordered[: len(chosen)]
    if any(member.decidable for member in members):
        speaking = [index for index, member in enumerate(described) if member.spoken_share >= min_speaking_share]
    else:
        speaking = list(range(len(described)))
    return ordered, speakers, tuple(speaking)


def spaced(frames: int, count: int) -> list[int]:
    """`count` frame numbers evenly over a clip, each in the middle of its share; all of them if it has fewer."""
    count = min(count, frames)
    return [(2 * index + 1) * frames // (2 * count) for index in range(count)]


def _described(members: list[Member], persons: int, speaking: tuple[int, ...]) -> int:
    """How many persons a captioner is asked for."""
    return persons if speaking else 0


def by_clip(descriptions: Sequence[Description], wanted: Mapping[str, int]) -> dict[str, Description]:
    """Clip id -> description. Raises `ValueError` unless every clip (id -> persons) has exactly one with all of its
    persons."""
    found = {description.clip_id: description for description in descriptions}
    if len(found) != len(descriptions) or found.keys() != wanted.keys():
        raise ValueError(f"the captioner described {sorted(found)} when asked for {sorted(wanted)}")
    for clip_id, description in found.items():
        if len(description.persons) != wanted[clip_id]:
            raise ValueError(f"{clip_id}: {len(description.persons)} persons described instead of {wanted[clip_id]}")
    return found


def _scaled(box: Box | None, scale: float) -> Box | None:
    if box is None:
        return None
    return Box(x0=box.x0 * scale, y0=box.y0 * scale, x1=box.x1 * scale, y1=box.y1 * scale, score=box.score)
