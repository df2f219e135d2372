"""The map from a rank's position to a sample: what a worker process does. It keeps no state that matters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

from mtv_train.data.batch import BadSample, Batch
from mtv_train.data.cached import CachedPart, Caches
from mtv_train.data.errors import DataError, SampleError, StoreFailed, TooManyBadSamples
from mtv_train.data.index import DatasetIndex, Window
from mtv_train.data.order import Order, SampleRef
from mtv_train.data.randomness import uniform
from mtv_train.data.settings import LoaderSettings
from mtv_train.data.shards import Shards
from mtv_train.data.window import Part, WindowReader, fields_of, sizes_of


@dataclass(frozen=True)
class Slice:
    """A rank's part of the sequence: its q-th sample lies in global batch q // (batch / world)."""

    batch: int
    rank: int
    world: int
    start: int
    """The stage's sample that the first global batch begins with."""

    @property
    def share(self) -> int:
        """Samples of one global batch that are this rank's."""
        return self.batch // self.world

    def k(self, position: int) -> int:
        """The number, within the stage, of this rank's sample `position`."""
        step, within = divmod(position, self.share)
        return self.start + step * self.batch + self.rank * self.share + within


class Samples:
    """`samples[q]` is this rank's q-th sample as a batch of one, or the error that ends the run.

    Errors are answered, not raised: torch would rebuild them in the trainer's process without their fields.
    """

    def __init__(
        self, index: DatasetIndex, order: Order, place: Slice, settings: LoaderSettings, caches: Caches | None
    ):
        self.index, self.order, self.place, self.settings, self.caches = index, order, place, settings, caches
        self._parts = _parts_to_read(caches)
        self._fields = fields_of(self._parts, index.window_settings)
        self._shards = Shards(
            index.shards,
            index.storage_options,
            read_ahead_bytes=settings.read_ahead_bytes,
            check_hashes=settings.check_hashes,
        )
        self._reader = WindowReader(index, self._shards)

    def __getitem__(self, position: int) -> Batch | DataError:
        return self.at(position, count(position + 1))

    def at(self, position: int, coming: Iterator[int]) -> Batch | DataError:
        """The same; `coming` are the positions that this process is going to be asked for next, as far as is known."""
        self._look_ahead(coming)
        ref = self.order.item(self.place.k(position))
        bad: list[BadSample] = []
        while True:
            window = self.index.window(ref.subset, ref.number)
            try:
                return self._sample(ref, window, bad)
            except StoreFailed as error:
                return error
            except SampleError as error:
                if ref.attempt == self.settings.attempts:
                    return TooManyBadSamples(
                        f"sample {ref.k} of stage {self.order.stage.name}: bad, and so were all {ref.attempt} "
                        f"replacements; the last: {error}"
                    )
                ref = self.order.replacement(ref)
                instead = self.index.window(ref.subset, ref.number).key
                bad.append(BadSample(ref.k, window.key, error.kind, error.message, ref.attempt - 1, instead))

    def decoded_sizes(self) -> list[int]:
        """Bytes that the tensors decoded for one sample take at most; of what caches hold nothing is known before."""
        return sizes_of(self._parts, self.index.window_settings, self.index.longest)

    def _sample(self, ref: SampleRef, window: Window, bad: list[BadSample]) -> Batch:
        place = (0.5, 0.5)
        if self.index.window_settings.crop == "random":
            place = uniform(self.order.seed, ref.k, "crop x"), uniform(self.order.seed, ref.k, "crop y")
        raw = self._reader.read(window, self._parts, place)
        caches = self.caches
        return Batch(
            stage=self.order.stage.name,
            seed=self.order.seed,
            ks=(ref.k,),
            keys=(raw.key,),
            subsets=(ref.subset,),
            captions=(raw.caption,),
            video=None if raw.video is None else raw.video[None],
            latents=caches.latents(window) if caches is not None and "latents" in caches else None,
            text=caches.text(window, raw.caption) if caches is not None and "text" in caches else None,
            waves=None if raw.waves is None else (raw.waves,),
            audio=caches.audio(window) if caches is not None and "audio" in caches else None,
            bad=tuple(bad),
        )

    def _look_ahead(self, coming: Iterator[int]) -> None:
        """Fetches the bytes of what comes next. Only a guess: a wrong one costs time."""
        if self.settings.read_ahead:
            refs = (self.order.item(self.place.k(position)) for position in islice(coming, self.settings.read_ahead))
            self._shards.expect((self.index.window(ref.subset, ref.number).clip for ref in refs), self._fields)


def _parts_to_read(caches: Caches | None) -> tuple[Part, ...]:
    """What is decoded because no cache holds what is made of it."""
    made_of: tuple[tuple[Part, CachedPart], ...] = (("video", "latents"), ("waves", "audio"))
    return tuple(part for part, cached in made_of if caches is None or cached not in caches)
