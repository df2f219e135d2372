"""A worker process of `demix.engine.local`: `python -m demix.engine.local_worker DESCRIPTOR`.

It answers one message after the other, until the pipe is closed:

    ("worker", pickled WorkerSpec, log folder, models)   from now on rows go through this worker
    ("rows", rows)                                       the rows, further on, without their records
    ("call", function, argument)                         what the function says
"""

from __future__ import annotations

import pickle
import sys
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from demix.engine.worker import Worker


def main() -> None:
    channel = Connection(int(sys.argv[1]))
    worker: Worker | None = None
    while True:
        try:
            message = pickle.loads(channel.recv_bytes())
        except EOFError:
            return
        try:
            if message[0] == "worker":
                worker = _worker(*message[1:])
                answer: Any = None
            elif message[0] == "rows":
                assert worker is not None
                answer = [row.light() for row in worker(message[1])]
            else:
                answer = message[1](message[2])
            reply = pickle.dumps(("answer", answer))
        except Exception as error:
            reply = _told(error)
        channel.send_bytes(reply)


def _worker(spec: bytes, log_folder: Any, models: dict[str, dict[str, str]]) -> Worker:
    """`models`: the table of `demix.models`, with those that somebody has added in the process that asks."""
    from demix.engine import log
    from demix.engine.worker import Worker
    from demix.models import MODELS

    MODELS.update(models)
    log.configure(log_folder)
    return Worker(pickle.loads(spec))


def _told(error: Exception) -> bytes:
    """An error as it can travel; one that cannot, by what it says."""
    try:
        reply = pickle.dumps(("error", error))
        pickle.loads(reply)
        return reply
    except Exception:
        return pickle.dumps(("error", RuntimeError(f"{type(error).__name__}: {error}")))


if __name__ == "__main__":
    main()
