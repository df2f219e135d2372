"""A moving average of the trained parameters, each rank averaging its own shard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from mtv_train.distributed.names import parameter_name


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a sharded tensor; any other tensor itself."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


class Ema:
    """average <- decay average + (1 - decay) parameter, after every step. float32, sharded as the parameters are."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay = decay
        self._trained = {parameter_name(name): p for name, p in model.named_parameters() if p.requires_grad}
        self.average: dict[str, Tensor] = {name: p.detach().clone() for name, p in self._trained.items()}

    @torch.no_grad()
    def update(self) -> None:
        """One step. No communication."""
        averages = [local(average) for average in self.average.values()]
        parameters = [local(parameter.detach()) for parameter in self._trained.values()]
        torch._foreach_lerp_(averages, parameters, 1 - self.decay)

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
