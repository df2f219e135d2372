"""Checkpoint files in and out: nothing that is read here is ever executed."""

from __future__ import annotations

import argparse
import os
import pickle
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demix.weights import WeightsBroken
from demix.weights.archive import check_tensors
from mtv_train.convert.keymap import PREFIX
from mtv_train.convert.sat import ConversionError, ConversionReport, from_sat, to_sat
from mtv_train.model.transformer import MTVTransformer3DModel

REPORT = "conversion.txt"
"""The report of every key, in the folder that is written."""


def read_sat(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The denoiser's tensors of a DeepSpeed file, under their full names, mapped from the file rather than loaded.

    Read by torch's restricted reader, which builds tensors, plain containers and an `argparse.Namespace`, and nothing
    else. What a training checkpoint holds besides (VAE, text encoder, optimizer) is left. Raises `ConversionError`.
    """
    path = Path(path)
    tree = _restricted(path)
    module = tree.get("module", tree) if isinstance(tree, Mapping) else None
    if not isinstance(module, Mapping):
        raise ConversionError(f"{path}: holds no state dict under `module`; expected a DeepSpeed model states file")
    state = {name: tensor for name, tensor in module.items() if isinstance(name, str) and name.startswith(PREFIX)}
    if not state:
        heads = Counter(str(name).split(".")[0] for name in module)
        found = ", ".join(f"{head} ({count})" for head, count in heads.most_common(8)) or "nothing"
        raise ConversionError(f"{path}: no key starts with {PREFIX}; found {found}. This is no MTV checkpoint")
    if others := [name for name, tensor in state.items() if not torch.is_tensor(tensor)]:
        raise ConversionError(f"{path}: not tensors: {', '.join(others)}")
    return state


def convert_sat(path: str | os.PathLike[str], out: str | os.PathLike[str], **sizes: Any) -> ConversionReport:
    """Write the model of a SAT file as a diffusers folder `out` (config.json, safetensors, the report).

    `sizes`: arguments of `from_sat`, for other models than the released ones.
    """
    model, report = from_sat(read_sat(path), **sizes)
    out = _fresh(out)
    aside = out.with_name(f".{out.name}.part")
    model.save_pretrained(aside)
    (aside / REPORT).write_text(report.text(), encoding="utf-8")
    aside.rename(out)
    return report


def export_sat(folder: str | os.PathLike[str], out: str | os.PathLike[str]) -> ConversionReport:
    """Write the model of a diffusers folder (or its `transformer/`) as a file that the authors' code loads."""
    inner = Path(folder) / "transformer"
    model = MTVTransformer3DModel.from_pretrained(inner if inner.is_dir() else folder)
    state, report = to_sat(model)
    out = _fresh(out)
    aside = out.with_name(f".{out.name}.part")
    torch.save({"module": state}, aside)
    aside.rename(out)
    return report


def _restricted(path: Path) -> Any:
    try:
        check_tensors(path)
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except WeightsBroken as error:
        raise ConversionError(str(error)) from error
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        asked = _asked_for(path)
        if asked:
            raise ConversionError(
                f"{path}: asks for {', '.join(asked)}, which could run code, and is refused; have somebody who trusts "
                "the file save its `module` (tensors alone) again"
            ) from error
        raise ConversionError(f"{path}: not a torch checkpoint, or damaged; fetch it again") from error


def _asked_for(path: Path) -> list[str]:
    """Names of classes and functions in the file that the restricted reader refuses."""
    try:
        return sorted(set(torch.serialization.get_unsafe_globals_in_checkpoint(path)))
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError):
        return []


def _fresh(out: str | os.PathLike[str]) -> Path:
    out = Path(out)
    if out.exists():
        raise ConversionError(f"{out}: exists already; remove it or choose another place")
    out.parent.mkdir(parents=True, exist_ok=True)
    return out
