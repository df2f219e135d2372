"""Errors of the whole program. Each ends a command with one sentence and a status of its own (`demix.exit_status`)."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path


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


class MachineSuspected(Exception):
    """What failed may be the fault of the machine as well as of the item: a child that was killed, a full disk by its
    own words. The item is tried again, and is only charged if it goes on failing while others pass."""

    retryable = True

    def __init__(self, message: str, detail: str = ""):
        super().__init__(message)
        self.detail = detail
        """The tail of a child's stderr, printable characters only."""

    def __reduce__(self) -> tuple[type[MachineSuspected], tuple[str, str]]:
        return type(self), (str(self), self.detail)


DEFECTS = (
    TypeError,
    AttributeError,
    ImportError,
    NameError,
    AssertionError,
    LookupError,
    NotImplementedError,
    SyntaxError,
)
"""Exceptions that code in order does not let out: they speak of the program, hardly ever of a film."""


class ChildDefect(Exception):
    """One of `DEFECTS` in a sandboxed child. Not a `MediaError`: nothing is known to be wrong with the file."""

    retryable = False

    def __init__(self, type_name: str, message: str, where: str, detail: str = ""):
        super().__init__(message)
        self.type_name = type_name
        self.message = message
        self.where = where
        """As `place_of` gives it."""
        self.detail = detail
        """The child's traceback, printable characters only."""

    def __reduce__(self) -> tuple[type[ChildDefect], tuple[str, str, str, str]]:
        return type(self), (self.type_name, self.message, self.where, self.detail)


def is_defect(error: BaseException) -> bool:
    """Whether `error` is a fault of the program or of a library that does not fit it, and not of its input."""
    # PyAV's errors for damaged media derive from LookupError and NotImplementedError too.
    return isinstance(error, (ChildDefect, *DEFECTS)) and not type(error).__module__.startswith("av.")


def place_of(error: BaseException) -> str:
    """The innermost line of an exception's traceback: "av/container/core.py:41 (open)"; empty where there is none.

    The same defect has the same type and place for every item, while its message may name the item.
    """
    if isinstance(error, ChildDefect):
        return error.where
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    path = Path(frames[-1].filename)
    roots = [Path(root) for root in sys.path if root and Path(root) in path.parents]
    name = path.relative_to(max(roots, key=lambda root: len(root.parts))) if roots else Path(path.name)
    return f"{name.as_posix()}:{frames[-1].lineno} ({frames[-1].name})"
