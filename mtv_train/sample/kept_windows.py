"""Finished windows of a long video, kept beside it until it is whole, so that a killed run goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from demix.engine.lock import held
from demix.store import atomic, sweep

IDENTITY = "request.json"
SUFFIX = ".windows"
"""Of the folder, after the film's name."""


class KeptWindows:
    """A folder of windows' latents, each with the state of the noise's generator after it."""

    def __init__(self, folder: Path, identity: Mapping[str, Any]):
        """`identity` (JSON): all that the latents depend on. Windows of anything else are removed."""
        self.folder = folder
        sweep(folder)
        wanted = json.dumps(identity, indent=2, sort_keys=True, ensure_ascii=False)
        if _text(folder / IDENTITY) != wanted:
            for path in folder.glob("*.safetensors"):
                path.unlink()
            with atomic(folder / IDENTITY) as aside:
                aside.write_text(wanted, encoding="utf-8")
        self.count = 0
        """Windows that are there, from the first one on without a gap."""
        while _whole(self._file(self.count)):
            self.count += 1

    def read(self, window: int, generator: torch.Generator) -> Tensor:
        """The latents of a window, float32 on the CPU; `generator` then goes on behind it."""
        kept = load_file(self._file(window))
        generator.set_state(kept["generator"])
        return kept["latents"]

    def write(self, window: int, latents: Tensor, generator: torch.Generator) -> None:
        """Keeps a finished window."""
        with atomic(self._file(window)) as aside:
            save_file({"latents": latents.cpu().contiguous(), "generator": generator.get_state()}, aside)

    def _file(self, window: int) -> Path:
        return self.folder / f"{window:05}.safetensors"


@contextmanager
def kept_beside(film: Path, identity: Mapping[str, Any]) -> Iterator[KeptWindows]:
    """The windows kept of `film`, which are removed when this ends without an exception. Raises `ConfigError` where
    another process is making the same film."""
    folder = film.with_name(film.name + SUFFIX)
    with held(folder, "sampling"):
        yield KeptWindows(folder, identity)
        shutil.rmtree(folder)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # absent, or not ours: nothing here is gone on with
        return None


def _whole(path: Path) -> bool:
    try:
        return set(load_file(path)) == {"latents", "generator"}
    except (OSError, SafetensorError):  # absent, or damaged: it is sampled again
        return False
