"""Where a clip's media are: in the work store as long as that lives, else in the shard of a kept clip."""

from __future__ import annotations

from functools import cache

from demix import records
from demix.dataset import layout
from demix.dataset.schema import read_rows
from demix.report.manifests import Judged
from demix.store import Place, Store


class ClipFiles:
    """Reads media of one dataset's clips; `work` is its work store (path or URI), None if it is gone."""

    def __init__(self, dataset: Place, work: Place | None = None):
        self.dataset = Store.at(dataset)
        self.store = Store.at(work) if work is not None else None
        self._members = cache(self._read_members)

    def read(self, clip: Judged, field: str) -> bytes | None:
        """The file `<clip>.<field>` (mp4, speech.flac, effects.flac, music.flac); None where nobody has it any more."""
        media = _media(clip).get(field)
        if media is None:
            return None
        if self.store is not None and self.store.exists(media.key):
            return self.store.read(media.key)
        return self._from_shard(clip, field)

    def _from_shard(self, clip: Judged, field: str) -> bytes | None:
        if layout.stem_of(clip.shard) is None or not self.dataset.exists(clip.shard):
            return None
        offset, size = self._members(clip.shard)[clip.id, field]
        return self.dataset.read(clip.shard, offset, offset + size)

    def _read_members(self, shard: str) -> dict[tuple[str, str], tuple[int, int]]:
        """(clip id, field) -> (offset, size) of everything in a shard."""
        index = self.dataset.local(f"{shard.removesuffix('.tar')}.parquet")
        return {
            (row["clip_id"], member["name"]): (member["offset"], member["size"])
            for row in read_rows(index, "shard", ["clip_id", "members"])
            for member in row["members"]
        }


def _media(clip: Judged) -> dict[str, records.Media]:
    found = {}
    if clip_media := clip.record("clip_media", records.ClipMedia):
        found["mp4"] = clip_media.video
    if demixing := clip.record("demixing", records.Demixing):
        found |= {"speech.flac": demixing.speech, "effects.flac": demixing.effects, "music.flac": demixing.music}
    return found
