"""pyannote.audio's pipeline, loaded without its own loader: the same answers, and nothing of the folder is executed."""

from __future__ import annotations

import os
import pickle
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from demix.config import ConfigError
from demix.models.diarization.pyannote import PyannoteDiarizer
from demix.models.diarization.pyannote_pipeline import make_pipeline, network, read_config
from demix.models.diarization.settings import PyannoteSettings
from demix.weights import WeightsBroken
from tests.models.diarization.released import CONFIG, pyannote_folder

RATE = 16_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pyannote_folder(tmp_path_factory.mktemp("community"))


@pytest.fixture(scope="module")
def sound() -> np.ndarray:
    """Noise that comes and goes, 16 s."""
    seconds = np.arange(16 * RATE) / RATE
    noise = np.random.default_rng(0).normal(size=seconds.size)
    return (noise * 0.1 * (np.sin(seconds) > 0)).astype(np.float32)


def turns(answer: Any) -> list[tuple[float, float, str]]:
    tracks = answer.exclusive_speaker_diarization.itertracks(yield_label=True)
    return [(turn.start, turn.end, label) for turn, _, label in tracks]


def test_it_answers_as_the_packages_own_loader_has_it(folder: Path, sound: np.ndarray) -> None:
    from pyannote.audio import Pipeline

    given = {"waveform": torch.from_numpy(sound)[None], "sample_rate": RATE}
    expected = turns(Pipeline.from_pretrained(str(folder))(dict(given)))
    assert expected
    assert turns(make_pipeline(folder)(dict(given))) == expected
    heard = PyannoteDiarizer(PyannoteSettings(folder=str(folder)), "cpu").diarize(sound, RATE)
    # Turns of one speaker that touch are one turn of ours.
    assert heard.turns[0].start_seconds == pytest.approx(expected[0][0], abs=1e-3)
    assert heard.turns[-1].end_seconds == pytest.approx(expected[-1][1], abs=1e-3)


@pytest.mark.parametrize("part", ["_segmentation.model", "_embedding.model_"])
def test_where_memory_runs_out_less_is_heard_at_once(folder: Path, sound: np.ndarray, part: str) -> None:
    """In either network; the package turns what the first raises into a MemoryError."""
    diarizer = PyannoteDiarizer(PyannoteSettings(folder=str(folder)), "cpu")
    expected = diarizer.diarize(sound, RATE)
    asked: list[int] = []

    def refuse(network: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        asked.append(len(given[0]))
        if asked[-1] > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    attrgetter(part)(diarizer.pipeline).register_forward_pre_hook(refuse)
    assert diarizer.diarize(sound, RATE) == expected
    assert max(asked) > 4
    assert diarizer.pipeline.embedding_batch_size == 4, "and for the rest"


class Acts:
    """Makes a file where it is unpickled."""

    def __init__(self, made: Path):
        self.made = made

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.made}",)


def test_weights_that_would_act_do_nothing(folder: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(folder / "segmentation/pytorch_model.bin", weights_only=False)
    evil = tmp_path / "pytorch_model.bin"
    torch.save({**checkpoint, "callbacks": Acts(tmp_path / "acted")}, evil)
    assert network(evil) is not None
    assert not (tmp_path / "acted").exists()
    torch.load(evil, weights_only=False)
    assert (tmp_path / "acted").exists(), "else this test shows nothing"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pyannote.audio": {"architecture": {"module": "subprocess", "class": "Popen"}}}, "no checkpoint of pyannote"),
        ({"state_dict": {}}, "Missing key"),
        ({"hyper_parameters": None}, "no checkpoint of pyannote"),
    ],
)
def test_another_networks_weights_are_refused(folder: Path, tmp_path: Path, change: Any, said: str) -> None:
    checkpoint = torch.load(folder / "embedding/pytorch_model.bin", weights_only=False)
    torch.save({**checkpoint, **change}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsBroken, match=said):
        network(tmp_path / "pytorch_model.bin")


def test_a_class_outside_the_package_is_not_imported(folder: Path, tmp_path: Path) -> None:
    checkpoint = torch.load(folder / "embedding/pytorch_model.bin", weights_only=False)
    checkpoint["pyannote.audio"]["architecture"] = {"module": "subprocess", "class": "Popen"}
    torch.save(checkpoint, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsBroken, match=r"subprocess\.Popen is no network of pyannote"):
        network(tmp_path / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("pipeline: {}\n", "not the configuration"),
        ("- a\n", "not the configuration"),
        ("pipeline: [\n", "not the configuration"),
        ("a: !!python/object/apply:os.system ['true']\n", "not the configuration"),
        (
            CONFIG.replace("pyannote.audio.pipelines.SpeakerDiarization", "subprocess.Popen"),
            "asks for subprocess.Popen",
        ),
        (CONFIG.replace("VBxClustering", "{a: 1}"), r"params\.clustering is no plain value"),
        (CONFIG + "preprocessors:\n  audio: {name: os.system}\n", "preprocessors"),
    ],
)
def test_a_configuration_that_asks_for_more_is_refused(tmp_path: Path, config: str, said: str) -> None:
    (tmp_path / "config.yaml").write_text(config)
    with pytest.raises(ConfigError, match=said):
        read_config(tmp_path)


def test_pickles_alone_are_no_checkpoint(tmp_path: Path) -> None:
    pytest.importorskip("pyannote.audio", reason="an optional package")
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(WeightsBroken):
        network(tmp_path / "pytorch_model.bin")
