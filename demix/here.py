"""Little work on one machine, done in threads and processes of this program: sooner than Ray would be up."""

from __future__ import annotations

import math

from demix.engine.local import LocalRunner, fits
from demix.engine.phase import Phase, Survey
from demix.engine.runner import Runner
from demix.engine.threads import ThreadRunner
from demix.recipe import BuildSettings
from demix.records import Candidate, Probe, Source
from demix.sources.uri import is_remote
from demix.stages import shot_spans

_SHORT_SECONDS = 60.0
"""Work a processor, over the sources, that is done in threads of this process."""
_FEW_SECONDS_OF_FILM = 300.0
"""Film a processor, in clips, that is annotated by processes of this machine."""
_PROBE_SECONDS, _SECONDS_A_BYTE = 1.0, 2e-9
"""Processor time of a probe, about."""


class Here:
    """Runners of this machine; the processes are started when they are first asked for."""

    def __init__(self, settings: BuildSettings):
        self._settings = settings
        self._threads = ThreadRunner()
        self._processes: LocalRunner | None = None

    def runner_for(self, phase: Phase, survey: Survey, retry_failed: bool) -> Runner | None:
        """What has done a phase before Ray would be up, or hardly later; None for all others."""
        workers = self._threads.workers
        if phase.name == "annotate":
            few = survey.film_seconds <= _FEW_SECONDS_OF_FILM * workers
            return self.processes if few and fits(phase.steps, self._settings.engine) else None
        return self._threads if self._work(phase, retry_failed) <= _SHORT_SECONDS * workers else None

    @property
    def processes(self) -> LocalRunner:
        if self._processes is None:
            self._processes = LocalRunner()
        return self._processes

    def close(self) -> None:
        if self._processes is not None:
            self._processes.close()
            self._processes = None

    def _work(self, phase: Phase, retry_failed: bool) -> float:
        """Seconds of processor time that a phase over sources still takes, about; no end for what must not be done in
        this process: what needs models, and films that lie elsewhere."""
        seconds = 0.0
        measured = self._settings.shots.model == "adaptive"
        for row in phase.pending(retry_failed):
            subject = row.parse_subject()
            if isinstance(subject, Candidate) and subject.stamp:
                seconds += _PROBE_SECONDS + int(subject.stamp.partition("-")[0]) * _SECONDS_A_BYTE
            elif isinstance(subject, Source) and measured and not is_remote(subject.uri):
                seconds += shot_spans.work(row.item(phase.kinds)[Probe])
            else:
                return math.inf
        return seconds
