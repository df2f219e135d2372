"""Weights of random numbers for every model of a profile, in the layout of the releases and marked as random.

Nets whose size a release states in a file beside the weights are tiny, and so is BandIt Plus; the others have their
released size.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest
import torch

from demix import weights
from demix.models.active_speaker import lr_asd, talknet
from demix.models.demixing.bandit_network import BanditPlus
from demix.weights import Cache
from demix.weights.receipt import RANDOM, Receipt, sha256_of, write
from tests.models.audio_quality.released import audiobox_file
from tests.models.captioning.released import put_llava_video, put_qwen3_vl
from tests.models.demixing.released import put_bandit_plus, put_cdx23, put_spleeter
from tests.models.diarization.fake_pipeline import FakePipeline
from tests.models.diarization.released import pyannote_folder
from tests.models.faces.released import s3fd_file, yunet_file
from tests.models.persons.released import rtdetr_folder, yolo_file
from tests.models.vectors import Vector


def common(folder: Path, vectors: Path, patch: pytest.MonkeyPatch) -> None:
    """What both profiles load: the judge of sound and the two-stem demixer. Sizes that a release publishes are not
    asked for: a generated file has its own."""
    patch.setattr("demix.weights.store._complete", lambda path, file: path.is_file())
    audiobox_file(Cache().root / "audiobox", Vector(vectors, "audiobox_tiny"), "linear", patch)
    mark("audiobox")
    put_spleeter(fresh(folder / "spleeter"), Vector(vectors, "spleeter_tf_bundle").outputs["index_bytes"].tobytes())


def paper(folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """The paper's models; returns what has to be set for this machine: YOLO only where its package is."""
    put_cdx23(fresh(folder / "cdx23"), segment=1)
    s3fd_file(Cache().root / "s3fd")
    torch.manual_seed(0)
    put_state("talknet", "pretrain_TalkSet.model", talknet.network())
    put_llava_video(folder / "llava")
    mark("s3fd")
    try:
        import ultralytics  # noqa: F401
    except ImportError:
        rtdetr_folder(Cache().root / "rtdetr_v2_r18")
        mark("rtdetr_v2_r18")
        return ["persons.persons=rtdetr", "persons.rtdetr.weights=rtdetr_v2_r18"]
    yolo_file(Cache().root / "yolo11n")
    mark("yolo11n")
    return ["persons.yolo.weights=yolo11n"]


def free(folder: Path, patch: pytest.MonkeyPatch) -> list[str]:
    """The models of the profile `open`."""
    torch.manual_seed(0)
    # Its released size, which tests of the model load, would take minutes here.
    small = BanditPlus(layers=2, embedding=16, recurrent=24, hidden=32)
    patch.setattr("demix.models.demixing.bandit_network.BanditPlus", lambda stems: small)
    put_bandit_plus(fresh(folder / "bandit"), small)
    rtdetr_folder(Cache().root / "rtdetr_v2_r18")
    yunet_file(Cache().root / "yunet", patch)
    put_state("lr_asd", "finetuning_TalkSet.model", lr_asd.network())
    put_qwen3_vl(folder / "qwen")
    put_pyannote(patch)
    for name in ("rtdetr_v2_r18", "yunet", "pyannote_community_1"):
        mark(name)
    return ["persons.rtdetr.weights=rtdetr_v2_r18"]


def put_pyannote(patch: pytest.MonkeyPatch) -> None:
    """Random weights where the package is installed; else files that are never read, and a stand-in that answers."""
    folder = fresh(Cache().root / "pyannote_community_1")
    if importlib.util.find_spec("pyannote"):
        pyannote_folder(folder)
        return
    for file in weights.find("pyannote_community_1").files:
        (folder / file.path).parent.mkdir(exist_ok=True)
        (folder / file.path).write_text("pipeline: {}\n")
    made = FakePipeline([(0.5, 1.5, "S0")])
    patch.setattr("demix.models.diarization.pyannote_pipeline.make_pipeline", lambda folder: made)


def put_state(name: str, file: str, network: torch.nn.Module) -> None:
    """A network's state dict as a set of one file."""
    torch.save(network.state_dict(), fresh(Cache().root / name) / file)
    mark(name)


def mark(name: str) -> None:
    """Notes of all files of a set that lies in the cache that they are made-up numbers."""
    folder = Cache().root / name
    paths = {file.path: folder / file.path for file in weights.find(name).files}
    write(folder, {path: Receipt(file.stat().st_size, sha256_of(file), RANDOM) for path, file in paths.items()})


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
