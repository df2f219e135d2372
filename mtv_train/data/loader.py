"""The loader: batches of one stage from any position on, for one rank. Its whole state is {stage, samples_seen}."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from mtv_train.data.batch import BadSample, Batch
from mtv_train.data.cached import Caches
from mtv_train.data.index import DatasetIndex
from mtv_train.data.order import StageMix
from mtv_train.data.settings import LoaderSettings


class Loader:
    """Iterates over this rank's part of every global batch, without end; the trainer owns the number of steps.

    Global batch s is the samples [s * batch, (s + 1) * batch) of the stage, counted from `samples_seen`; rank r takes
    the r-th of `world` equal consecutive slices. So neither ranks nor workers nor micro-batches change what is trained
    on, and resuming is `samples_seen=state()["samples_seen"]`.

    `on_bad` is called in the trainer's process for every bad sample, and must not raise.
    Raises ValueError if `world` does not divide `batch`; iterating raises `TooManyBadSamples` and `WorkerDied`.
    """

    def __init__(
        self,
        index: DatasetIndex,
        stage: StageMix,
        seed: int,
        settings: LoaderSettings,
        *,
        batch: int,
        rank: int = 0,
        world: int = 1,
        samples_seen: int = 0,
        caches: Caches | None = None,
        on_bad: Callable[[BadSample], None] | None = None,
    ): ...

    def __iter__(self) -> Iterator[Batch]: ...

    def state(self) -> dict[str, Any]:
        """{"stage": name, "samples_seen": samples of all ranks in the batches handed out so far}."""

    @property
    def bad_samples(self) -> int:
        """Bad samples that this rank has met since the loader was made."""

    def close(self) -> None:
        """Ends the worker processes."""
