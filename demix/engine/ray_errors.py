"""What Ray raises, in our words: errors of workers as they raised them, and its own as trouble of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import ray

from demix.config import ConfigError
from demix.engine.proof import UnfitNode
from demix.errors import BrokenInstallation, MachineTrouble
from demix.machine import GO_ON, trouble_in

LOST = (
    ray.exceptions.RayActorError,
    ray.exceptions.ActorUnschedulableError,
    ray.exceptions.TaskUnschedulableError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.ObjectLostError,
)
"""What tells that a worker is gone, or its node, or what it answered."""
_IN_TROUBLE = (
    *LOST,
    ray.exceptions.OutOfDiskError,
    ray.exceptions.ObjectStoreFullError,
    ray.exceptions.LocalRayletDiedError,
    ray.exceptions.RaySystemError,
)
"""None of these is about an item."""


@contextmanager
def own_errors(expected: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Around what waits for workers: raises their errors without an actor's traceback, and Ray's own as trouble, but
    for those that are expected."""
    try:
        yield
    except expected:
        raise
    except ray.exceptions.RayTaskError as error:
        cause = trouble_in(error.cause) or error.cause
        for kind in (ConfigError, UnfitNode, MachineTrouble, BrokenInstallation):
            if isinstance(cause, kind):
                raise kind(str(cause)) from None
        raise
    except _IN_TROUBLE as error:
        raise MachineTrouble(
            f"Ray cannot go on: {type(error).__name__}: {brief(error)}; look at memory, nodes and disk (Ray's own "
            f"files lie in /tmp/ray), {GO_ON}"
        ) from error


def brief(error: BaseException) -> str:
    """What an error of Ray says, in a line."""
    return " ".join(str(error).split())[:300]
