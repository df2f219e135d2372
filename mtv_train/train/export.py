"""From a checkpoint to a diffusers folder of safetensors, in one process, whatever number of ranks wrote it."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import CogVideoXDPMScheduler

from demix.config import ConfigError, validate
from mtv_train.config import TrainSettings
from mtv_train.model.transformer import MTVTransformer3DModel
from mtv_train.train import identity
from mtv_train.train.checkpoint import DamagedSave, check_whole, committed, folder_of, read_state
from mtv_train.train.initial import mark_trained
from mtv_train.train.saved import load

RECIPE = "mtv_train.json"
"""In the exported folder: the settings, the position and the versions that the weights come from."""
NOTICEABLE = 0.01
"""Share of untrained weights in an average from which on a person is told."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    step: int
    averaged: bool
    """Whether it is the moving average."""
    start_share: float
    """What part of the average still is the parameters that it began with; 0 where it is no average."""

    @property
    def warning(self) -> str:
        """What a person should know of it, or nothing."""
        if self.start_share < NOTICEABLE:
            return ""
        return (
            f"{self.start_share:.0%} of this moving average still is what it began with, so little is seen of what was "
            "learnt; --raw exports the parameters themselves"
        )


def export(run: Path, out: Path, step: int | None = None, raw: bool = False) -> Exported:
    """Write `out`/transformer, `out`/scheduler and `out`/mtv_train.json.

    float32, as trained, with adapters merged into the weights. The encoders are unchanged by training and stay where
    the recipe names them. Raises `ConfigError` if there is no such checkpoint, or `out` exists.
    """
    if out.exists():
        raise ConfigError(f"{out}: exists already; name a new folder")
    steps = committed(run)
    if not steps:
        raise ConfigError(f"{run}: no committed checkpoint to export")
    step = steps[-1] if step is None else step
    try:
        check_whole(run, step)
    except DamagedSave as damaged:
        instead = f"; give --step {damaged.good} to export that one" if damaged.good is not None else ""
        raise ConfigError(f"{damaged}{instead}") from damaged
    saved = read_state(run, step)
    settings = validate(TrainSettings, saved["settings"])
    averaged = bool(settings.optim.ema) and not raw
    model = _load_model(run, step, settings, averaged)
    aside = out.with_name(f".{out.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    model.save_pretrained(aside / "transformer")
    _scheduler(settings).save_pretrained(aside / "scheduler")
    (aside / RECIPE).write_text(json.dumps({**saved, "average": averaged}, indent=2), encoding="utf-8")
    os.replace(aside, out)
    return Exported(step, averaged, identity.average(saved)[1] if averaged else 0.0)


def _load_model(run: Path, step: int, settings: TrainSettings, averaged: bool) -> MTVTransformer3DModel:
    """The transformer of a checkpoint, float32, to be saved (what is not part of a state dict is not made)."""
    with torch.device("meta"):
        model = MTVTransformer3DModel(settings.model.backbone.config, settings.model.mtv.model_dump())
    mark_trained(model, settings.model)
    model = model.to_empty(device="cpu")
    values = {name: torch.empty_like(value) for name, value in model.state_dict().items()}
    tree: dict[str, Any] = {"model": values}
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    if averaged:
        tree["ema"] = {name: torch.empty_like(values[name]) for name in trained}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # one process is what is meant
        load(tree, folder_of(run, step), no_dist=True)
    model.load_state_dict({**values, **tree.get("ema", {})})
    if settings.model.lora.rank:
        from mtv_train.model.adapters import merge_adapters  # here: peft takes seconds to import

        merge_adapters(model)
    return model.eval()


def _scheduler(settings: TrainSettings) -> CogVideoXDPMScheduler:
    """The sampler that the paper's release uses, with the run's schedule."""
    velocity = settings.diffusion.prediction == "v"
    return CogVideoXDPMScheduler(
        snr_shift_scale=settings.diffusion.snr_shift,
        rescale_betas_zero_snr=velocity,
        prediction_type="v_prediction" if velocity else "epsilon",
        timestep_spacing="trailing",
    )
