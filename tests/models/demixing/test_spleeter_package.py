"""The talk with the process of the `spleeter` package: answers, errors, deaths, silence; and the package itself."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from demix.config import ConfigError
from demix.models.demixing.settings import SpleeterPackageSettings, SpleeterSettings
from demix.models.demixing.spleeter import Spleeter
from demix.models.demixing.spleeter_package import SpleeterError, SpleeterPackage
from tests.models.demixing.released import put_spleeter
from tests.models.vectors import Vector

RATE = 44_100
FAKE = """
import os, time, pathlib
class Separator:
    def __init__(self, name, multiprocess):
        assert name == "spleeter:2stems" and multiprocess is False
        model = pathlib.Path(os.environ["MODEL_PATH"], "2stems")
        assert (model / ".probe").read_text() == "OK" and (model / "model.index").stat().st_size == 5244
        print("a library that prints")
    def separate(self, wave):
        if len(wave) == 1: raise ValueError("too short")
        if len(wave) == 2: os._exit(3)
        if len(wave) == 3: time.sleep(60)
        return {"vocals": wave * 0.25, "accompaniment": wave * 0.75}
"""
"""Stands for the package; how long the wave is says how it behaves."""


@pytest.fixture(scope="module")
def release(shared_vectors: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spleeter")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEMIX_WEIGHTS", str(folder / "cache"))
        put_spleeter(folder, Vector(shared_vectors, "spleeter_tf_bundle").outputs["index_bytes"].tobytes())
    return folder / "cache"


@pytest.fixture
def model(release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpleeterPackage:
    """Under an interpreter in which `spleeter` is the fake."""
    monkeypatch.setenv("DEMIX_WEIGHTS", str(release))
    (tmp_path / "spleeter").mkdir()
    (tmp_path / "spleeter" / "__init__.py").touch()
    (tmp_path / "spleeter" / "separator.py").write_text(FAKE)
    python = tmp_path / "python"
    run = f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path(sys.argv[1], run_name='__main__')"
    python.write_text(f'#!/bin/sh\nshift\nexec {sys.executable} -c "{run}" "$@"\n')
    python.chmod(0o755)
    return SpleeterPackage(SpleeterPackageSettings(python=str(python), clip_seconds=2), "cpu")


def test_stems_come_back_as_they_were_sent(model: SpleeterPackage) -> None:
    wave = np.random.default_rng(0).standard_normal((2, 300_000), np.float32)
    for _ in range(2):
        stems = model.separate(wave, RATE, 0)
        assert np.array_equal(stems.speech, wave * np.float32(0.25))
        assert np.array_equal(stems.others, wave * np.float32(0.75))


def test_an_error_is_told_and_the_process_goes_on(model: SpleeterPackage) -> None:
    with pytest.raises(SpleeterError, match="ValueError: too short"):
        model.separate(np.zeros((2, 1), np.float32), RATE, 0)
    assert model.separate(np.ones((2, 9), np.float32), RATE, 0).speech.shape == (2, 9)


def test_a_process_that_died_is_started_again(model: SpleeterPackage) -> None:
    with pytest.raises(SpleeterError, match="ended with 3"):
        model.separate(np.zeros((2, 2), np.float32), RATE, 0)
    assert model.separate(np.ones((2, 9), np.float32), RATE, 0).speech.shape == (2, 9)


def test_a_process_that_hangs_is_ended(model: SpleeterPackage) -> None:
    started = time.monotonic()
    with pytest.raises(SpleeterError, match="not answer in time"):
        model.separate(np.zeros((2, 3), np.float32), RATE, 0)
    assert time.monotonic() - started < 20
    assert model.separate(np.ones((2, 9), np.float32), RATE, 0).speech.shape == (2, 9)


def test_an_environment_without_the_package_says_so(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(release))
    model = SpleeterPackage(SpleeterPackageSettings(python=sys.executable), "cpu")
    with pytest.raises(SpleeterError, match="No module named 'spleeter'"):
        model.separate(np.zeros((2, 9), np.float32), RATE, 0)


def test_without_an_environment_the_remedy_is_said() -> None:
    with pytest.raises(ConfigError, match="make spleeter-env"):
        SpleeterPackage(SpleeterPackageSettings(python="no/such/python"), "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.5, 12.5])
def test_our_network_equals_the_package(release: Path, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """The same weights, whole waves: same gain, same edges."""
    python = os.environ.get("DEMIX_SPLEETER_PYTHON", SpleeterPackageSettings().python)
    if not Path(python).exists():
        pytest.skip("no environment with spleeter here: `make spleeter-env`, or set DEMIX_SPLEETER_PYTHON")
    monkeypatch.setenv("DEMIX_WEIGHTS", str(release))
    wave = np.random.default_rng(7).standard_normal((2, round(seconds * RATE)), np.float32) * np.float32(0.2)
    expected = SpleeterPackage(SpleeterPackageSettings(python=python), "cpu").separate(wave, RATE, 0)
    found = Spleeter(SpleeterSettings(), "cpu").separate(wave, RATE, 0)
    assert np.abs(expected.speech).max() > 0.05
    assert np.abs(found.speech - expected.speech).max() < 1e-4
    assert np.abs(found.others - expected.others).max() < 1e-4
