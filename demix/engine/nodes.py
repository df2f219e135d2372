"""Which nodes of a Ray cluster get work: those on which a proof holds, however late they joined."""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from demix.config import ConfigError
from demix.engine import log
from demix.engine.proof import Proof
from demix.engine.stage_actor import call, packed

_LOG = log.get_logger("engine.nodes")
_ANSWER_SECONDS = 120.0
"""A node that does not answer for so long is unfit: a mount that hangs, hangs everything that touches it."""
_AGAIN_SECONDS = 120.0
"""After this time an unfit node is asked again: a mount may have come."""
_NODE_ID = "ray.io/node-id"


@dataclass(frozen=True)
class _Verdict:
    address: str
    problem: str
    at: float


@dataclass(frozen=True)
class _Question:
    ref: ray.ObjectRef
    address: str
    at: float


class Nodes:
    """Asks the nodes of the cluster that this process has joined. May be used by several threads."""

    def __init__(self, proof: Proof):
        self._proof = proof
        self.packed: bytes = cloudpickle.dumps(proof)
        """What `demix.engine.stage_actor.show` takes."""
        self._verdicts: dict[str, _Verdict] = {}
        self._asked: dict[str, _Question] = {}
        self._told: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def problems(self) -> list[tuple[str, str]]:
        """(address, problem) of every node that is alive, after each was asked; an empty problem if it is fit."""
        with self._lock:
            self._look(_ANSWER_SECONDS)
            return [(verdict.address, verdict.problem) for verdict in self._verdicts.values()]

    def fit(self) -> set[str]:
        """Ids of the nodes that have shown to be fit. Does not wait: a node that has just joined is not among them."""
        with self._lock:
            self._look(0.0)
            return {node for node, verdict in self._verdicts.items() if not verdict.problem}

    def placement(self) -> dict[str, Any]:
        """Options for an actor or a task that keep it off nodes that are not known to be fit. Does not wait. Says which
        nodes are left out, once. Raises `ConfigError` where no node is fit."""
        with self._lock:
            self._look(0.0)
            unfit = {node: verdict for node, verdict in self._verdicts.items() if verdict.problem}
            self._tell(unfit)
            if unfit and len(unfit) == len(self._verdicts) and not self._asked:
                raise ConfigError(next(iter(unfit.values())).problem)
            away = sorted({*unfit, *self._asked})
        return {"label_selector": {_NODE_ID: f"!in({','.join(away)})"}} if away else {}

    def _look(self, wait: float) -> None:
        """Asks nodes that have joined, and takes the answers that come within `wait` seconds."""
        alive = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
        self._verdicts = {node: verdict for node, verdict in self._verdicts.items() if node in alive}
        now = time.monotonic()
        for node, address in alive.items():
            known = self._verdicts.get(node)
            if node not in self._asked and (known is None or (known.problem and now - known.at > _AGAIN_SECONDS)):
                question = packed(_problem, (self._proof, address))
                self._asked[node] = _Question(asked_on(node, question), address, now)
        refs = [asked.ref for asked in self._asked.values()]
        ready = set(ray.wait(refs, num_returns=len(refs), timeout=wait)[0]) if refs else set()
        for node, asked in list(self._asked.items()):
            late = time.monotonic() - asked.at >= _ANSWER_SECONDS
            if asked.ref in ready or late:
                del self._asked[node]
                self._take(node, asked)

    def _take(self, node: str, question: _Question) -> None:
        """Notes an answer, or why there is none; of a node that is gone, nothing."""
        try:
            problem = ray.get(question.ref, timeout=0)
        except RayError as error:
            problem = f"node {question.address}: {_why(error)}"
            if isinstance(error, TimeoutError):
                ray.cancel(question.ref, force=True)
            if not is_alive(node):
                return
        self._verdicts[node] = _Verdict(question.address, problem, time.monotonic())

    def _tell(self, unfit: dict[str, _Verdict]) -> None:
        for node, verdict in unfit.items():
            if (node, verdict.problem) not in self._told:
                self._told.add((node, verdict.problem))
                _LOG.warning("node_left_out", extra=log.event(node=node, address=verdict.address, why=verdict.problem))
                print(f"{verdict.problem}. The node is left out, others do the work", file=sys.stderr, flush=True)


def asked_on(node: str, packing: bytes) -> ray.ObjectRef:
    """Has a node of this id answer what is packed, and no other one."""
    there = NodeAffinitySchedulingStrategy(node, soft=False)
    return ray.remote(num_cpus=0)(call).options(scheduling_strategy=there).remote(packing)


def is_alive(node: str) -> bool:
    """Whether a node of this id belongs to the cluster now."""
    return any(each["NodeID"] == node and each["Alive"] for each in ray.nodes())


def _why(error: RayError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {_ANSWER_SECONDS:.0f} s; look at its mounts"
    if isinstance(error, RayTaskError):
        cause = error.cause
        return (
            f"this program does not run there ({type(cause).__name__}: {cause}); make the environment there from the "
            "same constraints.txt, and bring the same code to all nodes"
        )
    return f"a worker there ended ({type(error).__name__}); look at its memory and disk"


def _problem(question: tuple[Proof, str]) -> str:
    proof, node = question
    return proof.problem(node)
