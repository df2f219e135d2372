"""A moving average of the trained parameters, each rank averaging its own shard."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from mtv_train.distributed.names import parameter_name


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a sharded tensor; any other tensor itself."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


class Ema:
    """average <- d average + (1 - d) parameter, after every step. float32, sharded as the parameters are.

    d = min(decay, (1 + n) / (10 + n)) at update n (from 0): with the full decay from the start, a decay of 0.9999 would
    be 82 % the untrained weights after 2,000 steps.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self._trained = {parameter_name(name): p for name, p in model.named_parameters() if p.requires_grad}
        self.average: dict[str, Tensor] = {name: p.detach().clone() for name, p in self._trained.items()}
        self.updates = 0
        self.start_share = 1.0
        """What part of the average still is the parameters that it began with."""

    @torch.no_grad()
    def update(self) -> None:
        """One step. No communication."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages = [local(average) for average in self.average.values()]
        parameters = [local(parameter.detach()) for parameter in self._trained.values()]
        torch._foreach_lerp_(averages, parameters, 1 - decay)
        self.updates += 1
        self.start_share *= decay

    @torch.no_grad()
    def begin(self, names: Iterable[str]) -> None:
        """Let the averages of some parameters be what those are now; if of all, the ramp begins too."""
        names = list(names)
        for name in names:
            local(self.average[name]).copy_(local(self._trained[name].detach()))
        if len(names) == len(self.average):
            self.updates, self.start_share = 0, 1.0

    def to_json(self) -> dict[str, float]:
        """What a save notes of it, besides the averages."""
        return {"updates": self.updates, "start_share": self.start_share}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model holds the averages inside the block, its own parameters again after it."""
        own = {name: local(parameter.detach()).clone() for name, parameter in self._trained.items()}
        try:
            self._put({name: local(average) for name, average in self.average.items()})
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self._trained.items():
            local(parameter.detach()).copy_(values[name])
