"""A build, phase by phase: sources → index → annotate → pack → report.

Every phase can be run alone, any number of times, in this order; what an earlier run has done is not done again. The
work store holds the tables between the phases:

    candidates.jsonl      what was named on the command line
    clips.parquet         the clip table, sorted by id
    ledger/  media/       what the stages answered and made
    sources/              the state of a source's file in which its content was last seen
    timings.jsonl         how long each phase took, run by run
    finished.json         what the manifests and the report in the dataset stand for; absent while work is going on
"""

from __future__ import annotations

import hashlib
import json
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from demix import indexing, node_copies, recipe, weights
from demix.clip_table import ClipTable, remove_clips
from demix.config import ConfigError
from demix.costs import stage_costs
from demix.engine import lease, log
from demix.engine.ledger import Entry, Ledger, Status
from demix.engine.phase import End, Phase, Survey, film_seconds
from demix.engine.progress import busy, meter, tell_done_before
from demix.engine.proof import Proof
from demix.engine.row import Row
from demix.engine.runner import Runner, RunOptions, make_runner, one_machine
from demix.film import film_of
from demix.here import Here
from demix.media.parts import part_with
from demix.models.missing import MissingPackage
from demix.preflight import check_places, remove_tokens, require, some_films, tokens, with_models
from demix.records import Candidate, Kind, Probe, Shots, Source
from demix.scratch import scratch
from demix.sources.discover import DEFAULT_KIND, discover
from demix.sources.fetch import stamp_of
from demix.stage import Stage
from demix.stages import shot_spans
from demix.stages.shots import clips_of
from demix.store import Place, Store

CANDIDATES, TIMINGS, FINISHED = "candidates.jsonl", "timings.jsonl", "finished.json"

_FILMS = 256
"""Films whose shots are held at a time."""


@dataclass(frozen=True)
class SourceEnd:
    """What became of one candidate, after probing and indexing."""

    candidate: Candidate
    source: Source | None
    probe: Probe | None
    shots: Shots | None
    entry: Entry | None
    duplicate_of: str = ""
    """uri of the candidate whose content is the same, if that one is built instead."""

    @property
    def state(self) -> Status:
        return self.entry.status if self.entry else "dropped" if self.duplicate_of else "kept"


