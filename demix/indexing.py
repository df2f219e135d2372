"""How sources are gone through: how much work they are, and long films by all workers at once."""

from __future__ import annotations

import math
from collections.abc import Iterator

from demix.engine.phase import Phase
from demix.engine.runner import Runner, RunOptions
from demix.recipe import BuildSettings
from demix.records import Candidate, Probe, Source
from demix.sources.uri import is_remote
from demix.stages import shot_spans
from demix.stages.shots import ShotsStage

_PROBE_SECONDS, _SECONDS_A_BYTE = 1.0, 2e-9
"""Processor time of a probe, about."""


def work(phase: Phase, settings: BuildSettings, retry_failed: bool) -> float:
    """Seconds of processor time that a phase still takes, about; no end for what must not be done in this process: what
    needs models, and films that lie elsewhere."""
    seconds = 0.0
    for row in phase.pending(retry_failed):
        subject = row.parse_subject()
        if isinstance(subject, Candidate) and subject.stamp:
            seconds += _PROBE_SECONDS + int(subject.stamp.partition("-")[0]) * _SECONDS_A_BYTE
        elif isinstance(subject, Source) and not is_remote(subject.uri) and settings.shots.model == "adaptive":
            seconds += shot_spans.work(row.item(phase.kinds)[Probe])
        else:
            return math.inf
    return seconds


def measure_spans(phase: Phase, runner: Runner, options: RunOptions) -> None:
    """Before the index phase: films that are long are measured, all workers on each of them. The phase then puts
    together what they have found (`demix.stages.shot_spans`)."""
    (step,) = phase.steps
    assert isinstance(step.stage, ShotsStage)
    how = step.stage.measuring(phase.store.root, step.fingerprint, options.engine.threads)
    if how is None or runner.workers == 1:
        return

    def films() -> Iterator[shot_spans.Film]:
        for row in phase.pending(options.retry_failed):
            source = row.parse_subject()
            assert isinstance(source, Source)
            yield shot_spans.Film(source, row.item(phase.kinds)[Probe])

    for source, seconds in runner.map(shot_spans.measure, shot_spans.planned(films, runner.workers, how)):
        if options.on_part is not None:
            options.on_part(source, seconds)
