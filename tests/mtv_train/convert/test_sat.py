"""The authors' checkpoints become our model and come back, key for key, at tiny and at full size, or fail with every
key that is wrong; nothing that is read is executed."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtv_train.convert.files import REPORT, convert_sat, export_sat, read_sat
from mtv_train.convert.keymap import PREFIX, rules
from mtv_train.convert.sat import ConversionError, from_sat, to_sat
from mtv_train.model.config import MTVSettings
from mtv_train.model.transformer import MTVTransformer3DModel
from tests.mtv_train.model import tiny

TINY: dict[str, Any] = {"sample": (49, 6, 8), "feature_layers": 3}
SETTINGS = {"temporal_conv": "dense", "zero_init": False, "audio_dim": 48, "interval_heads": 3}


def _state(speakers: int = 1) -> dict[str, Tensor]:
    """A SAT state with random numbers in every place that the network uses."""
    return to_sat(tiny.model("5b-I2V", speech_tracks=speakers, **SETTINGS))[0]


@pytest.mark.parametrize("speakers", [1, 2])
def test_there_and_back(speakers: int) -> None:
    state = _state(speakers)
    model, report = from_sat(state, **TINY)
    again, _ = to_sat(model)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[key], state[key]) for key in state)
    assert {row.theirs for row in report.rows} == state.keys()
    given, original = tiny.inputs(speech_tracks=speakers), tiny.model("5b-I2V", speech_tracks=speakers, **SETTINGS)
    with torch.no_grad():
        assert torch.equal(model(*given), original(*given))


def _released_keys(folder: Path, speakers: int) -> dict[str, tuple[int, ...]]:
    """Keys and shapes of the full-size checkpoint, from the folder's table."""
    keys = {}
    for line in (folder / "mtv_keymap.md").read_text().splitlines():
        row = re.match(r"\| `(model\.[^`]+)` \| \(([\d, ]+)\) \| (\d+) \| ([^|]*) \|", line)
        if row and not (speakers == 1 and "two-speaker" in row[4]):
            shape = tuple(int(number) for number in row[2].split(",") if number.strip())
            keys |= {row[1].replace("{i}", str(index)): shape for index in range(int(row[3]))}
    return keys


@pytest.mark.parametrize(("speakers", "count"), [(1, 1626), (2, 1964)])
def test_full_size_layout(shared_vectors: Path, speakers: int, count: int) -> None:
    """Every key and shape of the 5B checkpoints, both ways, without a number in memory."""
    released = _released_keys(shared_vectors, speakers)
    assert len(released) == count
    with torch.device("meta"):
        model, report = from_sat({key: torch.empty(shape) for key, shape in released.items()})
        state, _ = to_sat(model)
    assert {key: tuple(tensor.shape) for key, tensor in state.items()} == released
    assert len(report.rows) == count
    assert model.settings == MTVSettings.release(2 if speakers == 2 else 1).model_copy(update={"official": False})
    assert model.backbone["num_layers"] == 42
    assert model.backbone["max_text_seq_length"] == 226


def test_every_parameter_of_ours_has_a_place() -> None:
    model = tiny.model("5b-I2V", speech_tracks=2, **SETTINGS)
    table = rules(3, 2, 2)
    ours = [name for rule in table for name in rule.ours]
    assert len(ours) == len(set(ours))
    assert set(ours) == set(model.state_dict())
    assert len({rule.theirs for rule in table}) == len(table)
    assert all(
        sorted(i for picks in rule.ours.values() for i in picks) == list(range(rule.pieces))
        for rule in table
        if rule.ours
    )


def test_missing_and_unknown_keys_are_all_named() -> None:
    state = _state()
    gone = [PREFIX + "transformer.layers.1.mlp.dense_h_to_4h.bias", PREFIX + "time_embed.2.weight"]
    for key in gone:
        del state[key]
    state[PREFIX + "transformer.layers.0.lora.weight"] = torch.zeros(1)
    with pytest.raises(ConversionError) as caught:
        from_sat(state, **TINY)
    assert all(f"missing: {key}" in str(caught.value) for key in gone)
    assert "unknown: model.diffusion_model.transformer.layers.0.lora.weight" in str(caught.value)
    assert "3 keys" in str(caught.value)


