"""Makes the clip a file of its own: video at a fixed rate and size, and the exact samples of the mix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from demix.config import Runtime
from demix.media.cut import CutSettings, cut
from demix.media.limits import RECORDED, MediaLimits
from demix.records import ClipMedia, Media, Probe, Record
from demix.sources.fetch import probed_copy
from demix.stage import Dropped, Item, Kept, Outcome, Stage


class ClipMediaSettings(CutSettings):
    """How a clip is written, and how much of the machine that may take."""

    limits: Annotated[MediaLimits, Runtime(recorded=RECORDED)] = MediaLimits()
    """Time, memory and output size of the process that cuts one clip."""


class ClipMediaStage(Stage):
    """Adds `ClipMedia`: `clip.mp4` and `mix.flac`. Drops clips of a source without sound (`no_audio`)."""

    name = "clip_media"
    version = 2
    needs = (Probe,)
    adds = ClipMedia
    reasons = ("no_audio",)
    settings: ClipMediaSettings

    def __init__(self, settings: ClipMediaSettings):
        super().__init__(settings)
        # Three attempts at most, and a remote source may have to be downloaded first.
        self.timeout_seconds = 3 * settings.limits.cut_seconds + 600

    def media(self, record: Record) -> tuple[str, ...]:
        assert isinstance(record, ClipMedia)
        return record.video.key, record.mix.key

    def run(self, items: Sequence[Item]) -> Sequence[Outcome]:
        return [self._cut(item) for item in items]

    def _cut(self, item: Item) -> Outcome:
        probe = item[Probe]
        if probe.audio is None:
            return Dropped("no_audio", {"streams": probe.streams})
        keys = self.context.key(item, "clip.mp4"), self.context.key(item, "mix.flac")
        store = self.context.store
        with (
            probed_copy(item.clip.uri, probe.sha256, store) as source,
            store.write(keys[0]) as video,
            store.write(keys[1]) as mix,
        ):
            made = cut(source, probe, item.clip, video, mix, self.settings, self.settings.limits)
            sizes = video.stat().st_size, mix.stat().st_size
        return Kept(
            ClipMedia(
                video=Media(key=keys[0], bytes=sizes[0]),
                mix=Media(key=keys[1], bytes=sizes[1]),
                width=made.width,
                height=made.height,
                fps=str(made.fps),
                frames=made.frames,
                sample_rate=made.sample_rate,
                channels=made.channels,
                samples=made.samples,
                layout=made.layout,
                gain_db=made.gain_db,
                centre_db=made.centre_db,
                rest_db=made.rest_db,
                bars=item.clip.bars,
                cropped=made.cropped,
            )
        )
