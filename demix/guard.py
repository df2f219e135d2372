"""Kills the children of a process when that process is gone, however it ended. Run by `demix.processes`, not imported.

Standard input is a socket that nobody but the process holds. Each message on it carries the number of a child and its
descriptor (pidfd); its end is the end of the process. A child leads a group of its own, which ends with it.
"""

import os
import selectors
import signal
import socket
from contextlib import suppress


def main() -> None:
    channel = socket.socket(fileno=0)
    children: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd in children:  # it has ended by itself
                    selector.unregister(key.fd)
                    del children[key.fd]
                    os.close(key.fd)
                    continue
                message, descriptors, _, _ = socket.recv_fds(channel, 32, 1)
                if not message:
                    _kill(children)
                    return
                for descriptor in descriptors:
                    selector.register(descriptor, selectors.EVENT_READ)
                    children[descriptor] = int(message)


def _kill(children: dict[int, int]) -> None:
    """`children`: descriptor -> number. A child that has not ended still has its number, and so has its group."""
    for descriptor, number in children.items():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            signal.pidfd_send_signal(descriptor, 0)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(number, signal.SIGKILL)
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)


if __name__ == "__main__":
    main()
