"""The loader: batches of one stage from any position on, for one rank. Its whole state is {stage, samples_seen}."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import chain, count
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from demix.processes import leave_terminal, starting_workers
from mtv_train.data.batch import BadSample, Batch, join
from mtv_train.data.cached import Caches
from mtv_train.data.errors import DataError, TooManyBadSamples, WorkerDied
from mtv_train.data.handover import Handed, Handing, Slots
from mtv_train.data.index import DatasetIndex
from mtv_train.data.order import Order, StageMix
from mtv_train.data.samples import Samples, Slice
from mtv_train.data.settings import LoaderSettings

_COUNTED = 100
"""Samples over which the share of bad ones is taken at least, so that a single early one does not stop a run."""
_LAST_SECONDS = 120
"""How long a worker goes on after SIGTERM; a step of training is shorter."""


class Loader:
    """Iterates over this rank's part of every global batch, without end; the trainer owns the number of steps.

    The next global batch is the samples [samples_seen, samples_seen + batch) of the stage; rank r takes the r-th of
    `world` equal consecutive slices. So neither ranks nor workers nor micro-batches change what is trained on, and
    resuming is `samples_seen=state()["samples_seen"]`, whatever the new `world`, `workers` or `batch`.

    `on_bad` is called in the trainer's process for every bad sample, before the batch is handed out.
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
    ):
        if batch < 1 or batch % world or not 0 <= rank < world:
            raise ValueError(f"a global batch of {batch} cannot be shared evenly by {world} ranks (rank {rank})")
        self._place = Slice(batch, rank, world, samples_seen)
        self._settings = settings
        self._samples = Samples(index, Order(index, stage, seed), self._place, settings, caches)
        self._on_bad = on_bad
        self._stage = stage.name
        self._handed_out = 0
        self._bad = 0
        self._running: Iterator[Batch | Handed | DataError] | None = None
        self._workers: Iterator[list[Handed | DataError]] | None = None
        self._slots: Slots | None = None
        self._pinned = settings.pin_memory and torch.cuda.is_available()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._running is None:
            self._running = self._start()
        batch = join([self._next() for _ in range(self._place.share)], self._pinned)
        if self._slots is not None:
            self._slots.check()
        self._handed_out += 1
        self._judge(batch)
        return batch

    def state(self) -> dict[str, Any]:
        """{"stage": name, "samples_seen": samples of all ranks in the batches handed out so far, and before}."""
        return {"stage": self._stage, "samples_seen": self._place.start + self._handed_out * self._place.batch}

    @property
    def bad_samples(self) -> int:
        """Bad samples that this rank has met since the loader was made."""
        return self._bad

    def close(self) -> None:
        """Ends the worker processes. The loader starts again from its position if it is iterated on."""
        workers, self._running, self._workers, self._slots = self._workers, None, None, None
        shutdown = getattr(workers, "_shutdown_workers", None)
        if shutdown is not None:
            shutdown()

    def _start(self) -> Iterator[Batch | Handed | DataError]:
        workers, prefetch, share = self._settings.workers, self._settings.prefetch, self._place.share
        position = self._handed_out * share
        if not workers:
            return map(self._samples.__getitem__, count(position))
        # Every message costs both sides. Several samples share one where that neither keeps a worker from taking part
        # in a batch, so that the first is there as early, nor leaves it without work while one is on its way.
        group = max(1, min(share // workers, prefetch // 2))
        ahead = max(prefetch // group, 1)
        # Torch lets a worker begin with a group when the one `workers * ahead` before it is asked for; by then all
        # batches are copied but the one that is being put together.
        self._slots = Slots(workers * ahead * group + group - 1 + share, self._samples.decoded_sizes())
        loader = DataLoader(
            Handing(self._samples, self._slots, group),
            batch_size=None,
            sampler=_Groups(position, group),
            num_workers=workers,
            prefetch_factor=ahead,
            multiprocessing_context=self._settings.start_method,
            worker_init_fn=_begin,
        )
        with starting_workers():
            self._workers = iter(loader)
        return chain.from_iterable(self._workers)

    def _next(self) -> Batch:
        assert self._running is not None
        try:
            sample = next(self._running)
        except (RuntimeError, EOFError, OSError) as error:
            # What fits no slot a worker hands over itself: where it is gone, that fails before torch notices.
            if not self._settings.workers or (isinstance(error, RuntimeError) and "worker" not in str(error)):
                raise
            with suppress(RuntimeError):  # torch's handler of signals may raise once more for the same death
                self.close()
            raise WorkerDied(
                f"a loader process died: {str(error) or type(error).__name__}. Killed by a signal mostly means that "
                f"memory ran out: each of {self._settings.workers} workers holds {self._settings.prefetch} samples; "
                "lower data.loader.workers or data.loader.prefetch, or give the container more memory "
                "(and /dev/shm, where latents are cached)"
            ) from error
        if isinstance(sample, DataError):
            raise sample
        if isinstance(sample, Handed):
            assert self._slots is not None
            return self._slots.take(sample)
        return sample

    def _judge(self, batch: Batch) -> None:
        """Reports bad samples, and stops the run where there are too many."""
        self._bad += len(batch.bad)
        for bad in batch.bad:
            if self._on_bad is not None:
                self._on_bad(bad)
        seen = max(self._handed_out * self._place.share, _COUNTED)
        if self._bad > self._settings.max_bad_share * seen:
            last = batch.bad[-1] if batch.bad else None
            raise TooManyBadSamples(
                f"{self._bad} bad samples among {self._handed_out * self._place.share} of this rank: more than "
                f"data.loader.max_bad_share={self._settings.max_bad_share} allows (of {_COUNTED} at least)"
                + (f"; the last: {last.key}: {last.kind}: {last.message}" if last else "")
            )


def _begin(worker: int) -> None:
    """The first thing that a worker does; torch ends it with its trainer."""
    leave_terminal()
    # A scheduler sends SIGTERM to all processes of a job. The trainer then finishes its step, for which it needs this
    # one, and ends it afterwards; if it does not, this one ends itself.
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(_LAST_SECONDS))


class _Groups(Sampler[range]):
    """All positions from one on, in groups that end at the multiples of `size`."""

    def __init__(self, start: int, size: int):
        self._start, self._size = start, size

    def __iter__(self) -> Iterator[range]:
        start = self._start
        while True:
            end = start - start % self._size + self._size
            yield range(start, end)
            start = end
