"""Weight files are read without running what is in them; what is not a plain state dict is refused."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from demix.weights import WeightsBroken, load_state
from demix.weights.files import load_pickle
from demix.weights.inert import Placeholder, read_inert

STATE = {"net.weight": torch.arange(6.0).view(2, 3), "net.steps": torch.tensor(7)}


class Evil:
    """What an attacker would put into a checkpoint."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (os.environ["EVIL_FOLDER"],)


class Unknown:
    """A class of the training code, which is not here."""

    def __init__(self) -> None:
        self.rate = 0.5


@pytest.fixture
def evil_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVIL_FOLDER", str(tmp_path / "evil"))
    return tmp_path / "evil"


@pytest.mark.parametrize(
    "wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"state": {"model": s}}]
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_tensors_by_name(tmp_path: Path, wrap: Any, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    if suffix == ".safetensors":
        save_file(STATE, path)
    else:
        torch.save(wrap(OrderedDict(STATE)), path)
    assert set(load_state(path)) == set(STATE)
    stripped = load_state(path, prefix="net.")
    assert torch.equal(stripped["weight"], STATE["net.weight"])
    assert set(load_state(path, prefix="other.")) == set(STATE)


def test_code_in_a_file_does_not_run(tmp_path: Path, evil_folder: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"state_dict": STATE, "extra": Evil()}, path)
    with pytest.raises(WeightsBroken, match="wants to run code"):
        load_state(path)
    read_inert(path)
    assert not evil_folder.exists()


def test_nor_from_a_bare_pickle(tmp_path: Path, evil_folder: Path) -> None:
    path = tmp_path / "evil.pt"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(WeightsBroken):
        load_state(path)
    with pytest.raises(WeightsBroken):
        read_inert(path)
    assert not evil_folder.exists()


def test_a_class_may_be_allowed(tmp_path: Path) -> None:
    path = tmp_path / "fraction.pt"
    torch.save({"segment": Fraction(39, 5)}, path)
    with pytest.raises(WeightsBroken):
        load_pickle(path)
    assert load_pickle(path, [Fraction])["segment"] == Fraction(39, 5)


def test_converters_see_tensors_and_numbers_and_placeholders(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"klass": Unknown, "training": Unknown(), "segment": Fraction(39, 5), "state": STATE}, path)
    found = read_inert(path)
    assert torch.equal(found["state"]["net.weight"], STATE["net.weight"])
    assert found["segment"] == Fraction(39, 5)
    assert issubclass(found["klass"], Placeholder)
    assert found["klass"] is not Unknown
    assert isinstance(found["training"], Placeholder)
    assert found["training"].state == {"rate": 0.5}


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 and no more"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_rubbish_is_refused_and_named(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsBroken, match=str(path)):
        load_state(path)


def test_more_than_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2), "name": "x"}, tmp_path / "model.pt")
    with pytest.raises(WeightsBroken, match="more than a state dict"):
        load_state(tmp_path / "model.pt")
