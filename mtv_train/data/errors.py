"""What can go wrong with training data, each kind a type of its own."""

from __future__ import annotations

from typing import Literal

from demix.errors import MachineTrouble

Kind = Literal["read", "hash", "decode", "rate", "short", "sound", "caption", "facts", "cache"]


class DataError(RuntimeError):
    """Base of all errors of this room; the message names the file or sample and the remedy."""


class DatasetError(DataError):
    """A dataset, shard or index that cannot be used at all."""


class SampleError(DataError):
    """One sample cannot be used. The loader counts it and puts another in its place.

    `kind`: `read` bytes are missing; `hash` bytes differ from the index; `decode` pictures cannot be decoded; `rate`
    their time stamps make no sense; `short` pictures or sound end before the window; `sound` a stem is broken;
    `caption` the text is not UTF-8; `facts` its `.json` says what makes no sense; `cache` a precomputed file is broken.
    """

    def __init__(self, key: str, kind: Kind, message: str):
        super().__init__(f"sample {key}: {kind}: {message}")
        self.key = key
        self.kind = kind
        self.message = message

    def __reduce__(self) -> tuple[type[SampleError], tuple[str, Kind, str]]:
        return type(self), (self.key, self.kind, self.message)


class TooManyBadSamples(DataError):
    """More samples were bad than `max_bad_share` allows, or every replacement of one was bad too."""


class WorkerDied(DataError, MachineTrouble):
    """A loader process ended without an answer (killed, out of memory, a crash in native code)."""


class StoreFailed(DataError, MachineTrouble):
    """The object store of the dataset or of the caches does not answer, however often it is asked."""
