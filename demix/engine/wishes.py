"""What the stages of a phase want of a cluster, as a placement is made from it."""

from __future__ import annotations

from collections.abc import Sequence

from demix.engine.placement import UNKNOWN, Pool
from demix.engine.runner import RunOptions, rows_at_once
from demix.engine.worker import Step, resources_of

_LEAST_SECONDS = 1e-3
"""Of a pool whose stages are known to cost nothing: it is handed rows and answers them."""


def wish(group: Sequence[Step], options: RunOptions, gpus: bool) -> Pool:
    """The pool for a group of steps; `gpus`: whether models run on GPUs."""
    wants = resources_of(group)
    share = wants.gpus if gpus else 0.0
    measuring = [step.stage.name for step in group if not step.stage.judges]
    costs = [options.costs.get(name, UNKNOWN) for name in measuring]
    sizes = options.engine.pools.get(wants.pool)
    batches = -(-options.total // rows_at_once(group, options, 1))  # more workers would have nothing to do
    limits = [limit for limit in (sizes.max_workers if sizes else None, batches) if limit]
    return Pool(
        stages=tuple(measuring or [step.stage.name for step in group]),
        cpus=wants.cpus,
        gpus=share,
        memory=wants.memory_gb,
        seconds=max(_LEAST_SECONDS, sum(cost.seconds(share) for cost in costs)),
        guessed=any(cost.guessed for cost in costs),
        least=sizes.min_workers if sizes else 1,
        most=min(limits, default=None),
    )
