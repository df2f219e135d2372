"""Watches whether the head of the Ray cluster is there.

A driver whose head is gone cannot go on, and Ray's core ends its process after a minute, with status 1 and not a word
to the user; until then calls into Ray do not return. So the sentence is said, and the process ended, shortly before.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time

import ray

from demix.engine import log
from demix.exit_status import ExitStatus
from demix.machine import GO_ON

_EVERY_SECONDS = 2.0
_GONE_SECONDS = 45.0
"""A head that comes back before, with its memory (KubeRay with Redis), is joined again by Ray itself."""


class HeadWatch:
    """Looks at the head until it is closed, or this process has left the cluster."""

    def __init__(self) -> None:
        self._address = str(ray.get_runtime_context().gcs_address)
        self._closed = threading.Event()
        threading.Thread(target=self._watch, daemon=True, name="ray-head").start()

    def close(self) -> None:
        self._closed.set()

    def _watch(self) -> None:
        seen = time.monotonic()
        while not self._closed.wait(_EVERY_SECONDS):
            if not ray.is_initialized() or ray.get_runtime_context().gcs_address != self._address:
                return
            if _answers(self._address):
                seen = time.monotonic()
            elif time.monotonic() - seen > _GONE_SECONDS:
                self._end()

    def _end(self) -> None:
        """Locks and child processes go with this process; what it has left in folders, the next run removes."""
        log.get_logger("engine.ray").warning("head_lost", extra=log.event(address=self._address))
        print(
            f"the head of the Ray cluster ({self._address}) has not answered for {_GONE_SECONDS:.0f} s; start the "
            f"cluster again, {GO_ON}",
            file=sys.stderr,
            flush=True,
        )
        os._exit(ExitStatus.MACHINE_TROUBLE)


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=5):
            return True
    except OSError:
        return False
