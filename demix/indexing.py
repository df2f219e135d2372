"""Long films are gone through by all workers at once."""

from __future__ import annotations

from collections.abc import Iterator

from demix.engine.local import has_gpu
from demix.engine.phase import Phase
from demix.engine.runner import Runner, RunOptions
from demix.records import Probe, Source
from demix.stages import shot_spans
from demix.stages.shots import ShotsStage


def measure_spans(phase: Phase, runner: Runner, options: RunOptions) -> None:
    """Before the index phase: films that are long are measured, all workers on each of them. The phase then puts
    together what they have found (`demix.stages.shot_spans`). Where the detector is going to have a GPU, it answers for
    the whole film in less time, and not to the last bit what a processor answers."""
    (step,) = phase.steps
    assert isinstance(step.stage, ShotsStage)
    how = step.stage.measuring(phase.store.root, step.fingerprint, options.engine.threads)
    if how is None or runner.workers == 1 or (step.stage.resources.gpus and _on_gpu(runner, options)):
        return

    def films() -> Iterator[shot_spans.Film]:
        for row in phase.pending(options.retry_failed):
            source = row.parse_subject()
            assert isinstance(source, Source)
            yield shot_spans.Film(source, row.item(phase.kinds)[Probe])

    for source, seconds in runner.map(shot_spans.measure, shot_spans.planned(films, runner.workers, how)):
        if options.on_part is not None:
            options.on_part(source, seconds)


def _on_gpu(runner: Runner, options: RunOptions) -> bool:
    """Whether models that want a GPU get one."""
    device = options.engine.device
    return device != "cpu" and (device != "auto" or any(there for _, there in runner.on_every_node(has_gpu, None)))
