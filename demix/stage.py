"""The contract between the engine and the stages: what a stage is given, what it must answer.

A stage knows no Ray, no ledger, no retries: it gets items, measures or judges them, and answers one outcome each, in
the same order. The engine checks that, so an answer can never reach the wrong clip.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from demix.config import Settings
from demix.records import Clip, Record, Subject
from demix.store import Store

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Item:
    """A subject with all records that earlier stages added; `item[Demixing]` is the record of that type."""

    subject: Subject
    records: Mapping[str, Record] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.subject.id

    @property
    def key(self) -> str:
        """What answers about it are kept under; see `Subject.key`."""
        return self.subject.key

    @property
    def clip(self) -> Clip:
        if not isinstance(self.subject, Clip):
            raise TypeError(f"{self.id} is a {self.subject.name}, not a clip")
        return self.subject

    def __getitem__(self, kind: type[R]) -> R:
        record = self.records[kind.name]
        if not isinstance(record, kind):
            raise TypeError(f"{self.id}: the record {kind.name!r} is a {type(record).__name__}")
        return record

    def __contains__(self, kind: type[Record]) -> bool:
        return kind.name in self.records

    def with_record(self, record: Record | None) -> Item:
        return self if record is None else Item(self.subject, {**self.records, record.name: record})


@dataclass(frozen=True)
class Kept:
    """The item goes on; `record` holds what was measured (None for a stage that only judges)."""

    record: Record | None = None


@dataclass(frozen=True)
class Dropped:
    """The item ends here, by rule: `reason` is one of the stage's declared reasons, `evidence` its numbers."""

    reason: str
    evidence: Mapping[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True)
class Failed:
    """The item could not be judged. Retryable failures are tried again; what still fails is quarantined."""

    error: str
    """Class name of the error."""
    message: str
    detail: str = ""
    """Traceback, or the tail of a child's stderr."""
    retryable: bool = False


Outcome = Kept | Dropped | Failed


@dataclass(frozen=True)
class Resources:
    """What one worker of a stage occupies. Neighbouring stages with equal resources share a worker."""

    cpus: float = 1.0
    gpus: float = 0.0
    """Share of a GPU, taken where `engine.device` and the cluster have one to give."""
    memory_gb: float = 0.0
    """Of main memory, for a worker that needs much; 0: what any worker needs."""
    pool: str = "default"
    """Stages of different pools never share a worker: for models that do not fit side by side."""

    def beside(self, other: Resources) -> Resources:
        """What one worker occupies that holds the models of both, and runs one at a time."""
        return Resources(
            cpus=max(self.cpus, other.cpus),
            gpus=min(1.0, self.gpus + other.gpus) if max(self.gpus, other.gpus) <= 1 else max(self.gpus, other.gpus),
            memory_gb=self.memory_gb + other.memory_gb,
            pool=self.pool if self.pool != "default" else other.pool,
        )


@dataclass(frozen=True)
class Context:
    """What the engine lends an open stage."""

    store: Store
    fingerprint: str
    threads: int = 1
    device: str = "auto"
    """Where models run: `cpu`, `cuda`, or `auto` (cuda where there is one)."""

    def key(self, item: Item, name: str) -> str:
        """Work-store key for a file that this stage, with these settings, makes for this item."""
        return f"media/{item.id[:2]}/{item.id}/{self.fingerprint[:12]}/{name}"


class Stage(ABC):
    """One step. Subclasses declare the class attributes, take their settings in `__init__`, and are cheap to construct
    and to pickle: models are loaded in `open`, once per worker."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    """Raised when the same input and settings would give another answer."""
    needs: ClassVar[tuple[type[Record], ...]] = ()
    by_content: ClassVar[tuple[type[Record], ...]] = ()
    """Those of `needs` of which only the content counts and not how it came about: an answer holds as long as they say
    the same. For what a judge adds, so that a threshold that is moved makes nobody measure again in vain."""
    adds: ClassVar[type[Record] | None] = None
    reasons: ClassVar[tuple[str, ...]] = ()
    """Every reason for which this stage may drop."""
    judges: ClassVar[bool] = False
    """Whether it only reads records, which takes no time: it then also runs where the build was started, without
    workers and without `open`."""
    resources: Resources = Resources()
    batch_size: int = 1
    timeout_seconds: float = 600.0
    """For one item; a batch may take this long for each of its items."""

    def __init__(self, settings: Settings):
        self.settings = settings

    def revision(self) -> str:
        """Name and revision of the models inside, without loading them; part of the fingerprint."""
        return ""

    def weights(self) -> tuple[str, ...]:
        """Names (`demix.weights`) of the sets of weights that the models inside load."""
        return ()

    def programs(self) -> tuple[tuple[str, str], ...]:
        """Programs that the models inside run on their node: (path, what to say where it is not there)."""
        return ()

    def media(self, record: Record) -> tuple[str, ...]:
        """Work-store keys of the files behind a record that this stage added."""
        return ()

    def inputs(self, item: Item) -> tuple[str, ...] | None:
        """Work-store keys that `run` is going to read for this item; None: all media of the needed records."""
        return None

    def open(self, context: Context) -> None:
        """Called once per worker before the first `run`."""
        self.context = context

    @abstractmethod
    def run(self, items: Sequence[Item]) -> Sequence[Outcome]:
        """One outcome per item, in order. May raise: the engine then tries the items one by one."""

    def close(self) -> None:  # noqa: B027  (most stages hold nothing)
        """Called once per worker after the last `run`."""
