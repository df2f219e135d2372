"""How a command of `demix` and `mtv_train` is run: its errors and interruptions end it with a sentence and a status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

from demix import library_errors, processes
from demix.errors import BrokenInstallation, DemixError, MachineTrouble
from demix.exit_status import ExitStatus
from demix.signals import stoppable

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "the terminal was closed"}


def run(who: str, command: Callable[[], int], go_on: str) -> int:
    """Runs `command` without the terminal as standard input; returns its exit status (`demix.exit_status`).

    `who` begins the sentence of an error; `go_on` says how to continue after an interruption.
    """

    def say(number: signal.Signals) -> None:
        print(f"\n{_WORDS[number]}; {go_on}", file=sys.stderr, flush=True)

    with library_errors.separated(), processes.null_input(), stoppable(say) as stop:
        try:
            status = _guarded(who, command)
            if copies := sys.modules.get("demix.node_copies"):
                copies.empty_used()
            return status
        except KeyboardInterrupt:
            say(stop.signal or signal.SIGINT)
            return ExitStatus(128 + (stop.signal or signal.SIGINT))


def _guarded(who: str, command: Callable[[], int]) -> int:
    from demix.machine import end_of

    try:
        return command()
    except DemixError as error:
        from demix.redact import redacted

        print(f"{who}: {redacted(str(error))}", file=sys.stderr)
        if isinstance(error, MachineTrouble):
            return ExitStatus.MACHINE_TROUBLE
        return ExitStatus.BROKEN_INSTALLATION if isinstance(error, BrokenInstallation) else ExitStatus.UNUSABLE
    except BrokenPipeError:  # the reader (head, less) went away: nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.DONE
    except (OSError, MemoryError) as error:
        trouble = end_of(error)
        if trouble is None:
            raise
        print(f"{who}: {trouble}", file=sys.stderr)
        return ExitStatus.MACHINE_TROUBLE
