"""A checkpoint from somebody else is read as values, and runs nothing."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp

from demix.config import ConfigError
from mtv_train.train.saved import load

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


class Touches:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def save(folder: Path, tree: dict[str, Any]) -> None:
    dcp.save(tree, storage_writer=dcp.FileSystemWriter(folder, single_file_per_rank=True), no_dist=True)


def test_values_come_back(tmp_path: Path) -> None:
    layout = {
        "weight": torch.arange(6.0).bfloat16(),
        "names": ["a", "b"],
        "step": 3,
        "betas": (0.9, 0.99),
    }
    save(tmp_path, {"model": layout})
    empty = {"weight": torch.zeros(6, dtype=torch.bfloat16), "names": [], "step": 0, "betas": ()}
    tree: dict[str, Any] = {"model": empty}
    load(tree, tmp_path, no_dist=True)
    assert torch.equal(tree["model"].pop("weight"), layout.pop("weight"))
    assert tree["model"] == layout


def test_a_list_of_contents_that_calls_something_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "run", {"a": torch.zeros(2)})
    (tmp_path / "run/.metadata").write_bytes(pickle.dumps(Touches(tmp_path / "mark")))
    with pytest.raises(ConfigError, match=r"\.metadata: asks for posix\.mkdir"):
        load({"a": torch.zeros(2)}, tmp_path / "run", no_dist=True)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["os.system", "os", "Metadata.__init__"])
def test_what_the_module_of_contents_imports_is_not_its_own(tmp_path: Path, name: str) -> None:
    save(tmp_path / "run", {"a": torch.zeros(2)})
    module = "torch.distributed.checkpoint.metadata"
    text = (
        pickle.PROTO
        + b"\x04"
        + b"".join(pickle.SHORT_BINUNICODE + bytes([len(w)]) + w.encode() for w in (module, name))
    )
    (tmp_path / "run/.metadata").write_bytes(text + pickle.STACK_GLOBAL + pickle.STOP)
    with pytest.raises(ConfigError, match="is refused"):
        load({"a": torch.zeros(2)}, tmp_path / "run", no_dist=True)


def test_a_value_that_calls_something_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "run", {"a": Touches(tmp_path / "mark")})
    with pytest.raises(ConfigError, match="a is no plain value and could run code"):
        load({"a": 0}, tmp_path / "run", no_dist=True)
    assert not (tmp_path / "mark").exists()


def test_a_damaged_list_of_contents_is_named(tmp_path: Path) -> None:
    save(tmp_path / "run", {"a": torch.zeros(2)})
    (tmp_path / "run/.metadata").write_bytes(b"\x80\x04junk")
    with pytest.raises(ConfigError, match="damaged"):
        load({"a": torch.zeros(2)}, tmp_path / "run", no_dist=True)
