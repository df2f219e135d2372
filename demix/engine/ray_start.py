"""Starts Ray on this machine, or joins a cluster, without giving it the terminal or this process's signals."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import ray

from demix import processes
from demix.config import ConfigError
from demix.signals import Stop, handlers_kept

_QUIET = {"logging_level": logging.ERROR, "log_to_driver": False, "include_dashboard": False}
_STARTS = 3
"""Attempts to start Ray on this machine."""


def start(address: str | None, **options: Any) -> Path | None:
    """Joins the cluster or starts one here; returns the folder of the session if it was started here.

    `options` go to `ray.init`. Ray gives its own processes half a minute; a busy machine exceeds that, so starting is
    tried again. Raises `ConfigError`.
    """
    for attempt in range(1, _STARTS + 1):
        try:
            return _init(address, **options)
        except (ConnectionError, ValueError) as error:
            raise ConfigError(f"no Ray cluster at {address!r}: {error}") from error
        except Exception as error:  # Ray has no type of its own for it
            if "timed out during startup" not in str(error):
                raise
            ray.shutdown()
            if attempt == _STARTS:
                raise ConfigError(
                    "Ray did not come up on this machine, which seems busy: try later, or set engine.runner=sequential"
                ) from error
    raise AssertionError("unreachable")


def remove(session: Path) -> None:
    """Removes what a session that has ended left in the temporary folder: sockets, logs, spilled objects."""
    shutil.rmtree(session, ignore_errors=True)


def _init(address: str | None, **options: Any) -> Path | None:
    try:
        with processes.null_input(), handlers_kept():
            context = ray.init(address=address, **_QUIET | options)
    except SystemExit:  # what Ray makes of SIGTERM until `handlers_kept` ends
        if isinstance(signal.getsignal(signal.SIGTERM), Stop):
            os.kill(os.getpid(), signal.SIGTERM)
        raise
    session = Path(context.address_info["session_dir"])
    # Ray names a session after the process that started it.
    return session if session.name.endswith(f"_{os.getpid()}") else None
