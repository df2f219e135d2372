"""Model folders: an export becomes a whole pipeline that diffusers loads alone, and which model it is can be told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline

from mtv_train import cli
from mtv_train.sample.model_folder import fingerprint, load_pipeline, save_whole
from mtv_train.train.export import RECIPE


def test_an_export_becomes_whole(model: Path, tmp_path: Path) -> None:
    export = load_pipeline(model)
    save_whole(export, tmp_path / "out", model / RECIPE)
    whole = DiffusionPipeline.from_pretrained(tmp_path / "out")
    for part in ("transformer", "vae", "text_encoder", "audio_encoder"):
        ours, theirs = getattr(whole, part).state_dict(), getattr(export, part).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert type(whole.scheduler) is type(export.scheduler)
    assert whole.scheduler.config.rescale_betas_zero_snr
    assert (tmp_path / "out" / RECIPE).read_bytes() == (model / RECIPE).read_bytes()
    assert type(load_pipeline(tmp_path / "out")) is type(whole)


def test_assembled_from_parts(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The authors' weights come as a transformer alone; the encoders are CogVideoX's and wav2vec2's."""
    whole = tmp_path / "whole"
    load_pipeline(model).save_pretrained(whole)
    parts = ("--backbone", str(whole), "--audio-encoder", str(whole / "audio_encoder"), "--precision", "float32")
    arguments = ["assemble", str(whole / "transformer"), str(tmp_path / "out"), *parts]
    assert cli.main(arguments) == 0
    made, plain = load_pipeline(tmp_path / "out"), load_pipeline(whole)
    assert (made.config.prompt_style, made.config.official_alignment) == ("release", True)
    assert all(
        torch.equal(ours, theirs)
        for ours, theirs in zip(made.transformer.parameters(), plain.transformer.parameters(), strict=True)
    )
    assert cli.main(arguments) == 2
    assert "exists already" in capsys.readouterr().err
    arguments[1:3] = [str(tmp_path), str(tmp_path / "new")]
    assert cli.main(arguments) == 2
    assert "holds no config.json" in capsys.readouterr().err


def test_precision(model: Path) -> None:
    half = load_pipeline(model, torch.bfloat16)
    assert {half.transformer.dtype, half.vae.dtype, half.text_encoder.dtype} == {torch.bfloat16}
    assert half.audio_encoder.dtype == torch.float32


def test_fingerprints(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "copy")
    assert fingerprint(tmp_path / "copy") == fingerprint(model)
    with (tmp_path / "copy" / RECIPE).open("a") as file:
        file.write(" ")
    assert fingerprint(tmp_path / "copy") != fingerprint(model)
