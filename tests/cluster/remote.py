"""A machine to submit to that is this one: sshd on 127.0.0.1, with a home and a process table of its own.

`ray up` and `ray down` run `ray stop`, which ends every Ray process that it can see. So sshd runs in a PID namespace,
where it sees only what was started through it, and everything in there ends with it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {root}/host_key
AuthorizedKeysFile {root}/client_key.pub
PidFile none
PasswordAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
SetEnv HOME={home} RAY_TMPDIR={root}
"""
# `ray` has no setting for the port of sshd, and finds `ssh` by the PATH.
_SSH = '#!/bin/sh\nexec {ssh} -p {port} "$@"\n'


@dataclass(frozen=True)
class Remote:
    """`home` is the home folder that a login finds; `key` its private key."""

    root: Path
    home: Path
    key: Path

    def environment(self) -> dict[str, str]:
        """For a client: its `ssh` reaches this machine, and Ray's files stay in `root`."""
        path = f"{self.root / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return os.environ | {"PATH": path, "RAY_TMPDIR": str(self.root), "HOME": str(self.root)}


@contextmanager
def remote() -> Iterator[Remote]:
    """Starts the machine; skips the test where this one cannot play it."""
    _require()
    # Not pytest's folder: paths of Ray's sockets must stay below 108 characters.
    root = Path(tempfile.mkdtemp(prefix="ssh"))
    home, port = root / "home", free_port()
    for folder in (home, root / "bin"):
        folder.mkdir()
    for name in ("host_key", "client_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)], check=True)
    (root / "sshd_config").write_text(_CONFIG.format(port=port, root=root, home=home))
    ssh = root / "bin" / "ssh"
    ssh.write_text(_SSH.format(ssh=shutil.which("ssh"), port=port))
    ssh.chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd's fixed place for privilege separation
    with open(root / "sshd.log", "w") as log:
        # bash, as process 1, collects the orphans, for which `ray stop` would wait otherwise.
        serve = f"{shutil.which('sshd')} -D -e -f {root}/sshd_config & wait"
        server = subprocess.Popen([*_NAMESPACE, "bash", "-c", serve], stdout=log, stderr=log)
    try:
        _wait_for(port, server, root / "sshd.log")
        yield Remote(root, home, root / "client_key")
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(root, ignore_errors=True)


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _require() -> None:
    for name, package in (("sshd", "openssh-server"), ("ssh", "openssh-client"), ("rsync", "rsync")):
        if shutil.which(name) is None:
            pytest.skip(f"no {name} here; install {package} to try `ray submit` on this machine")
    if os.geteuid() != 0 or subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs root and PID namespaces (unshare), so that `ray stop` ends nobody else's Ray")


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"sshd did not start: {log.read_text()}")