def test_wrong_shapes_are_named() -> None:
    state = _state()
    state[PREFIX + "transformer.layers.0.audio_attn.dense.weight"] = torch.zeros(32, 31)
    with pytest.raises(ConversionError, match=r"attention\.speech\.to_out\.weight: \(32, 31\) should be \(32, 32\)"):
        from_sat(state, **TINY)
    state[PREFIX + "transformer.layers.0.attention.query_key_value.bias"] = torch.zeros(95)
    with pytest.raises(ConversionError, match="cannot be cut into 3 parts"):
        from_sat(state, **TINY)


@pytest.mark.parametrize("changes", [{"extraction": "joint"}, {"injection": "shared"}, {"temporal_conv": "per_token"}])
def test_what_the_release_cannot_hold_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConversionError, match="the release has separate extraction"):
        to_sat(tiny.model("5b-I2V", moved=False, **{**SETTINGS, **changes}))
    with pytest.raises(ConversionError, match="learned position embedding"):
        to_sat(tiny.model("2b", moved=False, **SETTINGS))


def _file(path: Path, state: dict[str, Tensor]) -> Path:
    """As DeepSpeed writes it in training: with the VAE, the text encoder and its own book-keeping."""
    module = {
        **state,
        "first_stage_model.encoder.weight": torch.zeros(2),
        "conditioner.embedders.0.shared": torch.ones(1),
    }
    tree = {
        "module": module,
        "optimizer": None,
        "global_steps": 7,
        "args": argparse.Namespace(lr=1e-5),
        "dp_world_size": 8,
    }
    torch.save(tree, path)
    return path


def test_files(tmp_path: Path) -> None:
    state = _state(2)
    path = _file(tmp_path / "mp_rank_00_model_states.pt", state)
    assert read_sat(path).keys() == state.keys()
    report = convert_sat(path, tmp_path / "mtv", **TINY)
    assert {entry.suffix for entry in (tmp_path / "mtv").iterdir()} == {".json", ".safetensors", ".txt"}
    assert (tmp_path / "mtv" / REPORT).read_text() == report.text()
    assert f"{len(state)} keys" in report.text()
    assert all(key in report.text() for key in state)
    given, original = tiny.inputs(speech_tracks=2), tiny.model("5b-I2V", speech_tracks=2, **SETTINGS)
    with torch.no_grad():
        assert torch.equal(MTVTransformer3DModel.from_pretrained(tmp_path / "mtv")(*given), original(*given))

    export_sat(tmp_path / "mtv", tmp_path / "again.pt")
    again = read_sat(tmp_path / "again.pt")
    assert all(torch.equal(again[key], state[key]) for key in state)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["again.pt", "mp_rank_00_model_states.pt", "mtv"]
    with pytest.raises(ConversionError, match="exists already"):
        convert_sat(path, tmp_path / "mtv", **TINY)


class _Command:
    """What a checkpoint must never be able to do."""

    def __init__(self, command: str):
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


def test_nothing_is_executed(tmp_path: Path) -> None:
    mark, path = tmp_path / "ran", tmp_path / "evil.pt"
    torch.save({"module": _state(), "hook": _Command(f"touch {mark}")}, path)
    with pytest.raises(ConversionError, match=r"asks for .*system, which could run code"):
        read_sat(path)
    assert not mark.exists()


def test_bad_files(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with pytest.raises(ConversionError, match="cannot be read"):
        read_sat(path)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(ConversionError, match="not a torch checkpoint, or damaged"):
        read_sat(path)
    torch.save({"module": {"first_stage_model.weight": torch.zeros(1)}}, path)
    with pytest.raises(
        ConversionError, match=r"no key starts with model\.diffusion_model\.; found first_stage_model \(1\)"
    ):
        read_sat(path)
    torch.save([torch.zeros(1)], path)
    with pytest.raises(ConversionError, match="no state dict"):
        read_sat(path)
    torch.save({"module": {PREFIX + "x": 3}}, path)
    with pytest.raises(ConversionError, match="not tensors: model"):
        read_sat(path)
    with pytest.raises(ConversionError, match="is missing: this is no MTV checkpoint"):
        from_sat({PREFIX + "x": torch.zeros(1)})
    with pytest.raises(ConversionError, match="not a key of the denoiser"):
        from_sat({"x": torch.zeros(1)})
