"""Kills the children of a process when that process is gone, however it ended. Run by `demix.processes`, not imported.

Standard input is a socket that nobody but the process holds. Each message on it carries the descriptor of a child
(pidfd); its end is the end of the process.
"""

import os
import selectors
import signal
import socket
from contextlib import suppress


def main() -> None:
    channel = socket.socket(fileno=0)
    children: set[int] = set()
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd in children:  # it has ended by itself
                    selector.unregister(key.fd)
                    children.remove(key.fd)
                    os.close(key.fd)
                    continue
                message, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
                if not message:
                    _kill(children)
                    return
                for descriptor in descriptors:
                    selector.register(descriptor, selectors.EVENT_READ)
                    children.add(descriptor)


def _kill(children: set[int]) -> None:
    for descriptor in children:
        with suppress(ProcessLookupError):  # it has ended meanwhile
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)


if __name__ == "__main__":
    main()
