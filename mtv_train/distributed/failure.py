"""What a person reads when a rank dies: which one, where, why, which log, and how to go on."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from demix.errors import DemixError, MachineTrouble
from mtv_train.distributed.world import World

_OF_A_PEER = ("Connection closed by peer", "Connection reset by peer", "Broken pipe", "NCCL", "Timed out", "timed out")

log = logging.getLogger("mtv_train")


def log_file(run: Path, rank: int) -> Path:
    return run / "logs" / f"rank-{rank}.log"


def configure_log(run: Path, world: World) -> None:
    """Every rank's messages to its own file; the first rank's to the terminal as well. Repeatable."""
    path = log_file(run, world.rank)
    path.parent.mkdir(parents=True, exist_ok=True)
    log.setLevel(logging.INFO)
    log.propagate = False
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    to_file = logging.FileHandler(path, encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(to_file)
    if world.first:
        shown = logging.StreamHandler(sys.stdout)
        shown.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(shown)


@contextmanager
def reported(run: Path, world: World, where: Callable[[], str]) -> Iterator[None]:
    """Around a rank's work: an error is written to its log and explained on stderr, then raised on.

    `where` says what the rank was doing ("step 12 of stage basic_face"). An error that names its remedy is logged and
    raised on; a full disk becomes `MachineTrouble`.
    """
    try:
        yield
    except DemixError as error:
        log.error("%s ended at %s: %s", world.name, where(), error)
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MachineTrouble(f"{run}: {error}; make room and give the same command again") from error
        _explained(error, run, world, where())
        raise
    except Exception as error:
        _explained(error, run, world, where())
        raise


def _explained(error: Exception, run: Path, world: World, where: str) -> None:
    log.exception("%s failed at %s", world.name, where)
    print(explain(error, run, world, where), file=sys.stderr, flush=True)


def explain(error: Exception, run: Path, world: World, where: str) -> str:
    """The message, a few lines."""
    lines = [f"\n{world.name} died at {where}: {type(error).__name__}: {str(error).strip()[:500]}"]
    if world.size > 1 and any(sign in str(error) for sign in _OF_A_PEER):
        lines.append("  this looks like another rank's death: the first failure that torchrun lists below is the cause")
    lines.append(f"  its log: {log_file(run, world.rank)}")
    lines.append("  give the same command again to go on from the last committed checkpoint")
    return "\n".join(lines)
