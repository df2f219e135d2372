"""Guards: numba compiles in one process at a time, and a model that uses it leaves nothing to be compiled later."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from demix.models.compiling import compiling


def enter(entered: Path) -> None:
    with compiling():
        entered.touch()


def test_a_second_process_waits_for_the_first(tmp_path: Path) -> None:
    with compiling():
        second = multiprocessing.get_context("fork").Process(target=enter, args=(tmp_path / "entered",), daemon=True)
        second.start()
        second.join(0.5)
        assert second.is_alive()
        assert not (tmp_path / "entered").exists()
    second.join(30)
    assert (tmp_path / "entered").exists()


@pytest.mark.slow
def test_the_lite_diarizer_compiles_when_it_is_made(tmp_path: Path) -> None:
    code = """
import os, numpy, torch
from demix.models.diarization.lite import LiteDiarizer
def kept(): return sorted(name for _, _, names in os.walk(os.environ["NUMBA_CACHE_DIR"]) for name in names)
diarizer = LiteDiarizer()
before = kept()
with torch.inference_mode():
    diarizer._voices(numpy.random.default_rng(0).normal(0, 0.1, 48_000).astype("f"), [(0.0, 1.6)])
assert before and kept() == before
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
