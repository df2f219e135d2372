"""A caption server (vLLM, SGLang) that a worker starts, watches, starts again and stops.

It runs under the interpreter of an environment of its own, on the GPUs that the worker was given, and answers only who
has the key that was made for it: two servers that chose the same port are never taken for each other.
"""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import requests

from demix import processes
from demix.config import ConfigError
from demix.engine import log
from demix.errors import MachineTrouble
from demix.machine import GO_ON
from demix.models.captioning.settings import LaunchSettings, ServerSettings

_LOG = log.get_logger("models.caption_server")
_PROJECT = Path(__file__).parents[3]
_POLL_SECONDS = 0.25
_HEALTH_SECONDS = 10.0
"""A server that does not answer for so long when asked for its models hangs."""
_GRACE_SECONDS = 20.0
"""For a server to end by itself."""
_STARTS = 2
"""Starts in a row at which a server ends before it has come up; then it is not the moment that is to blame."""
_MEMORY = 0.9
"""Share of the memory of its GPUs that a server takes for itself."""
_PICTURES = 256
"""Pictures in one question, at most."""


class LaunchedServer:
    """One server. May be used by several threads; the first that needs it waits until it has come up."""

    def __init__(self, settings: ServerSettings):
        self.settings = settings
        self.key = secrets.token_hex(16)
        self.url = ""
        self.log_file = (log.folder() or Path(tempfile.gettempdir())) / f"caption_server-{os.getpid()}.log"
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._start_number = 0
        self._lost_in_a_row = 0

    def up(self) -> int:
        """Sees to it that the server runs; returns the number of its start, by which `lost` knows it. Raises
        `ConfigError` without the environment, and `MachineTrouble` where the server does not come up or ends again and
        again."""
        with self._lock:
            if self._process is None or _has_ended(self._process):
                self._start()
            return self._start_number

    def answered(self) -> None:
        """To be told of every question that was answered."""
        self._lost_in_a_row = 0

    def lost(self, start_number: int) -> bool:
        """Whether the server of that start is gone, or hangs and is ended now. For who got no answer from it."""
        with self._lock:
            if start_number != self._start_number or self._process is None:
                return True
            if not _has_ended(self._process) and self._is_healthy():
                return False
            self._end()
            self._lost_in_a_row += 1
            _LOG.warning("caption_server_lost", extra=log.event(times=self._lost_in_a_row, output=str(self.log_file)))
            return True

    def close(self) -> None:
        with self._lock:
            self._end()

    def _start(self) -> None:
        if self._lost_in_a_row > self.settings.launch.restarts:
            raise self._trouble(f"it ended {self._lost_in_a_row} times, with no question answered in between")
        for _ in range(_STARTS):
            self._end()
            began = time.monotonic()
            port = self.settings.launch.port or _free_port()
            self.url = f"http://127.0.0.1:{port}/v1"
            self.log_file.parent.mkdir(parents=True, exist_ok=True)
            with open(self.log_file, "ab") as output:
                self._process = processes.popen(
                    command(self.settings, port, self.key), stdout=output, stderr=output, env=_environment(self.key)
                )
            if self._comes_up(self._process, began + self.settings.launch.start_seconds):
                self._start_number += 1
                seconds = round(time.monotonic() - began, 1)
                _LOG.info("caption_server_up", extra=log.event(url=self.url, seconds=seconds))
                return
        raise self._trouble("it ended before it had come up")

    def _comes_up(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        """Waits until the server answers; False where it ends instead."""
        while not _has_ended(process):
            if self._is_healthy():
                return True
            if time.monotonic() > deadline:
                self._end()
                raise self._trouble(
                    f"it did not come up within {self.settings.launch.start_seconds:.0f} s "
                    "(caption.server.launch.start_seconds)"
                )
            time.sleep(_POLL_SECONDS)
        return False

    def _is_healthy(self) -> bool:
        """Whether it knows its key and the model."""
        try:
            reply = requests.get(
                f"{self.url}/models", headers={"Authorization": f"Bearer {self.key}"}, timeout=_HEALTH_SECONDS
            )
            return reply.ok and self.settings.served_model in [model["id"] for model in reply.json()["data"]]
        except (requests.RequestException, ValueError, KeyError, TypeError):
            return False

    def _trouble(self, what: str) -> MachineTrouble:
        last = " | ".join(_last_lines(self.log_file))
        return MachineTrouble(
            f"caption server ({self.settings.start}): {what}; its last words: {last or 'none'}; see {self.log_file}, "
            f"put it right, {GO_ON}"
        )

    def _end(self) -> None:
        """Ends the server with all processes that it has started: they are a group."""
        process, self._process = self._process, None
        if process is None:
            return
        for number, seconds in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, _GRACE_SECONDS)):
            if _has_ended(process):
                break
            _send(process.pid, number)
            deadline = time.monotonic() + seconds
            while not _has_ended(process) and time.monotonic() < deadline:
                time.sleep(0.05)
        _send(process.pid, signal.SIGKILL)  # those that it has left behind
        process.wait()


