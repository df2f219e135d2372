"""pyannote.audio: asked with sound in memory and telemetry off; its exclusive turns become ours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from demix.config import ConfigError
from demix.models.diarization.pyannote import PyannoteDiarizer
from demix.models.diarization.pyannote_pipeline import read_config
from demix.models.diarization.settings import PyannoteSettings
from demix.weights import WeightsMissing
from tests.models.diarization.fake_pipeline import FakePipeline


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a pipeline that hears two speakers who overlap for a second."""
    overlapping = [(0.5, 3.0, "SPEAKER_01"), (2.0, 4.0, "SPEAKER_00")]
    exclusive = [(0.5, 2.4, "SPEAKER_01"), (2.4, 4.0, "SPEAKER_00")]
    made = FakePipeline(overlapping, exclusive)
    monkeypatch.setattr("demix.models.diarization.pyannote_pipeline.make_pipeline", lambda folder: made)
    return tmp_path


@pytest.mark.parametrize(("exclusive", "edges"), [(True, (2.4, 2.4)), (False, (3.0, 2.0))])
def test_turns_are_the_pipelines(folder: Path, exclusive: bool, edges: tuple[float, float]) -> None:
    settings = PyannoteSettings(folder=str(folder), exclusive=exclusive, max_speakers=3)
    diarizer = PyannoteDiarizer(settings, "cpu")
    speech = diarizer.diarize(np.zeros(5 * 8000, np.float32), 8000)
    assert [(turn.start_seconds, turn.end_seconds, turn.speaker) for turn in speech.turns] == [
        (0.5, edges[0], 0),
        (edges[1], 4.0, 1),
    ]
    assert diarizer.pipeline.asked["waveform"].shape == (1, 80_000)
    assert diarizer.pipeline.asked["sample_rate"] == 16_000
    assert diarizer.pipeline.asked["max_speakers"] == 3
    assert "min_speakers" not in diarizer.pipeline.asked


def test_where_memory_runs_out_less_is_heard_at_once(folder: Path) -> None:
    diarizer = PyannoteDiarizer(PyannoteSettings(folder=str(folder)), "cpu")
    diarizer.pipeline.room = 5
    assert diarizer.diarize(np.zeros(16_000, np.float32), 16_000).turns
    assert (diarizer.pipeline.segmentation_batch_size, diarizer.pipeline.embedding_batch_size) == (4, 4)
    diarizer.pipeline.room = 0
    with pytest.raises(MemoryError):
        diarizer.diarize(np.zeros(16_000, np.float32), 16_000)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMIX_WEIGHTS", str(tmp_path / "weights"))
    with pytest.raises(WeightsMissing, match="HF_TOKEN"):
        PyannoteDiarizer(PyannoteSettings(), "cpu")
    monkeypatch.setitem(sys.modules, "pyannote.audio.core.plda", None)
    with pytest.raises(ConfigError, match=r"demix-dataset\[pyannote\]"):
        PyannoteDiarizer(PyannoteSettings(folder=str(tmp_path)), "cpu")
    assert os.environ["PYANNOTE_METRICS_ENABLED"] == "0", "before the package is imported"
    with pytest.raises(ConfigError, match=r"config\.yaml is missing"):
        read_config(tmp_path / "none")
