"""pyannote.audio: asked with sound in memory and telemetry off; its exclusive turns become ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from demix.config import ConfigError
from demix.models.diarization.pyannote import PyannoteDiarizer
from demix.models.diarization.pyannote_pipeline import read_config
from demix.models.diarization.settings import PyannoteSettings
from demix.weights import WeightsMissing


class Turns:
    def __init__(self, *turns: tuple[float, float, str]):
        self.turns = turns

    def itertracks(self, yield_label: bool) -> Iterator[tuple[Any, str, str]]:
        assert yield_label
        for start, end, label in self.turns:
            yield SimpleNamespace(start=start, end=end), "A", label


class FakePipeline:
    """Stands for the package's pipeline: two speakers who overlap for a second."""

    asked: dict[str, Any]
    room = 100
    """Chunks of sound that the memory holds at once."""

    def __init__(self) -> None:
        self.segmentation_batch_size, self.embedding_batch_size = 32, 8

    def to(self, device: Any) -> None:
        self.device = device

    def __call__(self, sound: dict[str, Any], **limits: int) -> Any:
        FakePipeline.asked = {**sound, **limits}
        if max(self.segmentation_batch_size, self.embedding_batch_size) > self.room:
            raise MemoryError("batch_size is probably too large")
        return SimpleNamespace(
            speaker_diarization=Turns((0.5, 3.0, "SPEAKER_01"), (2.0, 4.0, "SPEAKER_00")),
            exclusive_speaker_diarization=Turns((0.5, 2.4, "SPEAKER_01"), (2.4, 4.0, "SPEAKER_00")),
        )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("demix.models.diarization.pyannote.make_pipeline", lambda folder: FakePipeline())
    return tmp_path


@pytest.mark.parametrize(("exclusive", "edges"), [(True, (2.4, 2.4)), (False, (3.0, 2.0))])
def test_turns_are_the_pipelines(folder: Path, exclusive: bool, edges: tuple[float, float]) -> None:
    settings = PyannoteSettings(folder=str(folder), exclusive=exclusive, max_speakers=3)
    speech = PyannoteDiarizer(settings, "cpu").diarize(np.zeros(5 * 8000, np.float32), 8000)
    assert [(turn.start_seconds, turn.end_seconds, turn.speaker) for turn in speech.turns] == [
        (0.5, edges[0], 0),
        (edges[1], 4.0, 1),
    ]
    assert FakePipeline.asked["waveform"].shape == (1, 80_000)
    assert FakePipeline.asked["sample_rate"] == 16_000
    assert FakePipeline.asked["max_speakers"] == 3
    assert "min_speakers" not in FakePipeline.asked


def test_where_memory_runs_out_less_is_heard_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    diarizer = PyannoteDiarizer(PyannoteSettings(folder=str(folder)), "cpu")
    monkeypatch.setattr(FakePipeline, "room", 5)
    assert diarizer.diarize(np.zeros(16_000, np.float32), 16_000).turns
    assert (diarizer.pipeline.segmentation_batch_size, diarizer.pipeline.embedding_batch_size) == (4, 4)
    monkeypatch.setattr(FakePipeline, "room", 0)
    with pytest.raises(MemoryError):
        diarizer.diarize(np.zeros(16_000, np.float32), 16_000)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "weights"))
    with pytest.raises(WeightsMissing, match="HF_TOKEN"):
        PyannoteDiarizer(PyannoteSettings(), "cpu")
    monkeypatch.setitem(sys.modules, "pyannote.audio.core.plda", None)
    with pytest.raises(ConfigError, match=r"demix\[pyannote\]"):
        PyannoteDiarizer(PyannoteSettings(folder=str(tmp_path)), "cpu")
    assert os.environ["PYANNOTE_METRICS_ENABLED"] == "0", "before the package is imported"
    with pytest.raises(ConfigError, match=r"config\.yaml is missing"):
        read_config(tmp_path / "none")
