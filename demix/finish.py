"""The end of a build: manifests, build.json, the report page, and the purge of what is not needed any more."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from demix import __version__
from demix.build import CANDIDATES, FINISHED, Build, SourceEnd, work_of
from demix.dataset import layout
from demix.dataset.manifest import KeptClip, Quarantined, Rejected, Row, SourceRow, write_manifests
from demix.dataset.plan import Shard
from demix.dataset.sample import SOURCE_RECORDS
from demix.engine.phase import End
from demix.lazy import chosen
from demix.models import Choice
from demix.recipe import judges
from demix.records import SCHEMA_VERSION, Candidate, Clip, Record, Source
from demix.report.page import PAGE, write_report
from demix.store import Store

BUILD = "build.json"
TIMINGS = "timings.json"
_VERSIONED = ("ray", "pyarrow", "av", "imageio-ffmpeg", "numpy", "scipy", "torch", "scenedetect-headless")


def finish(build: Build, shards: Sequence[Shard], keep_work: bool) -> str:
    """Everything around the shards. Returns the report page's address; media of committed clips leave the work store.

    Does nothing but the purge if the dataset is finished and stands for just this build.
    """
    description = describe(build)
    if not is_finished(build, description):
        build.begin_work()
        write_manifests(build.dataset, _Rows(build, shards).all())
        with build.dataset.write(BUILD) as path:
            path.write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        with build.store.write(TIMINGS) as path:
            path.write_text(json.dumps(build.timings()))
        write_page(build.dataset, build.store, build.settings.report.samples_per_group)
        for store in (build.dataset, build.store):
            store.sweep()
        with build.store.write(FINISHED) as path:
            path.write_text(_mark(build, description))
    if not keep_work:
        build.store.remove("media")
    return build.dataset.address(PAGE)


def is_finished(build: Build, description: Mapping[str, Any]) -> bool:
    """Whether manifests, build.json and report are those of this build, and nothing was done since."""
    files = (layout.MANIFEST_COMMIT, BUILD, PAGE)
    return (
        all(build.dataset.exists(name) for name in files)
        and build.store.exists(FINISHED)
        and build.store.read(FINISHED).decode() == _mark(build, description)
    )


def _mark(build: Build, description: Mapping[str, Any]) -> str:
    """All that decides what finishing writes, once every stage has answered: settings, sources and the place."""
    candidates = hashlib.sha256(build.store.read(CANDIDATES)).hexdigest()
    return json.dumps({"dataset": build.dataset.shown, "candidates": candidates, "build": description}, sort_keys=True)


def write_page(dataset: Store, work: Store | None = None, samples: int = 2) -> str:
    """The report of a dataset, from its manifests; with a work store, dropped clips can be played as well."""
    store = work or work_of(dataset)
    timings = json.loads(store.read(TIMINGS)) if store.exists(TIMINGS) else []
    return write_report(dataset, work=store, timings=timings, samples_per_group=samples)


def describe(build: Build) -> dict[str, Any]:
    """build.json: the settings, who judged, every stage's fingerprint, and how to make the dataset again.

    Holds no time and no path, and nothing of how the work was distributed: equal builds have equal files.
    """
    stages = {step.stage.name: step.fingerprint for phase in build.phases() for step in phase.steps}
    return {
        "schema_version": SCHEMA_VERSION,
        "profile": build.settings.profile,
        "fingerprint": hashlib.blake2b(json.dumps(stages).encode(), digest_size=16).hexdigest(),
        "reproduce": "demix build DATASET/manifests/sources.parquet --config DATASET/build.json --output NEW",
        "models": {role: _described(choice) for role, choice in judges(build.settings).items()},
        "stages": stages,
        "versions": {
            "python": platform.python_version(),
            "demix": __version__,
            **{name: version(name) for name in _VERSIONED},
        },
        "config": build.settings.model_dump(mode="json", exclude={"engine"}),
    }


def _described(choice: Choice) -> dict[str, str]:
    return {**choice.credit().model_dump(), "licence": choice.kind.licence}


class _Rows:
    """The rows of all manifests, in the order that their tables want: candidates before clips, each sorted by id."""

    def __init__(self, build: Build, shards: Sequence[Shard]):
        self._build = build
        self._places: dict[str, tuple[layout.Split, str]] = {
            entry.clip_id: (shard.split, shard.tar) for shard in shards for entry in shard.entries
        }
        self._clips: Counter[str] = Counter()
        self._kept: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def all(self) -> Iterator[Row]:
        for end in self._build.source_ends():
            if end.state != "kept":
                yield self._ended_candidate(end)
        for clip in self._build.clip_phase().ends():
            yield self._clip(clip)
        for end in self._build.source_ends():  # last, as only now all clips are counted
            yield self._source(end)

    def _clip(self, end: End) -> Row:
        clip = end.item.clip
        self._clips[clip.source_id] += 1
        if end.entry is not None:
            return _ended(clip, end, self._replay(clip, end.entry.stage))
        self._kept[clip.source_id] += 1
        self._seconds[clip.source_id] += float(clip.seconds)
        return KeptClip(clip, _own(end.item.records), *self._places[clip.id])

    def _ended_candidate(self, end: SourceEnd) -> Row:
        source_id = end.source.id if end.source else None
        if end.entry is None:
            evidence = {"same_content_as": end.duplicate_of}
            return Rejected(end.candidate, "probe", "duplicate", evidence, source_id=source_id)
        body = json.loads(end.entry.body)
        if end.state == "dropped":
            return Rejected(end.candidate, end.entry.stage, **body, source_id=source_id)
        replay = self._replay(end.source or end.candidate, end.entry.stage)
        attempts = end.entry.attempts
        return Quarantined(
            end.candidate, end.entry.stage, **body, attempts=attempts, replay=replay, source_id=source_id
        )

    def _source(self, end: SourceEnd) -> SourceRow:
        source_id = end.source.id if end.source else None
        stage = reason = message = None
        if end.entry is not None and end.state != "kept":
            body = json.loads(end.entry.body)
            stage, message = end.entry.stage, body.get("message")
            reason = body["reason"] if end.state == "dropped" else body["error"]
        elif end.duplicate_of:
            stage, reason, message = "probe", "duplicate", f"same content as {end.duplicate_of}"
        mine = source_id if source_id and end.state == "kept" else ""  # a duplicate's clips are its twin's
        return SourceRow(
            end.candidate,
            status=end.state,
            source_id=source_id,
            stage=stage,
            reason=reason,
            message=message,
            probe=end.probe,
            shots=end.shots,
            clips=self._clips[mine],
            kept_clips=self._kept[mine],
            kept_seconds=self._seconds[mine],
        )

    def _replay(self, subject: Candidate | Source | Clip, stage: str) -> str:
        places = ["--output", self._build.dataset.shown, "--work", self._build.store.shown]
        return shlex.join(["demix", "replay", *places, "--clip", subject.id, "--stage", stage])


def _ended(clip: Clip, end: End, replay: str) -> Rejected | Quarantined:
    assert end.entry is not None
    body, records = json.loads(end.entry.body), _own(end.item.records)
    if end.entry.status == "dropped":
        return Rejected(clip, end.entry.stage, **body, records=records)
    return Quarantined(clip, end.entry.stage, **body, attempts=end.entry.attempts, replay=replay, records=records)


def _own(records: Mapping[str, Record]) -> Mapping[str, Record]:
    """A clip's own records, without those of its source, which the manifest of sources holds."""
    names = [name for name in records if name not in {kind.name for kind in SOURCE_RECORDS}]
    return chosen(records, names)
