"""A Ray cluster of several nodes that all are this machine, each ended or hidden from a folder as a test wants it.

A node may run in a mount namespace of its own, in which folders that the others see are empty, or other ones.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.cluster.remote import free_port

BIN = Path(sys.prefix) / "bin"
ROOT = Path(__file__).parents[2]
_STORE_BYTES = 100 << 20


@dataclass
class Node:
    """A node of the cluster; `process` is its `ray start --block`."""

    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """Ends it at once with all its workers, as a machine that loses its power."""
        with suppress(psutil.NoSuchProcess):
            family = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
            for member in family:  # none may start another while they go
                with suppress(psutil.NoSuchProcess):
                    member.send_signal(signal.SIGSTOP)
            for member in family:
                with suppress(psutil.NoSuchProcess):
                    member.kill()
        self.process.wait(30)

    def stop(self) -> None:
        """Ends it as `ray stop` does."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.kill()


@dataclass
class Loopback:
    """`root` is a folder for everything of the cluster, with a short path."""

    root: Path
    port: int
    dashboard_port: int
    nodes: list[Node] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.dashboard_port}"

    def environment(self) -> dict[str, str]:
        """For who talks to the cluster: its token, and its folder instead of the machine's /tmp/ray."""
        mine = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4, "RAY_TMPDIR": str(self.root)}
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"  # a job's `python` is the one that the head finds
        return os.environ | mine | {"PATH": path, "PYTHONPATH": str(ROOT)}

    def head(self, cpus: int = 1, *, dashboard: bool = False) -> Node:
        """Starts the head; again, if it was ended."""
        ports = [f"--port={self.port}", f"--ray-client-server-port={free_port()}"]
        ports += [f"--dashboard-port={self.dashboard_port}", f"--include-dashboard={dashboard}"]
        return self._start(["--head", f"--num-cpus={cpus}", f"--temp-dir={self.root}/ray", *ports])

    def add(self, cpus: int = 1, over: Mapping[Path, Path | None] | None = None) -> Node:
        """Another node. `over`: folders that it sees something else in, that of another path or (None) nothing."""
        before = ""
        for folder, other in (over or {}).items():
            source = f"--bind '{other}'" if other else "-t tmpfs none"
            before += f"mount {source} '{folder}' && "
        wrapper = ["unshare", "--mount", "sh", "-c", f'{before}exec "$@"', "sh"] if over else []
        return self._start([f"--address={self.address}", f"--num-cpus={cpus}"], wrapper)

    def wait_for(self, nodes: int, seconds: float = 90) -> None:
        """Until so many nodes are alive."""
        code = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False, logging_level=50)\n"
        code += "import time\nwhile sum(n['Alive'] for n in ray.nodes()) != int(sys.argv[2]): time.sleep(0.2)"
        self.run([sys.executable, "-c", code, self.address, str(nodes)], timeout=seconds)

    def run(self, command: list[str], timeout: float = 300, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A command of a user of the cluster, run in the project's folder."""
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment(), capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0 or not check, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def popen(self, command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def _start(self, options: list[str], wrapper: list[str] | None = None) -> Node:
        number = len(self.nodes)
        # The agent's port is a fixed one otherwise, which another cluster on this machine may have.
        memory = f"--object-store-memory={_STORE_BYTES}"
        options = [f"--dashboard-agent-listen-port={free_port()}", *options]
        command = [
            *(wrapper or []),
            str(BIN / "ray"),
            "start",
            "--block",
            "--node-ip-address=127.0.0.1",
            memory,
            *options,
        ]
        log = self.root / f"node-{number}.log"
        with open(log, "wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd="/", env=self.environment())
        node = Node(process)
        self.nodes.append(node)
        deadline = time.monotonic() + 120
        while b"runtime started" not in log.read_bytes():  # two that start at once may choose the same port
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"a node did not start: {log.read_text()}")
            time.sleep(0.1)
        return node


@contextmanager
def loopback() -> Iterator[Loopback]:
    """A cluster without nodes yet; all of it is gone at the end."""
    root = Path(tempfile.mkdtemp(prefix="lo"))
    made = Loopback(root, free_port(), free_port())
    try:
        yield made
    finally:
        for node in reversed(made.nodes):
            node.kill()
        shutil.rmtree(root, ignore_errors=True)


def require_namespaces() -> None:
    """Skips a test where a node cannot have a file system of its own."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("needs root and mount namespaces (unshare), so that a node sees other folders than this machine")
