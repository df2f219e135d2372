"""Which parts of which datasets a cache holds whole, and opening them for training.

CACHE/media/<..>/<content>/<fingerprint>/<first frame>.safetensors    latents, audio features
      text/<fingerprint>/<..>/<sha256 of the text>.safetensors        text embeddings
      whole/<part>-<fingerprint>-<dataset>.json                       written last: all of a dataset is there
      quarantine/<part>-<fingerprint>.jsonl                           clips that could not be encoded, and why
      ledger/  logs/                                                  the engine's
"""

from __future__ import annotations

from collections.abc import Iterable

from demix.config import ConfigError, Settings
from demix.fingerprint import fingerprint
from demix.store import Store
from mtv_train.config import TrainSettings
from mtv_train.data.cached import CachedPart, Caches
from mtv_train.data.index import DatasetIndex
from mtv_train.precompute.parts import PARTS


class Whole(Settings):
    """What a mark says of one part of one dataset."""

    part: CachedPart
    clips: int
    """Clips of the dataset's train split, failed ones included."""
    failed: int
    """Clips of which some or all could not be encoded; training counts and replaces their samples."""
    cut: int = 0
    """Clips whose captions are longer than the text encoder takes."""
    dataset: str
    """Where it lay."""
    revision: str
    """The encoder's."""
    window: dict[str, object]
    """The window settings that it was made for."""


class Marks:
    """The marks of one dataset in one cache."""

    def __init__(self, store: Store, settings: TrainSettings, index: DatasetIndex):
        self.store = store
        self._settings = settings
        self._dataset = index.fingerprint()

    def find(self, part: CachedPart) -> Whole | None:
        """The mark of a part, if all of it is there."""
        key = self._key(part)
        if not self.store.exists(key):
            return None
        return Whole.model_validate_json(self.store.local(key).read_text(encoding="utf-8"))

    def set(self, part: CachedPart, clips: int, failed: int, cut: int = 0) -> None:
        """Notes that every clip has been encoded or has failed for good, `cut` of them with the end of its caption
        left out."""
        stage = PARTS[part](self._settings)
        mark = Whole(
            part=part,
            clips=clips,
            failed=failed,
            cut=cut,
            dataset=self._settings.data.dataset,
            revision=stage.revision(),
            window=stage.part.window,
        )
        with self.store.write(self._key(part)) as path:
            path.write_text(mark.model_dump_json(indent=2), encoding="utf-8")

    def _key(self, part: CachedPart) -> str:
        return f"whole/{part}-{part_fingerprint(part, self._settings)[:12]}-{self._dataset[:12]}.json"


def part_fingerprint(part: CachedPart, settings: TrainSettings) -> str:
    """32 hex digits over all that a part depends on besides the dataset's content."""
    return fingerprint(PARTS[part](settings), {})


def open_caches(settings: TrainSettings, index: DatasetIndex) -> Caches | None:
    """What was precomputed of the dataset, if the settings read any of it.

    Raises `ConfigError`, with the command that mends it, unless all that they read is there.
    """
    data = settings.data
    if not data.cached:
        return None
    marks = Marks(Store(data.cache), settings, index)
    absent = [part for part in data.cached if marks.find(part) is None]
    if absent:
        raise ConfigError(
            f"data.cached: {data.cache} does not hold all {' and '.join(absent)} of {data.dataset} as these settings "
            f"want them; run `{command(data.dataset, data.cache, absent)}` with the same settings"
        )
    return Caches(marks.store.root, {part: part_fingerprint(part, settings) for part in data.cached}, data.window)


def captions_cut(settings: TrainSettings, index: DatasetIndex) -> int:
    """How many clips have a caption in the cache that was too long for the text encoder; 0 where none is read from
    there."""
    if "text" not in settings.data.cached:
        return 0
    whole = Marks(Store(settings.data.cache), settings, index).find("text")
    return whole.cut if whole is not None else 0


def command(dataset: str, cache: str, parts: Iterable[CachedPart]) -> str:
    """What a person types to make parts of a cache."""
    return f"python -m mtv_train precompute {dataset} --recipe RECIPE --out {cache} --what {','.join(parts)}"
