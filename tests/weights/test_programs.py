"""A weight file that is a program is refused before anything of it runs, whoever is asked to read it."""

from __future__ import annotations

import ast
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from demix.config import ConfigError
from demix.models.audio_quality import audiobox
from demix.models.demixing import cdx23_checkpoint
from demix.models.transformers_folder import load_strictly
from demix.weights import WeightsBroken, load_state
from demix.weights.archive import check_tensors
from demix.weights.files import load_pickle
from demix.weights.inert import read_inert
from mtv_train.config import ModelSettings
from mtv_train.convert.files import read_sat
from mtv_train.convert.sat import ConversionError
from mtv_train.evaluate.networks.released import torchscript_i3d
from mtv_train.train.components import make_audio_encoder
from tests.docs.pages import ROOT
from tests.weights.programs import write_harmless, write_program


def pyannote_network(path: Path) -> Any:
    pytest.importorskip("pyannote.audio", reason="an optional package")
    from demix.models.diarization.pyannote_pipeline import network

    return network(path)


def transformers_model(path: Path) -> Any:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    Wav2Vec2Config(num_hidden_layers=1, hidden_size=24, num_attention_heads=2).save_pretrained(path.parent)
    shutil.copy(path, path.parent / "pytorch_model.bin")
    return load_strictly(Wav2Vec2Model, path.parent)


def audio_encoder(path: Path) -> Any:
    from transformers import Wav2Vec2Config

    Wav2Vec2Config(num_hidden_layers=1, hidden_size=24, num_attention_heads=2).save_pretrained(path.parent)
    shutil.copy(path, path.parent / "pytorch_model.bin")
    return make_audio_encoder(ModelSettings(weights="pretrained", audio_encoder=str(path.parent)), 0)


READERS: tuple[Callable[[Path], Any], ...] = (
    check_tensors,
    load_pickle,
    load_state,
    read_inert,
    read_sat,
    cdx23_checkpoint.load,
    cdx23_checkpoint.convert,
    audiobox.load,
    pyannote_network,
    transformers_model,
    audio_encoder,
    lambda path: torchscript_i3d(path, torch.device("cpu")),
)


@pytest.mark.parametrize("suffix", [".pt", ".ckpt", ".bin", ".safetensors"])
@pytest.mark.parametrize("read", READERS, ids=[getattr(read, "__name__", "") for read in READERS])
def test_no_reader_runs_it(tmp_path: Path, read: Callable[[Path], Any], suffix: str) -> None:
    mark = tmp_path / "mark"
    path = write_program(tmp_path / "weights" / f"model{suffix}", mark)
    with pytest.raises((WeightsBroken, ConversionError, ConfigError, OSError)):
        read(path)
    assert not mark.exists()


def test_the_program_does_what_it_is_made_for(tmp_path: Path) -> None:
    torch.jit.load(str(write_program(tmp_path / "model.pt", tmp_path / "mark")))
    assert (tmp_path / "mark").stat().st_size == 64


def test_the_refusal_says_what_the_file_is(tmp_path: Path) -> None:
    path = write_program(tmp_path / "model.pt", tmp_path / "mark")
    with pytest.raises(WeightsBroken, match=r"model\.pt: a TorchScript archive, which is a program"):
        read_inert(path)
    with pytest.raises(WeightsBroken, match=r"model\.pt: its program uses from_file"):
        torchscript_i3d(path, torch.device("cpu"))


def test_a_torchscript_file_that_only_computes_is_run(tmp_path: Path) -> None:
    path = write_harmless(tmp_path / "i3d.pt")
    assert torchscript_i3d(path, torch.device("cpu"))(torch.ones(2)).tolist() == [2.0, 2.0]


def test_every_operator_that_takes_a_files_name_is_known() -> None:
    """A torch with another one must not pass unseen."""
    schemas = torch._C._jit_get_all_schemas()
    takes = {
        schema.name
        for schema in schemas
        if any("file" in argument.name and str(argument.type) == "str" for argument in schema.arguments)
    }
    assert takes == {"aten::from_file", "aten::save"}


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_save_writes_is_read(tmp_path: Path, zipped: bool) -> None:
    torch.save({"a": torch.ones(3)}, tmp_path / "t.pt", _use_new_zipfile_serialization=zipped)
    check_tensors(tmp_path / "t.pt")
    assert load_state(tmp_path / "t.pt")["a"].tolist() == [1, 1, 1]


def test_other_archives_are_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"x")
    with tarfile.open(tmp_path / "t.pt", "w") as tar:
        tar.add(tmp_path / "data")
    shutil.make_archive(str(tmp_path / "z"), "zip", tmp_path, "data")
    for name, what in (("t.pt", "tar archive"), ("z.zip", "archive")):
        with pytest.raises(WeightsBroken, match=what):
            check_tensors(tmp_path / name)


READ_BY: dict[str, set[str]] = {
    "torch.load": {
        "demix/weights/files.py",
        "demix/weights/inert.py",
        "mtv_train/convert/files.py",
        "mtv_train/train/saved.py",
    },
    "torch.jit.load": {"mtv_train/evaluate/networks/released.py"},
    "dcp.load": {"mtv_train/train/saved.py"},
    "FileSystemReader": {"mtv_train/train/saved.py"},
    "pickle.load": {"demix/engine/spool.py"},
    "pickle.loads": {"demix/engine/local.py", "demix/engine/local_worker.py"},
    "torch.hub.load": set(),
    "yaml.load": set(),
}
"""The only modules that may call a reader that can run what it reads. Each looks first, allows only values,
or reads what a process of ours wrote to a pipe or a file without a name, which nobody else has."""


@pytest.mark.parametrize("package", ["demix", "mtv_train", "pipelines"])
def test_nobody_else_reads_what_can_run_code(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        name = path.relative_to(ROOT).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            pickles = [
                word for word in node.keywords if word.arg == "allow_pickle" and ast.unparse(word.value) != "False"
            ]
            assert not pickles, f"{name} calls {called} with allow_pickle"
            # Without it, a folder that brings code of its own has transformers ask at the terminal.
            if re.search(r"Auto[A-Z]\w+\.from_pretrained$", called):
                assert "trust_remote_code=False" in ast.unparse(node), f"{name} calls {called}"
            for reader, allowed in READ_BY.items():
                if called == reader or called.endswith(f".{reader}"):
                    assert name in allowed, f"{name} calls {called}"