class Build:
    """One dataset being built. `dataset` is where it goes, `work` the work store (default: inside the dataset)."""

    def __init__(
        self,
        settings: recipe.BuildSettings,
        dataset: Place,
        work: Place | None = None,
        runner: Callable[[], Runner] | None = None,
        *,
        retry_failed: bool = False,
    ):
        self.settings = settings
        weights.use(settings.engine.weights)
        self.dataset = Store.at(dataset)
        self.store = Store.at(work) if work is not None else work_of(self.dataset)
        self.retry_failed = retry_failed
        self.worked = False
        """Whether anything was left to do so far."""
        self._make_runner = runner or (lambda: make_runner(settings.engine))
        self._runner: Runner | None = None
        self._planned: list[Stage] = []
        self._proof = Proof()
        self._tokens = ExitStack()
        self._here = Here(settings) if runner is None and one_machine(settings.engine) else None
        self._named: list[Candidate] | None = None
        self._held: list[Callable[[], None]] = []

    # --- sources ------------------------------------------------------------------------------------------------------

    def name_sources(self, inputs: Sequence[str], kind: Kind | None, limit: int | None = None) -> int:
        """Notes the files to build from; returns how many. Raises `ConfigError` where an input does not exist."""
        named = self.look_up(inputs, kind, limit)
        with self.store.write(CANDIDATES) as path:
            path.write_text("".join(candidate.model_dump_json() + "\n" for candidate in named))
        return len(named)

    def look_up(self, inputs: Sequence[str], kind: Kind | None, limit: int | None = None) -> list[Candidate]:
        """What `inputs` name, for this build object only: nothing is written."""
        found = islice(discover(inputs, kind), limit)
        stamped = (candidate.model_copy(update={"stamp": stamp_of(candidate.uri)}) for candidate in found)
        self._named = sorted(stamped, key=lambda candidate: candidate.id)
        if not self._named:
            raise ConfigError(
                f"no files in {', '.join(inputs)}; give films, folders or a manifest (.csv, .jsonl, .parquet)"
            )
        return self._named

    def probe(self) -> None:
        """Looks into every candidate."""
        self._run(self._sources_phase(), "files")

    def index(self) -> None:
        """Finds the shots of every source, then writes the clip table."""
        self.probe()
        self._run(self._index_phase(), "sources")
        self._forget_spans()
        if not self._clips().exists():
            with busy("writing the clip table"):
                self._clips().write(self._found_clips())

    def _forget_spans(self) -> None:
        """What spans have left is in the answers of the shots stage by now."""
        self.store.remove(shot_spans.FOLDER)

    def source_ends(self) -> Iterator[SourceEnd]:
        """What became of every candidate, sorted by id; those not indexed yet are left out.

        The shots of some films are held at a time: of all together they are as many as there are clips.
        """
        built, index, probed = self._built(), self._index_phase(), self._sources_phase().ends()
        while page := list(islice(probed, _FILMS)):
            mine = [end for end in page if end.state == "kept" and built[_source(end).id].id == end.item.id]
            rows = sorted(map(_source_row, mine), key=lambda row: row.id)
            indexed = {end.item.id: end for end in index.page_ends(rows) if not end.missing}
            for end in page:
                if (ended := _source_end(end, built, indexed)) is not None:
                    yield ended

    def _built(self) -> dict[str, Candidate]:
        """Source id → the candidate that it is built from. Of several with one content, what is said of them decides,
        not where they lie."""
        built: dict[str, Candidate] = {}
        for end in self._sources_phase().ends():
            if end.state == "kept":
                candidate, source = end.item.subject, _source(end)
                assert isinstance(candidate, Candidate)
                built[source.id] = min(built.get(source.id, candidate), candidate, key=_rank)
        return built

    def _sources_phase(self) -> Phase:
        return Phase("sources", recipe.source_stages(self.settings), self.store, self._candidate_rows)

    def _index_phase(self) -> Phase:
        return Phase("index", recipe.index_stages(self.settings), self.store, self._source_rows, self._base())

    def _candidate_rows(self) -> list[Row]:
        return [Row.of(candidate) for candidate in self.named]

    @property
    def named(self) -> list[Candidate]:
        """The files to build from, sorted by id. Raises `ConfigError` before any are named."""
        if self._named is None:
            if not self.store.exists(CANDIDATES):
                raise ConfigError(f"{self.store}: no sources are named yet; {self._first('build FILMS')}")
            lines = self.store.read(CANDIDATES).decode().splitlines()
            self._named = [Candidate.model_validate_json(line) for line in lines]
        return self._named

    def _source_rows(self) -> list[Row]:
        built = self._built()
        rows = [
            _source_row(end)
            for end in self._sources_phase().ends()
            if end.state == "kept" and built[_source(end).id].id == end.item.id
        ]
        return sorted(rows, key=lambda row: row.id)

    def films(self) -> dict[str, str]:
        """Source id -> the film that it is of, where the manifest that named it says so."""
        sources = (row.parse_subject() for row in self._source_rows())
        return {
            source.id: film for source in sources if isinstance(source, Source) and (film := film_of(source.metadata))
        }

    def _base(self) -> dict[type, str]:
        # A clip's identity covers its source's content already, so only the way of probing counts besides.
        probe = recipe.source_stages(self.settings)[0]
        return {Probe: f"{probe.name}-{probe.version}"}

    # --- clips --------------------------------------------------------------------------------------------------------

    def annotate(self) -> None:
        """Takes every clip through the clip stages. Raises `ConfigError` without the clip table of these sources."""
        self.check_clips()
        self._run(self.clip_phase(), "clips")

    def clip_phase(self) -> Phase:
        return Phase("annotate", recipe.clip_stages(self.settings), self.store, self.clip_rows, self._base())

    def clip_rows(self) -> Iterator[Row]:
        """The clip table, sorted by id, a page at a time; empty before there is one of these sources and settings."""
        return self._clips().rows()

    def count_clips(self) -> int:
        """The length of the clip table."""
        return self._clips().count()

    def check_clips(self, annotated: bool = False) -> None:
        """Raises `ConfigError` unless the clip table is that of these sources and settings and, if asked, every clip of
        it has ended."""
        if not self._clips().exists():
            raise ConfigError(
                f"{self.store}: no clip table of these sources and settings is here; {self._first('index FILMS')}"
            )
        waiting = next(self.clip_phase().pending(), None) if annotated else None
        if waiting is not None:
            raise ConfigError(
                f"clip {waiting.id} and maybe more are not annotated with these settings; {self._first('annotate')}"
            )

    def _first(self, command: str) -> str:
        """Which command is to come before the one that was given."""
        words = ["--output", str(self.dataset)]
        if self.store.root != work_of(self.dataset).root:
            words += ["--work", str(self.store)]
        return f"run `demix {command} {shlex.join(words)}` first"

    def _clips(self) -> ClipTable:
        """The clip table of the files named, as they are probed and indexed with these settings."""
        digest = hashlib.blake2b(digest_size=16)
        for candidate in self.named:
            digest.update(candidate.model_dump_json().encode())
        for phase in (self._sources_phase(), self._index_phase()):
            digest.update("".join(step.fingerprint for step in phase.steps).encode())
        return ClipTable(self.store, digest.hexdigest())

    def _found_clips(self) -> Iterator[Row]:
        for end in self._index_phase().ends(_FILMS):
            source = end.item.subject
            if end.state == "kept" and isinstance(source, Source):
                probe = end.item[Probe]
                for clip in clips_of(source, probe, end.item[Shots]):
                    yield Row.of(clip, {Probe.name: part_with(probe, clip)})

    def remake(self, ids: Sequence[str], asking: Stage) -> None:
        """Runs one more stage on some clips, so that the media which it asks for are made where they are missing."""
        wanted = set(ids)
        stages = [*recipe.clip_stages(self.settings), asking]
        rows = lambda: (row for row in self.clip_rows() if row.id in wanted)  # noqa: E731
        self._run(Phase("annotate", stages, self.store, rows, self._base()), "clips")

    # --- running ------------------------------------------------------------------------------------------------------

    @property
    def runner(self) -> Runner:
        """Made when first asked for: a build that has nothing to do starts no cluster. Raises `ConfigError` if most of
        its nodes do not see the dataset, the work store or the films, run other code, or lack weights of stages that
        are going to run; of few such nodes it makes no use."""
        if self._runner is None:
            self._runner = self._make_runner()
            proof = self._tokens.enter_context(tokens(self._places))
            self._proof = replace(proof, films=some_films(one.uri for one in self._named or ()))
            self._require(self._planned)
        return self._runner

    @property
    def _places(self) -> dict[str, Store]:
        """What every node must see, by the option that names it."""
        return {"--output": self.dataset, "--work": self.store}

    def _require(self, stages: Sequence[Stage]) -> None:
        """Has the runner use only nodes that can run these stages besides those of before."""
        assert self._runner is not None
        self._proof = with_models(self._proof, stages, self.settings.engine)
        require(self._runner, self._proof)

    @property
    def helpers(self) -> Runner:
        """What functions are called by, side by side: the runner if there is one, else processes of this machine."""
        return self.runner if self._runner is not None or self._here is None else self._here.processes

    def _runner_for(self, phase: Phase, survey: Survey) -> Runner:
        """The runner, of which every node has what the stages of a phase need; none with Ray for little work."""
        stages = [step.stage for step in phase.steps]
        here = self._here.runner_for(phase, survey, self.retry_failed) if self._here and not self._runner else None
        if here is not None:
            require(here, with_models(Proof(), [*self._planned, *stages], self.settings.engine))
            return here
        if self._runner is not None and not {stage.name for stage in stages} <= {one.name for one in self._planned}:
            self._require(stages)
        self._planned = [*self._planned, *stages]
        return self.runner

    @contextmanager
    def working(self, stages: Sequence[Stage] = ()) -> Iterator[None]:
        """To be open while anything of this build is written: checks settings and places, and keeps other builds out of
        them. `stages` are those that are going to run: what one of them lacks is found before any begins, and not after
        hours of the phases before it. Raises `ConfigError`."""
        with suppress(MissingPackage):  # for a stage that does not run now, a package need not be here
            self.phases()  # a stage or model that is none is found now as well
        self._planned = list(stages)
        check_places(self.dataset, self.store)
        with ExitStack() as locks:
            self._held = [locks.enter_context(lease.held(store)) for store in (self.dataset, self.store)]
            remove_tokens(self._places.values())
            locks.enter_context(scratch())
            locks.push(self._sweep)
            locks.callback(self.close)
            yield
            log.deliver(at_once=True)
            self._empty_copies()

    def _sweep(self, kind: type[BaseException] | None, *_: object) -> None:
        """After an interruption: removes what workers that have been ended were writing."""
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            for store in (self.dataset, self.store):
                store.sweep()

    def _empty_copies(self) -> None:
        """At the end: removes what the nodes of a cluster have copied from the stores. (This one: `command_line`.)"""
        remote = [store.root for store in (self.dataset, self.store) if store.remote]
        if remote and self._runner is not None:
            self._runner.on_every_node(node_copies.empty, remote)

    def close(self) -> None:
        if self._here is not None:
            self._here.close()
        if self._runner is not None:
            self._runner.close()
            self._runner = None
        self._tokens.close()

    def _run(self, phase: Phase, unit: str) -> None:
        with busy(f"{phase.name}: looking up what is done"):
            phase.ledger.compact()
            survey = phase.survey(self.retry_failed)
        tell_done_before(phase.name, survey.items - survey.pending, survey.items, unit)
        if not survey.pending:
            return
        self.begin_work()
        if phase.name in ("sources", "index"):
            remove_clips(self.store)
        # A source's length is a record of it, which does not come back with the row.
        lengths = {row.id: film_seconds(row) for row in phase.rows()} if phase.name == "index" else {}
        started = time.monotonic()
        with meter(phase.name, survey.pending, unit, film_seconds=survey.film_seconds) as progress:

            def done(row: Row, judged: bool = False) -> None:
                self.check_held()
                seconds = lengths.get(row.id) or film_seconds(row)
                progress.advance(seconds, item=row.id, whole=row.state != "dropped", judged=judged)

            options = RunOptions(
                engine=self.settings.engine,
                total=survey.pending,
                retry_failed=self.retry_failed,
                log_folder=self.log_folder,
                media_seconds=survey.film_seconds,
                costs=stage_costs(self.settings),
                on_part=progress.part,
            )
            runner = partial(self._runner_for, phase, survey)
            if phase.name == "index":
                indexing.measure_spans(phase, runner(), options)
            phase.run(runner, options, done, partial(done, judged=True))
        self.note_timing(phase.name, survey.pending, time.monotonic() - started)

    def begin_work(self) -> None:
        """From here on the manifests and the report do not stand for what the work store holds."""
        self.check_held()
        self.worked = True
        self.store.remove_file(FINISHED)

    def check_held(self) -> None:
        """Raises `MachineTrouble` if another build has taken one of the places over."""
        for check in self._held:
            check()

    @property
    def log_folder(self) -> Path | None:
        """Logs lie in the work store. To a remote one workers bring them themselves (`log.send_to`)."""
        return None if self.store.remote else Path(self.store.root) / "logs"

    def note_timing(self, phase: str, items: int, seconds: float) -> None:
        """Adds to the wall-clock times that the report shows."""
        known = self.store.read(TIMINGS).decode() if self.store.exists(TIMINGS) else ""
        line = json.dumps({"phase": phase, "items": items, "wall_seconds": round(seconds, 3)})
        with self.store.write(TIMINGS) as path:
            path.write_text(f"{known}{line}\n")

    def timings(self) -> list[dict[str, object]]:
        """Per phase: wall time over all runs; per stage: items and seconds of its own work, from the ledger."""
        walls: dict[str, float] = {}
        if self.store.exists(TIMINGS):
            for line in self.store.read(TIMINGS).decode().splitlines():
                row = json.loads(line)
                walls[row["phase"]] = walls.get(row["phase"], 0.0) + row["wall_seconds"]
        rows: list[dict[str, object]] = []
        ledger = Ledger(self.store)
        for phase in self.phases():
            for step in phase.steps:
                items, seconds = ledger.totals(step.stage.name, step.fingerprint)
                wall = walls.get(phase.name, 0.0)
                rows.append(
                    {
                        "phase": phase.name,
                        "stage": step.stage.name,
                        "items": items,
                        "seconds": seconds,
                        "wall_seconds": wall,
                    }
                )
        return rows

    def phases(self) -> list[Phase]:
        """All phases whose items are known one after the other from what the work store holds."""
        return [self._sources_phase(), self._index_phase(), self.clip_phase()]


