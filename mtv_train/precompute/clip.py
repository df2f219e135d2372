"""A clip of a training dataset as a subject of the engine: all that a worker needs to read it, and no media."""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from typing import ClassVar

from demix.records import Subject
from mtv_train.data.cached import content_id
from mtv_train.data.index import DatasetIndex, Window
from mtv_train.data.table import ClipRow, Member


class TrainingClip(Subject):
    """One clip and the members that one part of the cache is made of. `id`: see `content_id`; it changes when the
    content of those members does, and with nothing else."""

    name: ClassVar[str] = "training_clip"
    clip: str
    """Key in the dataset."""
    shard: str
    """Address of the tar."""
    members: dict[str, tuple[int, int, str]]
    """Name -> offset, size, sha256 in hexadecimal."""
    length: str
    """Seconds of pictures, a ratio."""
    frames: int
    """Frames on the window settings' clock."""
    firsts: tuple[int, ...]
    """First frames of its windows."""

    @classmethod
    def of(cls, index: DatasetIndex, clip: ClipRow, fields: Collection[str]) -> TrainingClip:
        """A clip of an index, with some of its members."""
        members = {name: clip.members[name] for name in fields}
        return cls(
            id=content_id(clip, fields),
            clip=clip.key,
            shard=index.shards[clip.shard],
            members={name: (member.offset, member.size, member.sha256.hex()) for name, member in members.items()},
            length=str(clip.length),
            frames=index.clip_frames(clip),
            firsts=tuple(index.firsts(clip)),
        )

    @property
    def row(self) -> ClipRow:
        """As the readers of shards take it, in a dataset of this one shard."""
        members = {name: Member(offset, size, bytes.fromhex(sha)) for name, (offset, size, sha) in self.members.items()}
        return ClipRow(self.clip, 0, "", (), Fraction(self.length), members)

    def window(self, first: int) -> Window:
        """One of its windows."""
        return Window(self.row, first, self.frames)
