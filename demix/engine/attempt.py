"""Running one stage on one batch so that every item gets an outcome, whatever happens.

A batch that raises is tried again item by item, so that one bad item never costs its neighbours. Retryable failures
are tried again. An item that takes longer than its stage allows fails; the thread it hangs in cannot be stopped, so
what happens to the process is the caller's choice.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

from demix.config import ConfigError
from demix.engine.doubts import Doubt, doubt_about
from demix.errors import BrokenInstallation, MachineTrouble
from demix.machine import trouble_in
from demix.stage import Dropped, Failed, Item, Kept, Outcome, Stage

_RETRYABLE = (OSError, MemoryError, TimeoutError)


class ContractError(BrokenInstallation):
    """A stage broke the contract: number, type or content of its outcomes is wrong. A bug, never the item's fault."""


class Overdue(TimeoutError):
    """A stage did not answer in time and its thread cannot be stopped."""


@dataclass(frozen=True)
class Answer:
    outcome: Outcome
    attempts: int
    seconds: float
    doubt: Doubt | None = None
    """Of a failure: why the item may not be at fault."""


def run_batch(
    stage: Stage, items: Sequence[Item], *, max_attempts: int, backoff_seconds: float = 1.0, first_attempt: int = 1
) -> list[Answer]:
    """One answer per item, in order. Raises `ContractError` for a broken stage, `Overdue` for a hung one, whatever
    `ConfigError` the stage raises (a setting or a key that cannot be used fails every item alike), and `MachineTrouble`
    where an error tells of the machine.

    `Overdue` is raised at once if the batch holds several items, as it is not known which of them hangs.
    """
    started = time.perf_counter()
    doubt = None
    try:
        outcomes = _checked(stage, items, _call(stage, items))
    except (ConfigError, BrokenInstallation, MachineTrouble, Overdue):
        raise
    except Exception as error:
        trouble = trouble_in(error)
        if trouble is not None:
            raise trouble from error
        if len(items) > 1:
            return [run_batch(stage, [item], max_attempts=max_attempts)[0] for item in items]
        outcomes, doubt = [failure(error)], doubt_about(error)
    share = (time.perf_counter() - started) / len(items)
    answers = [Answer(outcome, first_attempt, share, doubt) for outcome in outcomes]
    for position, answer in enumerate(answers):
        if isinstance(answer.outcome, Failed) and answer.outcome.retryable and first_attempt < max_attempts:
            time.sleep(backoff_seconds * 2 ** (first_attempt - 1))
            again = run_batch(
                stage,
                [items[position]],
                max_attempts=max_attempts,
                backoff_seconds=backoff_seconds,
                first_attempt=first_attempt + 1,
            )[0]
            answers[position] = replace(again, seconds=answer.seconds + again.seconds)
    return answers


def failure(error: BaseException) -> Failed:
    """An exception as an outcome; a `detail` attribute (the tail of a child's stderr) goes before the traceback."""
    detail = "".join(traceback.format_exception(error)[-8:])
    stderr = getattr(error, "detail", "")
    retryable = getattr(error, "retryable", isinstance(error, _RETRYABLE))
    name = getattr(error, "type_name", type(error).__name__)
    return Failed(name, str(error), f"{stderr}\n{detail}" if stderr else detail, bool(retryable))


def _call(stage: Stage, items: Sequence[Item]) -> Sequence[Outcome]:
    """`stage.run(items)` in a thread of its own, waited for as long as the stage allows."""
    future: Future[Sequence[Outcome]] = Future()
    threading.Thread(target=_answer, args=(future, stage.run, items), daemon=True, name=f"stage-{stage.name}").start()
    limit = stage.timeout_seconds * len(items)
    try:
        return future.result(timeout=limit)
    except TimeoutError:
        if future.done():  # the stage itself raised, or it answered at the last moment
            return future.result()
        raise Overdue(f"no answer within {limit:.0f} s; raise the stage's timeout if it is only slow") from None


def _answer(
    future: Future[Sequence[Outcome]], run: Callable[[Sequence[Item]], Sequence[Outcome]], items: Sequence[Item]
) -> None:
    try:
        future.set_result(run(items))
    except BaseException as error:
        future.set_exception(error)


def _checked(stage: Stage, items: Sequence[Item], outcomes: Sequence[Outcome]) -> list[Outcome]:
    if len(outcomes) != len(items):
        raise ContractError(f"stage {stage.name} answered {len(outcomes)} outcomes for {len(items)} items")
    for item, outcome in zip(items, outcomes, strict=True):
        match outcome:
            case Kept(record):
                added = type(record) if record is not None else None
                if added is not stage.adds:
                    raise ContractError(f"stage {stage.name} added {added} to {item.id}, it declares {stage.adds}")
            case Dropped(reason) if reason not in stage.reasons:
                raise ContractError(f"stage {stage.name} dropped {item.id} for the undeclared reason {reason!r}")
            case Dropped() | Failed():
                pass
            case _:
                raise ContractError(f"stage {stage.name} answered {outcome!r} for {item.id}")
    return list(outcomes)
