"""The authors' checkpoints (`mp_rank_00_model_states.pt`) to our folder and back, strict, with a report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from mtv_train.model.transformer import MTVTransformer3DModel


@dataclass(frozen=True)
class ConversionReport:
    """Every key of a conversion: (their key, shape, our keys or what became of it)."""

    rows: tuple[tuple[str, tuple[int, ...], str], ...]

    def text(self) -> str:
        """As a table, one key a line."""
        raise NotImplementedError


def read_sat(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensors under `model.diffusion_model.` of a DeepSpeed file; nothing in it is executed."""
    raise NotImplementedError


def from_sat(state: Mapping[str, Tensor]) -> tuple[MTVTransformer3DModel, ConversionReport]:
    """The model of a SAT state, its size read off the tensors' shapes. Raises `ConversionError` naming every key
    that is missing, left over or of the wrong shape."""
    raise NotImplementedError


def to_sat(model: MTVTransformer3DModel) -> tuple[dict[str, Tensor], ConversionReport]:
    """The model's state in the release's key layout."""
    raise NotImplementedError


def convert_sat(path: str | os.PathLike[str], out: str | os.PathLike[str]) -> ConversionReport:
    """Write the model of a SAT file as a diffusers folder `out`, with `conversion.txt` beside it."""
    raise NotImplementedError


def export_sat(folder: str | os.PathLike[str], out: str | os.PathLike[str]) -> ConversionReport:
    """Write the model of a diffusers folder as a DeepSpeed-style file that the authors' code loads."""
    raise NotImplementedError


__all__ = ["ConversionReport", "convert_sat", "export_sat", "from_sat", "read_sat", "to_sat"]
