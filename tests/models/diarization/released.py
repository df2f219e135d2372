"""A folder in the layout of pyannote/speaker-diarization-community-1, with random weights of the released sizes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

CONFIG = """\
dependencies:
  pyannote.audio: 4.0.0
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    clustering: VBxClustering
    segmentation: $model/segmentation
    segmentation_batch_size: 32
    embedding: $model/embedding
    embedding_batch_size: 32
    embedding_exclude_overlap: true
    plda: $model/plda
params:
  clustering:
    threshold: 0.6
    Fa: 0.07
    Fb: 0.8
  segmentation:
    min_duration_off: 0.0
"""


def pyannote_networks() -> tuple[Any, Any]:
    """Segmentation and embedding, of the released sizes, with all their layers. Raises ImportError without the
    package."""
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding import WeSpeakerResNet34
    from pyannote.audio.models.segmentation import PyanNet

    segmentation, embedding = PyanNet(), WeSpeakerResNet34()
    segmentation.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=10.0,
        classes=["speaker#1", "speaker#2", "speaker#3"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    embedding.specifications = Specifications(
        problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=5.0, min_duration=2.0
    )
    for network in (segmentation, embedding):
        network.setup()  # makes the last layers
    return segmentation, embedding


def pyannote_folder(folder: Path) -> Path:
    """Skips where the package, an optional extra, is not installed."""
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    pytest.importorskip("pyannote.audio", reason="an optional package")
    torch.manual_seed(0)
    segmentation, embedding = pyannote_networks()
    for name, network in (("segmentation", segmentation), ("embedding", embedding)):
        if network is segmentation:  # so decided that what it hears decides, and not chance between like classes
            network.classifier.weight.data.mul_(200)
            network.classifier.bias.data.zero_()
        checkpoint = {"state_dict": network.state_dict(), "hyper_parameters": dict(network.hparams), "epoch": 1}
        checkpoint["pytorch-lightning_version"] = "2.5.0"
        network.on_save_checkpoint(checkpoint)
        (folder / name).mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, folder / name / "pytorch_model.bin")

    draw = np.random.default_rng(0)
    (folder / "plda").mkdir(exist_ok=True)
    means = {"mean1": draw.normal(size=256), "mean2": draw.normal(size=128)}
    np.savez(folder / "plda/xvec_transform.npz", lda=draw.normal(size=(256, 128)), **means)
    turn, _ = np.linalg.qr(draw.normal(size=(128, 128)))
    spread = np.sort(draw.uniform(0.1, 3, 128))[::-1]
    np.savez(folder / "plda/plda.npz", mu=draw.normal(size=128), tr=turn, psi=spread)
    (folder / "config.yaml").write_text(CONFIG)
    return folder
