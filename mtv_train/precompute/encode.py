"""Making a cache: every clip of a dataset through the encoders, by the builder's engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from demix.config import ConfigError
from demix.engine import lease, log
from demix.engine.phase import Phase
from demix.engine.progress import meter, tell_done_before
from demix.engine.proof import digests
from demix.engine.row import Row
from demix.engine.runner import EngineSettings, Runner, RunOptions, make_runner
from demix.preflight import require, tokens
from demix.redact import redacted
from demix.remote import filesystem, patiently
from demix.store import Store
from mtv_train.config import TrainSettings
from mtv_train.data.cached import CachedPart
from mtv_train.data.index import DatasetIndex
from mtv_train.precompute.caches import Marks, part_fingerprint
from mtv_train.precompute.clip import TrainingClip
from mtv_train.precompute.parts import PARTS, Encoded


@dataclass
class PartEnd:
    """What became of one part."""

    part: CachedPart
    clips: int
    worked: bool
    """Whether anything was left to do."""
    files: int = 0
    bytes: int = 0
    failures: list[dict[str, str]] = field(default_factory=list)
    """Clip, shard, error and message of each clip that could not be encoded whole."""
    cut: int = 0
    """Clips whose captions are longer than the text encoder takes."""


class Precomputation:
    """The parts of a cache for the train split of one dataset; `limit`: only so many of its clips (0: all)."""

    def __init__(
        self,
        settings: TrainSettings,
        index: DatasetIndex,
        store: Store,
        engine: EngineSettings = EngineSettings(),  # noqa: B008  (frozen)
        limit: int = 0,
    ):
        self.settings, self.index, self.store, self.engine = settings, index, store, engine
        self.clips = min(limit, index.clips) if limit else index.clips
        self.marks = Marks(store, settings, index)
        self._runner: Runner | None = None
        self._tokens = ExitStack()
        self._check_held: Callable[[], None] = lambda: None

    def phase(self, part: CachedPart) -> Phase:
        """One stage over all clips. Raises `ConfigError` for what cannot be computed beforehand."""
        if part == "latents" and self.settings.data.window.crop == "random":
            raise ConfigError(
                "latents cannot be precomputed with data.window.crop=random, which draws a crop for every sample: "
                "set data.window.crop=centre, or precompute the rest with --what text,audio"
            )
        return Phase(part, [PARTS[part](self.settings)], self.store, lambda: self._rows(part))

    @contextmanager
    def working(self) -> Iterator[None]:
        """To be open while anything is encoded: keeps others out of the cache. Raises `ConfigError` where one is in."""
        with ExitStack() as stack:
            self._check_held = stack.enter_context(lease.held(self.store, "precomputation"))
            log.configure(self.log_folder)
            stack.callback(log.configure, None)
            stack.callback(self._close)
            yield

    def encode(self, part: CachedPart, retry_failed: bool = False) -> PartEnd:
        """Encodes what is left of a part, says how it ended, and marks it if it is whole."""
        whole = self.marks.find(part)
        if whole is not None and not (retry_failed and whole.failed):
            return PartEnd(part, self.clips, worked=False, cut=whole.cut)
        phase = self.phase(part)
        phase.ledger.compact()
        survey = phase.survey(retry_failed, self._seconds)
        tell_done_before(part, survey.items - survey.pending, survey.items, "clips")
        if survey.pending:
            self.store.sweep()
        options = RunOptions(
            engine=self.engine, total=survey.pending, retry_failed=retry_failed, log_folder=self.log_folder
        )
        with meter(part, survey.pending, "clips", film_seconds=survey.film_seconds) as progress:

            def done(row: Row) -> None:
                self._check_held()
                progress.advance(self._seconds(row))

            phase.run(self._made_runner, options, done)
        end = self._end(part, phase, worked=survey.pending > 0)
        self._quarantine(end)
        if self.clips == self.index.clips:
            self.marks.set(part, end.clips, len(end.failures), end.cut)
        return end

    def pending(self, part: CachedPart) -> tuple[int, int]:
        """(clips, windows) of a part that are still to be encoded. Changes nothing."""
        subjects = [row.parse_subject() for row in self.phase(part).pending()]
        return len(subjects), sum(len(clip.firsts) for clip in subjects if isinstance(clip, TrainingClip))

    @property
    def log_folder(self) -> Path | None:
        return None if self.store.remote else Path(self.store.root) / "logs"

    def _made_runner(self) -> Runner:
        """Made when first asked for: where nothing is to be done, no cluster is started. Raises `ConfigError` if a node
        of it sees neither the cache nor the dataset."""
        if self._runner is None:
            self._runner = make_runner(self.engine)
            proof = self._tokens.enter_context(tokens({"--out": self.store}))
            require(self._runner, replace(proof, code=digests(["demix", "mtv_train"])))
            question = (self.index.shards[0], self.index.storage_options)
            for node, seen in self._runner.on_every_node(_sees, question):
                if not seen:
                    raise ConfigError(f"{question[0]}: node {node} cannot see it; put the dataset where all nodes do")
        return self._runner

    def _close(self) -> None:
        if self._runner is not None:
            self._runner.close()
            self._runner = None
        self._tokens.close()

    def _rows(self, part: CachedPart) -> Iterator[Row]:
        """The clips sorted by id, as the ledger is."""
        fields = PARTS[part](self.settings).fields()
        clips = (TrainingClip.of(self.index, self.index.clip(number), fields) for number in range(self.clips))
        order = sorted((clip.id, number) for number, clip in enumerate(clips))
        for _, number in order:
            yield Row.of(TrainingClip.of(self.index, self.index.clip(number), fields))

    def _seconds(self, row: Row) -> float:
        clip = row.parse_subject()
        assert isinstance(clip, TrainingClip)
        return float(clip.frames / self.settings.data.window.rate)

    def _end(self, part: CachedPart, phase: Phase, worked: bool) -> PartEnd:
        found = PartEnd(part, self.clips, worked)
        for end in phase.ends():
            clip = end.item.subject
            assert isinstance(clip, TrainingClip)
            if end.entry is not None:
                body = json.loads(end.entry.body)
                failure = {"error": body["error"], "message": body["message"]}
                found.failures.append({"clip": clip.clip, "shard": clip.shard, **failure})
            else:
                found.files += len(end.item[Encoded].files)
                found.bytes += sum(file.bytes for file in end.item[Encoded].files)
                found.cut += bool(end.item[Encoded].unread)
        return found

    def _quarantine(self, end: PartEnd) -> None:
        """Lists what failed, where a person finds it."""
        key = f"quarantine/{end.part}-{part_fingerprint(end.part, self.settings)[:12]}.jsonl"
        if not end.failures:
            self.store.remove(key)
            return
        with self.store.write(key) as path:
            path.write_text("".join(json.dumps(row) + "\n" for row in end.failures), encoding="utf-8")
        log.get_logger("precompute").warning("clips_failed", extra=log.event(part=end.part, clips=len(end.failures)))


def _sees(question: tuple[str, Mapping[str, str]]) -> bool:
    """Whether this machine finds a shard."""
    address, options = question

    def ask() -> bool:
        files, path = filesystem(address, options)
        return bool(files.exists(path))

    return patiently(redacted(address), "read", ask)
