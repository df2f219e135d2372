"""The released checkpoints of MVSEP-CDX23: a pickled dictionary with the network's class, its arguments and its state.

Read under torch's restricted reader with the few classes that such a file names. `demix weights convert cdx23` writes
the same as safetensors, the arguments in its header; where that file lies beside the checkpoint it is preferred.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from demucs.htdemucs import HTDemucs
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from demix.models.demixing.cdx23 import SOURCES
from demix.store import atomic
from demix.weights.files import load_pickle
from demix.weights.inert import read_inert
from demix.weights.registry import WeightsBroken

_SCALAR = np.float64(0).__reduce__()[0]
ALLOWED: list[Any] = [
    HTDemucs,
    Fraction,
    (_SCALAR, "numpy.core.multiarray.scalar"),  # as older numpy names it
    _SCALAR,
    np.dtype,
    *(type(np.dtype(name)) for name in ("float32", "float64", "int32", "int64", "bool")),
]


def load(path: Path) -> HTDemucs:
    """The network of one checkpoint, in evaluation mode, float32. Every key must be met. Raises `WeightsBroken`."""
    converted = path.with_suffix(".safetensors")
    arguments, state = _from_safetensors(converted) if converted.exists() else _from_pickle(path)
    network = build(arguments, path)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsBroken(f"{path}: not a state of the network that it describes: {error}") from error
    return network.eval()


def build(arguments: Mapping[str, Any], path: Path) -> HTDemucs:
    """The network that a file describes; arguments that today's class no longer has are left out."""
    known = inspect.signature(HTDemucs).parameters
    chosen = {name: value for name, value in arguments.items() if name in known}
    sources = chosen.get("sources", ())
    if len(sources) != len(SOURCES):
        raise WeightsBroken(f"{path}: the network has the sources {list(sources)}; three are wanted, {list(SOURCES)}")
    return HTDemucs(**chosen)


def convert(path: Path) -> Path:
    """Writes the checkpoint as safetensors beside it, without building any class that it names; returns the file."""
    package = read_inert(path)
    if not isinstance(package, dict) or not {"args", "kwargs", "state"} <= set(package):
        raise WeightsBroken(f"{path}: not a demucs checkpoint; it holds {type(package).__name__}")
    target = path.with_suffix(".safetensors")
    arguments = {**_positional(package["args"]), **package["kwargs"]}
    with atomic(target) as aside:
        tensors = {name: tensor.contiguous() for name, tensor in package["state"].items()}
        save_file(tensors, aside, metadata={"arguments": json.dumps(_plain(arguments))})
    return target


def _from_pickle(path: Path) -> tuple[Mapping[str, Any], dict[str, torch.Tensor]]:
    package = load_pickle(path, ALLOWED)
    if not isinstance(package, dict) or not {"klass", "args", "kwargs", "state"} <= set(package):
        raise WeightsBroken(f"{path}: not a demucs checkpoint (klass, args, kwargs, state); fetch it again")
    if package["klass"] is not HTDemucs:
        raise WeightsBroken(f"{path}: a {package['klass']}, not an HTDemucs")
    return {**_positional(package["args"]), **package["kwargs"]}, package["state"]


def _from_safetensors(path: Path) -> tuple[Mapping[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            arguments = json.loads((file.metadata() or {}).get("arguments", "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except SafetensorError as error:
        raise WeightsBroken(f"{path}: not a safetensors file ({error}); remove it and convert again") from error
    if isinstance(arguments.get("segment"), str):
        arguments["segment"] = Fraction(arguments["segment"])
    return arguments, state


def _positional(values: Any) -> dict[str, Any]:
    names = list(inspect.signature(HTDemucs).parameters)
    return dict(zip(names, values, strict=False))


def _plain(value: Any) -> Any:
    """JSON for what the arguments of a network are; a fraction as text."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, Fraction):
        return str(value)
    return value.item() if isinstance(value, np.generic) else value
