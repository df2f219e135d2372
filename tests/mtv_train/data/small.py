"""A dataset of small clips, and loading from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mtv_train.data.batch import Batch
from mtv_train.data.index import DatasetIndex
from mtv_train.data.loader import Loader
from mtv_train.data.order import StageMix
from mtv_train.data.settings import DataSettings, LoaderSettings, WindowSettings
from tests.mtv_train.datasets import TinyClip

WINDOW = WindowSettings(frames=9, stride=2, height=48, width=64)
MIX = StageMix("stage", {"single_character": 3, "sound_event": 1})
CLIPS = [
    TinyClip(number, frames=12 + number % 3, subsets=("single_character",) if number % 3 else ("sound_event",))
    for number in range(9)
]


def open_index(folder: Path, **parts: Any) -> DatasetIndex:
    return DatasetIndex.open(DataSettings(dataset=str(folder), window=WINDOW, **parts))


def load(index: DatasetIndex, batches: int, *, workers: int = 0, prefetch: int = 2, **place: Any) -> list[Batch]:
    loader = Loader(index, place.pop("mix", MIX), 3, LoaderSettings(workers=workers, prefetch=prefetch), **place)
    try:
        return [next(loader) for _ in range(batches)]
    finally:
        loader.close()


def same(one: Batch, other: Batch) -> bool:
    """Everything that a batch holds, to the bit."""
    assert one.video is not None
    assert other.video is not None
    assert one.waves is not None
    assert other.waves is not None
    plain = ("stage", "seed", "ks", "keys", "subsets", "captions", "bad")
    return (
        all(getattr(one, name) == getattr(other, name) for name in plain)
        and torch.equal(one.video, other.video)
        and all(
            (a.frames, a.first) == (b.frames, b.first)
            and all(torch.equal(a.waves[name], b.waves[name]) for name in a.waves)
            for a, b in zip(one.waves, other.waves, strict=True)
        )
    )