def interpreter(launch: LaunchSettings) -> str:
    """The Python that runs the server. A worker's working folder is not always that of the command."""
    here = os.path.abspath(os.path.join(launch.environment, "bin", "python"))
    beside = str(Path(_PROJECT, launch.environment, "bin", "python"))
    return beside if not os.path.exists(here) and os.path.exists(beside) else here


def command(settings: ServerSettings, port: int, key: str) -> list[str]:
    """What starts a server. Raises `ConfigError` where its environment is not there."""
    launch = settings.launch
    python = interpreter(launch)
    if not os.path.exists(python):
        raise ConfigError(MISSING.format(python=python))
    builder: Callable[[LaunchSettings], list[str]] = {"vllm": _vllm, "sglang": _sglang}[settings.start]
    common = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", settings.served_model]
    own = [part.format(model=launch.model or settings.served_model, key=key) for part in builder(launch)]
    return [python, "-m", *own, *common, *shlex.split(launch.arguments)]


MISSING = (
    "{python}: there is no interpreter with a caption server; run `make vllm-env`, or set "
    "caption.server.launch.environment. With caption.server.start=none, one that runs elsewhere is asked"
)


def _vllm(launch: LaunchSettings) -> list[str]:
    """The key is in the environment, where other users of the machine do not see it."""
    several = ["--tensor-parallel-size", str(int(launch.gpus))] if launch.gpus > 1 else []
    memory = f"{_MEMORY * min(1.0, launch.gpus):.3f}"
    pictures = f'{{{{"image": {_PICTURES}}}}}'
    return [
        "vllm.entrypoints.openai.api_server", "--model", "{model}", "--gpu-memory-utilization", memory, *several,
        "--limit-mm-per-prompt", pictures, "--enable-request-id-headers",
    ]  # fmt: skip


def _sglang(launch: LaunchSettings) -> list[str]:
    several = ["--tp-size", str(int(launch.gpus))] if launch.gpus > 1 else []
    memory = f"{_MEMORY * min(1.0, launch.gpus):.3f}"
    return [
        "sglang.launch_server", "--model-path", "{model}", "--mem-fraction-static", memory, *several,
        "--api-key", "{key}",
    ]  # fmt: skip


def _environment(key: str) -> dict[str, str]:
    """Without what belongs to this program's interpreter or to Ray."""
    left_out = ("PYTHON", "RAY_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return kept | {"VLLM_API_KEY": key, "PYTHONUNBUFFERED": "1"}


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Leaves it to be waited for: as long as it is, no other process group gets its number."""
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _send(group: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _last_lines(file: Path, count: int = 3) -> list[str]:
    """Of what the server printed, cut to what a person reads."""
    with suppress(OSError):
        lines = [line.strip() for line in file.read_bytes()[-4000:].decode(errors="replace").splitlines()]
        return [line[:200] for line in lines if line][-count:]
    return []
