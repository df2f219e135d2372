"""Putting a save's values into a model, its optimizer and its moving average, whatever has changed in between."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

from demix.config import ConfigError
from mtv_train.distributed.ema import Ema, local
from mtv_train.train.saved import contents, load


def tree_of(model: nn.Module, optimizer: Optimizer, ema: Ema | None) -> dict[str, Any]:
    """What a save holds: parameters and buffers, the optimizer's state, and the averages, each by parameter name."""
    tree = {"model": get_model_state_dict(model), "optimizer": get_optimizer_state_dict(model, optimizer)}
    return {**tree, **({"ema": dict(ema.average)} if ema is not None else {})}


def restore(
    folder: Path, model: nn.Module, optimizer: Optimizer, ema: Ema | None, group: dist.ProcessGroup
) -> list[str]:
    """Load the save in `folder`, whatever the number of ranks that wrote it. What it does not hold, in words.

    The optimizer's settings stay those that it was made with: only its state is loaded. What the save has no state or
    average of begins afresh. Raises `ConfigError` if it is the save of another model, or cannot be read.
    """
    saved = contents(folder)
    tree = tree_of(model, optimizer, ema)
    _refuse_another_model(folder, saved, tree["model"])
    state, averages = tree["optimizer"]["state"], tree.get("ema", {})
    stateless = [name for name, held in state.items() if any(f"optimizer.state.{name}.{v}" not in saved for v in held)]
    unaveraged = [name for name in averages if f"ema.{name}" not in saved]
    there: dict[str, Any] = {
        "model": tree["model"],
        "optimizer": {"state": {name: values for name, values in state.items() if name not in stateless}},
        "ema": {name: value for name, value in averages.items() if name not in unaveraged},
    }
    try:
        load({name: part for name, part in there.items() if part}, folder, process_group=group)
    except CheckpointException as error:
        raise ConfigError(f"{folder}: this save cannot be read ({str(error).strip().splitlines()[0]})") from error
    for name in stateless:
        for value in state[name].values():
            local(value).zero_()
    set_model_state_dict(model, tree["model"])
    set_optimizer_state_dict(model, optimizer, tree["optimizer"])
    if ema is not None:
        ema.begin(unaveraged)
    return _afresh(stateless, len(state), unaveraged, len(averages))


def _refuse_another_model(folder: Path, saved: Mapping[str, Any], model: Mapping[str, torch.Tensor]) -> None:
    """Raises `ConfigError` unless the save holds exactly the model's tensors."""
    now = {name: tuple(value.shape) for name, value in model.items() if isinstance(value, torch.Tensor)}
    then = {
        name.removeprefix("model."): tuple(known.size)
        for name, known in saved.items()
        if name.startswith("model.") and isinstance(known, TensorStorageMetadata)
    }
    differ = sorted(name for name in {**now, **then} if now.get(name) != then.get(name))
    if differ:
        first = differ[0]
        raise ConfigError(
            f"{folder} is the save of another model: {first} was {then.get(first, 'absent')}, is "
            f"{now.get(first, 'absent')} ({len(differ)} of {len(now)} parameters differ); a run cannot go on with "
            "another model: put its settings back, or begin another --run"
        )


def _afresh(stateless: list[str], states: int, unaveraged: list[str], averages: int) -> list[str]:
    said = []
    if stateless:
        said.append(
            f"the save holds no optimizer state of {len(stateless)} of {states} trained parameters "
            f"({stateless[0]}, ...): theirs begins afresh"
        )
    if unaveraged:
        said.append(
            f"the save holds no moving average of {len(unaveraged)} of {averages} trained parameters: theirs begins "
            "afresh, from the parameters as they are"
        )
    return said