def work_of(dataset: Store) -> Store:
    """The work store of a dataset whose command line names none."""
    return Store(f"{dataset.root}/.work")


def _source(end: End) -> Source:
    """The source behind a candidate that was probed."""
    candidate = end.item.subject
    assert isinstance(candidate, Candidate)
    sha256 = end.item[Probe].sha256
    return Source(id=sha256[:16], uri=candidate.uri, kind=candidate.kind, metadata=candidate.metadata)


def _source_row(end: End) -> Row:
    """A source as the index phase takes it, from how its candidate ended."""
    return Row.of(_source(end), {Probe.name: end.item[Probe]})


def _source_end(end: End, built: Mapping[str, Candidate], indexed: dict[str, End]) -> SourceEnd | None:
    """What became of a candidate that was probed, given the sources that were indexed; None if it is not yet known."""
    candidate = end.item.subject
    assert isinstance(candidate, Candidate)
    if end.state != "kept":
        return SourceEnd(candidate, None, None, None, end.entry)
    source, probe = _source(end), end.item[Probe]
    twin = built[source.id]
    if twin.id != candidate.id:
        return SourceEnd(candidate, source, probe, None, None, twin.uri)
    found = indexed.pop(source.id, None)
    if found is None:
        return None
    return SourceEnd(candidate, source, probe, found.item[Shots] if found.state == "kept" else None, found.entry)


def _rank(candidate: Candidate) -> tuple[bool, str, str, str]:
    """The default kind counts last: the others were said by somebody."""
    return candidate.kind == DEFAULT_KIND, candidate.kind, json.dumps(candidate.metadata, sort_keys=True), candidate.id
