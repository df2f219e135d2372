"""Reading a pickled checkpoint that names classes, without importing or calling any of them.

A pickle is a program. Here it may call only what rebuilds tensors; every other class that it names becomes an inert
`Placeholder` that keeps its arguments and does nothing. For converters: what they need is in plain containers.
"""

from __future__ import annotations

import collections
import fractions
import pickle
from pathlib import Path
from typing import Any

import torch
import torch._utils

from demix.weights.archive import check_tensors
from demix.weights.registry import WeightsBroken

_CALLABLE: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("fractions", "Fraction"): fractions.Fraction,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
    ("torch", "Size"): torch.Size,
}
"""All that a file may call. torch's loader itself turns storage types into what they are before it asks here."""


class Placeholder:
    """Stands for an object of a class that was not imported."""

    def __init__(self, *arguments: Any, **named: Any):
        self.arguments = arguments
        self.named = named

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Unpickler(pickle.Unpickler):
    """Builds tensors and plain containers; anything else is a `Placeholder`."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _CALLABLE:
            return _CALLABLE[module, name]
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        return type(name, (Placeholder,), {"__module__": f"inert.{module}"})


def load(file: Any, **options: Any) -> Any:
    """`pickle.load` with the inert reader."""
    return Unpickler(file, **options).load()


def read_inert(path: Path) -> Any:
    """What a torch checkpoint holds, as tensors, plain containers and placeholders. Raises `WeightsBroken`."""
    import sys

    check_tensors(path)
    try:
        # This module is the reader: torch takes `Unpickler` and `load` from it.
        return torch.load(path, map_location="cpu", pickle_module=sys.modules[__name__], weights_only=False)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise WeightsBroken(f"{path}: cannot be read ({error}); it is damaged, fetch it again") from error
