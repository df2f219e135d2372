"""What runs in Ray's worker processes. Imports next to nothing, so that a worker leaves the terminal first.

A cluster whose head was started at a terminal hands that terminal on to its workers. What comes from the driver is
therefore unpickled here, once that is done: unpickling imports the modules of stages and models.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import cloudpickle

from demix import processes

if TYPE_CHECKING:
    import pyarrow as pa


class StageActor:
    """A worker in an actor of Ray Data: Arrow batches in, Arrow batches out. `spec` is a pickled `WorkerSpec`."""

    def __init__(self, spec: bytes, last: bool, log_folder: Path | None):
        processes.leave_terminal()
        from demix.engine import log
        from demix.engine.worker import Worker

        log.configure(log_folder)
        self.worker = Worker(cloudpickle.loads(spec))
        self.last = last

    def __call__(self, batch: pa.Table) -> pa.Table:
        import pyarrow as pa

        from demix.engine.row import from_columns, to_columns

        rows = self.worker(from_columns(batch.to_pydict()))
        return pa.table(to_columns([row.light() for row in rows] if self.last else rows))


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
