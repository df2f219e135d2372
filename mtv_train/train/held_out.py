"""The loss on windows that are not trained on.

Always on the same windows, at the same timesteps and noise, so that its course shows the model's and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from mtv_train.config import TrainSettings
from mtv_train.data.batch import Batch
from mtv_train.data.encoders import Encoders
from mtv_train.data.index import DatasetIndex
from mtv_train.data.loader import Loader
from mtv_train.data.order import StageMix
from mtv_train.data.settings import LoaderSettings
from mtv_train.distributed.world import World
from mtv_train.train.step import LossStep


@dataclass(frozen=True)
class HeldOut:
    """This rank's part of the windows, encoded, on the CPU."""

    batches: tuple[Batch, ...]
    """One window each. All ranks hold equally many; those numbered from `samples` on are there only for that."""
    samples: int
    """Windows a subset, of all ranks together."""
    world: World

    @classmethod
    def make(cls, index: DatasetIndex, encoders: Encoders, settings: TrainSettings, world: World) -> HeldOut:
        """Loads and encodes the windows of every subset of `index`, dealt to the ranks evenly."""
        samples = settings.validation.loss_samples
        subsets = [name for name in index.subsets if index.count(name)]
        loaded = (window for name in subsets for window in _windows(index, name, samples, settings.seed, world))
        encoded = (encoders(window.to(world.device)).to("cpu") for window in loaded)
        return cls(tuple(replace(one, video=None, waves=None) for one in encoded), samples, world)

    def loss(self, step: LossStep, model: nn.Module, often: Callable[[], None]) -> dict[str, float]:
        """The mean loss of each subset, and of all windows as "all". The same on every rank, whatever their number:
        losses are summed in the order of the windows. `often` is called after each, on all ranks; what it raises ends
        this."""
        was_training = model.training
        model.eval()
        mine: dict[tuple[str, int], float] = {}
        try:
            for batch in self.batches:
                with torch.no_grad():
                    losses = step.at_fixed_draws(batch, self.samples)
                mine[batch.stage, batch.ks[0]] = float(losses[0])
                often()
        finally:
            model.train(was_training)
        every = sorted(pair for rank in self.world.gather(mine) for pair in rank.items())
        by_subset: dict[str, list[float]] = defaultdict(list)
        for (subset, number), loss in every:
            if number < self.samples:
                by_subset[subset.partition("/")[2]].append(loss)
        means = {subset: sum(losses) / len(losses) for subset, losses in by_subset.items()}
        counted = [loss for losses in by_subset.values() for loss in losses]
        return {"all": sum(counted) / len(counted), **means} if counted else {}


def _windows(index: DatasetIndex, subset: str, samples: int, seed: int, world: World) -> Iterator[Batch]:
    rounds = -(-samples // world.size)
    loader = Loader(
        index,
        StageMix(f"held_out/{subset}", {subset: 1.0}),
        seed,
        LoaderSettings(workers=0, max_bad_share=1.0),
        batch=rounds * world.size,
        rank=world.rank,
        world=world.size,
    )
    try:
        yield from next(iter(loader)).split(rounds)
    finally:
        loader.close()
