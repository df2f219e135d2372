"""One stage on one item again, in this process: to see why it failed, under a debugger if wanted."""

from __future__ import annotations

import json
import pdb
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from demix.build import Build
from demix.config import ConfigError
from demix.engine.attempt import failure
from demix.engine.phase import Phase
from demix.engine.row import Row
from demix.engine.worker import Step, Worker, WorkerSpec
from demix.processes import terminal_input
from demix.redact import redacted
from demix.signals import plain_interrupts
from demix.stage import Dropped, Failed, Item, Kept, Outcome


def replay(build: Build, item: str, stage: str, debugger: bool = False) -> int:
    """Runs a stage on an item from the records that the ledger holds, prints the outcome, changes no ledger.

    Raises `ConfigError` for an unknown item or stage, or one that earlier stages have not brought this far.
    """
    phase, row = find(build, item)
    step = next((step for step in phase.steps if step.stage.name == stage), None)
    if step is None:
        known = ", ".join(step.stage.name for step in phase.steps)
        raise ConfigError(f"{stage!r} is no stage of the phase {phase.name}; its stages are {known}")
    prepared = _prepare(phase, row, step)
    outcome = _run(phase, step, prepared, build, debugger)
    match outcome:
        case Kept(record):
            print(f"kept\n{record.model_dump_json(indent=2) if record else ''}")
        case Dropped(reason, evidence):
            print(f"dropped: {reason}\n{json.dumps(dict(evidence), indent=2)}")
        case Failed(error, message, detail):
            print(redacted(f"failed: {error}: {message}\n{detail}"))
    return 1 if isinstance(outcome, Failed) else 0


def find(build: Build, item: str) -> tuple[Phase, Row]:
    """The phase and the row of a clip, a source or a candidate. Raises `ConfigError` if there is none."""
    for phase in reversed(build.phases()):  # clips first: they are what people ask for
        row = next((row for row in phase.rows() if row.id == item), None)
        if row is not None:
            return phase, row
    raise ConfigError(f"{item}: no clip, source or candidate of this build has this id")


def _prepare(phase: Phase, row: Row, step: Step) -> Item:
    """The item with the records of all steps before this one."""
    item = row.item(phase.kinds)
    for earlier in phase.steps[: phase.steps.index(step)]:
        key = earlier.key(item)
        entry = earlier.find(phase.ledger, [key]).get(key)
        if entry is None or entry.status != "kept":
            came = entry.status if entry else "not run"
            raise ConfigError(f"{row.id} does not reach {step.stage.name}: it is {came} at {earlier.stage.name}")
        item = item.with_record(entry.record(earlier.stage.adds))
    return item


def _run(phase: Phase, step: Step, item: Item, build: Build, debugger: bool) -> Outcome:
    engine = build.settings.engine
    spec = WorkerSpec(
        steps=(step,),
        phase=phase.steps,
        kinds=phase.kinds,
        store=build.store.root,
        threads=engine.threads,
        device=engine.device,
        weights=engine.weights,
        fetch_weights=engine.fetch_weights,
    )
    worker = Worker(spec)
    try:
        if not worker.restore_media(step, item):  # a finished build has purged them
            return Failed("MediaLost", "a file that an earlier stage made is gone and could not be made again")
        opened = worker.open(step)
        with _at_terminal() if debugger else nullcontext():
            return opened.run([item])[0]
    except Exception as error:
        if debugger:
            print(redacted(traceback.format_exc()), file=sys.stderr)
            with _at_terminal():
                pdb.post_mortem(sys.exc_info()[2])
        return failure(error)
    finally:
        worker.close()


@contextmanager
def _at_terminal() -> Iterator[None]:
    """While this is open, a debugger, and `breakpoint()` in a stage, have the terminal and Ctrl-C to themselves."""
    with terminal_input(), plain_interrupts():
        yield
