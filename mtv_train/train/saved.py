"""Reading what torch.distributed.checkpoint wrote, without running anything that is in it.

The library itself unpickles the list of contents, and every value that is no tensor, without limits: a run's folder
from somebody else could have it call anything.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import metadata
from torch.distributed.checkpoint.planner import ReadItem

from demix.config import ConfigError

_METADATA = "torch.distributed.checkpoint.metadata"
_NAMED = {
    ("collections", "OrderedDict"),
    ("pathlib", "PosixPath"),
    ("pathlib", "PurePosixPath"),
    ("pathlib._local", "PosixPath"),  # Python 3.13
    ("pathlib._local", "PurePosixPath"),
    ("torch", "Size"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch.serialization", "_get_layout"),
}
"""What a list of contents may name besides torch's number types and the classes of its own module."""


def contents(folder: Path) -> Mapping[str, Any]:
    """What a save holds: the tensors' shapes and the other values' places, by name. Raises `ConfigError`."""
    _check(folder)
    return dict(dcp.FileSystemReader(folder).read_metadata().state_dict_metadata)


def load(tree: dict[str, Any], folder: Path, **options: Any) -> None:
    """`dcp.load` into `tree` from a save in `folder`. Raises `ConfigError` where the save asks for more than values."""
    _check(folder)
    try:
        dcp.load(tree, storage_reader=dcp.FileSystemReader(folder), planner=_Planner(), **options)
    except dcp.CheckpointException as error:
        for refusal in error.failures.values():
            if isinstance(refusal[0], ConfigError):
                raise ConfigError(f"{folder}: {refusal[0]}") from error
        raise


def _check(folder: Path) -> None:
    """Raises `ConfigError` for a list of contents that is damaged or asks for more than values."""
    for path in folder.glob("*.metadata"):
        with path.open("rb") as file:
            try:
                _Contents(file, path).load()
            except ConfigError:
                raise
            except Exception as error:  # a damaged pickle raises anything
                raise ConfigError(f"{folder}: this save cannot be read ({path.name}: {error})") from error


class _Contents(pickle.Unpickler):
    def __init__(self, file: Any, path: Path):
        super().__init__(file)
        self.path = path

    def find_class(self, module: str, name: str) -> Any:
        own = module == _METADATA and getattr(getattr(metadata, name, None), "__module__", "") == _METADATA
        number = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if (module, name) not in _NAMED and not own and not number:
            raise ConfigError(
                f"{self.path}: asks for {module}.{name}, which no checkpoint of a run needs and which could run code; "
                "it is refused"
            )
        return super().find_class(module, name)


class _Planner(dcp.DefaultLoadPlanner):
    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        try:
            torch.load(value, weights_only=True)
        except (pickle.UnpicklingError, RuntimeError) as error:
            raise ConfigError(
                f"the checkpoint's {read_item.dest_index.fqn} is no plain value and could run code; it is refused"
            ) from error
        value.seek(0)
        super().load_bytes(read_item, value)
