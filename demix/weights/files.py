"""Reading weight files without running what is in them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demix.weights.archive import check_tensors
from demix.weights.registry import WeightsBroken

if TYPE_CHECKING:  # every command reads this module, and torch takes seconds to import
    import torch

WRAPPERS = ("state_dict", "model_state_dict", "state", "model")
"""Keys under which releases put the tensors beside other things, outermost first."""


def load_state(path: Path, prefix: str = "", allow: Sequence[Any] = ()) -> dict[str, torch.Tensor]:
    """Tensors by name, on the CPU, from a safetensors file or a pickled checkpoint.

    A pickle is read by torch's restricted reader, which knows tensors and plain containers; `allow` names further
    classes that it may build. Wrappers (`{"state_dict": ...}`) are peeled off, and `prefix` from the names if all have
    it. Raises `WeightsBroken` if the file is damaged, asks for anything else, or holds more than tensors.
    """
    import torch

    found: Any = load_pickle(path, allow) if path.suffix != ".safetensors" else _safetensors(path)
    while isinstance(found, Mapping) and (inner := next((key for key in WRAPPERS if _is_state(found, key)), None)):
        found = found[inner]
    if not isinstance(found, Mapping) or not all(torch.is_tensor(value) for value in found.values()):
        raise WeightsBroken(f"{path}: holds more than a state dict of tensors; this is not the released file")
    if prefix and found and all(name.startswith(prefix) for name in found):
        return {name.removeprefix(prefix): value for name, value in found.items()}
    return dict(found)


def load_pickle(path: Path, allow: Sequence[Any] = ()) -> Any:
    """What a torch checkpoint holds. Only tensors, plain containers and the classes in `allow` can come out."""
    import torch

    check_tensors(path)
    try:
        with torch.serialization.safe_globals(list(allow)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError, AttributeError, KeyError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsBroken(
            f"{path}: cannot be read as weights ({first}); it is damaged, or wants to run code, which is refused. "
            "Remove it and fetch it again, or see `demix weights convert --help`"
        ) from error


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except SafetensorError as error:
        raise WeightsBroken(f"{path}: not a safetensors file ({error}); remove it and fetch it again") from error


def _is_state(tree: Mapping[str, Any], key: str) -> bool:
    return isinstance(tree.get(key), Mapping)
