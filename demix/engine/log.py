"""Structured logs: one JSON object a line, with the ids of the source and the clip it is about.

log = get_logger("engine.worker")
log.info("stage_failed", extra=event(stage="demixing", item=clip.id, error="MediaError"))
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from contextlib import nullcontext
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demix.errors import MachineTrouble
from demix.redact import redacted

if TYPE_CHECKING:
    from demix.store import Store

_ROOT = "demix"
_DELIVER_SECONDS = 30.0
"""Seconds for which events that are no warnings may wait for their delivery to a remote store."""
_MOST_LINES = 10_000
"""Lines that wait for a store in trouble."""


def get_logger(name: str) -> logging.Logger:
    return logging.getLogger(f"{_ROOT}.{name}")


def event(**fields: Any) -> dict[str, Any]:
    """Fields of one event, in the form that `logging`'s `extra` takes."""
    return {"fields": fields}


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON; line breaks in messages are escaped by it, so a line is an event."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "logger": record.name,
            "pid": record.process,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return redacted(json.dumps(line, default=str, ensure_ascii=False))


class _File(logging.FileHandler):
    """Makes its folder at the first event: a command that only looks leaves no trace."""

    _told = False

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
        return super()._open()

    def handleError(self, record: logging.LogRecord) -> None:
        """A line that cannot be written (a full disk) is said once, and ends no work: what needs the disk ends it."""
        if not self._told:
            self._told = True
            print(f"{self.baseFilename}: the log cannot be written ({sys.exc_info()[1]})", file=sys.stderr)


def folder() -> Path | None:
    """Where this process's events go, for what else belongs there."""
    for handler in logging.getLogger(_ROOT).handlers:
        if isinstance(handler, _File):
            return Path(handler.baseFilename).parent
    return None


class _Delivery(logging.Handler):
    """Events on their way to a remote store, which knows no appending: each delivery is a file of its own."""

    def __init__(self, store: Store):
        super().__init__()
        self.store = store
        self._lines: list[str] = []
        self._urgent = False
        self._files, self._delivered = 0, time.monotonic()
        self.setFormatter(JsonLines())

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))
        self._urgent |= record.levelno >= logging.WARNING

    def deliver(self, at_once: bool) -> None:
        due = at_once or self._urgent or time.monotonic() - self._delivered > _DELIVER_SECONDS
        with self.lock or nullcontext():
            lines = self._lines if due else []
            if not lines:
                return
            self._lines, self._urgent = [], False
        self._files, self._delivered = self._files + 1, time.monotonic()
        key = f"logs/{socket.gethostname()}-{os.getpid()}-{self._files:06d}.jsonl"
        try:
            with self.store.write(key) as path:
                path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        except MachineTrouble:  # it ends what needs the store; the lines stay until it is back
            self._lines = (lines + self._lines)[-_MOST_LINES:]


def send_to(store: Store) -> None:
    """Sends this process's events to `logs/` of a remote store too: failures with the next `deliver`."""
    root = logging.getLogger(_ROOT)
    if not any(isinstance(handler, _Delivery) and handler.store.root == store.root for handler in root.handlers):
        root.addHandler(_Delivery(store))


def deliver(at_once: bool = False) -> None:
    """Writes what is due to the store of `send_to`, if there is one."""
    for handler in logging.getLogger(_ROOT).handlers:
        if isinstance(handler, _Delivery):
            handler.deliver(at_once)


def configure(folder: Path | None, level: str = "INFO") -> None:
    """Sends this process's events to `folder/<host>-<pid>.jsonl`; warnings go to stderr as well. Repeatable."""
    root = logging.getLogger(_ROOT)
    root.setLevel(level)
    root.propagate = False
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    if folder is None:
        return
    lines = _File(folder / f"{socket.gethostname()}-{os.getpid()}.jsonl", encoding="utf-8", delay=True)
    lines.setFormatter(JsonLines())
    root.addHandler(lines)
    warnings = logging.StreamHandler(sys.stderr)
    warnings.setLevel(logging.ERROR)
    warnings.setFormatter(JsonLines())
    root.addHandler(warnings)
