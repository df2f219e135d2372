"""Patches of a test that also hold in the workers of its Ray: written down where they are made, made again there."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ray import cloudpickle

_VARIABLE = "DEMIX_TEST_PATCHES"
HOOK = {"worker_process_setup_hook": "tests.build.patches.again"}
"""The runtime environment of a Ray whose workers have them."""


class Recorder:
    """Stands for a `MonkeyPatch`; `save` before Ray is started."""

    def __init__(self, patch: pytest.MonkeyPatch):
        self._patch = patch
        self._made: list[tuple[Any, ...]] = []

    def setattr(self, *arguments: Any) -> None:
        self._patch.setattr(*arguments)
        target, *rest = arguments
        if isinstance(target, str):
            self._made.append((target, *rest))
        else:  # the object itself, and not a copy of it, is what a worker patches
            self._made.append((f"{_path(target)}.{rest[0]}", rest[1]))

    def save(self, file: Path) -> None:
        file.write_bytes(cloudpickle.dumps(self._made))
        self._patch.setenv(_VARIABLE, str(file))


def _path(target: object) -> str:
    """Where a module holds an object."""
    for name, module in list(sys.modules.items()):
        for attribute, value in list(vars(module).items()) if module is not None else ():
            if value is target:
                return f"{name}.{attribute}"
    raise ValueError(f"no module holds {target!r}")


def again() -> None:
    """In a worker."""
    patch = pytest.MonkeyPatch()
    for arguments in cloudpickle.loads(Path(os.environ[_VARIABLE]).read_bytes()):
        patch.setattr(*arguments)
