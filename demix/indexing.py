"""Long films are gone through by all workers at once."""

from __future__ import annotations

from collections.abc import Iterator

from demix.engine.phase import Phase
from demix.engine.runner import Runner, RunOptions
from demix.records import Probe, Source
from demix.stages import shot_spans
from demix.stages.shots import ShotsStage


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
