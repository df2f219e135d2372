"""From folders to a pipeline: one that was saved whole, what `mtv_train export` wrote, or parts from several places."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import diffusers
import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDPMScheduler
from transformers import AutoTokenizer, T5EncoderModel, Wav2Vec2Model

from demix.config import ConfigError, validate
from mtv_train.config import TrainSettings
from mtv_train.model.transformer import MTVTransformer3DModel
from mtv_train.sample.pipeline import MTVPipeline
from mtv_train.train import components
from mtv_train.train.export import RECIPE

INDEX = "model_index.json"


def load_pipeline(folder: Path, dtype: torch.dtype = torch.float32) -> MTVPipeline:
    """The pipeline of `folder`, on the CPU. Encoders that the folder does not hold are where its recipe names them.

    The transformer, T5 and the VAE are in `dtype`, wav2vec2 is float32. Raises `ConfigError` for a folder that is no
    model, or encoders that are not there.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder}: there is no such folder; name what `mtv_train export RUN OUT` wrote")
    if (folder / INDEX).exists():
        kinds = {"default": dtype, "audio_encoder": torch.float32}
        loaded: MTVPipeline = MTVPipeline.from_pretrained(folder, torch_dtype=kinds)
        return loaded
    if not (folder / RECIPE).exists() or not (folder / "transformer").is_dir():
        raise ConfigError(
            f"{folder}: holds neither {INDEX} (a whole pipeline) nor transformer/ and {RECIPE} (an export); "
            "name what `mtv_train export RUN OUT` wrote"
        )
    return _from_export(folder, dtype)


def _from_export(folder: Path, dtype: torch.dtype) -> MTVPipeline:
    saved = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    settings = validate(TrainSettings, saved["settings"])
    scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    tokenizer, text_encoder = components.make_text_encoder(settings.model, settings.seed, dtype)
    return MTVPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        audio_encoder=components.make_audio_encoder(settings.model, settings.seed).wav2vec,
        vae=components.make_vae(settings.model, settings.seed, dtype),
        transformer=MTVTransformer3DModel.from_pretrained(folder / "transformer", torch_dtype=dtype),
        scheduler=getattr(diffusers, scheduler["_class_name"]).from_pretrained(folder / "scheduler"),
        fps=settings.data.window.fps,
        prompt_style=settings.data.window.prompt,
        official_alignment=settings.model.official_alignment,
    )


def check_new(out: Path) -> None:
    """Raises `ConfigError` if `out` exists; to be asked before models are loaded for it."""
    if out.exists():
        raise ConfigError(f"{out}: exists already; name a new folder")


def check_outside(out: Path, model: Path) -> None:
    """Raises `ConfigError` where a result would lie in the model's folder, whose content says which model it is."""
    if (model / "transformer").is_dir() and model.resolve() in (out.resolve(), *out.resolve().parents):
        raise ConfigError(f"{out}: lies in the model's folder {model}, which must stay as it is; name another place")


def check_writable(out: Path) -> None:
    """Raises `ConfigError` if no file can be written at `out`; to be asked before anything is computed for it."""
    try:
        if out.is_dir():
            raise ConfigError(f"{out}: is a folder; name a file")
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=out.parent, prefix=".", suffix=out.name):
            pass
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written ({error.strerror or error})") from error


def save_whole(pipeline: MTVPipeline, out: Path, *also: Path) -> None:
    """`out`, a new folder that diffusers loads by itself, with copies of the files `also`; whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        aside = Path(folder) / "whole"
        pipeline.save_pretrained(aside)
        for file in also:
            shutil.copy(file, aside)
        os.replace(aside, out)


def assemble(transformer: Path, backbone: Path, audio_encoder: Path, dtype: torch.dtype = torch.float32) -> MTVPipeline:
    """A pipeline around a transformer's folder, for instance the authors' as `mtv_train convert-sat` wrote it.

    `backbone`: the folder of a CogVideoX pipeline (vae/, text_encoder/, tokenizer/, scheduler/); `audio_encoder`: of
    wav2vec2-base-960h. Prompts and sounds are prepared as in the authors' release. Raises `ConfigError`.
    """
    for folder, held in ((transformer, "config.json"), (backbone, INDEX), (audio_encoder, "config.json")):
        if not (folder / held).is_file():
            raise ConfigError(f"{folder}: holds no {held}; see `mtv_train assemble --help` for what is to be given")
    scheduler = json.loads((backbone / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    return MTVPipeline(
        tokenizer=AutoTokenizer.from_pretrained(backbone / "tokenizer", trust_remote_code=False),
        text_encoder=T5EncoderModel.from_pretrained(backbone / "text_encoder", torch_dtype=dtype),
        audio_encoder=Wav2Vec2Model.from_pretrained(audio_encoder),
        vae=AutoencoderKLCogVideoX.from_pretrained(backbone / "vae", torch_dtype=dtype),
        transformer=MTVTransformer3DModel.from_pretrained(transformer, torch_dtype=dtype),
        scheduler=CogVideoXDPMScheduler.from_config({**scheduler, "timestep_spacing": "trailing"}),
        prompt_style="release",
        official_alignment=True,
    )


def fingerprint(folder: Path) -> str:
    """16 hex digits over the names, sizes and contents of the folder's files: which model it is."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()[:16]
