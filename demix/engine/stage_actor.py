"""What runs in Ray's worker processes. Imports next to nothing, so that a worker leaves the terminal first.

A cluster whose head was started at a terminal hands that terminal on to its workers. What comes from the driver is
therefore unpickled here, once that is done: unpickling imports the modules of stages and models.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import cloudpickle

from demix import processes

if TYPE_CHECKING:
    from demix.engine.row import Row


class StageActor:
    """A worker in an actor of Ray: rows in, rows out."""

    def __init__(self) -> None:
        processes.leave_terminal()

    def begin(self, spec: bytes, log_folder: Path | None, proof: bytes | None, gpu: bool) -> bool:
        """Makes the worker. `spec` is a pickled `WorkerSpec`; `gpu`: whether this process was given a GPU. Returns
        whether it was given one that PyTorch does not find. Raises `UnfitNode` unless this machine stands the
        `proof`."""
        show(proof)
        from demix.engine import log
        from demix.engine.worker import Worker

        log.configure(log_folder)
        self.worker = Worker(cloudpickle.loads(spec))
        if not gpu:
            return False
        import torch

        return not torch.cuda.is_available()

    def work(self, rows: Sequence[Row], light: bool) -> list[Row]:
        """The rows, further on; `light`: without their records."""
        done = self.worker(rows)
        return [row.light() for row in done] if light else done

    def close(self) -> None:
        """Ends the stages, as their contract says."""
        self.worker.close()


def packed(function: Any, argument: Any) -> bytes:
    """What `call` takes."""
    packing: bytes = cloudpickle.dumps((function, argument))
    return packing


def call(packing: bytes, proof: bytes | None = None) -> Any:
    """`function(argument)` in a worker process, which must `show` first what is asked of it."""
    processes.leave_terminal()
    show(proof)
    function, argument = cloudpickle.loads(packing)
    return function(argument)


_shown: set[bytes] = set()


def show(proof: bytes | None) -> None:
    """Raises `UnfitNode` unless this machine stands a proof (`demix.engine.nodes.Nodes.packed`); once a process."""
    if proof is None or proof in _shown:
        return
    from demix.engine.proof import UnfitNode

    try:
        problem = cloudpickle.loads(proof).problem(here())
    except Exception as error:  # another version of this program may not even know what is asked
        problem = f"{type(error).__name__}: {error}"
    if problem:
        raise UnfitNode(problem)
    _shown.add(proof)


def here() -> str:
    """Address of this node."""
    import ray

    return str(ray.util.get_node_ip_address())
