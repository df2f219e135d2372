"""Which numbers of ranks a recipe can be trained on: one rule for `train` and for `plan`."""

from __future__ import annotations

from demix.config import ConfigError
from mtv_train.config import TrainSettings


def workable(settings: TrainSettings) -> list[int]:
    """All numbers of ranks that share a batch evenly, in whole micro-batches, rising."""
    batch, micro, replicate = settings.optim.batch, settings.parallel.micro_batch, settings.parallel.replicate
    return [ranks for ranks in range(replicate, batch // micro + 1, replicate) if batch % (ranks * micro) == 0]


def check_ranks(settings: TrainSettings, ranks: int) -> None:
    """Raises `ConfigError` that names the numbers that work, unless `ranks` is one of them."""
    fit = workable(settings)
    if ranks in fit:
        return
    batch, micro, replicate = settings.optim.batch, settings.parallel.micro_batch, settings.parallel.replicate
    if ranks < 1:
        why, remedy = f"{ranks} ranks: there must be one at least", ""
    elif ranks % replicate:
        why, remedy = f"parallel.replicate={replicate} does not divide {ranks} ranks", ""
    else:
        step = ranks * micro
        why = (
            f"optim.batch={batch} cannot be dealt evenly to {ranks} ranks"
            if batch % ranks
            else f"parallel.micro_batch={micro} does not divide a rank's {batch // ranks} samples a step"
        )
        remedy = f"; with {ranks}, optim.batch={max(round(batch / step), 1) * step} works"
    raise ConfigError(f"{why}; with these settings these numbers work: {', '.join(map(str, fit)) or 'none'}{remedy}")
