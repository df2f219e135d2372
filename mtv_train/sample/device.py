"""Where and how a model computes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from demix.config import ConfigError
from mtv_train.sample.make import Maker
from mtv_train.sample.model_folder import fingerprint, load_pipeline

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Place:
    """The choices of one process. `device`: auto, cpu, cuda or cuda:N; `precision`: auto, float32 or bfloat16."""

    device: str = "auto"
    precision: str = "auto"
    offload: bool = False
    """Parts that are not at work wait in the CPU's memory."""
    tiling: bool = False
    """The VAE decodes in tiles, one video after the other: less memory, more time."""
    one_by_one: bool = False
    """Guidance asks its branches one after the other: less memory, more time."""
    compile: bool = False
    """torch.compile, block by block: pays from the second video on."""

    @property
    def where(self) -> torch.device:
        """Raises `ConfigError` for a GPU that is not there."""
        name = ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device
        device = torch.device(name)
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise ConfigError(f"--device {self.device}: torch sees {torch.cuda.device_count()} GPUs; use --device cpu")
        return device

    def load(self, folder: Path) -> Maker:
        """The model of a folder, ready to make videos."""
        device = self.where
        automatic = "bfloat16" if device.type == "cuda" else "float32"
        precision = automatic if self.precision == "auto" else self.precision
        pipeline = load_pipeline(folder, PRECISIONS[precision])
        pipeline.set_progress_bar_config(disable=True)
        if self.offload and device.type == "cuda":
            pipeline.enable_model_cpu_offload(device=device)
        else:
            pipeline.to(device)
        if self.tiling:
            pipeline.vae.enable_tiling()
            pipeline.vae.enable_slicing()
        if self.compile:
            pipeline.transformer.compile_repeated_blocks(fullgraph=True)
        model = {
            "folder": str(folder.absolute()),
            "fingerprint": fingerprint(folder),
            "precision": precision,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        }
        return Maker(pipeline, model, not self.one_by_one, self.compile)
