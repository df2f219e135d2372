"""Starts Ray on this machine, or joins a cluster, without giving it the terminal or this process's signals."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import ray

from demix import processes
from demix.config import ConfigError
from demix.engine import log
from demix.scratch import is_claimed, remove_deserted
from demix.signals import Stop, handlers_kept

_QUIET = {"logging_level": logging.ERROR, "log_to_driver": False, "include_dashboard": False}
_LOG = log.get_logger("engine.ray")
_STARTS = 3
"""Attempts to start Ray on this machine."""


def start(address: str | None, **options: Any) -> Path | None:
    """Joins the cluster or starts one here; returns the folder of the session if it was started here.

    Before, sessions of earlier runs are removed whose driver was killed, or has left them as evidence. `options` go to
    `ray.init`. Ray gives its own processes half a minute; a busy machine exceeds that, so starting is
    tried again. Raises `ConfigError`.
    """
    _remove_deserted()
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
    began = f"session_{datetime.now():%Y-%m-%d_%H-%M-%S}"
    try:
        _keep_reports_off_the_terminal()
        with processes.null_input(), handlers_kept():
            context = ray.init(address=address, **_QUIET | options)
    except (
        KeyboardInterrupt,
        SystemExit,
    ) as stop:  # the latter is what Ray makes of SIGTERM until `handlers_kept` ends
        _abandon(began)
        if isinstance(stop, SystemExit) and isinstance(signal.getsignal(signal.SIGTERM), Stop):
            os.kill(os.getpid(), signal.SIGTERM)
        raise
    session = Path(context.address_info["session_dir"])
    return session if _is_ours(session, began) else None


def _keep_reports_off_the_terminal() -> None:
    """Sends what Ray prints of its own accord (a worker died, a task is tried again) to the log. It does so whatever
    `log_to_driver` says, and has no setting for it; the engine tries again by itself, and what ends a run is raised."""
    import ray._private.worker as internal

    if hasattr(internal, "print_to_stdstream"):
        internal.print_to_stdstream = _to_the_log


def _to_the_log(data: dict[str, Any], ignore_prefix: bool = False) -> None:
    _LOG.info("ray_reports", extra=log.event(process=str(data.get("pid")), lines=list(data.get("lines", ()))))


def _is_ours(session: Path, began: str) -> bool:
    """Whether this process has started a session: Ray names it after the time and the process."""
    return session.name >= began and session.name.endswith(f"_{os.getpid()}")


def _abandon(began: str) -> None:
    """Ends what an interrupted start has started, and removes its folder: Ray itself knows of no session yet."""
    for session in [folder for folder in _sessions() if _is_ours(folder, began)]:
        children = [child for child in psutil.Process().children(recursive=True) if _serves(child, session)]
        for child in children:
            child.kill()
        psutil.wait_procs(children, timeout=5)
        remove(session)


def _sessions() -> list[Path]:
    """The folders of all sessions on this machine, of whomever."""
    return list((Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray").glob("session_*_*"))


def _remove_deserted() -> None:
    sessions = [session for session in _sessions() if is_claimed(session)]
    if sessions:
        running = list(psutil.process_iter())
        remove_deserted(one for one in sessions if not any(_serves(process, one) for process in running))


def _serves(process: psutil.Process, session: Path) -> bool:
    try:
        return any(session.name in word for word in process.cmdline())
    except psutil.Error:
        return False
