"""Weights that training starts from, mapped from their files.

No rank holds the whole model in memory of its own, and nothing is rounded on its way to the precision it is kept in.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import init_empty_weights  # type: ignore[import-untyped]
from diffusers.models.modeling_utils import ModelMixin
from safetensors import SafetensorError, safe_open
from torch import Tensor

from demix.config import ConfigError
from mtv_train.config import ModelSettings
from mtv_train.model.transformer import MTVTransformer3DModel

M = TypeVar("M", bound=ModelMixin)

log = logging.getLogger("mtv_train")


def transformer_of(settings: ModelSettings) -> MTVTransformer3DModel:
    """The MTV of `settings.init`: what `mtv_train export` or `convert-sat` wrote, or its folder `transformer`. Its
    parameters are as in the files, on the CPU, mapped. Raises `ConfigError` unless it is the recipe's model."""
    folder = Path(settings.init)
    folder = folder / "transformer" if (folder / "transformer").is_dir() else folder
    config = read_config(folder, "model.init")
    if config.get("_class_name") != MTVTransformer3DModel.__name__:
        raise ConfigError(
            f"model.init={settings.init}: holds a {config.get('_class_name')}, not an MTV; a backbone is given as "
            "model.source"
        )
    _refuse_another(settings, config)
    model = mapped(MTVTransformer3DModel, folder)
    kinds = Counter(str(value.dtype).removeprefix("torch.") for value in model.state_dict().values())
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    log.info("model.init: all %d tensors of the model are from %s (%s)", kinds.total(), folder, counted)
    return model


def mark_trained(model: MTVTransformer3DModel, settings: ModelSettings) -> MTVTransformer3DModel:
    """Mark what the recipe trains, and return the model: some of its parameters, or adapters that it is given here."""
    if settings.lora.rank:
        from mtv_train.model.adapters import add_adapters  # here: peft takes seconds to import

        add_adapters(model, settings.lora.rank, settings.lora.alpha, settings.train_backbone == "attention")
        return model
    return model.trainable(settings.train_backbone)


def empty_transformer(settings: ModelSettings) -> MTVTransformer3DModel:
    """The recipe's model without values, for a run whose values all come from its own checkpoint."""
    with init_empty_weights():
        model = MTVTransformer3DModel(settings.backbone.config, settings.mtv.model_dump())
    empty = {name: torch.empty_like(value, device="cpu") for name, value in model.named_parameters()}
    model.load_state_dict(empty, assign=True, strict=False)  # buffers have their values
    return model


def mapped(kind: type[M], folder: Path) -> M:
    """A model of diffusers in `folder` (config.json, safetensors), its parameters mapped from the files: pages are read
    when they are used. Raises `ConfigError` if files and model do not hold the same tensors."""
    config = read_config(folder, kind.__name__)
    with init_empty_weights():
        model: M = kind.from_config(config)
    state = _tensors(folder)
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    problems = [f"{name} is absent" for name in wanted if name not in found]
    problems += [f"{name} is none of the model's" for name in found if name not in wanted]
    both = [name for name in wanted if name in found]
    problems += [f"{name} is {found[name]}, not {wanted[name]}" for name in both if found[name] != wanted[name]]
    if problems:
        raise ConfigError(f"{folder}: {len(problems)} tensors do not fit its config.json: {'; '.join(problems[:5])}")
    model.load_state_dict(state, assign=True)
    return model


def read_config(folder: Path, who: str) -> dict[str, Any]:
    """config.json of a model's folder. Raises `ConfigError`."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{who}: {folder} holds no readable config.json ({error})") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{who}: {folder / 'config.json'} is no configuration")
    return config


def _tensors(folder: Path) -> dict[str, Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ConfigError(f"{folder}: holds no .safetensors; other kinds of weight files are not read")
    state: dict[str, Tensor] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt", device="cpu") as file:
                state |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (OSError, SafetensorError) as error:
            raise ConfigError(f"{path}: cannot be read ({error})") from error
    return state


def _refuse_another(settings: ModelSettings, config: Mapping[str, Any]) -> None:
    """Raises `ConfigError` that names the settings in which the recipe's model is another than that of `config`."""
    told = {
        **{f"model.backbone.{name}": value for name, value in (config.get("backbone") or {}).items()},
        **{f"model.mtv.{name}": value for name, value in (config.get("settings") or {}).items()},
    }
    recipe = {
        **{f"model.backbone.{name}": value for name, value in settings.backbone.config.items()},
        **{f"model.mtv.{name}": value for name, value in settings.mtv.model_dump().items() if name != "zero_init"},
    }
    differ = [f"--set {name}={told[name]}" for name, value in recipe.items() if name in told and told[name] != value]
    if differ:
        raise ConfigError(
            f"model.init={settings.init}: this model is another than the recipe's; to train it, give {' '.join(differ)}"
        )
