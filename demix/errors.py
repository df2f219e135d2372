"""Errors of the whole program. Each ends a command with one sentence and a status of its own (`demix.exit_status`)."""

from __future__ import annotations


class DemixError(Exception):
    """Root of all errors that a command reports as a sentence instead of a traceback."""


class MachineTrouble(DemixError):
    """The machine or a service of it failed: a full disk, a vanished mount, a program that cannot start.

    Nothing is wrong with any film. What was not answered stays pending; the same command goes on once the trouble is
    gone. The message names what failed, where, and what to do about it.
    """


class BrokenInstallation(DemixError):
    """The program itself does not work here: an error of ours, or a library whose interface is not the expected one.

    Raised instead of failing item after item. The message names the error, the stage and, where known, the library.
    """
