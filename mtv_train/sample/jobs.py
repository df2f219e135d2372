"""Many videos: a line each, made by as many processes as there are GPUs, gone on with where it stopped."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing import active_children, get_context
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import torch

from demix.config import ConfigError, merge, validate
from demix.engine.lock import held
from demix.engine.progress import meter
from demix.processes import end_with_parent, leave_terminal, starting_workers
from demix.store import atomic, sweep
from mtv_train.sample.device import Place
from mtv_train.sample.make import Maker
from mtv_train.sample.model_folder import check_outside, fingerprint
from mtv_train.sample.request import Request

FAILURES = "failures.json"
_NAME = re.compile(r"[\w][\w.\- ]*")
_LONGEST = 200
"""Bytes of a name; a file system takes 255, with what is added while a file is written."""


@dataclass(frozen=True)
class Job:
    """One line: the name of its video, and what it is to be."""

    name: str
    request: Request

    def film(self, out: Path) -> Path:
        """Where its video lies."""
        return out / f"{self.name}.mp4"

    def is_made(self, out: Path, fingerprint: str) -> bool:
        """Whether the video is there, made by this model from this very request."""
        film = self.film(out)
        try:
            note = json.loads(film.with_suffix(".json").read_text(encoding="utf-8"))
            asked, model = note["request"], note["model"]["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError):  # none there, or not ours: it is made anew
            return False
        return film.is_file() and asked == self.request.model_dump(mode="json") and model == fingerprint


@dataclass(frozen=True)
class Outcome:
    """What became of all jobs."""

    made: int
    there: int
    """Made before, and left as they were."""
    failures: Mapping[str, str]


def read_jobs(path: Path, defaults: Mapping[str, Any]) -> list[Job]:
    """The jobs of a file of JSON lines: `name` and any field of `Request`, over `defaults`; relative paths are below
    the file's folder. Raises `ConfigError` that names the line."""
    try:
        # JSON's line is what \n ends: a text may hold other separators, which `protocol` writes as they are.
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--jobs {path}: cannot be read ({error})") from error
    jobs: dict[str, Job] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            job = _job(json.loads(line), defaults, path.parent)
        except ValueError as error:  # JSON's, and ours
            raise ConfigError(f"{path}, line {number}: {error}") from error
        if job.name in jobs:
            raise ConfigError(f"{path}, line {number}: the name {job.name!r} is given twice")
        jobs[job.name] = job
    if not jobs:
        raise ConfigError(f"{path}: holds no job")
    return list(jobs.values())


def _job(line: Any, defaults: Mapping[str, Any], folder: Path) -> Job:
    if not isinstance(line, dict) or not isinstance(line.get("name"), str):
        raise ConfigError('a job is {"name": ..., "prompt": ..., ...}')
    fields = {key: value for key, value in line.items() if key != "name"}
    name = line["name"]
    if not _NAME.fullmatch(name):
        raise ConfigError(f"the name {name!r} must be fit for a file: letters, digits, and . - _ within")
    if len(name.encode()) > _LONGEST:
        raise ConfigError(f"the name {name[:40]!r}... has {len(name.encode())} bytes; a file's may have {_LONGEST}")
    if name == Path(FAILURES).stem:
        raise ConfigError(f"the name {name!r} is that of the list of failures; give another")
    return Job(line["name"], validate(Request, merge(defaults, fields)).resolved(folder))


def run_jobs(jobs: Sequence[Job], model: Path, out: Path, place: Place, workers: int) -> Outcome:
    """Makes what is missing; a job that fails is listed and costs no other. Failures are also in OUT/failures.json.
    Raises `ConfigError` where another call samples into the same folder."""
    check_outside(out, model)
    with held(out, "sampling"):
        sweep(out)
        return _made(jobs, model, out, place, workers)


def _made(jobs: Sequence[Job], model: Path, out: Path, place: Place, workers: int) -> Outcome:
    mark = fingerprint(model)
    due = [job for job in jobs if not job.is_made(out, mark)]
    failures: dict[str, str] = {}
    try:
        with (
            meter("sample", len(due), "videos") as progress,
            closing(_outcomes(due, model, out, place, workers)) as outcomes,
        ):
            for name, error in outcomes:
                if error:
                    failures[name] = error
                progress.advance()
    except KeyboardInterrupt:
        sweep(out)  # of what processes were writing that have been ended
        raise
    with atomic(out / FAILURES) as aside:
        aside.write_text(json.dumps(failures, indent=2, ensure_ascii=False), encoding="utf-8")
    return Outcome(len(due) - len(failures), len(jobs) - len(due), failures)


def _outcomes(
    jobs: Sequence[Job], model: Path, out: Path, place: Place, workers: int
) -> Generator[tuple[str, str], None, None]:
    """(name, what went wrong or nothing) of each job, as they end."""
    if not jobs:
        return
    if min(workers, len(jobs)) == 1:
        maker = place.load(model)
        yield from ((job.name, _make(maker, job, out)) for job in jobs)
        return
    context = get_context("spawn")  # CUDA does not survive a fork
    places: Queue[Place] = context.Queue()
    spread = place.where.type == "cuda" and place.where.index is None
    gpus = torch.cuda.device_count() if spread else 0
    for number in range(workers):
        places.put(replace(place, device=f"cuda:{number % gpus}") if gpus else place)
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _begin, (places, model)) as pool:
        with starting_workers():
            waiting: dict[Future[str], str] = {pool.submit(_make_here, job, out): job.name for job in jobs}
        try:
            for future in as_completed(waiting):
                yield waiting[future], _result(future)
        except BaseException:
            for process in active_children():  # the pool would wait for their videos
                process.terminate()
            raise


def _result(future: Future[str]) -> str:
    try:
        return future.result()
    except BrokenProcessPool:
        return "a process died, perhaps for want of memory; give the same command again"


_maker: Maker | None = None
"""The model of this process, of a pool."""


def _begin(places: Queue[Place], model: Path) -> None:
    global _maker
    leave_terminal()
    end_with_parent()
    _maker = places.get().load(model)


def _make_here(job: Job, out: Path) -> str:
    assert _maker is not None
    return _make(_maker, job, out)


def _make(maker: Maker, job: Job, out: Path) -> str:
    """Makes one; what went wrong, or nothing."""
    try:
        maker.make(job.request, job.film(out))
    except Exception as error:  # one bad job must not end the others; it is listed
        return f"{error}" if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
    return ""
