"""Exit statuses of `demix` and `mtv-train`: the only table of them. docs/operations.md shows it to users."""

from __future__ import annotations

from enum import IntEnum


class ExitStatus(IntEnum):
    """What a command tells the shell, a scheduler or a workflow engine."""

    DONE = 0
    """The result is there."""
    NOT_GOOD = 1
    """It ended, but the result is not good: nothing was kept, too much failed, or a check found problems."""
    UNUSABLE = 2
    """It could not start: a setting, a path or an input is wrong."""
    MACHINE_TROUBLE = 3
    """The machine stopped it: no space, a lost mount or store, no memory. The same command goes on afterwards."""
    BROKEN_INSTALLATION = 4
    """The program or one of its libraries does not work here; trying again does not help."""
    HUNG_UP = 129
    """SIGHUP: its terminal was closed. The same command goes on."""
    INTERRUPTED = 130
    """Ctrl-C (SIGINT). The same command goes on."""
    TERMINATED = 143
    """SIGTERM: a scheduler or an operator ended it. The same command goes on."""
