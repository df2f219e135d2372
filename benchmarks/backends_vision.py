"""Speed of the models that look: `python -m benchmarks.backends_vision [NAME...] [--write]`.

LR-ASD and Light-ASD are brought as `demix weights fetch` brings them: DEMIX_WEIGHTS_MIRROR names a folder of released
weights. The other networks have random weights.

Detectors are asked about as many frames of a second as the stages ask them about by default, at 480p; the judges of
mouths about one face; the shot detectors about every frame.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.backend import Backend, main
from demix import weights
from demix.models import choose
from demix.stages.active_speaker import ActiveSpeakerSettings
from demix.stages.persons import PersonsSettings
from demix.stages.shots import ShotsSettings, ShotsStage
from demix.weights.fetch import adopt
from demix.weights.receipt import RANDOM

RATE = 16_000
NOTES = (
    "A face of 6 s for the judges of mouths, 1 s of film for the detectors, 20 s for the shots. `talknet` averages",
    "chunks of 1 to 6 s as in its own demo, at six times the cost of the chunks of 2 s that `talknet_2s` and the",
    "others use.",
    "",
    "Not measured: `yolo` (its package is an extra), `yunet` (its release is a graph, which random weights cannot",
    "stand for), `llava_video` and `qwen3_vl` (7 and 8 billion numbers want a GPU).",
)


def state_of(name: str, network: Callable[[], nn.Module]) -> Callable[[Path], None]:
    """Writes a network's random numbers as the one file of a set."""

    def put(folder: Path) -> None:
        torch.save(network().state_dict(), folder / "state")
        entry = weights.find(name)
        adopt(entry, entry.files[0], folder / "state", RANDOM)

    return put


def released(name: str) -> Callable[[Path], None]:
    """Brings a set, as `demix weights fetch` does."""
    return lambda _: weights.ensure([name])


def rtdetr(name: str, backbone: dict[str, Any], **config: Any) -> Callable[[Path], None]:
    """Writes a RT-DETRv2 of that backbone as the hub has it."""

    def put(folder: Path) -> None:
        from transformers import RTDetrImageProcessor, RTDetrResNetConfig, RTDetrV2Config, RTDetrV2ForObjectDetection

        labels = {number: "person" if number == 0 else f"thing {number}" for number in range(80)}
        made = RTDetrV2Config(backbone_config=RTDetrResNetConfig(**STAGES, **backbone), id2label=labels, **config)
        RTDetrV2ForObjectDetection(made).save_pretrained(folder)
        RTDetrImageProcessor(size={"height": 640, "width": 640}).save_pretrained(folder)
        entry = weights.find(name)
        for file in entry.files:
            adopt(entry, file, folder / file.path, RANDOM)

    return put


STAGES = {"out_features": ["stage2", "stage3", "stage4"]}
R18 = {"hidden_sizes": [64, 128, 256, 512], "depths": [2, 2, 2, 2], "layer_type": "basic"}


def frames(count: int) -> np.ndarray:
    """uint8 (count, 480, 854, 3) of blurred noise."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 30, 54, 3), dtype=np.uint8)
    return np.ascontiguousarray(coarse.repeat(16, 1).repeat(16, 2)[:, :480, :854])


def detector(role: str, name: str, put: Callable[[Path], None] | None = None, **settings: Any) -> Backend:
    chosen = PersonsSettings.model_validate(settings)
    rate = chosen.faces_per_second if role == "faces" else chosen.persons_per_second

    def ask(model: Any) -> float:
        model.detect(frames(round(rate)))
        return 1.0

    return Backend(lambda: choose(role, name, chosen).make("cpu", threads=1), ask, put)


def mouths(name: str, put: Callable[[Path], None] | None = None, **settings: Any) -> Backend:
    chosen = ActiveSpeakerSettings.model_validate(settings)

    def ask(model: Any) -> float:
        faces = np.random.default_rng(0).integers(0, 256, (144, 224, 224), dtype=np.uint8)
        sound = np.random.default_rng(0).normal(0, 0.1, 6 * RATE).astype(np.float32)
        model.score(faces, 24.0, sound, RATE)
        return 6.0

    return Backend(lambda: choose("active_speaker", name, chosen).make("cpu", threads=1), ask, put)


def shots(name: str) -> Backend:
    def ask(model: Any) -> float:
        pictures = frames(48)[:, ::4, ::4]
        model.detect(((number, pictures[number // 10]) for number in range(480)), 24.0)
        return 20.0

    return Backend(lambda: ShotsStage(ShotsSettings(model=name))._make("cpu"), ask)


def talknet() -> nn.Module:
    from demix.models.active_speaker import talknet as module

    return module.network()


def s3fd() -> nn.Module:
    from demix.models.faces.s3fd_network import S3fd

    return S3fd()


BACKENDS = {
    "adaptive": shots("adaptive"),
    "transnetv2": shots("transnetv2"),
    "mtcnn": detector("faces", "mtcnn"),
    "s3fd": detector("faces", "s3fd", state_of("s3fd", s3fd)),
    "rtdetr_r18": detector(
        "persons",
        "rtdetr",
        rtdetr("rtdetr_v2_r18", R18, encoder_in_channels=[128, 256, 512], decoder_layers=3, hidden_expansion=0.5),
        rtdetr={"weights": "rtdetr_v2_r18"},
    ),
    "rtdetr_r50": detector("persons", "rtdetr", rtdetr("rtdetr_v2_r50", {})),
    "mouth_flow": mouths("mouth_flow"),
    "lr_asd": mouths("lr_asd", released("lr_asd")),
    "light_asd": mouths("light_asd", released("light_asd")),
    "talknet_2s": mouths("talknet", state_of("talknet", talknet), talknet={"durations": (2,)}),
    "talknet": mouths("talknet", state_of("talknet", talknet)),
}
RESULT = Path(__file__).parent / "results/backends_vision.md"

if __name__ == "__main__":
    sys.exit(main("benchmarks.backends_vision", "Models that look", BACKENDS, RESULT, NOTES))
