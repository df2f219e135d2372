"""The tiny model as a folder, moved away from its zeros so that it hears; sounds and pictures to go with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image

from mtv_train import cli
from mtv_train.config import TrainSettings
from mtv_train.recipes.tiny import tiny
from mtv_train.train.components import make_transformer
from mtv_train.train.export import RECIPE, _scheduler

RATE = 16_000


def settings() -> TrainSettings:
    """The tiny recipe on a backbone without learned positions, so that it can make videos of any size."""
    recipe = tiny()
    backbone = recipe.model.backbone.model_copy(update={"use_learned_positional_embeddings": False})
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"backbone": backbone})})


def write_model(folder: Path) -> Path:
    """As `mtv_train export` writes it, of a run that has moved every parameter a little."""
    made = settings()
    transformer = make_transformer(made.model, made.seed).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in transformer.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    transformer.save_pretrained(folder / "transformer")
    _scheduler(made).save_pretrained(folder / "scheduler")
    (folder / RECIPE).write_text(json.dumps({"settings": made.model_dump(mode="json")}), encoding="utf-8")
    return folder


def tone(seconds: float, hertz: float = 220.0, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """float32 (samples, channels) that comes and goes."""
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.3 * np.sin(2 * np.pi * hertz * time) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * time))
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


def write_tone(path: Path, seconds: float = 0.375, hertz: float = 220.0, rate: int = RATE, channels: int = 1) -> Path:
    soundfile.write(
        path, tone(seconds, hertz, rate, channels), rate, subtype="FLOAT" if path.suffix == ".wav" else None
    )
    return path


def write_picture(path: Path, seed: int = 0, size: tuple[int, int] = (64, 48)) -> Path:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(values).save(path)
    return path


def sample(*arguments: str | Path) -> int:
    """`mtv_train sample`, as typed; one denoising step in four is enough to see what is asked."""
    return cli.main(["sample", *map(str, arguments)])
